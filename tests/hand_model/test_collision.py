import numpy as np
import pytest

from handfast.hand_model.articulation import (
    DOF_AXES,
    DOF_BONES,
    angles_from_dofs,
    digit_frames,
    digit_rest,
    dofs_from_angles,
)
from handfast.hand_model.collision import (
    SOFT_CONTACT_M,
    collides,
    load_hand_capsules,
    penetration_m,
    resolve,
    segment_distance_m,
)
from handfast.hand_model.model import FINGER_BONES, joint_rotations, load_hand_asset, pose_hand


@pytest.mark.parametrize(
    ("a", "b", "distance"),
    [
        ([[0, 0, 0], [1, 0, 0]], [[0.5, -1, 2], [0.5, 1, 2]], 2.0),  # crossing, one above the other
        ([[0, 0, 0], [1, 0, 0]], [[0, 3, 0], [1, 3, 0]], 3.0),  # parallel
        ([[0, 0, 0], [1, 0, 0]], [[4, 4, 0], [9, 9, 0]], 5.0),  # end to end: 3, 4, 5
        ([[0, 0, 0], [1, 0, 0]], [[0.2, 0, 0], [5, 0, 0]], 0.0),  # on one line, overlapping
        ([[0, 0, 0], [2, 0, 0]], [[1, 1, 0], [1, 7, 0]], 1.0),  # an end above a middle
    ],
)
def test_segment_distance_by_hand(a, b, distance):
    a, b = np.array(a, dtype=float), np.array(b, dtype=float)
    assert segment_distance_m(a, b) == pytest.approx(distance)
    assert segment_distance_m(b, a) == pytest.approx(distance)
    assert segment_distance_m(a[::-1].copy(), b) == pytest.approx(distance)


def test_joints_alone_are_those_of_the_skinned_hand():
    asset = load_hand_asset()
    dofs = np.random.default_rng(0).normal(0, 0.5, 24)
    angles = angles_from_dofs(dofs)
    keypoints, _ = pose_hand(asset, joint_rotations(asset, angles), np.zeros(len(asset.shape_joints_m)))
    _, joints = digit_frames(angles, *digit_rest(asset))
    # All but the knuckles, which are not where fingers turn.
    np.testing.assert_allclose(joints[:, 1:], keypoints[1:].reshape(5, 4, 3)[:, 1:], atol=1e-6)
    np.testing.assert_array_equal(dofs_from_angles(angles), dofs)


def test_capsules_lie_in_the_skin():
    asset, capsules = load_hand_asset(), load_hand_capsules()
    strongest = asset.bone_indices[np.arange(len(asset.bone_indices)), asset.bone_weights.argmax(1)]
    for capsule, bone in enumerate(FINGER_BONES[:, 1:].ravel()):
        index = capsule // 2 * 3 + capsule % 2 + 1
        start, end = capsules.ends_m[index]
        skin = asset.vertices_m[strongest == bone]
        t = np.clip((skin - start) @ (end - start) / np.sum((end - start) ** 2), 0, 1)
        distance = np.linalg.norm(skin - start - t[:, None] * (end - start), axis=1)
        assert np.median(np.abs(distance - capsules.radii_m[index])) < 0.003


def test_rest_is_free_and_crossed_fingers_are_not():
    capsules = load_hand_capsules()
    assert penetration_m(capsules, np.zeros((21, 3))) < 0
    crossed = np.zeros((21, 3))
    crossed[FINGER_BONES[1, 0], 1] = -0.6
    assert penetration_m(capsules, crossed) > 0.01


def test_resolve_clears_a_thumb_inside_the_fingers():
    capsules = load_hand_capsules()
    dofs = np.array([0.3] * 6 + [1.0, 0, 1.2, 0.6] * 4 + [0, 0])
    limits = np.array([[-0.8, 1.8]] * 22)
    before = angles_from_dofs(dofs)
    assert penetration_m(capsules, before) > 0.006
    after = resolve(capsules, before, DOF_BONES[:22], DOF_AXES[:22], limits)
    assert penetration_m(capsules, after) <= SOFT_CONTACT_M
    moved = dofs_from_angles(after)
    assert (moved[:22] >= limits[:, 0]).all() and (moved[:22] <= limits[:, 1]).all()
    np.testing.assert_array_equal(after, angles_from_dofs(moved))  # nothing else has turned


def test_resolve_leaves_a_free_pose_alone():
    capsules = load_hand_capsules()
    free = np.zeros((21, 3))
    assert not collides(capsules, free)
    limits = np.array([[-1.0, 1.0]] * 22)
    np.testing.assert_array_equal(resolve(capsules, free, DOF_BONES[:22], DOF_AXES[:22], limits), free)
