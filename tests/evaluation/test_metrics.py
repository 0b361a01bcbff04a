import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.integrate import trapezoid
from scipy.spatial import cKDTree, procrustes
from scipy.spatial.transform import Rotation

from handfast.errors import HandfastError
from handfast.evaluation.metrics import (
    acceleration_error,
    f_score,
    fraction_of_frames,
    jitter,
    joint_errors,
    mean_error,
    median_error,
    pck,
    pck20,
    pck_auc,
    per_joint_error,
    procrustes_errors,
    root_relative_errors,
)

SEEDS = st.integers(0, 2**32 - 1)

# Two frames of three joints, with errors that can be read off: (0, 5, 10) and (3, 4, 20).
TRUTH = np.zeros((2, 3, 3))
PREDICTED = np.array([[(0, 0, 0), (3, 0, 4), (0, 10, 0)], [(3, 0, 0), (0, 4, 0), (0, 0, -20)]], float)
ERRORS = np.array([[0, 5, 10], [3, 4, 20]], float)


def hands(rng, frames=5, joints=21):
    """Truth (N, J, 3) mm with hand-sized spread in front of a camera, and predictions near it."""
    truth = rng.normal(0, 40, (frames, joints, 3)) + np.array([20, -10, 600])
    return truth + rng.normal(0, 8, truth.shape), truth


def test_hand_worked_errors_and_their_summaries():
    errors = joint_errors(PREDICTED, TRUTH)
    assert np.array_equal(errors, ERRORS)
    assert mean_error(errors) == 7
    assert median_error(errors) == 4.5
    assert np.array_equal(per_joint_error(errors), [1.5, 4.5, 15])


def test_pixels_are_as_good_as_millimetres():
    assert joint_errors(np.array([[[3.0, 4.0]]]), np.zeros((1, 1, 2))) == [[5]]


def test_hand_worked_curves():
    thresholds = np.array([0, 4, 5, 10, 19.9, 20])
    assert np.allclose(fraction_of_frames(ERRORS, thresholds), [0, 0, 0, 0.5, 0.5, 1])
    assert np.allclose(pck(ERRORS, thresholds), np.array([1, 3, 4, 5, 5, 6]) / 6)
    assert pck20(ERRORS) == 1 and pck20(ERRORS + 0.5) == 5 / 6


def test_unlabelled_joints_count_nowhere():
    labelled = np.array([[True, True, False], [False, True, False]])
    predicted = np.where(labelled[..., None], PREDICTED, np.inf)
    errors = joint_errors(predicted, np.where(labelled[..., None], TRUTH, np.nan), labelled)
    assert np.array_equal(np.isnan(errors), ~labelled)
    assert mean_error(errors) == 3  # of 0, 5 and 4
    assert median_error(errors) == 4
    assert np.array_equal(per_joint_error(errors), [0, 4.5, np.nan], equal_nan=True)
    assert np.allclose(pck(errors, np.array([0, 4, 5])), [1 / 3, 2 / 3, 1])
    assert np.allclose(fraction_of_frames(errors, np.array([3, 4, 5])), [0, 0.5, 1])


def test_a_frame_without_labels_is_not_a_frame_within_every_threshold():
    labelled = np.array([[True] * 3, [False] * 3])
    assert fraction_of_frames(joint_errors(PREDICTED, TRUTH, labelled), np.array([9.0]))[0] == 0


def test_auc_of_one_error_is_the_share_of_thresholds_above_it():
    errors = np.full((4, 21), 20.0)
    assert pck_auc(errors, 0, 50) == pytest.approx(0.6, abs=0.01)  # a step between two of 100 thresholds
    assert pck_auc(errors, 20, 50) == 1
    assert pck_auc(np.zeros((3, 21)), 0, 50) == 1
    assert pck_auc(np.full((3, 21), 50.1), 0, 50) == 0


@given(SEEDS)
def test_curves_rise_and_the_auc_is_that_of_scipy(seed):
    errors = np.random.default_rng(seed).exponential(15, (7, 21))
    thresholds = np.linspace(20, 50, 100)
    by_joint, by_frame = pck(errors, thresholds), fraction_of_frames(errors, thresholds)
    for curve in (by_joint, by_frame):
        assert (np.diff(curve) >= 0).all() and curve[0] >= 0 and curve[-1] <= 1
    assert (by_frame <= by_joint).all()
    counted = [np.mean(errors <= threshold) for threshold in thresholds]
    assert pck_auc(errors, 20, 50) == pytest.approx(trapezoid(counted, thresholds) / 30)


