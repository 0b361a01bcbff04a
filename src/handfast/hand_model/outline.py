"""What hands look like as 21 points in a picture: where each point of one may be, if the others are right.

Points are complex numbers x + i y. An outline is in units of its own size (the root mean square distance from
its centre), centred, with the direction from the wrist to the centre along +x; a left hand is mirrored to a
right one.
"""

from dataclasses import dataclass
from functools import cache
from importlib.resources import files

import numpy as np
from safetensors.numpy import load

# Fitted to the errors of the shipped network on held-out synthetic people, by maximum likelihood: a key-point
# of sharpness s is near its place with a standard deviation of NEAR (1.02 - s)^POWER of an outline's size, or
# else astray with one of ASTRAY; the logit of its being near is linear in that of s.
_NEAR, _POWER, _ASTRAY = 0.328, 0.726, 0.887
_NEAR_LOGIT, _NEAR_SLOPE = 0.61, 1.296
_ANYHOW = 1e3  # variance of an outline's place, turn and size: nothing is known of them
_ROUNDS, _ALIGNMENTS = 3, 2


@dataclass(frozen=True, eq=False)
class OutlinePrior:
    """A mixture of M Gaussians: weights (M,), means (M, 42), x and y in turn, covariances (M, 42, 42)."""

    weights: np.ndarray
    means: np.ndarray
    covariances: np.ndarray


@cache
def load_outline_prior() -> OutlinePrior:
    """The prior that ships with the package, made by scripts/fit_outline_prior.py."""
    tensors = load(files("handfast").joinpath("assets/outline_prior.safetensors").read_bytes())
    return OutlinePrior(**{name: tensor.astype(float) for name, tensor in tensors.items()})


def normalised(points: np.ndarray) -> np.ndarray:
    """Right hands (N, 21) complex -> outlines (N, 21) complex."""
    centred = points - points.mean(axis=1, keepdims=True)
    size = np.sqrt((np.abs(centred) ** 2).mean(axis=1, keepdims=True))
    return centred / size * np.exp(-1j * np.angle(-centred[:, :1]))


def as_numbers(points: np.ndarray) -> np.ndarray:
    """(..., 21) complex -> (..., 42), x and y in turn."""
    return np.stack([points.real, points.imag], axis=-1).reshape(*points.shape[:-1], 42)


def expected_from_others(
    prior: OutlinePrior, keypoints_px: np.ndarray, sharpness: np.ndarray, side: str
) -> tuple[np.ndarray, np.ndarray]:
    """Where each key-point (21, 2) px of a hand is to be expected, given the others: means (21, 2) px and
    covariances (21, 2, 2) px^2.

    sharpness (21,): how far each is to be trusted, 0..1. The component of the prior that looks most like the
    points is conditioned on them as on noisy measurements; place, turn and size are the likeliest, and points
    that are astray come to count little: expectation maximisation. What the others say of a point needs no
    solution without it (Rasmussen and Williams, Gaussian Processes for Machine Learning, equation 5.12).
    """
    points = keypoints_px @ np.array([1, 1j])
    if side == "left":
        points = -points.conj()
    sharp = np.clip(sharpness.astype(float), 0.01, 0.995)
    near = _NEAR * (1.02 - sharp) ** _POWER
    share_near = 1 / (1 + np.exp(-_NEAR_LOGIT - _NEAR_SLOPE * np.log(sharp / (1 - sharp))))

    component = _likeliest(prior, points, share_near * near**2 + (1 - share_near) * _ASTRAY**2)
    mean = outline = _as_points(prior.means[component])
    moves = as_numbers(np.stack([np.ones(21), np.full(21, 1j), mean, 1j * mean]))
    free = prior.covariances[component] + _ANYHOW * moves.T @ moves
    is_near = share_near
    for _ in range(_ROUNDS):
        noise = 1 / (is_near / near**2 + (1 - is_near) / _ASTRAY**2)
        precision = np.linalg.inv(free + np.diag(np.repeat(noise, 2)))
        for _ in range(_ALIGNMENTS):
            turn, place = _similarity(outline, points, 1 / noise)
            seen = (points - place) / turn
            pull = _as_points(precision @ as_numbers(seen - mean))
            outline = seen - noise * pull
        distance = np.abs(seen - outline)
        as_near = share_near / near**2 * np.exp(-0.5 * (distance / near) ** 2)
        as_astray = (1 - share_near) / _ASTRAY**2 * np.exp(-0.5 * (distance / _ASTRAY) ** 2)
        is_near = as_near / (as_near + as_astray)

    alone = np.linalg.inv(np.stack([precision[i : i + 2, i : i + 2] for i in range(0, 42, 2)]))
    moved = np.einsum("nij,nj->ni", alone, _as_pairs(pull))
    expected = (seen - moved[:, 0] - 1j * moved[:, 1]) * turn + place
    rotation = np.array([[turn.real, -turn.imag], [turn.imag, turn.real]])
    covariances = rotation @ (alone - noise[:, None, None] * np.eye(2)) @ rotation.T
    if side == "left":
        return _as_pairs(-expected.conj()), covariances * np.array([[1, -1], [-1, 1]])
    return _as_pairs(expected), covariances


def _as_points(numbers: np.ndarray) -> np.ndarray:
    """The inverse of ``as_numbers``."""
    return numbers[..., 0::2] + 1j * numbers[..., 1::2]


def _as_pairs(points: np.ndarray) -> np.ndarray:
    """(21,) complex -> (21, 2)."""
    return np.stack([points.real, points.imag], axis=-1)


def _likeliest(prior: OutlinePrior, points: np.ndarray, noise: np.ndarray) -> int:
    """The component that points (21,) with a noise (21,) look most like, each point taken by itself."""
    outlines = _as_points(prior.means)
    variances = np.diagonal(prior.covariances, axis1=1, axis2=2).reshape(-1, 21, 2).mean(axis=2) + noise
    turn, place = _similarity(outlines, points, 1 / variances)
    turn, place = turn[:, None], place[:, None]
    distance = np.abs((points - place) / turn - outlines)
    # Two numbers a point, less the four of the similarity, are measured in units of the picture.
    log_likelihood = np.log(prior.weights) - 38 * np.log(np.abs(turn[:, 0]))
    log_likelihood -= (np.log(variances) + 0.5 * distance**2 / variances).sum(axis=1)
    return int(log_likelihood.argmax())


def _similarity(
    outline: np.ndarray, points: np.ndarray, weights: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """turn and place (...) that bring outlines (..., 21) nearest to points (21,) with weights (..., 21)."""
    share = weights / weights.sum(axis=-1, keepdims=True)
    by, to = (share * outline).sum(axis=-1), share @ points
    arms = outline - by[..., None]
    turn = (share * arms.conj() * (points - to[..., None])).sum(axis=-1)
    turn = turn / (share * np.abs(arms) ** 2).sum(axis=-1)
    return turn, to - turn * by
