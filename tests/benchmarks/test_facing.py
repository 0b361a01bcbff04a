"""Which hands show their palm."""

import importlib
from pathlib import Path
from types import SimpleNamespace

import pytest

from handfast.data.datasets.samples import Samples
from handfast.data.headset import PALM_FACING
from handfast.structures import ORIENTATIONS


@pytest.fixture
def facing(monkeypatch):
    monkeypatch.syspath_prepend(str(Path(__file__).parents[2] / "benchmarks"))
    return importlib.import_module("facing")


def test_lone_hands_are_told_by_what_of_them_is_seen(facing):
    orientations = [(0,), (4,), (), (2,), (7, 4), (5,), (7,)]
    keys = tuple("abcdefg")
    frames = Samples(
        keys,
        lambda i: SimpleNamespace(
            hands=[SimpleNamespace(orientation=o) for o in orientations[i]], key=keys[i]
        ),
    )
    faces = facing.by_face(frames)
    assert {face: chosen.keys for face, chosen in faces.items()} == {
        "palm": ("a", "g"),
        "edge": ("d",),
        "back": ("b", "f"),
    }
    assert [sample.key for sample in faces["back"]] == ["b", "f"]


def test_every_orientation_is_one_face_and_palms_are_those_of_the_benchmark(facing):
    assert sorted(o for face in facing.FACES.values() for o in face) == list(range(ORIENTATIONS))
    assert set(facing.FACES["palm"]) == set(PALM_FACING)