@given(SEEDS)
def test_root_relative_errors_do_not_see_where_the_hand_is(seed):
    rng = np.random.default_rng(seed)
    predicted, truth = hands(rng)
    errors = root_relative_errors(predicted, truth, root=9)
    moved = root_relative_errors(predicted + rng.normal(0, 100, (5, 1, 3)), truth, root=9)
    assert np.allclose(errors, moved)
    assert (errors[:, 9] == 0).all()
    by_hand = np.linalg.norm(predicted[2, 4] - predicted[2, 9] - truth[2, 4] + truth[2, 9])
    assert errors[2, 4] == pytest.approx(by_hand)


def test_root_relative_errors_need_the_root():
    labelled = np.array([[True] * 3, [False, True, True]])
    errors = root_relative_errors(PREDICTED, TRUTH, labelled=labelled)
    assert np.array_equal(np.isnan(errors), [[False] * 3, [True] * 3])


@given(SEEDS, st.floats(0.2, 5))
def test_procrustes_errors_do_not_see_a_similarity(seed, scale):
    rng = np.random.default_rng(seed)
    predicted, truth = hands(rng)
    R = Rotation.random(5, rng).as_matrix()
    moved = scale * predicted @ R + rng.normal(0, 100, (5, 1, 3))
    assert np.allclose(procrustes_errors(moved, truth), procrustes_errors(predicted, truth), atol=1e-6)
    assert np.allclose(procrustes_errors(scale * truth @ R - 7, truth), 0, atol=1e-6)


@given(SEEDS)
def test_procrustes_errors_are_those_of_scipy(seed):
    predicted, truth = hands(np.random.default_rng(seed), frames=3)
    for errors, p, t in zip(procrustes_errors(predicted, truth), predicted, truth, strict=True):
        standard, aligned, _ = procrustes(t, p)
        size = np.linalg.norm(t - t.mean(axis=0))
        assert np.allclose(errors, size * np.linalg.norm(standard - aligned, axis=1))


@given(SEEDS)
def test_procrustes_does_not_mirror_the_hand(seed):
    """Against the rotation of scipy, which is never a reflection, and the scale of least squares."""
    _, truth = hands(np.random.default_rng(seed), frames=2)
    mirrored = truth * (-1, 1, 1)
    for errors, p, t in zip(procrustes_errors(mirrored, truth), mirrored, truth, strict=True):
        p, t = p - p.mean(axis=0), t - t.mean(axis=0)
        rotated = Rotation.align_vectors(t, p)[0].apply(p)
        scale = np.vdot(rotated, t) / np.vdot(rotated, rotated)
        assert np.allclose(errors, np.linalg.norm(scale * rotated - t, axis=1), atol=1e-6)
        assert errors.mean() > 5


def test_procrustes_aligns_the_labelled_joints_alone():
    predicted, truth = hands(np.random.default_rng(1), frames=2)
    labelled = np.ones((2, 21), bool)
    labelled[0, 5:8] = False
    labelled[1, 2:] = False  # two joints fix no rotation
    errors = procrustes_errors(predicted, truth, labelled)
    kept = labelled[0]
    assert np.allclose(errors[0, kept], procrustes_errors(predicted[:1, kept], truth[:1, kept])[0])
    assert np.isnan(errors[0, ~kept]).all() and np.isnan(errors[1]).all()


def test_procrustes_of_a_prediction_in_one_point_is_the_distance_to_the_centre():
    _, truth = hands(np.random.default_rng(2), frames=1)
    expected = np.linalg.norm(truth - truth.mean(axis=1, keepdims=True), axis=-1)
    assert np.allclose(procrustes_errors(np.full_like(truth, 3), truth), expected)


