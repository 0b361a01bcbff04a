"""What a network sees decides which data it learns from."""

import pytest

from handfast.data.batches import BatchSource
from handfast.errors import HandfastError
from handfast.training.families import load_recipe, open_data


def test_networks_for_colour_learn_from_colour(tof_folder, monkeypatch):
    with pytest.raises(HandfastError, match="expected bench-rgb, got bench-tof"):
        open_data(load_recipe("finder-rgb"), tof_folder)
    monkeypatch.setattr("handfast.data.batches.VALIDATION_BATCH", 1)
    monkeypatch.setattr("handfast.data.batches.VALIDATION_BATCHES", 1)
    assert isinstance(open_data(load_recipe("hand21"), tof_folder), BatchSource)


def test_scenes_are_for_finders_in_colour(tof_folder, tmp_path):
    with pytest.raises(HandfastError, match="tofnet-hand21 takes no --scenes; only finders in colour"):
        open_data(load_recipe("hand21"), tof_folder, scenes=tmp_path)
