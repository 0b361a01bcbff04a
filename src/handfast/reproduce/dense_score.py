"""What is measured of dense regression at one level: errors in space, speed, and how its training went."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

import numpy as np

from handfast.evaluation.metrics import fraction_of_frames, mean_error, median_error, per_joint_error

THRESHOLDS_MM = tuple(range(1, 81))
LOSS_POINTS = 120

# (step, value) pairs in the order of the steps.
Curve = list[list[float]]


@dataclass(frozen=True)
class DenseScore:
    """One level's numbers, rounded to six decimals.

    error_mm, error_median_mm: over all joints of all frames, a joint that was not found counting as the
    crop's centre. error_by_joint_mm: error_mm by name. frames_within: the share of frames with all joints
    within 1, 2 .. 80 mm (figure 5). input_px: how wide the crops were.

    parameters: as trained, normalisations included, which is how the paper counts them. macs, gmacs, flops,
    weight_bytes, ms: of the exported network on one crop of 128 pixels, whatever the size that it was trained
    with. ms: its time on one core, in engine.

    Of the training (figure 4), both by step: loss, of all levels together, its mean over equal stretches;
    validation_mm, the error at this level.
    """

    frames: int
    error_mm: float
    error_median_mm: float
    error_by_joint_mm: dict[str, float]
    frames_within: list[float]
    input_px: int
    parameters: int
    macs: int
    gmacs: float
    flops: int
    weight_bytes: int
    ms: float
    engine: str
    loss: Curve
    validation_mm: Curve


def read_scores(facts: Mapping[str, dict]) -> dict[str, DenseScore]:
    """Those of a run's levels, from JSON."""
    return {level: DenseScore(**values) for level, values in facts.items()}


def score_errors(errors_mm: np.ndarray, names: Sequence[str]) -> dict:
    """What a ``DenseScore`` has of errors (n, J) of n frames."""
    return {
        "frames": len(errors_mm),
        "error_mm": round(mean_error(errors_mm), 6),
        "error_median_mm": round(median_error(errors_mm), 6),
        "error_by_joint_mm": dict(zip(names, np.round(per_joint_error(errors_mm), 6).tolist(), strict=True)),
        "frames_within": np.round(fraction_of_frames(errors_mm, np.array(THRESHOLDS_MM)), 6).tolist(),
    }


def score_training(log: Path, level: int) -> dict:
    """What a ``DenseScore`` has of the log of a run, for one of its levels."""
    lines = [json.loads(line) for line in log.read_text(encoding="utf-8").splitlines()]
    return {
        "loss": _shortened(_curve(lines, "train/maps")),
        "validation_mm": _curve(lines, f"validation/crops_error_mm_l{level}"),
    }


def reached(validation_mm: Curve, error_mm: float) -> tuple[float, float]:
    """The step at which a curve first comes down to an error, on straight lines between validations, and how
    many steps apart the two around it are. It must end there or below; if it begins there, its first step is
    both."""
    first_step, first_mm = validation_mm[0]
    if first_mm <= error_mm:
        return first_step, first_step
    before, after = next(pair for pair in pairwise(validation_mm) if pair[1][1] <= error_mm)
    interval = after[0] - before[0]
    return before[0] + interval * (before[1] - error_mm) / (before[1] - after[1]), interval


def _curve(lines: list[dict], name: str) -> Curve:
    return [[line["step"], round(line[name], 3)] for line in lines if name in line]


def _shortened(curve: Curve) -> Curve:
    """The means of stretches as long as one another, at most LOSS_POINTS of them."""
    if not curve:
        return []
    stretches = np.array_split(np.array(curve), min(LOSS_POINTS, len(curve)))
    return [[round(float(value), 3) for value in stretch.mean(axis=0)] for stretch in stretches]
