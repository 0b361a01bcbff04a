"""What is measured of ACE, or of a net beside it, on some frames: errors, compute, and how often its fine
encoder ran."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from handfast.evaluation.metrics import mean_error, pck20, pck_auc
from handfast.reproduce.refinement_score import auc_of_some

# The parts of a network that scores are of: without a gate it is one; with a gate they are all frames by its
# threshold, and by the usual one a quarter of them each by how they move and by how much is hidden, but
# for the first of each clip: there the gate has no past to go by.
WITHOUT_GATE = "without-gate"
THRESHOLDS = (0.1, 0.3, 0.5, 0.7, 0.9)
MOTIONS = ("slowest", "slower", "faster", "fastest")
RENEWED = "renewed"  # by the usual one, with a new state after as many frames as clips of training have
HIDDEN = ("least-hidden", "less-hidden", "more-hidden", "most-hidden")


def at_threshold(threshold: float) -> str:
    """lambda-0.5"""
    return f"lambda-{threshold}"


USUAL = at_threshold(0.5)


@dataclass(frozen=True)
class AdaptiveScore:
    """Numbers over frames, rounded to six decimals.

    Errors are those of joints from the wrist. pck20: the share within 20 mm; auc: under the PCK over 20 to
    50 mm, as in the paper for STB; auc_0_50: over 0 to 50 mm, as for FPHA; auc_third_person,
    auc_first_person: the one and the other of those parts alone, None where there are none. p_fine: the share
    of frames for which the fine encoder ran. motion_mm: how far joints move from frame to frame, from the
    wrist, the mean. hidden_share: of joints. input_px: the width of the crop. macs: of what ran, the mean
    over frames; gmacs, gflops (2 x MAC).
    """

    frames: int
    pck20: float
    auc: float
    auc_0_50: float
    error_mm: float
    p_fine: float
    motion_mm: float
    hidden_share: float
    input_px: int
    parameters: int
    macs: int
    flops: int
    gmacs: float
    gflops: float
    weight_bytes: int
    auc_third_person: float | None = None
    auc_first_person: float | None = None


@dataclass(frozen=True)
class Frames:
    """Of f frames: errors_mm (f, K); uses_fine (f,) bool; motion_mm and hidden_share (f,); third_person and
    first_person (f,) bool, seen by another or by who has the hand, as far as that is known."""

    errors_mm: np.ndarray
    uses_fine: np.ndarray
    motion_mm: np.ndarray
    hidden_share: np.ndarray
    third_person: np.ndarray
    first_person: np.ndarray

    def of(self, chosen: np.ndarray) -> "Frames":
        """Those of a mask (f,)."""
        return Frames(*(part[chosen] for part in vars(self).values()))


def score_frames(frames: Frames, macs: float, parameters: int, input_px: int) -> AdaptiveScore:
    """macs: of a frame, the mean over these."""
    macs = round(macs)
    return AdaptiveScore(
        frames=len(frames.errors_mm),
        pck20=_rounded(pck20(frames.errors_mm)),
        auc=_rounded(pck_auc(frames.errors_mm, 20, 50)),
        auc_0_50=_rounded(pck_auc(frames.errors_mm, 0, 50)),
        error_mm=_rounded(mean_error(frames.errors_mm)),
        p_fine=_rounded(frames.uses_fine.mean()),
        motion_mm=_rounded(frames.motion_mm.mean()),
        hidden_share=_rounded(frames.hidden_share.mean()),
        input_px=input_px,
        parameters=parameters,
        macs=macs,
        flops=2 * macs,
        gmacs=macs / 1e9,
        gflops=2 * macs / 1e9,
        weight_bytes=4 * parameters,
        auc_third_person=auc_of_some(frames.errors_mm[frames.third_person], 20),
        auc_first_person=auc_of_some(frames.errors_mm[frames.first_person], 0),
    )


def quarters(motion_mm: np.ndarray, hidden_share: np.ndarray) -> dict[str, np.ndarray]:
    """Masks (f,) of frames by name. What is alike is in one of them, so one may be larger than a quarter, and
    those that nothing is in are left out."""
    masks = {}
    for names, values in ((MOTIONS, motion_mm), (HIDDEN, hidden_share)):
        number = np.digitize(values, np.quantile(values, (0.25, 0.5, 0.75)), right=True)
        masks |= {name: number == k for k, name in enumerate(names)}
    return {name: mask for name, mask in masks.items() if mask.any()}


def read_adaptive(facts: Mapping[str, dict]) -> dict[str, AdaptiveScore]:
    """Those of a network, from JSON."""
    return {part: AdaptiveScore(**values) for part, values in facts.items()}


def _rounded(value: float) -> float:
    return round(float(value), 6)
