"""The open hand's 24 degrees of freedom, and its joints alone (compiled, without skin).

Most of the (21, 3) joint angles of a hand never move. A pose is handled as the 24 that do: ``dofs``.
"""

import numpy as np

from handfast.hand_model.model import BONES, FINGER_BONES, FOREARM, HandAsset
from handfast.jit import jit
from handfast.skeleton import FINGERS

FLEXION, ABDUCTION, TWIST = 0, 1, 2

_MOVES = (
    ("thumb_1", FLEXION), ("thumb_1", ABDUCTION), ("thumb_1", TWIST),
    ("thumb_2", FLEXION), ("thumb_2", ABDUCTION), ("thumb_3", FLEXION),
    *(
        (f"{finger}_{segment}", axis)
        for finger in FINGERS[1:]
        for segment, axis in ((1, FLEXION), (1, ABDUCTION), (2, FLEXION), (3, FLEXION))
    ),
    ("forearm", FLEXION), ("forearm", ABDUCTION),
)  # fmt: skip
DOF_BONES = np.array([BONES.index(bone) for bone, _ in _MOVES])
DOF_AXES = np.array([axis for _, axis in _MOVES])
DIGIT_DOFS = tuple(np.flatnonzero(np.isin(DOF_BONES, bones)) for bones in FINGER_BONES)
WRIST_DOFS = np.flatnonzero(DOF_BONES == FOREARM)
_FIRST_DIGIT_BONE = int(FINGER_BONES[0, 0])
FINGER_DOF_COUNT = len(_MOVES) - len(WRIST_DOFS)  # they come first


def angles_from_dofs(dofs: np.ndarray) -> np.ndarray:
    """(..., 24) rad -> joint angles (..., 21, 3) rad for ``model.joint_rotations``."""
    angles = np.zeros((*dofs.shape[:-1], len(BONES), 3))
    angles[..., DOF_BONES, DOF_AXES] = dofs
    return angles


def dofs_from_angles(angles: np.ndarray) -> np.ndarray:
    """(..., 21, 3) rad -> (..., 24) rad, the inverse of ``angles_from_dofs``."""
    return angles[..., DOF_BONES, DOF_AXES]


def digit_rest(asset: HandAsset) -> tuple[np.ndarray, np.ndarray]:
    """The mean hand's digits at rest: joints with skin tips (5, 4, 3) m and joint axes (5, 3, 3, 3)."""
    tips = asset.vertices_m[asset.tip_vertices][:, None]
    joints = np.concatenate([asset.joints_m[FINGER_BONES], tips], axis=1)
    return joints.astype(np.float64), asset.joint_axes[FINGER_BONES].astype(np.float64)


@jit()
def place(turn, offset, origin, out):
    """out = origin + turn @ offset, all (3,), without an array in between."""
    for i in range(3):
        out[i] = origin[i] + turn[i, 0] * offset[0] + turn[i, 1] * offset[1] + turn[i, 2] * offset[2]


@jit()
def _multiply(a, b, out):
    for i in range(3):
        for j in range(3):
            out[i, j] = a[i, 0] * b[0, j] + a[i, 1] * b[1, j] + a[i, 2] * b[2, j]


@jit()
def digit_frames(
    angles: np.ndarray, rest_joints: np.ndarray, axes: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Angles (21, 3) and ``digit_rest`` -> each digit bone's turn (5, 3, 3, 3) and its joints with the
    fingertip (5, 4, 3) m, as ``model.bone_transforms`` does for a still palm."""
    turns = np.empty((5, 3, 3, 3))
    joints = np.empty((5, 4, 3))
    local, parent, turned = np.empty((3, 3)), np.empty((3, 3)), np.empty((3, 3))
    for digit in range(5):
        joints[digit, 0] = rest_joints[digit, 0]
        parent[:] = np.eye(3)
        for segment in range(3):
            flexion, abduction, twist = angles[_FIRST_DIGIT_BONE + 3 * digit + segment]
            cf, sf = np.cos(flexion), np.sin(flexion)
            ca, sa = np.cos(abduction), np.sin(abduction)
            ct, st = np.cos(twist), np.sin(twist)
            local[0] = ca * ct + sa * sf * st, -ca * st + sa * sf * ct, sa * cf
            local[1] = cf * st, cf * ct, -sf
            local[2] = -sa * ct + ca * sf * st, sa * st + ca * sf * ct, ca * cf
            own = axes[digit, segment]
            _multiply(parent, own, turned)
            _multiply(turned, local, parent)
            _multiply(parent, own.T, turns[digit, segment])
            parent[:] = turns[digit, segment]
            bone = rest_joints[digit, segment + 1] - rest_joints[digit, segment]
            place(parent, bone, joints[digit, segment], joints[digit, segment + 1])
    return turns, joints
