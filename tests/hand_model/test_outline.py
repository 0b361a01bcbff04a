"""Which key-points of a hand in a picture cannot be where they are said to be."""

import numpy as np
import pytest

from handfast.geometry import random_rotation
from handfast.hand_model.model import joint_rotations, load_hand_asset, pose_hand
from handfast.hand_model.outline import load_outline_prior, normalised, plausible
from handfast.hand_model.pose_prior import load_pose_prior, sample_pose
from handfast.sensors.views import hand_size_px

PRIOR = load_outline_prior()
SHARP = np.full(21, 0.7)


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
    np.testing.assert_allclose(
        PRIOR.directions @ PRIOR.directions.T, np.eye(len(PRIOR.directions)), atol=1e-5
    )
    assert (np.diff(PRIOR.variances) < 0).all() and PRIOR.variances[-1] > 0
    outlines = normalised(hands_px @ np.array([1, 1j]))
    np.testing.assert_allclose((np.abs(outlines) ** 2).mean(axis=1), 1)
    np.testing.assert_allclose(outlines.mean(axis=1), 0, atol=1e-9)
    np.testing.assert_allclose(outlines[:, 0].imag, 0, atol=1e-9)
    assert (outlines[:, 0].real < 0).all()


def test_true_hands_stay_as_they_are(hands_px):
    kept = [np.abs(plausible(PRIOR, hand, SHARP, "right") - hand).max() < 1e-3 for hand in hands_px]
    assert np.mean(kept) > 0.95


def test_a_point_that_jumped_away_comes_back_and_the_others_stay(hands_px):
    rng, back = np.random.default_rng(3), []
    for hand in hands_px:
        size, point = hand_size_px(hand), int(rng.integers(1, 21))
        jumped = hand.copy()
        jumped[point] += 2.5 * size * np.array([1, 0])
        mended = plausible(PRIOR, jumped, SHARP, "right")
        back.append(np.linalg.norm(mended[point] - hand[point]) / size)
        others = np.arange(21) != point
        assert np.mean(np.abs(mended - hand)[others].max(axis=1) < 1e-3) > 0.8
    assert np.median(back) < 0.15 and np.mean(np.array(back) < 0.7) > 0.9


def test_a_left_hand_is_a_mirrored_right_one(hands_px):
    hand = hands_px[0].copy()
    hand[8] += 200
    mirror = np.array([-1, 1])
    np.testing.assert_allclose(
        plausible(PRIOR, hand * mirror, SHARP, "left"),
        plausible(PRIOR, hand, SHARP, "right") * mirror,
        atol=1e-4,
    )


def test_place_turn_and_size_do_not_matter(hands_px):
    hand = hands_px[1].copy()
    hand[12] -= 150
    cos, sin = np.cos(2.0), np.sin(2.0)
    turn = 1.7 * np.array([[cos, -sin], [sin, cos]])
    moved = plausible(PRIOR, hand @ turn.T + (40, -30), SHARP, "right")
    np.testing.assert_allclose(moved, plausible(PRIOR, hand, SHARP, "right") @ turn.T + (40, -30), atol=1e-2)
