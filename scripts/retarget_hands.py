"""Recordings of real hands -> the open hand's degrees of freedom.

The recordings' skeletons differ, so it is directions of bones that are matched, in the frame of the palm.
"""

import json
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

import numpy as np
from scipy.spatial.transform import Rotation

from handfast.errors import HandfastError
from handfast.hand_model.articulation import DIGIT_DOFS, angles_from_dofs
from handfast.hand_model.model import FINGER_BONES, HandAsset, joint_rotations

LEAST_CONFIDENCE = 0.6  # of the Leap's own measure
# What a digit's dofs are before any evidence, in the order of dofs: mean and standard deviation, rad.
THUMB_BELIEF = ((0, 0.6), (0, 0.5), (0, 0.25), (0.2, 0.5), (0, 0.12), (0.2, 0.6))
FINGER_BELIEF = ((0.4, 0.8), (0, 0.2), (0.6, 0.8), (0.4, 0.6))
DIRECTION_NOISE_RAD = 0.05


@dataclass(frozen=True, eq=False)
class Hands:
    """N recorded hands, mirrored to right ones, in the open hand's frame.

    directions (N, 5, 3, 3): unit vectors along each digit's three bones. forearm (N, 3): from the wrist along
    the forearm, NaN where unknown. time_s (N,), NaN for a still. clip (N,): which recording.
    """

    directions: np.ndarray
    forearm: np.ndarray
    time_s: np.ndarray
    clip: np.ndarray

    def __getitem__(self, chosen: np.ndarray) -> "Hands":
        return Hands(self.directions[chosen], self.forearm[chosen], self.time_s[chosen], self.clip[chosen])


def unit(vectors: np.ndarray) -> np.ndarray:
    return vectors / np.linalg.norm(vectors, axis=-1, keepdims=True)


def rest_directions(asset: HandAsset) -> np.ndarray:
    """(5, 3, 3) unit vectors along the digits' bones at rest."""
    return asset.joint_axes[FINGER_BONES][..., 2].astype(np.float64)


def to_hands(
    joints_m: np.ndarray,
    dorsal: np.ndarray,
    asset: HandAsset,
    clip: np.ndarray,
    time_s: np.ndarray | None = None,
    forearm: np.ndarray | None = None,
) -> Hands:
    """Bring digit joints (N, 5, 4, 3) of right hands, in any frame, to the open hand's frame.

    dorsal (N, 3) points out of the back of the palm. The knuckles' line fixes the turn about it, up to what
    each source means by a knuckle: the straight middle fingers' mean direction corrects that.
    """
    z = unit(dorsal)
    line = joints_m[:, 4, 0] - joints_m[:, 1, 0]
    x = unit(line - z * np.sum(line * z, -1, keepdims=True))
    axes = np.stack([x, np.cross(z, x), z], axis=1)
    directions = np.einsum("nij,ndsj->ndsi", axes, unit(np.diff(joints_m, axis=2)))
    middle = directions[:, 2, 0]
    middle = middle[middle[:, 1] > 0.8].mean(0)
    rest = rest_directions(asset)[2, 0]
    turn = np.arctan2(middle[0], middle[1]) - np.arctan2(rest[0], rest[1])
    aligned = Rotation.from_rotvec([0, 0, turn]).as_matrix()
    unknown = np.full((len(z), 3), np.nan)
    return Hands(
        directions=directions @ aligned.T,
        forearm=unknown if forearm is None else np.einsum("nij,nj->ni", axes, forearm) @ aligned.T,
        time_s=unknown[:, 0] if time_s is None else time_s,
        clip=clip,
    )


