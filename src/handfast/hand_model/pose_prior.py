"""Poses and motion that real hands show, fitted to recordings by scripts/fit_pose_prior.py.

A pose is 24 degrees of freedom (``articulation``), drawn from Gaussians around what was recorded, within the
joints' limits and with no digit inside another. Motion goes from pose to pose along minimum-jerk curves
(Flash and Hogan 1985, "The coordination of arm movements"): unlike a random walk they pass through poses that a
hand does take, hold them, and a clip can be told which.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from importlib.resources import files

import numpy as np
from numba import njit
from safetensors.numpy import load

from handfast.errors import HandfastError
from handfast.hand_model.articulation import (
    DIGIT_DOFS,
    DOF_AXES,
    DOF_BONES,
    FINGER_DOF_COUNT,
    WRIST_DOFS,
    angles_from_dofs,
    digit_frames,
    dofs_from_angles,
)
from handfast.hand_model.collision import (
    SOFT_CONTACT_M,
    HandCapsules,
    collides,
    load_hand_capsules,
    penetration_m,
    resolve,
)
from handfast.structures import KEY_POSES

OTHER = KEY_POSES.index("other")
TOUCHING = (KEY_POSES.index("ok"), KEY_POSES.index("pinch"))
TOUCH_M = 0.013
# What a training pose is: one of the key-poses, like a recorded one, or each digit from another recorded one.
_KINDS = (0.45, 0.45, 0.10)
# 95 % of a Gaussian in 22 dimensions lie within this squared Mahalanobis distance.
_WITHIN = 33.9
_BATCH = 12
# Digits start to move within this part of a movement after each other.
_STAGGER = 0.3
_PATH_TRIES = 8
_PATH_CHECKS = np.linspace(0.1, 0.9, 9)


@dataclass(frozen=True, eq=False)
class PosePrior:
    """Fitted numbers, rad and s; D = 22 finger dofs, K components.

    limits (24, 2). component_weights (K,), component_means (K, D), component_factors (K,) index into factors
    (F, D, D), lower triangular: a covariance is factor @ factor.T. key_means (8, D), key_factors (8, D, D) in
    the order of KEY_POSES. wrist_mean (2,), wrist_factor (2, 2). movement (3,): log duration = m0 + m1 log
    (largest turn) + m2 noise. rest (2,): mean and std of the log duration of a rest. drift_rad: the std of
    a dof's change while at rest.
    """

    limits: np.ndarray
    component_weights: np.ndarray
    component_means: np.ndarray
    component_factors: np.ndarray
    factors: np.ndarray
    key_means: np.ndarray
    key_factors: np.ndarray
    wrist_mean: np.ndarray
    wrist_factor: np.ndarray
    movement: np.ndarray
    rest: np.ndarray
    drift_rad: np.ndarray


@cache
def load_pose_prior() -> PosePrior:
    """The prior that ships with the package."""
    data = load(files("handfast").joinpath("assets/pose_prior.safetensors").read_bytes())
    integers = {name: data.pop(name) for name in ("component_factors",)}
    arrays = integers | {name: array.astype(np.float64) for name, array in data.items()}
    for array in arrays.values():
        array.setflags(write=False)
    return PosePrior(**arrays)


@njit(cache=True)
def _touch_gap_m(angles: np.ndarray, rest_joints: np.ndarray, axes: np.ndarray) -> float:
    _, joints = digit_frames(angles, rest_joints, axes)
    return np.sqrt(np.sum((joints[0, 3] - joints[1, 3]) ** 2))


def touch_gap_m(capsules: HandCapsules, angles: np.ndarray) -> float:
    """The distance between the tips of thumb and index finger of a pose (21, 3)."""
    return float(_touch_gap_m(angles, capsules.rest_joints_m, capsules.axes))


def classify(prior: PosePrior, angles: np.ndarray) -> int:
    """Joint angles (21, 3) -> the index in KEY_POSES of the key-pose that they belong to, else of 'other'.

    The nearest by Mahalanobis distance, if near enough; ok and pinch also need the tips to touch.
    """
    offsets = dofs_from_angles(angles)[:FINGER_DOF_COUNT] - prior.key_means
    standard = np.linalg.solve(prior.key_factors, offsets[..., None])[..., 0]
    squared = np.sum(standard**2, axis=1)
    nearest = int(squared.argmin())
    if squared[nearest] > _WITHIN:
        return OTHER
    touches = nearest not in TOUCHING or touch_gap_m(load_hand_capsules(), angles) < TOUCH_M
    return nearest if touches else OTHER


def sample_pose(
    prior: PosePrior, rng: np.random.Generator, key_pose: str | None = None
) -> tuple[np.ndarray, int]:
    """Draw a pose: joint angles (21, 3) rad for ``model.joint_rotations``, and its index in KEY_POSES.

    Without a key_pose, a mix for training: 45 % key-poses, 45 % as recorded, 10 % with each digit from another
    recorded pose; those that happen to be a key-pose are labelled so. Raises HandfastError for an unknown name.
    """
    if key_pose is None:
        kind = rng.choice(3, p=_KINDS)
        key = int(rng.integers(OTHER)) if kind == 0 else None
    elif key_pose in KEY_POSES:
        kind, key = 0, KEY_POSES.index(key_pose)
    else:
        raise HandfastError(f"key_pose: expected one of {', '.join(KEY_POSES)}, got {key_pose!r}")
    capsules = load_hand_capsules()
    while True:
        if key is not None and key != OTHER:
            dofs = _around(rng, prior.key_means[[key]], prior.key_factors[[key]])
        else:
            components = rng.choice(
                len(prior.component_weights), 5 if kind == 2 else 1, p=prior.component_weights
            )
            factors = prior.factors[prior.component_factors[components]]
            dofs = _around(rng, prior.component_means[components], factors)
        wrist = prior.wrist_mean + rng.standard_normal((_BATCH, 2)) @ prior.wrist_factor.T
        dofs = np.clip(np.concatenate([dofs, wrist], axis=1), *prior.limits.T)
        candidates = angles_from_dofs(dofs)
        # A push is the last resort: it costs more than many draws and piles poses up at contact.
        for angles in (*candidates, None):
            if angles is None:
                angles = _pushed_apart(prior, capsules, candidates[0])
            if collides(capsules, angles):
                continue
            if key in TOUCHING and touch_gap_m(capsules, angles) > TOUCH_M:
                continue
            if key is not None and key != OTHER:
                return angles, key
            label = classify(prior, angles)
            if key is None or label == OTHER:
                return angles, label


def _around(rng: np.random.Generator, means: np.ndarray, factors: np.ndarray) -> np.ndarray:
    """Draws (B, D) from one Gaussian, or with each digit from another one of five: means (1 or 5, D)."""
    draws = means[:, None] + rng.standard_normal((len(means), _BATCH, means.shape[1])) @ np.swapaxes(
        factors, 1, 2
    )
    if len(means) == 1:
        return draws[0]
    return np.concatenate([draws[digit][:, own] for digit, own in enumerate(DIGIT_DOFS)], axis=1)


def _pushed_apart(prior: PosePrior, capsules: HandCapsules, angles: np.ndarray) -> np.ndarray:
    n = FINGER_DOF_COUNT
    return resolve(capsules, angles, DOF_BONES[:n], DOF_AXES[:n], prior.limits[:n])


def sample_motion(
    prior: PosePrior,
    rng: np.random.Generator,
    frames: int,
    rate_hz: float,
    key_poses: Sequence[str] | None = None,
) -> np.ndarray:
    """A clip of joint angles (frames, 21, 3): the hand moves to a pose, rests, moves on.

    key_poses: which poses in turn, over and over; None draws them as ``sample_pose`` does. The clip starts
    anywhere in a movement or rest. Raises HandfastError for an unknown name.
    """

    def next_pose(i):
        return dofs_from_angles(
            sample_pose(prior, rng, key_poses[i % len(key_poses)] if key_poses else None)[0]
        )

    capsules = load_hand_capsules()
    dofs = np.empty((frames, len(DOF_BONES)))
    here, visited, end_s = next_pose(0), 1, None
    time_s = np.arange(frames) / rate_hz
    filled = 0
    while filled < frames:
        there, duration_s, onset = _movement(prior, rng, capsules, here, lambda: next_pose(visited))
        rest_s = float(np.exp(prior.rest[0] + prior.rest[1] * rng.standard_normal()))
        start_s = -rng.uniform(0, duration_s + rest_s) if end_s is None else end_s
        settled = _drifted(prior, rng, capsules, there)
        arrive_s, end_s = start_s + duration_s, start_s + duration_s + rest_s
        stop = max(filled, int(np.searchsorted(time_s, end_s)))
        phase = (time_s[filled:stop] - start_s) / duration_s
        rest_phase = (time_s[filled:stop] - arrive_s) / rest_s
        dofs[filled:stop] = _along(here, there, phase, onset) + _smooth(rest_phase)[:, None] * (
            settled - there
        )
        here, visited, filled = settled, visited + 1, stop
    return angles_from_dofs(dofs)


def _smooth(phase: np.ndarray) -> np.ndarray:
    """The minimum-jerk curve from 0 to 1 over the phase 0 to 1."""
    p = np.clip(phase, 0, 1)
    return p**3 * (10 - 15 * p + 6 * p**2)


def _along(here: np.ndarray, there: np.ndarray, phase: np.ndarray, onset: np.ndarray) -> np.ndarray:
    """Dofs (T, 24) at phases (T,) of a movement in which each dof starts at its onset (24,)."""
    return here + _smooth((phase[:, None] - onset) / (1 - _STAGGER)) * (there - here)


def _movement(prior, rng, capsules, here, next_pose):
    """A target pose (24,), the movement's duration and each dof's onset (24,), tried until the digits pass each
    other; the least bad of all tries."""
    best = None
    for _ in range(_PATH_TRIES):
        there = next_pose()
        onset = np.empty(len(here))
        for own, start in zip((*DIGIT_DOFS, WRIST_DOFS), rng.uniform(0, _STAGGER, 6), strict=True):
            onset[own] = start
        path = angles_from_dofs(_along(here, there, _PATH_CHECKS, onset))
        depth = max(penetration_m(capsules, angles) for angles in path)
        if best is None or depth < best[0]:
            best = depth, there, onset
        if depth < SOFT_CONTACT_M:
            break
    _, there, onset = best
    log_turn = np.log(np.abs(there - here).max())
    log_s = prior.movement @ (1, log_turn, rng.standard_normal())
    return there, float(np.exp(log_s)), onset


def _drifted(prior, rng, capsules, dofs):
    """Where a resting hand has wandered to, unless that is a collision."""
    moved = np.clip(dofs + prior.drift_rad * rng.standard_normal(len(dofs)), *prior.limits.T)
    return dofs if collides(capsules, angles_from_dofs(moved)) else moved
