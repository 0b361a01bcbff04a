import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from handfast.geometry import random_rotation, rotation_from_axis_angle
from handfast.hand_model.model import (
    BONES,
    FINGER_BONES,
    FOREARM,
    bone_transforms,
    faces_of,
    joint_rotations,
    load_hand_asset,
    mirrored,
    pose_hand,
    rest,
)
from handfast.skeleton import FINGERS, HAND21, SIDES

ASSET = load_hand_asset()
MEAN = np.zeros(10)
STRAIGHT = np.tile(np.eye(3), (21, 1, 1))
ANGLES = arrays(float, (21, 3), elements=st.floats(-1.5, 1.5))
SHAPES = arrays(float, 10, elements=st.floats(-2, 2))
FINGERS_OR_THUMB = pytest.mark.parametrize("finger", range(5), ids=FINGERS)


def bent(bone, flexion=0.0, abduction=0.0, twist=0.0):
    """Joint rotations with a single joint turned."""
    angles_rad = np.zeros((21, 3))
    angles_rad[bone] = flexion, abduction, twist
    return joint_rotations(ASSET, angles_rad)


def random_pose(seed):
    rng = np.random.default_rng(seed)
    return joint_rotations(ASSET, rng.uniform(-1, 1, (21, 3))), rng.standard_normal(10)


def signed_volume_m3(vertices, faces):
    """Volume of the mesh, its open end at the elbow closed by a cone; positive if wound outwards."""
    edges = np.concatenate([faces[:, [0, 1]], faces[:, [1, 2]], faces[:, [2, 0]]])
    directed = set(map(tuple, edges.tolist()))
    rim = np.array([edge for edge in directed if edge[::-1] not in directed])
    triangles = vertices[faces] - vertices[rim].mean(
        (0, 1)
    )  # seen from the cone's tip the cone has no volume
    return np.linalg.det(triangles).sum() / 6


def test_the_straight_mean_hand_is_the_asset_itself():
    np.testing.assert_allclose(joint_rotations(ASSET, np.zeros((21, 3))), STRAIGHT, atol=1e-6)
    keypoints, vertices = pose_hand(ASSET, STRAIGHT, MEAN)
    np.testing.assert_allclose(vertices, ASSET.vertices_m, atol=1e-7)
    np.testing.assert_allclose(keypoints[0], 0, atol=1e-9)
    np.testing.assert_allclose(keypoints[HAND21.tips, :], ASSET.vertices_m[ASSET.tip_vertices], atol=1e-7)
    np.testing.assert_allclose(
        keypoints[1:].reshape(5, 4, 3)[:, 1:3], ASSET.joints_m[FINGER_BONES[:, 1:]], atol=1e-7
    )


@pytest.mark.parametrize("finger", range(5))
def test_a_fingers_first_bone_is_as_long_as_in_recorded_hands(finger):
    """Against the other two, on the line from the rig's joint to the wrist."""
    keypoints, _ = pose_hand(ASSET, STRAIGHT, MEAN)
    first, second, third = np.linalg.norm(np.diff(keypoints[1 + 4 * finger : 5 + 4 * finger], axis=0), axis=1)
    assert first / (second + third) == pytest.approx((0.60, 0.83, 0.855, 0.80, 0.765)[finger], abs=0.005)
    knuckle, joint = keypoints[1 + 4 * finger], ASSET.joints_m[FINGER_BONES[finger, 0]]
    np.testing.assert_allclose(np.cross(knuckle, joint), 0, atol=1e-9)


def test_the_hand_frame():
    """Wrist at the origin, middle knuckle on +y, back of the hand up, little finger at +x."""
    keypoints, _ = pose_hand(ASSET, STRAIGHT, MEAN)
    knuckles = {f: keypoints[HAND21.keypoints.index(f"{f}_mcp")] for f in FINGERS}
    np.testing.assert_allclose(knuckles["middle"][[0, 2]], 0, atol=1e-6)
    assert 0.08 < knuckles["middle"][1] < 0.13
    assert knuckles["index"][0] < -0.01 < 0.01 < knuckles["ring"][0] < knuckles["pinky"][0]
    index, pinky = ASSET.joints_m[FINGER_BONES[[1, 4], 0]]
    assert index[2] == pytest.approx(pinky[2], abs=1e-6)
    assert keypoints[HAND21.keypoints.index("thumb_tip"), 2] < -0.03
    assert ASSET.vertices_m[~ASSET.is_hand, 1].max() < 0.02


