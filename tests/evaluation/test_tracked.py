"""Finds held against labels, worked by hand."""

from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest

from handfast.data.datasets.samples import Samples
from handfast.errors import HandfastError
from handfast.evaluation.tracked import evaluate_tracker, matched, score_matches
from handfast.skeleton import HAND21, TOF8
from handfast.structures import Frame, HandLabel, HandPose, HandSample

# Key-points along a diagonal from (0, 0) to (60, 60): a hand of 60 px.
POINTS = np.repeat(np.linspace(0, 60, 21, dtype=np.float32)[:, None], 2, axis=1)
FRAME = Frame(0, 0.0, amplitude=np.zeros((90, 120), np.uint8))


def label(side="left", at=(0, 0), **fields):
    return HandLabel(side, POINTS + np.float32(at), **fields)


def find(side="left", at=(0, 0)):
    return HandPose(side, 0.9, POINTS + np.float32(at), np.ones(21, bool))


def test_a_find_is_the_nearest_hand_within_half_of_its_size():
    near, far, nobody = find(at=(3, 4)), find("right", at=(60, 8)), find(at=(200, 200))
    labels = [label(), label("left", at=(60, 0)), label(at=(0, 400))]
    (first, second, third), others = matched(labels, [nobody, far, near], HAND21)
    assert (first.find, second.find, third.find, others) == (near, far, None, 1)
    np.testing.assert_allclose(first.error_px, 5, atol=1e-5)
    np.testing.assert_allclose(second.error_px, 8, atol=1e-5)
    assert np.isposinf(third.error_px).all() and first.size_px == pytest.approx(60)
    score = score_matches([first, second, third], frames=2, ghosts=others)
    assert (score.frames, score.hands, score.ghosts_a_frame) == (2, 3, 0.5)
    assert score.missed_rate == pytest.approx(1 / 3, abs=1e-6) and score.wrong_side_rate == 0.5
    assert (score.error_px, score.error_median_px) == (pytest.approx(6.5), pytest.approx(6.5))
    assert score.error_percent_of_hand == pytest.approx(100 * 6.5 / 60, abs=1e-4)
    assert score.pck[3] == 0 and score.pck[5] == pytest.approx(1 / 3, abs=1e-6)
    assert score.pck[8] == score.within_fifth == pytest.approx(2 / 3, abs=1e-6)
    assert score.within_tenth == pytest.approx(1 / 3, abs=1e-6)


def test_only_what_is_labelled_and_can_be_seen_is_measured():
    off = find(at=(6, 8))
    off.keypoints_px[:5] += 500
    known, seen = np.arange(21) >= 3, np.arange(21) >= 5
    ((match,), others) = matched([label(labelled=known, visible=seen)], [off], HAND21)
    assert (match.find, others) == (off, 0)
    assert np.isnan(match.error_px[:5]).all() and match.error_px[5:] == pytest.approx(10)
    # Of a hand that is hidden as a whole all that is labelled counts.
    ((match,), _) = matched([label(labelled=known, visible=np.zeros(21, bool))], [find()], HAND21)
    assert np.isfinite(match.error_px).sum() == 18


def test_a_hand_of_which_little_is_labelled_counts_neither_way():
    few = label(labelled=np.arange(21) >= 14)
    assert matched([few], [find()], HAND21) == ([], 0)
    assert matched([few], [], HAND21) == ([], 0)
    assert matched([label(labelled=np.zeros(21, bool))], [find()], HAND21) == ([], 1)


def test_key_points_of_a_smaller_skeleton():
    pose = replace(find(), keypoints_px=TOF8.select(POINTS), visible=np.ones(8, bool))
    ((match,), _) = matched([label()], [pose], TOF8)
    np.testing.assert_allclose(match.error_px, 0, atol=1e-5)
    unseen = np.ones(21, bool)
    unseen[np.flatnonzero(TOF8.from_hand21.any(axis=0))] = False  # what can be seen is none of tof8's
    ((match,), others) = matched([label(visible=unseen)], [pose], TOF8)
    assert (match.find, others) == (pose, 0)
    with pytest.raises(HandfastError, match="labels of hand21's key-points or of hand21's, got tof8's"):
        matched([HandLabel("left", np.zeros((8, 2), np.float32), skeleton=TOF8)], [find()], HAND21)


def test_nothing_found_and_nothing_there():
    score = score_matches(matched([label()], [], HAND21)[0], frames=1, ghosts=0)
    assert (score.missed_rate, score.within_fifth) == (1, 0)
    assert (score.error_px, score.wrong_side_rate) == (None, None)
    score = score_matches([], frames=3, ghosts=6)
    assert (score.hands, score.missed_rate, score.pck, score.ghosts_a_frame) == (0, None, None, 2)


def test_each_frame_is_tracked_by_itself(monkeypatch):
    class Stub:
        model = SimpleNamespace(card=SimpleNamespace(name="stub"), backend="none", skeleton=HAND21)
        passes = 0

        def track(self, source):
            self.passes += 1
            for frame in source:
                yield frame, [find()] if frame.index else []

    stub = Stub()
    monkeypatch.setattr("handfast.evaluation.tracked.open_tracker", lambda *_: stub)
    frames = [HandSample(replace(FRAME, index=index), (label(),)) for index in range(4)]
    name, backend, score = evaluate_tracker("stub", Samples(tuple("abcd"), frames.__getitem__))
    assert (name, backend, stub.passes, score.frames, score.missed_rate) == ("stub", "none", 4, 4, 0.25)
    with pytest.raises(HandfastError, match="expected one labelled image or more"):
        evaluate_tracker("stub", Samples((), frames.__getitem__))
