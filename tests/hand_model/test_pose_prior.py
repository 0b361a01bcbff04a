import importlib
from pathlib import Path

import numpy as np
import pytest

from handfast.errors import HandfastError
from handfast.hand_model.articulation import (
    DIGIT_DOFS,
    angles_from_dofs,
    digit_frames,
    digit_rest,
    dofs_from_angles,
)
from handfast.hand_model.collision import collides, load_hand_capsules
from handfast.hand_model.model import joint_rotations, load_hand_asset, pose_hand
from handfast.hand_model.pose_prior import OTHER, classify, load_pose_prior, sample_motion, sample_pose
from handfast.structures import KEY_POSES

WRIST, THUMB_TIP, INDEX_TIP = 0, 4, 8
KNUCKLES, TIPS = np.array([5, 9, 13, 17]), np.array([8, 12, 16, 20])


@pytest.fixture(scope="module")
def prior():
    return load_pose_prior()


def keypoints_of(angles):
    asset = load_hand_asset()
    return pose_hand(asset, joint_rotations(asset, angles), np.zeros(len(asset.shape_joints_m)))[0]


def drawn(prior, key_pose, count=20):
    rng = np.random.default_rng(7)
    return np.array([keypoints_of(sample_pose(prior, rng, key_pose)[0]) for _ in range(count)])


def is_extended(keypoints):
    """(N, 21, 3) -> (N, 4) bool, index to pinky: the tip is about as far from the knuckle as it can be."""
    reach = np.linalg.norm(keypoints[:, TIPS] - keypoints[:, KNUCKLES], axis=-1)
    bones = np.linalg.norm(np.diff(keypoints[:, 1:].reshape(-1, 5, 4, 3), axis=2), axis=-1).sum(-1)[:, 1:]
    return reach > 0.85 * bones


def test_same_seed_same_poses(prior):
    once = [sample_pose(prior, np.random.default_rng(3)) for _ in range(2)]
    np.testing.assert_array_equal(once[0][0], once[1][0])
    assert once[0][1] == once[1][1]
    rng = np.random.default_rng(3)
    assert not np.array_equal(sample_pose(prior, rng)[0], sample_pose(prior, rng)[0])


def test_poses_are_within_limits_free_of_collisions_and_varied(prior):
    rng = np.random.default_rng(0)
    poses, labels = zip(*(sample_pose(prior, rng) for _ in range(300)), strict=True)
    poses = np.array(poses)
    dofs = dofs_from_angles(poses)
    assert (dofs >= prior.limits[:, 0] - 1e-9).all() and (dofs <= prior.limits[:, 1] + 1e-9).all()
    np.testing.assert_array_equal(angles_from_dofs(dofs), poses)  # nothing turns that is not a dof
    assert not any(collides(load_hand_capsules(), pose) for pose in poses)
    assert set(labels) == set(range(len(KEY_POSES)))
    assert (dofs.std(0) > np.radians(3)).all()


@pytest.mark.parametrize("key_pose", KEY_POSES)
def test_labels_are_what_was_asked(prior, key_pose):
    rng = np.random.default_rng(1)
    wanted = KEY_POSES.index(key_pose)
    pairs = [sample_pose(prior, rng, key_pose) for _ in range(20)]
    assert all(label == wanted for _, label in pairs)
    assert sum(classify(prior, angles) == wanted for angles, _ in pairs) >= 19


def test_key_poses_hold_for_the_eye(prior):
    assert is_extended(drawn(prior, "open_hand")).all()
    fist = drawn(prior, "fist")
    assert not is_extended(fist).any()
    palm = (fist[:, :1] + fist[:, 9:10]) / 2
    assert (np.linalg.norm(fist[:, TIPS] - palm, axis=-1) < 0.085).all()
    for key_pose in ("point", "l"):
        assert (is_extended(drawn(prior, key_pose)).mean(0) >= (0.9, 0, 0, 0)).all()
        assert not is_extended(drawn(prior, key_pose))[:, 1:].any()
    assert not is_extended(drawn(prior, "thumbs_up")).any()