def test_the_asset_holds_together():
    V = len(ASSET.vertices_m)
    np.testing.assert_allclose(ASSET.bone_weights.sum(1), 1, atol=1e-6)
    assert ASSET.bone_weights.min() >= 0
    assert set(ASSET.faces.ravel().tolist()) == set(range(V))
    assert set(ASSET.bone_indices.ravel().tolist()) <= set(range(len(BONES)))
    assert ASSET.parents[0] == -1
    assert all(0 <= ASSET.parents[bone] < bone for bone in range(1, len(BONES)))
    # The forearm bends about the wrist like the palm, whatever the shape.
    np.testing.assert_array_equal(ASSET.joints_m[[0, FOREARM]], 0)
    np.testing.assert_array_equal(ASSET.shape_joints_m[:, [0, FOREARM]], 0)
    axes = ASSET.joint_axes
    np.testing.assert_allclose(np.swapaxes(axes, 1, 2) @ axes, STRAIGHT, atol=1e-6)
    np.testing.assert_allclose(np.linalg.det(axes), 1, atol=1e-6)


def test_nobody_can_write_to_the_shared_asset():
    with pytest.raises(ValueError, match="read-only"):
        ASSET.vertices_m[0] = 0


@given(ANGLES)
def test_joint_rotations_turn_by_twist_then_flexion_then_abduction(angles_rad):
    about = [
        rotation_from_axis_angle(ASSET.joint_axes[:, :, k].astype(float) * angles_rad[:, k, None])
        for k in range(3)
    ]
    flexion, abduction, twist = about
    np.testing.assert_allclose(joint_rotations(ASSET, angles_rad), abduction @ flexion @ twist, atol=1e-6)


def test_joint_rotations_of_a_batch_are_those_of_each():
    angles_rad = np.random.default_rng(0).uniform(-1, 1, (3, 2, 21, 3)).astype(np.float32)
    batch = joint_rotations(ASSET, angles_rad)
    assert batch.dtype == np.float32
    np.testing.assert_allclose(batch[2, 1], joint_rotations(ASSET, angles_rad[2, 1]), atol=1e-6)


@given(st.integers(0, 2**32), ANGLES, SHAPES)
def test_the_palms_rotation_turns_everything_about_the_wrist(seed, angles_rad, shape):
    rotations = joint_rotations(ASSET, angles_rad)
    keypoints, vertices = pose_hand(ASSET, rotations, shape)
    R = random_rotation(np.random.default_rng(seed))
    rotations[0] = R @ rotations[0]
    turned_keypoints, turned_vertices = pose_hand(ASSET, rotations, shape)
    np.testing.assert_allclose(turned_keypoints, keypoints @ R.T, atol=1e-6)
    np.testing.assert_allclose(turned_vertices, vertices @ R.T, atol=1e-6)


@pytest.mark.parametrize("finger", range(1, 5), ids=FINGERS[1:])
@pytest.mark.parametrize("joint", range(3))
def test_flexion_curls_a_finger_towards_the_palm(finger, joint):
    tip = HAND21.tips[finger]
    heights_m = [
        pose_hand(ASSET, bent(FINGER_BONES[finger, joint], flexion), MEAN)[0][tip, 2]
        for flexion in (0, 0.4, 0.8)
    ]
    assert heights_m[0] > heights_m[1] > heights_m[2]


@pytest.mark.parametrize("joint", range(3))
def test_flexion_takes_the_thumb_across_the_palm(joint):
    little_knuckle = HAND21.keypoints.index("pinky_mcp")
    distances_m = []
    for flexion in (0, 0.4, 0.8):
        keypoints, _ = pose_hand(ASSET, bent(FINGER_BONES[0, joint], flexion), MEAN)
        distances_m.append(np.linalg.norm(keypoints[HAND21.tips[0]] - keypoints[little_knuckle]))
    assert distances_m[0] > distances_m[1] > distances_m[2]


