"""The curves of rows, of key-point nets and of dense regression."""

import sys
from dataclasses import replace

import cv2
import numpy as np
import pytest

from handfast.errors import HandfastError
from handfast.reproduce.chidananda2019 import TABLE1
from handfast.reproduce.plots import plot
from handfast.reproduce.pruned2019 import TABLE3, TABLE5
from handfast.reproduce.tables import read_results


@pytest.fixture
def found(results):
    return read_results(results, TABLE1, "small")


def pixels_of(path, bgr):
    """How many have about a colour."""
    return (np.abs(cv2.imread(str(path)).astype(int) - bgr).max(axis=-1) < 10).sum()


BLUE, RED, GREEN = (178, 114, 0), (0, 94, 213), (115, 158, 0)  # of the first three rows


def test_curves_of_key_points_are_drawn(found, tmp_path):
    pytest.importorskip("matplotlib")
    plot(TABLE1, found, tmp_path / "new" / "pck.png")
    assert all(pixels_of(tmp_path / "new" / "pck.png", colour) > 300 for colour in (BLUE, RED, GREEN))


def test_curves_of_dense_regression_are_drawn(dense_results, tmp_path):
    pytest.importorskip("matplotlib")
    plot(TABLE3, read_results(dense_results, TABLE3, "small"), tmp_path / "dense.png")
    assert all(pixels_of(tmp_path / "dense.png", colour) > 300 for colour in (BLUE, RED, GREEN))


def test_a_run_that_was_never_validated_has_no_curve_of_that(dense_results, tmp_path):
    pytest.importorskip("matplotlib")
    found = read_results(dense_results, TABLE3, "small")
    (result,) = found["1-stack-scratch"]
    unknown = replace(result.score["l4"], validation_mm=[], loss=[], converged_step=None)
    found = {"1-stack-scratch": [replace(result, score={"l4": unknown})]}
    plot(TABLE3, found, tmp_path / "dense.png")
    assert pixels_of(tmp_path / "dense.png", BLUE) > 100


def test_curves_need_a_picture_file_and_matplotlib(found, tmp_path, monkeypatch):
    with pytest.raises(HandfastError, match=r"pck\.jpg: expected a file name that ends in \.png"):
        plot(TABLE1, found, tmp_path / "pck.jpg")
    monkeypatch.setitem(sys.modules, "matplotlib.figure", None)
    with pytest.raises(HandfastError, match=r"handfast\[plots\]"):
        plot(TABLE1, found, tmp_path / "pck.png")


def test_times_have_no_curves(tmp_path):
    with pytest.raises(HandfastError, match="pruned2019/table5 has no curves"):
        plot(TABLE5, {}, tmp_path / "times.png")
