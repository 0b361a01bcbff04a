"""Scores of frames by hand."""

import json
from dataclasses import asdict

import numpy as np
import pytest

from handfast.reproduce.adaptive_score import (
    HIDDEN,
    MOTIONS,
    THRESHOLDS,
    USUAL,
    Frames,
    at_threshold,
    quarters,
    read_adaptive,
    score_frames,
)


def frames_of(errors_mm, uses_fine, motion_mm=1.0, hidden_share=0.5, third_person=(), first_person=()):
    """The last two are the numbers of frames."""
    n = len(errors_mm)
    return Frames(
        np.tile(np.array(errors_mm, float)[:, None], (1, 21)),
        np.array(uses_fine, bool),
        np.full(n, motion_mm),
        np.full(n, hidden_share),
        np.isin(np.arange(n), third_person),
        np.isin(np.arange(n), first_person),
    )


def test_a_score_by_hand():
    score = score_frames(frames_of([0, 10, 35, 100], [1, 0, 0, 0]), 1.5e9, 1000, 128)
    assert (score.frames, score.pck20, score.error_mm, score.p_fine) == (4, 0.5, 36.25, 0.25)
    assert score.auc == pytest.approx(0.5 + 0.25 / 2, abs=0.003)
    assert score.auc_0_50 == pytest.approx(0.25 * (1 + 0.8 + 0.3), abs=0.005)
    assert (score.macs, score.flops, score.gmacs, score.gflops) == (1_500_000_000, 3_000_000_000, 1.5, 3.0)
    assert (score.parameters, score.weight_bytes, score.input_px) == (1000, 4000, 128)
    assert (score.motion_mm, score.hidden_share) == (1.0, 0.5)


def test_the_parts_of_a_benchmark_have_their_own_thresholds():
    """35 mm is right from half of the way between 20 and 50 on, and from 0.7 of that between 0 and 50."""
    score = score_frames(frames_of([35, 35, 100], 3 * [1], third_person=[0], first_person=[1]), 1, 1, 128)
    assert score.auc_third_person == pytest.approx(0.5, abs=0.01)
    assert score.auc_first_person == pytest.approx(0.3, abs=0.01)
    neither = score_frames(frames_of([35], [1]), 1, 1, 128)
    assert (neither.auc_third_person, neither.auc_first_person) == (None, None)


def test_quarters_are_by_rank():
    rng = np.random.default_rng(0)
    motion_mm, hidden_share = rng.permutation(40) / 10, rng.permutation(40) / 40
    masks = quarters(motion_mm, hidden_share)
    assert list(masks) == [*MOTIONS, *HIDDEN]
    for names, values in ((MOTIONS, motion_mm), (HIDDEN, hidden_share)):
        assert sum(masks[name] for name in names).tolist() == [1] * 40
        assert [masks[name].sum() for name in names] == [10] * 4
        highest = [values[masks[name]].max() for name in names]
        assert highest == sorted(highest)


def test_what_is_alike_is_not_parted():
    masks = quarters(np.zeros(8), np.array([0, 0, 0, 0, 0, 1, 1, 1]) / 2)
    assert {name: mask.sum() for name, mask in masks.items()} == {
        "slowest": 8,
        "least-hidden": 5,
        "more-hidden": 3,
    }


def test_frames_of_a_mask():
    chosen = frames_of([1, 2, 3], [True, False, True]).of(np.array([False, True, True]))
    assert chosen.errors_mm[:, 0].tolist() == [2, 3] and chosen.uses_fine.tolist() == [False, True]


def test_scores_come_back_from_json():
    scores = {USUAL: score_frames(frames_of([1, 2], [1, 0]), 10, 5, 128)}
    facts = json.loads(json.dumps({part: asdict(score) for part, score in scores.items()}))
    assert read_adaptive(facts) == scores
    assert USUAL in map(at_threshold, THRESHOLDS)
