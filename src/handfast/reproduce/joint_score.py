"""What is measured of any network that finds the joints of a hand in space, as it runs."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from handfast.evaluation.metrics import pck20, pck_auc
from handfast.reproduce.dense_score import score_errors


@dataclass(frozen=True)
class JointScore:
    """Numbers over frames, rounded to six decimals.

    error_mm, error_median_mm: over all joints of all frames; error_by_joint_mm: error_mm by name.
    frames_within: the share of frames with all joints within 1, 2 .. 80 mm. pck20: the share of joints within
    20 mm; auc_20_50, auc_0_50: the area under the PCK over 20 to 50 mm, and from 0 on. gflops (2 x MAC): of
    what ran, the mean over frames. loops: of DIR-Net, how often it went on, p_fine: of ACE, the share of
    frames for which the fine encoder ran; None of other networks.
    """

    frames: int
    error_mm: float
    error_median_mm: float
    error_by_joint_mm: dict[str, float]
    frames_within: list[float]
    pck20: float
    auc_20_50: float
    auc_0_50: float
    gflops: float
    loops: float | None = None
    p_fine: float | None = None


def score_joints(
    errors_mm: np.ndarray,
    names: Sequence[str],
    flops: float,
    loops: float | None = None,
    p_fine: float | None = None,
) -> JointScore:
    """errors_mm: (n, K) of K names. flops: of a frame, the mean."""
    return JointScore(
        **score_errors(errors_mm, names),
        pck20=round(pck20(errors_mm), 6),
        auc_20_50=round(pck_auc(errors_mm, 20, 50), 6),
        auc_0_50=round(pck_auc(errors_mm, 0, 50), 6),
        gflops=round(flops / 1e9, 6),
        loops=None if loops is None else round(loops, 6),
        p_fine=None if p_fine is None else round(p_fine, 6),
    )