def shared_joint(
    R_a: np.ndarray, a: np.ndarray, R_b: np.ndarray, b: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Where two rigid bones (N rotations and centres each) meet (N, 3), and that point in b's axes (3,).

    Least squares over all poses; what a hinge leaves open (along its axis) stays near the centres.
    """
    M = np.concatenate([R_a, -R_b], axis=2).reshape(-1, 6)
    offsets = np.linalg.solve(M.T @ M + 1e-3 * len(a) * np.eye(6), M.T @ (b - a).ravel())
    return (a + R_a @ offsets[:3] + b + R_b @ offsets[3:]) / 2, offsets[3:]


def read_realsense(bones: np.ndarray, clip: np.ndarray, asset: HandAsset) -> Hands:
    """(N, 17, 7): wrist, palm, three bones a digit; centre and quaternion xyzw; z along a bone, y dorsal."""
    centres, quaternions = bones[..., :3].astype(np.float64), bones[..., 3:].reshape(-1, 4)
    R = Rotation.from_quat(quaternions).as_matrix().reshape(*bones.shape[:2], 3, 3)
    joints = np.empty((len(bones), 5, 4, 3))
    for digit in range(5):
        chain = (1, *range(2 + 3 * digit, 5 + 3 * digit))
        for segment, (a, b) in enumerate(pairwise(chain)):
            joints[:, digit, segment], offset = shared_joint(R[:, a], centres[:, a], R[:, b], centres[:, b])
        joints[:, digit, 3] = centres[:, b] - R[:, b, :, 2] * offset[2]
    wrist, _ = shared_joint(R[:, 0], centres[:, 0], R[:, 1], centres[:, 1])
    return to_hands(joints, R[:, 1, :, 1], asset, clip, forearm=unit(centres[:, 0] - wrist))


def read_leap(arrays: dict[str, np.ndarray], asset: HandAsset) -> Hands:
    """Clips NAME__joints_m (N, 5, 4, 3), NAME__palm (N, 3, 3): position, palmar normal, direction."""
    names = [key.removesuffix("__joints_m") for key in arrays if key.endswith("__joints_m")]
    mirror = [np.array([-1.0 if "__left" in name else 1.0, 1, 1]) for name in names]
    gather = lambda key: [arrays[f"{name}__{key}"].astype(np.float64) for name in names]  # noqa: E731
    flip = lambda parts: np.concatenate([p * m for p, m in zip(parts, mirror, strict=True)])  # noqa: E731
    times = gather("time_s")
    hands = to_hands(
        flip(gather("joints_m")),
        -flip([palm[:, 1] for palm in gather("palm")]),
        asset,
        clip=np.repeat(np.arange(len(names)), [len(t) for t in times]),
        time_s=np.concatenate(times),
    )
    return hands[~(np.concatenate(gather("confidence")) < LEAST_CONFIDENCE)]


def read_handy(poses: list[dict], asset: HandAsset) -> tuple[Hands, list[tuple[str, ...]]]:
    """25 WebXR joints (mm, x right, y up, z to the viewer) and each pose's names."""
    poses = [pose for pose in poses if len(pose["joints_mm"]) == 25]
    joints = np.array([pose["joints_mm"] for pose in poses]) / 1e3
    joints[[pose["side"] == "left" for pose in poses], :, 0] *= -1
    digits = np.concatenate([joints[:, None, 1:5], joints[:, 5:].reshape(-1, 4, 5, 3)[:, :, 1:]], axis=1)
    dorsal = np.cross(digits[:, 4, 0] - digits[:, 1, 0], digits[:, 2, 0] - joints[:, 0])
    return to_hands(digits, dorsal, asset, np.arange(len(poses))), [tuple(p["names"]) for p in poses]


def posed_directions(asset: HandAsset, dofs: np.ndarray) -> np.ndarray:
    """Dofs (N, 24) -> unit vectors along the digits' bones (N, 5, 3, 3) in the palm's frame."""
    rotations = joint_rotations(asset, angles_from_dofs(dofs))[:, FINGER_BONES]
    turns = np.empty_like(rotations)
    turns[:, :, 0] = rotations[:, :, 0]
    for segment in (1, 2):
        turns[:, :, segment] = turns[:, :, segment - 1] @ rotations[:, :, segment]
    return np.einsum("ndsij,dsj->ndsi", turns, rest_directions(asset))


def fit_finger_dofs(asset: HandAsset, directions: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Bone directions (N, 5, 3, 3) -> the dofs (N, 24) that show them, wrist at rest, and the mean angle left
    (N,) rad.

    Gauss-Newton for the most probable dofs under Gaussian beliefs: those decide what directions leave open
    (a finger flexed by 90 degrees shows no abduction). Digits are independent, so one numerical derivative
    serves the same dof of all five.
    """
    belief = np.array([*THUMB_BELIEF, *FINGER_BELIEF * 4, (0, 1), (0, 1)])
    dofs = np.tile(belief[:, 0], (len(directions), 1))
    step = 1e-5
    for _ in range(15):
        posed = posed_directions(asset, dofs)
        slots = []
        for slot in range(6):
            moved = dofs.copy()
            moved[:, [own[slot] for own in DIGIT_DOFS if slot < len(own)]] += step
            slots.append((posed_directions(asset, moved) - posed) / step)
        for digit, own in enumerate(DIGIT_DOFS):
            J = np.stack([slots[k][:, digit].reshape(-1, 9) for k in range(len(own))], axis=2)
            left = (directions - posed)[:, digit].reshape(-1, 9)
            mean, std = belief[own].T
            gradient = (
                np.einsum("nrk,nr->nk", J, left) / DIRECTION_NOISE_RAD**2 - (dofs[:, own] - mean) / std**2
            )
            hessian = np.swapaxes(J, 1, 2) @ J / DIRECTION_NOISE_RAD**2 + np.diag(1 / std**2)
            dofs[:, own] += np.clip(np.linalg.solve(hessian, gradient[..., None])[..., 0], -0.4, 0.4)
    cosines = np.sum(posed_directions(asset, dofs) * directions, axis=-1)
    return dofs, np.arccos(np.clip(cosines, -1, 1)).mean((1, 2))


def fit_wrist_dofs(asset: HandAsset, forearm: np.ndarray) -> np.ndarray:
    """Forearm directions (N, 3) in the hand frame -> (N, 2) flexion and deviation of the forearm's joint."""
    # At rest the forearm runs along -y. Flexion turns about -x and abduction, applied after it, about z.
    return np.stack(
        [np.arcsin(np.clip(forearm[:, 2], -1, 1)), np.arctan2(forearm[:, 0], -forearm[:, 1])], axis=1
    )


def read_poses(folder: Path, asset: HandAsset) -> tuple[dict[str, Hands], list[tuple[str, ...]]]:
    """All recordings by source, and the names of the stills."""
    try:
        bank = np.load(folder / "realsense_animbank.npz", allow_pickle=False)["bones"]
        tracks = list(np.load(folder / "realsense_tracks.npz", allow_pickle=False).values())
        leap = dict(np.load(folder / "leap_clips.npz", allow_pickle=False))
        stills = json.loads((folder / "handy_poses.json").read_text())
    except OSError as error:
        raise HandfastError(f"{folder}: expected the four recordings of poses ({error})") from error
    still_hands, names = read_handy(stills, asset)
    track_index = np.repeat(np.arange(len(tracks)), [len(t) for t in tracks])
    hands = {
        "animbank": read_realsense(bank, np.zeros(len(bank), int), asset),
        "tracks": read_realsense(np.concatenate(tracks), track_index, asset),
        "leap": read_leap(leap, asset),
        "stills": still_hands,
    }
    return hands, names
