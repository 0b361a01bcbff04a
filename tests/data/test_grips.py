import numpy as np
import pytest

from handfast.data.grips import GRIPS, grip_frame, sample_held
from handfast.geometry import random_rotation, transform
from handfast.hand_model.model import joint_rotations, load_hand_asset, pose_hand
from handfast.hand_model.pose_prior import load_pose_prior, sample_pose
from handfast.skeleton import HAND21_NAMES
from handfast.structures import KEY_POSES


@pytest.fixture(params=GRIPS)
def grip(request):
    return request.param


def holding(grip):
    asset, rng = load_hand_asset(), np.random.default_rng(0)
    angles_rad, _ = sample_pose(load_pose_prior(), rng, GRIPS[grip][0])
    return pose_hand(asset, joint_rotations(asset, angles_rad), np.zeros(10))[0]


def test_grips_are_made_with_key_poses(grip):
    assert set(GRIPS[grip]) <= set(KEY_POSES)


def test_a_grip_turns_and_moves_with_the_hand(grip):
    keypoints_m, T = holding(grip), np.eye(4)
    T[:3, :3], T[:3, 3] = random_rotation(np.random.default_rng(1)), (0.1, -0.2, 0.5)
    frame = grip_frame(grip, keypoints_m)
    assert np.allclose(frame[:3, :3] @ frame[:3, :3].T, np.eye(3)) and np.linalg.det(frame[:3, :3]) > 0
    assert np.allclose(grip_frame(grip, transform(T, keypoints_m)), T @ frame)


def test_a_grip_is_where_the_fingers_close(grip):
    keypoints_m = holding(grip)
    tips = [i for i, name in enumerate(HAND21_NAMES) if name.endswith("tip")]
    middle = grip_frame(grip, keypoints_m)[:3, 3]
    assert np.linalg.norm(keypoints_m[tips[:2]] - middle, axis=1).min() < 0.05
    if grip == "pinched":
        assert np.allclose(middle, keypoints_m[tips[:2]].mean(0))


def test_what_is_held_fits_into_the_hand(grip):
    rng, spot_m = np.random.default_rng(2), np.array([0.01, -0.005])
    for room_m in (0.0, 0.02, 0.2):
        for _ in range(10):
            x, y, z = sample_held(rng, grip, spot_m, room_m).surface.vertices_m.T
            allowed_m = min(max(room_m, 0.003), 0.042)
            # A box may be far out of the hand, which is along x.
            thick_m = np.quantile(np.abs(z + 0.005), 0.3)
            assert thick_m < 1.01 * allowed_m and (x - 0.01).min() >= -max(1.01 * allowed_m, 0.04)
            assert 0.02 < np.ptp(y) < 0.4