@pytest.mark.parametrize("finger", range(1, 5), ids=FINGERS[1:])
def test_abduction_swings_a_finger_to_the_thumbs_side(finger):
    tip = HAND21.tips[finger]
    straight, swung = (
        pose_hand(ASSET, bent(FINGER_BONES[finger, 0], abduction=a), MEAN)[0][tip] for a in (0, 0.3)
    )
    assert swung[0] < straight[0] - 0.01


@FINGERS_OR_THUMB
def test_a_joint_moves_only_what_hangs_on_it(finger):
    straight, _ = pose_hand(ASSET, STRAIGHT, MEAN)
    moved, _ = pose_hand(ASSET, bent(FINGER_BONES[finger, 1], 0.5), MEAN)
    first = HAND21.tips[finger] - 1
    is_beyond = np.isin(np.arange(21), [first, first + 1])
    np.testing.assert_allclose(moved[~is_beyond], straight[~is_beyond], atol=1e-9)
    assert np.linalg.norm(moved - straight, axis=1)[is_beyond].min() > 0.005


def test_bending_the_wrist_moves_the_forearm_alone_and_does_not_tear_it_off():
    straight_keypoints, straight = pose_hand(ASSET, STRAIGHT, MEAN)
    rotations = bent(FOREARM, flexion=0.8)
    keypoints, vertices = pose_hand(ASSET, rotations, MEAN)
    np.testing.assert_allclose(keypoints, straight_keypoints, atol=1e-9)
    on_forearm = np.where(ASSET.bone_indices == FOREARM, ASSET.bone_weights, 0).sum(1)
    solid = on_forearm > 0.999
    np.testing.assert_allclose(vertices[solid], straight[solid] @ rotations[FOREARM].T, atol=1e-5)
    np.testing.assert_allclose(vertices[on_forearm == 0], straight[on_forearm == 0], atol=1e-7)


@given(ANGLES, SHAPES)
def test_bones_keep_their_length(angles_rad, shape):
    _, rest_joints = rest(ASSET, shape)
    _, heads = bone_transforms(ASSET, joint_rotations(ASSET, angles_rad), rest_joints)
    parents = ASSET.parents[1:]
    lengths_m, rest_lengths_m = (np.linalg.norm(j[1:] - j[parents], axis=1) for j in (heads, rest_joints))
    np.testing.assert_allclose(lengths_m, rest_lengths_m, atol=1e-7)


@pytest.mark.parametrize("seed", range(3))
def test_a_left_hand_is_a_right_hand_in_the_mirror(seed):
    rotations, shape = random_pose(seed)
    right, left = (pose_hand(ASSET, rotations, shape, side) for side in ("right", "left"))
    for right_points, left_points in zip(right, left, strict=True):
        np.testing.assert_array_equal(left_points, right_points * [-1, 1, 1])
        np.testing.assert_array_equal(mirrored(left_points, "left"), right_points)


@pytest.mark.parametrize("side", SIDES)
def test_the_mesh_is_closed_but_for_the_elbow_and_wound_outwards(side):
    faces = faces_of(ASSET, side)
    edges = np.concatenate([faces[:, [0, 1]], faces[:, [1, 2]], faces[:, [2, 0]]])
    directed = set(map(tuple, edges.tolist()))
    assert len(directed) == len(edges), "two faces run along an edge the same way"
    rim = [edge for edge in directed if edge[::-1] not in directed]
    assert ASSET.vertices_m[np.unique(rim), 1].max() < -0.2
    _, vertices = pose_hand(ASSET, random_pose(0)[0], MEAN, side)
    rest_volume_m3 = signed_volume_m3(mirrored(ASSET.vertices_m, side), faces)
    assert 0.8e-3 < rest_volume_m3 < 1.5e-3  # a hand and a forearm displace about a litre
    assert signed_volume_m3(vertices, faces) == pytest.approx(rest_volume_m3, rel=0.25)  # skinning shrinks


def test_shape_directions_are_in_order_of_their_effect_and_leave_a_hand():
    effects_m = np.linalg.norm(ASSET.shape_vertices_m, axis=2).mean(1)
    assert effects_m[0] == effects_m.max() > 1e-3
    for direction in np.eye(10):
        for size in (-3, 3):
            keypoints, vertices = pose_hand(ASSET, STRAIGHT, size * direction)
            np.testing.assert_allclose(keypoints[0], 0, atol=1e-7)
            assert signed_volume_m3(vertices, ASSET.faces) > 0.3e-3