def test_hand_worked_f_score():
    truth = np.array([(0, 0, 0), (10, 0, 0), (20, 0, 0), (30, 0, 0)], float)
    predicted = np.array([(0, 4, 0), (10, 4, 0), (100, 0, 0)], float)
    # Below 5 mm: 2 of 3 predicted points and 2 of 4 true ones; at 4 mm, which is not below, none.
    assert np.allclose(f_score(predicted, truth, (4, 5)), [0, 2 * (2 / 3) * (1 / 2) / (2 / 3 + 1 / 2)])
    assert f_score(truth, truth, [0.1]) == [1]


@given(SEEDS)
def test_f_score_is_that_of_a_search_tree(seed):
    rng = np.random.default_rng(seed)
    truth, predicted = rng.normal(0, 15, (130, 3)), rng.normal(0, 15, (600, 3))
    precision = (cKDTree(truth).query(predicted)[0] < 5).mean()
    recall = (cKDTree(predicted).query(truth)[0] < 5).mean()
    harmonic = 2 * precision * recall / (precision + recall)
    assert f_score(predicted, truth, [5]) == pytest.approx([harmonic])


def test_hand_worked_acceleration_error():
    time = np.arange(6.0)[:, None, None]
    still = np.zeros((6, 2, 3))
    assert acceleration_error(still + time * (1, 2, 3), still, fps=30) == pytest.approx(0, abs=1e-9)
    assert acceleration_error(still + 0.5 * time**2 * (0, 3, 4), still, fps=1) == pytest.approx(5)
    assert acceleration_error(still + 0.5 * time**2 * (0, 3, 4), still, fps=30) == pytest.approx(5 * 900)


def test_acceleration_needs_three_labelled_frames_in_a_row():
    rng = np.random.default_rng(3)
    predicted, truth = hands(rng, frames=7, joints=2)
    labelled = np.ones((7, 2), bool)
    labelled[3] = False
    difference = predicted - truth
    ends = [difference[i - 1] - 2 * difference[i] + difference[i + 1] for i in (1, 5)]
    expected = np.linalg.norm(ends, axis=-1).mean() * 30**2
    assert acceleration_error(predicted, truth, 30, labelled) == pytest.approx(expected)


def test_hand_worked_jitter():
    time_s = np.arange(8.0)[:, None, None] / 30
    assert jitter(time_s**2 * np.ones((8, 2, 3)), fps=30) == pytest.approx(0, abs=1e-7)
    cubic = time_s**3 * np.array((3.0, 0, 4.0)) * np.ones((8, 2, 3))
    assert jitter(cubic, fps=30) == pytest.approx(6 * 5)  # the third derivative of t^3 is 6


@pytest.mark.parametrize("measure", [joint_errors, root_relative_errors, procrustes_errors])
def test_bad_points_are_refused_with_their_rows(measure):
    with pytest.raises(HandfastError, match=r"\(2, 3, 3\) and \(2, 2, 3\)"):
        measure(PREDICTED, TRUTH[:, :2])
    with pytest.raises(HandfastError, match="alike"):
        measure(PREDICTED[0], TRUTH[0])
    bad = np.repeat(TRUTH, 4, axis=0)
    bad[[1, 2, 3, 4, 5, 7], 1] = np.nan
    good = np.zeros_like(bad)
    with pytest.raises(HandfastError, match="truth: NaN or infinite in row 1, 2, 3, 4, 5 and 1 more"):
        measure(good, bad)
    with pytest.raises(HandfastError, match="predictions: NaN or infinite in row 1,"):
        measure(bad, good)
    with pytest.raises(HandfastError, match=r"labelled: expected \(8, 3\) bool"):
        measure(good, good, labelled=np.ones((8, 2), bool))


def test_what_cannot_be_measured_is_refused():
    with pytest.raises(HandfastError, match="no joint is labelled"):
        mean_error(joint_errors(PREDICTED, TRUTH, np.zeros((2, 3), bool)))
    with pytest.raises(HandfastError, match="at least 3 frames"):
        acceleration_error(PREDICTED, TRUTH, fps=30)
    with pytest.raises(HandfastError, match="fps above 0"):
        jitter(np.zeros((9, 1, 3)), fps=0)
    with pytest.raises(HandfastError, match="true points"):
        f_score(np.zeros((2, 3)), np.zeros((0, 3)), [5])
    with pytest.raises(HandfastError, match="predicted points: NaN or infinite in row 1"):
        f_score(np.array([[0, 0, 0], [0, np.nan, 0]]), np.zeros((2, 3)), [5])
