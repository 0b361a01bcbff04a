"""Fingers that cut through each other or the palm: found with capsules, undone with small turns.

A capsule is a ball swept along a segment. Each digit bone carries one and each metacarpal one, fitted to the
mean hand's skin. Digits may touch: skin gives way by a few millimetres before it counts.
"""

from dataclasses import dataclass
from functools import cache

import numpy as np

from handfast.hand_model.articulation import digit_frames, digit_rest, place
from handfast.hand_model.model import BONES, FINGER_BONES, HandAsset, load_hand_asset
from handfast.jit import jit

SOFT_CONTACT_M = 0.003
_THUMB_TIP = 2
_BEHIND_RADIUS_M = 0.018
_MARGIN_M = 0.0005
_DAMPING_M2 = 1e-5
_LARGEST_TURN_RAD = 0.2
_RESOLVE_STEPS = 20
# Fingers start this far along their first bone: nearer to the knuckle they share the web's skin.
_WEB = 0.4
_PALM_BONES = [BONES.index(bone) for bone in ("palm", "index_palm", "middle_palm", "ring_palm", "pinky_palm")]


@dataclass(frozen=True, eq=False)
class HandCapsules:
    """C = 20 capsules of the mean hand at rest: five digits by three bones, four metacarpals, and the space
    behind the index finger, which only the thumb's tip avoids.

    ends_m (C, 2, 3), radii_m (C,). pairs (P, 2): the capsules that must not meet. rest_joints_m, axes:
    ``digit_rest``.
    """

    ends_m: np.ndarray
    radii_m: np.ndarray
    pairs: np.ndarray
    rest_joints_m: np.ndarray
    axes: np.ndarray


