"""What hands look like as 21 points in a picture: says which points of one cannot be where they are said to
be.

Points are complex numbers x + i y. An outline is in units of its own size (the root mean square distance from
its centre), centred, with the direction from the wrist to the centre along +x; a left hand is mirrored to a
right one.
"""

from dataclasses import dataclass
from functools import cache
from importlib.resources import files

import numpy as np
from safetensors.numpy import load

# In an outline's size: how exact sharp key-points are, where doubt begins, and where a point cannot be.
_NOISE, _DOUBT, _IMPLAUSIBLE = 0.1, 0.3, 0.7
_ROUNDS = 8


@dataclass(frozen=True, eq=False)
class OutlinePrior:
    """mean (42,), x and y in turn; directions (D, 42), orthonormal; variances (D,) along these."""

    mean: np.ndarray
    directions: np.ndarray
    variances: np.ndarray


@cache
def load_outline_prior() -> OutlinePrior:
    """The prior that ships with the package, made by scripts/fit_outline_prior.py."""
    return OutlinePrior(**load(files("handfast").joinpath("assets/outline_prior.safetensors").read_bytes()))


def normalised(points: np.ndarray) -> np.ndarray:
    """Right hands (N, 21) complex -> outlines (N, 21) complex."""
    centred = points - points.mean(axis=1, keepdims=True)
    size = np.sqrt((np.abs(centred) ** 2).mean(axis=1, keepdims=True))
    return centred / size * np.exp(-1j * np.angle(-centred[:, :1]))


def plausible(prior: OutlinePrior, keypoints_px: np.ndarray, sharpness: np.ndarray, side: str) -> np.ndarray:
    """Key-points (21, 2) px of a hand, those that cannot be where they are moved to where the others say.

    sharpness (21,): how far each is to be trusted, 0..1. An outline is fitted to the points by least squares,
    reweighted so that strays count little: place, turn, size and shape in turn. Points nearer to it than half
    of its size stay as they are.
    """
    points = keypoints_px @ np.array([1, 1j])
    if side == "left":
        points = -points.conj()
    basis, shape = prior.directions, prior.mean
    trust = sharpness.astype(float) ** 2 + 1e-6
    weights = trust
    for _ in range(_ROUNDS):
        outline = shape[0::2] + 1j * shape[1::2]
        share = weights / weights.sum()
        to, by = share @ points, share @ outline
        turn = (share * (outline - by).conj()) @ (points - to) / (share @ np.abs(outline - by) ** 2)
        seen = (points - to) / turn + by
        off = np.stack([seen.real, seen.imag], axis=1).ravel() - prior.mean
        twice = np.repeat(weights / trust.max(), 2)
        system = (basis * twice) @ basis.T + np.diag(_NOISE**2 / prior.variances)
        shape = prior.mean + np.linalg.solve(system, (basis * twice) @ off) @ basis
        distance = np.abs(seen - (shape[0::2] + 1j * shape[1::2]))
        weights = trust / (1 + (distance / _DOUBT) ** 2)
    fitted = (shape[0::2] + 1j * shape[1::2] - by) * turn + to
    points = np.where(distance > _IMPLAUSIBLE, fitted, points)
    if side == "left":
        points = -points.conj()
    return np.stack([points.real, points.imag], axis=1).astype(np.float32)
