"""Where a key-point of a hand in a picture is to be expected, given the others."""

import numpy as np
import pytest

from handfast.geometry import random_rotation
from handfast.hand_model.model import joint_rotations, load_hand_asset, pose_hand
from handfast.hand_model.outline import expected_from_others, load_outline_prior, normalised
from handfast.hand_model.pose_prior import load_pose_prior, sample_pose
from handfast.sensors.views import hand_size_px

PRIOR = load_outline_prior()
SHARP = np.full(21, 0.9)


@pytest.fixture(scope="module")
def hands_px():
    """(60, 21, 2): right hands from all sides, 80 px large or so."""
    asset, poses, rng = load_hand_asset(), load_pose_prior(), np.random.default_rng(11)
    points = []
    for _ in range(60):
        shape = rng.standard_normal(len(asset.shape_joints_m))
        keypoints_m, _ = pose_hand(asset, joint_rotations(asset, sample_pose(poses, rng)[0]), shape)
        seen = (keypoints_m - keypoints_m.mean(axis=0)) @ random_rotation(rng).T + (0, 0, 0.5)
        points.append(300 * seen[:, :2] / seen[:, 2:] + (160, 120))
    return np.array(points)


def test_the_prior_is_of_unit_outlines(hands_px):
    assert PRIOR.weights.sum() == pytest.approx(1, abs=1e-2)
    np.testing.assert_allclose(PRIOR.covariances, PRIOR.covariances.swapaxes(1, 2))
    assert np.linalg.eigvalsh(PRIOR.covariances).min() > 0
    outlines = normalised(hands_px @ np.array([1, 1j]))
    np.testing.assert_allclose((np.abs(outlines) ** 2).mean(axis=1), 1)
    np.testing.assert_allclose(outlines.mean(axis=1), 0, atol=1e-9)
    np.testing.assert_allclose(outlines[:, 0].imag, 0, atol=1e-9)
    assert (outlines[:, 0].real < 0).all()


def test_true_points_are_where_they_are_expected(hands_px):
    """Nearer than any one guess would be, and about as far off as the covariances say."""
    shares, surprises = [], []
    for hand in hands_px:
        means, covariances = expected_from_others(PRIOR, hand, SHARP, "right")
        assert (np.linalg.eigvalsh(covariances) > 0).all()
        off = hand - means
        shares.append(np.linalg.norm(off, axis=1) / hand_size_px(hand))
        surprises.append(np.einsum("ni,nij,nj->n", off, np.linalg.inv(covariances), off))
    assert np.median(shares) < 0.08
    assert 0.3 < np.median(surprises) < 3  # of two normal numbers it is 1.4


def test_a_point_that_jumped_away_is_still_expected_where_it_was(hands_px):
    rng, off = np.random.default_rng(3), []
    for hand in hands_px:
        size, point = hand_size_px(hand), int(rng.integers(1, 21))
        jumped = hand.copy()
        jumped[point] += 2.5 * size * np.array([1, 0])
        means, _ = expected_from_others(PRIOR, jumped, SHARP, "right")
        off.append(np.linalg.norm(means[point] - hand[point]) / size)
    assert np.median(off) < 0.15 and np.quantile(off, 0.9) < 0.5


def test_vague_points_leave_more_open(hands_px):
    _, sure = expected_from_others(PRIOR, hands_px[2], SHARP, "right")
    _, vague = expected_from_others(PRIOR, hands_px[2], np.full(21, 0.3), "right")
    assert np.median(np.linalg.det(vague) / np.linalg.det(sure)) > 2


def test_a_left_hand_is_a_mirrored_right_one(hands_px):
    hand, mirror = hands_px[0], np.array([-1, 1])
    means, covariances = expected_from_others(PRIOR, hand, SHARP, "right")
    left_means, left_covariances = expected_from_others(PRIOR, hand * mirror, SHARP, "left")
    np.testing.assert_allclose(left_means, means * mirror, atol=1e-6)
    np.testing.assert_allclose(left_covariances, covariances * np.outer(mirror, mirror), atol=1e-6)


def test_place_turn_and_size_do_not_matter(hands_px):
    hand = hands_px[1]
    cos, sin = np.cos(2.0), np.sin(2.0)
    turn = 1.7 * np.array([[cos, -sin], [sin, cos]])
    means, covariances = expected_from_others(PRIOR, hand, SHARP, "right")
    turned_means, turned = expected_from_others(PRIOR, hand @ turn.T + (40, -30), SHARP, "right")
    np.testing.assert_allclose(turned_means, means @ turn.T + (40, -30), atol=1e-6)
    np.testing.assert_allclose(turned, turn @ covariances @ turn.T, atol=1e-6)