def _fit_capsule(points_m: np.ndarray, start: np.ndarray, end: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The segment parallel to start-end in the middle of a tube of skin points -> ends (2, 3), and the tube's
    half width and half thickness (2,)."""
    along = (end - start) / np.linalg.norm(end - start)
    side = np.cross(along, [0.0, 0, 1])
    side /= np.linalg.norm(side)
    across = np.stack([side, np.cross(side, along)])
    flat = (points_m - start) @ across.T
    low, high = np.percentile(flat, [2, 98], axis=0)
    centre = (low + high) / 2
    return np.stack([start, end]) + centre @ across, (high - low) / 2


def _may_not_meet(a: int, b: int) -> bool:
    """Digits may not meet, nor their two outer bones the palm; the thumb rests on the index metacarpal."""
    digit_a, digit_b = a // 3, b // 3
    return digit_a < min(5, digit_b) and not (digit_b >= 5 and a % 3 == 0) and (a, b) != (1, 15)


@cache
def load_hand_capsules() -> HandCapsules:
    """The capsules of the hand that ships with the package."""
    return fit_capsules(load_hand_asset())


def fit_capsules(asset: HandAsset) -> HandCapsules:
    """Fit the capsules to the mean hand's skin."""
    rest_joints, axes = digit_rest(asset)
    strongest = asset.bone_indices[np.arange(len(asset.bone_indices)), asset.bone_weights.argmax(1)]
    fitted = []
    for digit in range(5):
        for segment in range(3):
            skin = asset.vertices_m[strongest == FINGER_BONES[digit, segment]]
            start, end = rest_joints[digit, segment], rest_joints[digit, segment + 1]
            if segment == 0:
                start = start + _WEB * (end - start)
            ends, extent = _fit_capsule(skin, start, end)
            radius = extent.min()
            if segment == 2:
                ends[1] -= radius * (end - start) / np.linalg.norm(end - start)
            fitted.append((ends, radius))
    palm = asset.vertices_m[np.isin(strongest, _PALM_BONES)]
    knuckles = rest_joints[1:, 0]
    # Nearer to the wrist the thumb's ball makes the palm thicker than its bones.
    palm = palm[palm[:, 1] > 0.6 * knuckles[:, 1].mean()]
    nearest = np.abs(palm[:, :1] - knuckles[:, 0]).argmin(1)
    for finger, knuckle in enumerate(knuckles):
        own = (nearest == finger) & (palm[:, 1] < 0.9 * knuckle[1])
        ends, extent = _fit_capsule(palm[own], 0.4 * knuckle, 0.85 * knuckle)
        fitted.append((ends, extent[1]))
    pairs = [(a, b) for a in range(19) for b in range(a + 1, 19) if _may_not_meet(a, b)]
    # No thumb bends behind the index finger: what its tip may not enter there.
    behind = np.array([0, 0, _BEHIND_RADIUS_M])
    fitted.append((np.stack([0.5 * knuckles[0], 1.4 * knuckles[0]]) + behind, _BEHIND_RADIUS_M))
    pairs.append((_THUMB_TIP, 19))
    return HandCapsules(
        ends_m=np.array([ends for ends, _ in fitted]),
        radii_m=np.array([radius for _, radius in fitted]),
        pairs=np.array(pairs),
        rest_joints_m=rest_joints,
        axes=axes,
    )


@jit()
def segment_distance_m(ends_a: np.ndarray, ends_b: np.ndarray) -> float:
    """The shortest distance between two segments (2, 3), m (Ericson 2005, section 5.1.9)."""
    uu = vv = uv = uw = vw = 0.0
    for i in range(3):
        u, v, w = ends_a[1, i] - ends_a[0, i], ends_b[1, i] - ends_b[0, i], ends_a[0, i] - ends_b[0, i]
        uu += u * u
        vv += v * v
        uv += u * v
        uw += u * w
        vw += v * w
    area = uu * vv - uv * uv
    s = min(max((uv * vw - uw * vv) / area, 0.0), 1.0) if area > 1e-9 * uu * vv else 0.0
    t = (uv * s + vw) / vv
    if t < 0.0 or t > 1.0:
        t = min(max(t, 0.0), 1.0)
        s = min(max((uv * t - uw) / uu, 0.0), 1.0)
    squared = 0.0
    for i in range(3):
        near_a = ends_a[0, i] + s * (ends_a[1, i] - ends_a[0, i])
        near_b = ends_b[0, i] + t * (ends_b[1, i] - ends_b[0, i])
        squared += (near_a - near_b) ** 2
    return np.sqrt(squared)


@jit()
def _pose_capsules(angles, ends, rest_joints, axes):
    turns, joints = digit_frames(angles, rest_joints, axes)
    posed = ends.copy()
    for capsule in range(15):
        digit, segment = capsule // 3, capsule % 3
        turn, rest_joint = turns[digit, segment], rest_joints[digit, segment]
        for end in range(2):
            place(turn, ends[capsule, end] - rest_joint, joints[digit, segment], posed[capsule, end])
    return posed


@jit()
def _depths(angles, ends, radii, pairs, rest_joints, axes):
    """(P,) m: how far the two capsules of each pair overlap; negative where they are apart."""
    posed = _pose_capsules(angles, ends, rest_joints, axes)
    depths = np.empty(len(pairs))
    for p in range(len(pairs)):
        a, b = pairs[p]
        depths[p] = radii[a] + radii[b] - segment_distance_m(posed[a], posed[b])
    return depths


def _arrays(capsules: HandCapsules) -> tuple[np.ndarray, ...]:
    return capsules.ends_m, capsules.radii_m, capsules.pairs, capsules.rest_joints_m, capsules.axes


def penetration_m(capsules: HandCapsules, angles: np.ndarray) -> float:
    """Joint angles (21, 3) -> the deepest overlap of two capsules; negative when all are apart."""
    return float(_depths(angles, *_arrays(capsules)).max())


def collides(capsules: HandCapsules, angles: np.ndarray) -> bool:
    """Whether the pose (21, 3) goes deeper than soft contact."""
    return penetration_m(capsules, angles) > SOFT_CONTACT_M


@jit()
def _resolve(angles, bones, columns, low, high, ends, radii, pairs, rest_joints, axes, allowed):
    angles = angles.copy()
    step = 1e-4
    for _ in range(_RESOLVE_STEPS):
        depths = _depths(angles, ends, radii, pairs, rest_joints, axes)
        deep = np.flatnonzero(depths > allowed)
        if len(deep) == 0:
            break
        J = np.empty((len(deep), len(bones)))
        for d in range(len(bones)):
            kept = angles[bones[d], columns[d]]
            angles[bones[d], columns[d]] = kept + step
            moved = _depths(angles, ends, radii, pairs, rest_joints, axes)
            angles[bones[d], columns[d]] = kept
            J[:, d] = (moved[deep] - depths[deep]) / step
        # The smallest turn that undoes the overlaps to first order; damping bounds it near singular poses.
        damped = J @ J.T + _DAMPING_M2 * np.eye(len(deep))
        turn = -J.T @ np.linalg.solve(damped, depths[deep] - allowed + _MARGIN_M)
        turn *= min(1.0, _LARGEST_TURN_RAD / max(np.abs(turn).max(), 1e-12))
        for d in range(len(bones)):
            value = angles[bones[d], columns[d]] + turn[d]
            angles[bones[d], columns[d]] = min(max(value, low[d]), high[d])
    return angles


def resolve(
    capsules: HandCapsules, angles: np.ndarray, bones: np.ndarray, axes: np.ndarray, limits: np.ndarray
) -> np.ndarray:
    """Turn joints by little until no overlap is deeper than soft contact, if that is possible.

    angles (21, 3). bones, axes (D,): the entries of angles that may change. limits (D, 2) rad.
    Gauss-Newton on the overlaps with numerical derivatives; returns new angles (21, 3).
    """
    low, high = np.ascontiguousarray(limits.T)
    return _resolve(angles, bones, axes, low, high, *_arrays(capsules), SOFT_CONTACT_M)
