"""Errors, cost and loops of a net in one way of running it, as a few numbers."""

import json
from dataclasses import asdict

import numpy as np
import pytest

from handfast.reproduce.refinement_score import RunCost, read_refinement, score_run

COST = RunCost(parameters=1000, weight_bytes=4000, macs=20_000_000, loop_macs=8_000_000)


def score(errors_mm, loops, hidden, first_person, errors_px=None):
    errors_mm = np.array(errors_mm, float)
    errors_px = errors_mm / 2 if errors_px is None else errors_px
    return score_run(
        errors_mm, errors_px, np.array(loops), np.array(hidden), np.array(first_person), 112, COST
    )


@pytest.fixture
def four_frames():
    """Of two joints each; the first two frames in third person."""
    return score(
        [[0, 10], [20, 40], [30, 30], [60, 100]],
        [0, 1, 5, 5],
        [0.0, 0.04, 0.3, 1.0],
        [False, False, True, True],
    )


def test_errors_by_hand(four_frames):
    found = four_frames
    assert (found.frames, found.error_mm, found.error_px, found.input_px) == (4, 36.25, 18.125, 112)
    # Means of frames are 5, 30, 30 and 80 mm; a quantile lies between the sorted ones.
    assert found.loss_quantiles == pytest.approx([8.75, 23.75, 30.0, 42.5, 72.5])


def test_areas_by_hand(four_frames):
    """An error of e mm lies below the thresholds from e on: it adds (50 - e) / 50 of the area."""
    shares = [1.0, 0.8, 0.6, 0.2, 0.4, 0.4, 0.0, 0.0]
    assert four_frames.auc == pytest.approx(np.mean(shares), abs=0.005)
    assert four_frames.auc_first_person == pytest.approx(0.2, abs=0.005)
    assert four_frames.auc_third_person == pytest.approx(np.mean([1, 1, 1, 1 / 3]), abs=0.01)  # from 20 mm on


def test_a_view_without_frames_has_no_area():
    found = score([[10.0, 10.0]], [1], [0.0], [True])
    assert found.auc_third_person is None
    assert found.auc_first_person == found.auc == pytest.approx(0.8, abs=0.005)


def test_compute_is_that_of_the_mean_loops(four_frames):
    assert four_frames.loops == 2.75
    assert four_frames.macs == 20_000_000 + 22_000_000 and four_frames.flops == 84_000_000
    assert (four_frames.gmacs, four_frames.gflops) == (0.042, 0.084)
    assert (four_frames.parameters, four_frames.weight_bytes) == (1000, 4000)


def test_loops_by_what_is_hidden(four_frames):
    assert four_frames.loops_by_hidden == [0.5, None, 5.0, 5.0]


@pytest.mark.parametrize(
    ("hidden", "place"), [(0.0, 0), (0.0499, 0), (0.05, 1), (0.25, 2), (0.4999, 2), (0.5, 3), (1.0, 3)]
)
def test_the_edges_of_the_bins(hidden, place):
    loops = score([[1.0]], [3], [hidden], [True]).loops_by_hidden
    assert loops == [3.0 if k == place else None for k in range(4)]


def test_scores_come_back_from_json(four_frames):
    held = {"loop-5": four_frames, "gate-1.0": score([[1.0]], [3], [0.0], [True])}
    assert read_refinement(json.loads(json.dumps({k: asdict(v) for k, v in held.items()}))) == held
    with pytest.raises(TypeError):
        read_refinement({"loop-5": {"auc": 0.5}})