def test_thumb_and_index_touch_in_pinch_and_ok(prior):
    for key_pose, others in (("pinch", False), ("ok", True)):
        keypoints = drawn(prior, key_pose)
        gap_m = np.linalg.norm(keypoints[:, THUMB_TIP] - keypoints[:, INDEX_TIP], axis=-1)
        assert (gap_m < 0.015).all()
        assert (is_extended(keypoints)[:, 2:] == others).all()


def test_thumb_points_away_in_thumbs_up_and_l(prior):
    for key_pose in ("thumbs_up", "l"):
        keypoints = drawn(prior, key_pose)
        away_m = np.linalg.norm(keypoints[:, THUMB_TIP] - keypoints[:, 5], axis=-1)
        assert (away_m > 0.055).all()
    across_m = np.linalg.norm(drawn(prior, "point")[:, THUMB_TIP] - drawn(prior, "point")[:, 10], axis=-1)
    assert np.median(across_m) < 0.05


def test_unknown_key_pose_is_refused(prior):
    with pytest.raises(HandfastError, match=r"key_pose: expected one of ok, .*, got 'shaka'"):
        sample_pose(prior, np.random.default_rng(0), "shaka")


def test_classify_knows_the_means_and_refuses_the_bizarre(prior):
    for key, mean in enumerate(prior.key_means):
        assert classify(prior, angles_from_dofs(np.append(mean, [0, 0]))) == key
    one_finger_bent = np.append(prior.key_means[KEY_POSES.index("open_hand")], [0, 0])
    one_finger_bent[DIGIT_DOFS[3][[0, 2]]] = 1.2
    assert classify(prior, angles_from_dofs(one_finger_bent)) == OTHER


@pytest.mark.parametrize("rate_hz", [30.0, 120.0])
def test_motion_is_continuous(prior, rate_hz):
    clip = sample_motion(prior, np.random.default_rng(5), 1200, rate_hz)
    assert clip.shape == (1200, 21, 3)
    speed_rad_s = np.abs(np.diff(clip, axis=0)) * rate_hz
    assert speed_rad_s.max() < 16
    assert np.ptp(clip, axis=0).max() > 0.3  # and it does move
    dofs = dofs_from_angles(clip)
    assert (dofs >= prior.limits[:, 0] - 1e-9).all() and (dofs <= prior.limits[:, 1] + 1e-9).all()


def test_motion_visits_the_key_poses_in_turn(prior):
    clip = sample_motion(prior, np.random.default_rng(2), 600, 30.0, ("fist", "open_hand"))
    seen = [label for label in (classify(prior, angles) for angles in clip) if label != OTHER]
    visits = [a for a, b in zip(seen, [*seen[1:], -1], strict=True) if a != b]
    fist, open_hand = KEY_POSES.index("fist"), KEY_POSES.index("open_hand")
    assert visits.count(fist) >= 2 and visits.count(open_hand) >= 2


def test_recordings_are_brought_back_to_their_angles(prior, monkeypatch):
    monkeypatch.syspath_prepend(str(Path(__file__).parents[2] / "scripts"))
    retarget_hands = importlib.import_module("retarget_hands")

    asset, rng = load_hand_asset(), np.random.default_rng(4)
    angles = np.array([sample_pose(prior, rng)[0] for _ in range(60)])
    joints = np.array([digit_frames(a, *digit_rest(asset))[1] for a in angles])
    directions = np.diff(joints, axis=2)
    directions /= np.linalg.norm(directions, axis=-1, keepdims=True)
    dofs, residual_rad = retarget_hands.fit_finger_dofs(asset, directions)
    assert residual_rad.max() < np.radians(4)
    error = np.abs(dofs - dofs_from_angles(angles))[:, :22]
    flexions = [i for own in DIGIT_DOFS[1:] for i in own[[0, 2, 3]]]
    assert np.degrees(np.median(error[:, flexions])) < 0.5
    assert np.degrees(error[:, flexions].max()) < 8
