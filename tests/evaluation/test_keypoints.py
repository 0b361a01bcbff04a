"""Scores of two-handed key-points: a case worked by hand, and what must not change them."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from handfast.errors import HandfastError
from handfast.evaluation.keypoints import (
    KeypointLabels,
    KeypointPredictions,
    measure_keypoints,
    wrong_side,
)

DIAGONAL_PX = 200.0


def by_hand():
    """Two key-points a hand; both hands in the first frame, the right in the second, none in the third."""
    points_px = np.zeros((3, 2, 2, 2))
    points_px[0] = [[[10, 10], [20, 10]], [[100, 50], [170, 50]]]
    points_px[1, 1] = [[60, 60], [60, 80]]
    joints_m = np.zeros((3, 2, 2, 3))
    joints_m[..., 2] = 0.5
    lifted_m = joints_m - (0, 0, 0.01)  # the skin
    lifted_m[1, 1, 1] = np.nan  # no depth
    labels = KeypointLabels(
        keypoints_px=points_px,
        in_image=np.array([[[1, 1], [1, 0]], [[0, 0], [1, 1]], [[0, 0], [0, 0]]], bool),
        visible=np.array([[[1, 0], [1, 0]], [[0, 0], [1, 1]], [[0, 0], [0, 0]]], bool),
        present=np.array([[1, 1], [0, 1], [0, 0]], bool),
        empty=np.array([0, 0, 1], bool),
        size_px=np.array([[20.0, 40.0], [0.0, 50.0], [0.0, 0.0]]),
        joints_m=joints_m,
        lifted_m=lifted_m,
    )
    shift_px = np.zeros((3, 2, 2, 2))
    shift_px[0, 0] = [[3, 4], [0, 12]]  # 5, hidden 12
    shift_px[1, 1] = [[0, 1], [6, 8]]  # 1, 10
    predicted = KeypointPredictions(
        keypoints_px=points_px + shift_px,
        presence=np.array([[0.9, 0.8], [0.6, 0.4], [0.1, 0.7]]),
        lifted_m=lifted_m + np.array([0.003, 0.004, 0]),
    )
    return predicted, labels


def measure(predicted, labels, names=("tip", "root")):
    return measure_keypoints(predicted, labels, names, DIAGONAL_PX)


def test_errors_of_a_case_by_hand():
    score = measure(*by_hand())
    assert (score.frames, score.hands) == (3, 3)
    assert score.error_px == pytest.approx((5 + 0 + 1 + 10) / 4)
    assert score.error_median_px == pytest.approx(3)
    assert score.error_hidden_px == score.error_hidden_median_px == pytest.approx(12)
    assert score.error_all_px == pytest.approx((5 + 12 + 0 + 1 + 10) / 5)
    assert score.error_percent_of_diagonal == pytest.approx(2)
    assert score.error_percent_of_hand == pytest.approx(100 * (5 / 20 + 0 / 40 + 1 / 50 + 10 / 50) / 4)
    assert score.error_by_keypoint_px == {"tip": 2.0, "root": 10.0}
    assert score.pck == [0.5] * 4 + [0.75] * 5 + [1.0] * 11
    assert score.pck_auc == pytest.approx((0.25 * 1 + 0.5 * 4 + 0.75 * 5 + 10) / 20, abs=0.01)


def test_depth_of_a_case_by_hand():
    score = measure(*by_hand())
    assert score.lifted_share == pytest.approx(3 / 4)
    assert score.surface_error_mm == pytest.approx(5)
    assert score.label_joint_error_mm == pytest.approx(10)
    assert score.joint_error_mm == pytest.approx(np.sqrt(5**2 + 10**2), abs=1e-6)


def test_presence_of_a_case_by_hand():
    """The lone hand is taken for a left one, but found; the empty frame has a ghost."""
    predicted, labels = by_hand()
    score = measure(predicted, labels)
    assert score.wrong_side_rate == pytest.approx(1 / 3, abs=1e-6)
    assert score.missed_rate == 0.0
    assert score.ghost_rate == 1.0
    doubtful = predicted._replace(presence=np.array([[0.9, 0.5], [0.2, 0.4], [0.1, 0.2]]))
    score = measure(doubtful, labels)
    assert (score.wrong_side_rate, score.missed_rate, score.ghost_rate) == (0.0, round(2 / 3, 6), 0.0)


def test_a_hand_of_which_too_little_shows_is_no_ghost():
    predicted, labels = by_hand()
    partly_there = labels._replace(empty=np.zeros(3, bool))
    assert measure(predicted, partly_there).ghost_rate is None


def test_two_hands_are_exchanged_when_each_lies_nearer_to_the_other():
    predicted, labels = by_hand()
    exchanged = predicted._replace(keypoints_px=labels.keypoints_px[:, ::-1])
    assert wrong_side(exchanged, labels)[0].all()
    both_left = predicted._replace(keypoints_px=labels.keypoints_px[:, [0, 0]])
    assert wrong_side(both_left, labels)[0].tolist() == [False, True]
    assert not wrong_side(predicted, labels)[0].any()


def test_a_net_that_was_never_taught_presence_has_no_rates():
    predicted, labels = by_hand()
    score = measure(predicted._replace(presence=None), labels)
    assert score.wrong_side_rate is score.missed_rate is score.ghost_rate is None
    taught = replace(measure(predicted, labels), wrong_side_rate=None, missed_rate=None, ghost_rate=None)
    assert score == taught


def test_nothing_to_see_is_an_error():
    predicted, labels = by_hand()
    with pytest.raises(HandfastError, match="nothing to measure"):
        measure(predicted, labels._replace(visible=np.zeros_like(labels.visible)))


def test_what_is_not_there_is_none():
    predicted, labels = by_hand()
    nowhere = np.full_like(labels.lifted_m, np.nan)
    one_seen = labels.visible & (np.arange(2) == 0)
    score = measure(
        predicted._replace(lifted_m=nowhere),
        labels._replace(visible=one_seen, in_image=one_seen, lifted_m=nowhere),
    )
    assert score.error_hidden_px is score.error_hidden_median_px is None
    assert score.joint_error_mm is score.surface_error_mm is None
    assert score.error_by_keypoint_px == {"tip": 2.0, "root": None}
    assert score.lifted_share == 0.0


@st.composite
def cases(draw):
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    n, k = draw(st.integers(1, 6)), draw(st.integers(1, 4))
    present = rng.random((n, 2)) < 0.7
    present[0] = True
    visible = rng.random((n, 2, k)) < 0.6
    visible[0] = True
    joints_m = rng.normal(0, 0.1, (n, 2, k, 3)) + np.array([0, 0, 0.6])
    lifted_m = np.where(rng.random((n, 2, k, 1)) < 0.9, joints_m - (0, 0, 0.01), np.nan)
    labels = KeypointLabels(
        keypoints_px=rng.uniform(0, 120, (n, 2, k, 2)),
        in_image=visible | (rng.random((n, 2, k)) < 0.6),
        visible=visible,
        present=present,
        empty=~present.any(axis=1),
        size_px=rng.uniform(20, 90, (n, 2)),
        joints_m=joints_m,
        lifted_m=lifted_m,
    )
    predicted = KeypointPredictions(
        labels.keypoints_px + rng.normal(0, 30, (n, 2, k, 2)),
        rng.random((n, 2)),
        lifted_m + rng.normal(0, 0.01, lifted_m.shape),
    )
    return predicted, labels


def names_of(labels):
    return tuple("abcd"[: labels.keypoints_px.shape[2]])


def assert_same(score, other):
    for name, value in vars(score).items():
        assert vars(other)[name] == pytest.approx(value, abs=2e-6), name


@settings(max_examples=40)
@given(cases(), st.tuples(st.integers(-50, 50), st.integers(-50, 50)))
def test_where_in_the_image_and_in_space_does_not_matter(case, shift):
    predicted, labels = case
    names, shift_m = names_of(labels), np.array([*shift, 7]) / 100
    moved_labels = labels._replace(
        keypoints_px=labels.keypoints_px + shift,
        joints_m=labels.joints_m + shift_m,
        lifted_m=labels.lifted_m + shift_m,
    )
    moved = predicted._replace(
        keypoints_px=predicted.keypoints_px + shift, lifted_m=predicted.lifted_m + shift_m
    )
    assert_same(measure(predicted, labels, names), measure(moved, moved_labels, names))


@settings(max_examples=40)
@given(cases(), st.randoms(use_true_random=False))
def test_neither_does_the_order_of_frames_hands_and_keypoints(case, random):
    predicted, labels = case
    names = names_of(labels)
    frames = random.sample(range(len(labels.present)), len(labels.present))
    keypoints = random.sample(range(len(names)), len(names))

    def reordered(array):
        array = array[frames]
        if array.ndim > 1:
            array = array[:, ::-1]
        return array[:, :, keypoints] if array.ndim > 2 else array

    score = measure(predicted, labels, names)
    shuffled = measure(
        KeypointPredictions(*map(reordered, predicted)),
        KeypointLabels(*map(reordered, labels)),
        tuple(names[k] for k in keypoints),
    )
    assert_same(score, shuffled)


@settings(max_examples=40)
@given(cases(), st.floats(0.1, 10))
def test_a_larger_image_has_larger_errors_and_the_same_shares(case, factor):
    predicted, labels = case
    names = names_of(labels)
    score = measure(predicted, labels, names)
    larger = measure_keypoints(
        predicted._replace(keypoints_px=predicted.keypoints_px * factor),
        labels._replace(keypoints_px=labels.keypoints_px * factor, size_px=labels.size_px * factor),
        names,
        DIAGONAL_PX * factor,
    )
    assert larger.error_px == pytest.approx(score.error_px * factor, abs=2e-5)
    for name in ("error_percent_of_diagonal", "error_percent_of_hand", "wrong_side_rate", "missed_rate"):
        assert getattr(larger, name) == pytest.approx(getattr(score, name), abs=2e-6)


@settings(max_examples=40)
@given(cases(), st.integers(0, 2**32 - 1))
def test_what_is_said_of_absent_hands_does_not_matter(case, seed):
    predicted, labels = case
    names = names_of(labels)
    rng, absent = np.random.default_rng(seed), ~labels.present
    elsewhere = predicted.keypoints_px.copy()
    elsewhere[absent] = rng.uniform(-500, 500, elsewhere[absent].shape)
    visible = labels.visible.copy()
    visible[absent] = rng.random(visible[absent].shape) < 0.5
    again = measure(predicted._replace(keypoints_px=elsewhere), labels._replace(visible=visible), names)
    assert_same(measure(predicted, labels, names), again)
