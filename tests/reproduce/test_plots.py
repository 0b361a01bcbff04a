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
from handfast.reproduce.yang2021 import FIGURE7, FIGURE8
from handfast.reproduce.yang2021 import TABLE2 as LOOP_POINTS
from handfast.reproduce.yang2021 import TABLE3 as REFINEMENT


@pytest.fixture
def found(results):
    return read_results(results, TABLE1, "small")


def pixels_of(path, bgr):
    """How many have about a colour."""
    return (np.abs(cv2.imread(str(path)).astype(int) - bgr).max(axis=-1) < 10).sum()


BLUE, RED, GREEN, PINK = (178, 114, 0), (0, 94, 213), (115, 158, 0), (167, 121, 204)  # of the first rows


def test_curves_of_key_points_are_drawn(found, tmp_path):
    pytest.importorskip("matplotlib")
    with pytest.raises(HandfastError, match="none of these rows of chidananda2019/table1 is measured"):
        plot(TABLE1, {"none": [], "all": []}, tmp_path / "nothing.png")
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
    unknown = replace(result.score["l4"], validation_mm=[], loss=[])
    found = {"1-stack-scratch": [replace(result, score={"l4": unknown})]}
    plot(TABLE3, found, tmp_path / "dense.png")
    assert pixels_of(tmp_path / "dense.png", BLUE) > 100


def test_curves_need_a_picture_file_and_matplotlib(found, tmp_path, monkeypatch):
    with pytest.raises(HandfastError, match=r"pck\.jpg: expected a file name that ends in \.png"):
        plot(TABLE1, found, tmp_path / "pck.jpg")
    monkeypatch.setitem(sys.modules, "matplotlib.figure", None)
    with pytest.raises(HandfastError, match=r"handfast\[plots\]"):
        plot(TABLE1, found, tmp_path / "pck.png")


def test_times_have_no_figure(tmp_path):
    with pytest.raises(HandfastError, match="pruned2019/table5 has no figure"):
        plot(TABLE5, {}, tmp_path / "times.png")


def test_accuracy_stands_against_compute_and_loops_beside_what_is_hidden(refinement_results, tmp_path):
    pytest.importorskip("matplotlib")
    found = read_results(refinement_results, REFINEMENT, "small")
    assert len(found) == 4
    plot(REFINEMENT, found, tmp_path / "table3.png")
    points = [pixels_of(tmp_path / "table3.png", colour) for colour in (BLUE, RED, GREEN)]
    assert all(80 < pixels < 1000 for pixels in points)
    assert pixels_of(tmp_path / "table3.png", PINK) > 20_000  # the bars of the gate
    alone = {name: of_row for name, of_row in found.items() if not name.endswith("gate")}
    plot(REFINEMENT, alone, tmp_path / "alone.png")
    assert (
        cv2.imread(str(tmp_path / "alone.png")).shape[1] < cv2.imread(str(tmp_path / "table3.png")).shape[1]
    )
    assert pixels_of(tmp_path / "alone.png", PINK) == 0
    plot(LOOP_POINTS, read_results(refinement_results, LOOP_POINTS, "small"), tmp_path / "table2.png")
    assert pixels_of(tmp_path / "table2.png", BLUE) > 80


def test_each_rule_of_leaving_has_a_line(refinement_results, tmp_path):
    pytest.importorskip("matplotlib")
    found = read_results(refinement_results, FIGURE7, "small")
    plot(FIGURE7, found, tmp_path / "fig7.png")
    assert all(pixels_of(tmp_path / "fig7.png", colour) > 500 for colour in (BLUE, RED))
    gates = {name: of_row for name, of_row in found.items() if name.startswith("gate")}
    plot(FIGURE7, gates, tmp_path / "gates.png")
    assert pixels_of(tmp_path / "gates.png", BLUE) > 500 and pixels_of(tmp_path / "gates.png", RED) == 0


def test_errors_after_each_loop_are_boxes(refinement_results, tmp_path):
    pytest.importorskip("matplotlib")
    found = read_results(refinement_results, FIGURE8, "small")
    plot(FIGURE8, found, tmp_path / "fig8.png")
    assert all(pixels_of(tmp_path / "fig8.png", colour) > 500 for colour in (BLUE, RED))
    end_to_end = {name: of_row for name, of_row in found.items() if name.startswith("end")}
    plot(FIGURE8, end_to_end, tmp_path / "one.png")
    assert pixels_of(tmp_path / "one.png", BLUE) == 0 < pixels_of(tmp_path / "one.png", RED)
