"""Poses and motion that real hands show, fitted to recordings by scripts/fit_pose_prior.py.

A pose is 24 degrees of freedom (``articulation``), drawn from Gaussians around what was recorded, within the
joints' limits and with no digit inside another. Motion goes from pose to pose along minimum-jerk curves
(Flash and Hogan 1985, "The coordination of arm movements"): unlike a random walk it visits and holds poses
that a hand does take, and a clip can be told which.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import cache, partial
from importlib.resources import files
from itertools import cycle

import numpy as np
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
from handfast.jit import jit
from handfast.structures import KEY_POSES

OTHER = KEY_POSES.index("other")
TOUCHING = (KEY_POSES.index("ok"), KEY_POSES.index("pinch"))
TOUCH_M = 0.013
# What a training pose is: one of the key-poses, like a recorded one, or each digit from another recorded one.
_KINDS = (0.45, 0.45, 0.10)
# A pose belongs to a key-pose within 95 % of its 22-dimensional Gaussian, widened by what goes unnoticed.
_WITHIN_SQUARED = 33.9
_UNNOTICED_RAD = np.radians(9)
_BATCH = 12
# The digits start to move within this part of a movement.
_STAGGER = 0.3
_FASTEST_RAD_S = 15.0
_PATH_TRIES = 10
_PATH_CHECKS = np.linspace(0.05, 0.95, 10)


@dataclass(frozen=True, eq=False)
class PosePrior:
    """Fitted numbers, rad and s; D = 22 finger dofs, K components.

    limits (24, 2). component_weights (K,), component_means (K, D), component_factors (K,) index into factors
    (F, D, D), lower triangular: a covariance is factor @ factor.T. key_means (8, D), key_factors (8, D, D) in
    the order of KEY_POSES; key_whiteners (8, D, D) turn an offset into distances for ``classify``. wrist_mean
    (2,), wrist_factor (2, 2). movement (3,): log duration = m0 + m1 log(largest turn) + m2 noise. rest (2,):
    log duration = r0 + r1 noise. drift_rad: the standard deviation of a dof's change over a rest.
    """

    limits: np.ndarray
    component_weights: np.ndarray
    component_means: np.ndarray
    component_factors: np.ndarray
    factors: np.ndarray
    key_means: np.ndarray
    key_factors: np.ndarray
    key_whiteners: np.ndarray
    wrist_mean: np.ndarray
    wrist_factor: np.ndarray
    movement: np.ndarray
    rest: np.ndarray
    drift_rad: np.ndarray


@cache
def load_pose_prior() -> PosePrior:
    """The prior that ships with the package."""
    data = load(files("handfast").joinpath("assets/pose_prior.safetensors").read_bytes())
    arrays = {name: a if a.dtype == np.int32 else a.astype(np.float64) for name, a in data.items()}
    spread = arrays["key_factors"] @ np.swapaxes(arrays["key_factors"], 1, 2)
    widened = spread + _UNNOTICED_RAD**2 * np.eye(FINGER_DOF_COUNT)
    arrays["key_whiteners"] = np.linalg.inv(np.linalg.cholesky(widened))
    for array in arrays.values():
        array.setflags(write=False)
    return PosePrior(**arrays)


@jit()
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
    squared = np.sum(np.einsum("kij,kj->ki", prior.key_whiteners, offsets) ** 2, axis=1)
    nearest = int(squared.argmin())
    if squared[nearest] > _WITHIN_SQUARED:
        return OTHER
    touches = nearest not in TOUCHING or touch_gap_m(load_hand_capsules(), angles) < TOUCH_M
    return nearest if touches else OTHER


def sample_pose(
    prior: PosePrior, rng: np.random.Generator, key_pose: str | None = None
) -> tuple[np.ndarray, int]:
    """Draw a pose: joint angles (21, 3) rad for ``model.joint_rotations``, and its index in KEY_POSES.

    Without a key_pose, a mix for training: 45 % key-poses, 45 % as recorded, 10 % with each digit from
    another recorded pose; of the latter two, those that happen to be a key-pose are labelled so. Raises
    HandfastError for an unknown name.
    """
    if key_pose is None:
        kind = rng.choice(3, p=_KINDS)
        wanted = int(rng.integers(OTHER)) if kind == 0 else None
    elif key_pose in KEY_POSES:
        kind, wanted = 1, KEY_POSES.index(key_pose)
    else:
        raise HandfastError(f"key_pose: expected one of {', '.join(KEY_POSES)}, got {key_pose!r}")

    if wanted is None or wanted == OTHER:
        poses = _free_poses(prior, rng, partial(_draw_recorded, prior, rng, mixed=kind == 2))
        labelled = ((angles, classify(prior, angles)) for angles in poses)
        return next(pair for pair in labelled if wanted in (None, pair[1]))
    poses = _free_poses(prior, rng, partial(_draw_key_pose, prior, rng, wanted))
    if wanted in TOUCHING:
        poses = (angles for angles in poses if touch_gap_m(load_hand_capsules(), angles) < TOUCH_M)
    return next(poses), wanted


def _draw_key_pose(prior: PosePrior, rng: np.random.Generator, key: int) -> np.ndarray:
    """A batch of finger dofs (B, D)."""
    return prior.key_means[key] + rng.standard_normal((_BATCH, FINGER_DOF_COUNT)) @ prior.key_factors[key].T


def _draw_recorded(prior: PosePrior, rng: np.random.Generator, mixed: bool) -> np.ndarray:
    """A batch (B, D) around one recorded pose, or if mixed with each digit around another one."""
    chosen = rng.choice(len(prior.component_weights), 5 if mixed else 1, p=prior.component_weights)
    factors = prior.factors[prior.component_factors[chosen]]
    noise = rng.standard_normal((len(chosen), _BATCH, FINGER_DOF_COUNT))
    draws = prior.component_means[chosen, None] + noise @ np.swapaxes(factors, 1, 2)
    return np.concatenate(
        [draws[digit % len(chosen)][:, own] for digit, own in enumerate(DIGIT_DOFS)], axis=1
    )


def _free_poses(
    prior: PosePrior, rng: np.random.Generator, draw: Callable[[], np.ndarray]
) -> Iterator[np.ndarray]:
    """Angles (21, 3) within the limits and free of collisions, without end."""
    capsules = load_hand_capsules()
    n = FINGER_DOF_COUNT
    while True:
        wrist = prior.wrist_mean + rng.standard_normal((_BATCH, 2)) @ prior.wrist_factor.T
        batch = angles_from_dofs(np.clip(np.concatenate([draw(), wrist], axis=1), *prior.limits.T))
        yield from (angles for angles in batch if not collides(capsules, angles))
        # A push costs more than many draws and leaves digits just touching: one a batch, for poses that are
        # hardly ever free.
        pushed = resolve(capsules, batch[0], DOF_BONES[:n], DOF_AXES[:n], prior.limits[:n])
        if not collides(capsules, pushed):
            yield pushed


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
    names = cycle(key_poses or (None,))
    time_s = np.arange(frames) / rate_hz
    dofs = np.empty((frames, len(DOF_BONES)))
    here = dofs_from_angles(sample_pose(prior, rng, next(names))[0])
    start_s, filled = None, 0
    while filled < frames:
        there, duration_s, onset = _plan_movement(prior, rng, here, next(names))
        rest_s = float(np.exp(prior.rest @ (1, rng.standard_normal())))
        settled = _drifted(prior, rng, there)
        if start_s is None:
            start_s = -rng.uniform(0, duration_s + rest_s)
        arrival_s, end_s = start_s + duration_s, start_s + duration_s + rest_s
        stop = int(np.searchsorted(time_s, end_s))
        now_s = time_s[filled:stop]
        dofs[filled:stop] = _along(here, there, (now_s - start_s) / duration_s, onset)
        dofs[filled:stop] += _smooth((now_s - arrival_s) / rest_s)[:, None] * (settled - there)
        here, start_s, filled = settled, end_s, stop
    return angles_from_dofs(dofs)


def _smooth(phase: np.ndarray) -> np.ndarray:
    """The minimum-jerk curve from 0 to 1 over the phase 0 to 1."""
    p = np.clip(phase, 0, 1)
    return p**3 * (10 - 15 * p + 6 * p**2)


def _along(here: np.ndarray, there: np.ndarray, phase: np.ndarray, onset: np.ndarray) -> np.ndarray:
    """Dofs (T, 24) at phases (T,) of a movement in which each dof starts at its onset (24,)."""
    return here + _smooth((phase[:, None] - onset) / (1 - _STAGGER)) * (there - here)


def _plan_movement(
    prior: PosePrior, rng: np.random.Generator, here: np.ndarray, name: str | None
) -> tuple[np.ndarray, float, np.ndarray]:
    """A target pose (24,), how long to take, s, and each dof's onset (24,): the first plan on which the
    digits pass each other, or the best of all that were tried."""
    capsules = load_hand_capsules()
    plans = []
    for _ in range(_PATH_TRIES):
        there = dofs_from_angles(sample_pose(prior, rng, name)[0])
        onset = np.empty(len(here))
        for own, start in zip((*DIGIT_DOFS, WRIST_DOFS), rng.uniform(0, _STAGGER, 6), strict=True):
            onset[own] = start
        path = angles_from_dofs(_along(here, there, _PATH_CHECKS, onset))
        plans.append((max(penetration_m(capsules, angles) for angles in path), there, onset))
        if plans[-1][0] < SOFT_CONTACT_M:
            break
    _, there, onset = min(plans, key=lambda plan: plan[0])
    turn = np.abs(there - here).max()
    usual_s = np.exp(prior.movement @ (1, np.log(turn), rng.standard_normal()))
    # A minimum-jerk movement's peak speed is 1.875 times its mean one.
    return there, max(float(usual_s), 1.875 * turn / (1 - _STAGGER) / _FASTEST_RAD_S), onset


def _drifted(prior: PosePrior, rng: np.random.Generator, dofs: np.ndarray) -> np.ndarray:
    """Where a resting hand has wandered to, unless that is a collision."""
    moved = np.clip(dofs + prior.drift_rad * rng.standard_normal(len(dofs)), *prior.limits.T)
    return dofs if collides(load_hand_capsules(), angles_from_dofs(moved)) else moved
