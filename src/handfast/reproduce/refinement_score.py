"""What is measured of DIR-Net in one way of running it: errors, cost, and how often it went on."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from handfast.evaluation.metrics import mean_error, pck_auc

QUANTILES = (0.05, 0.25, 0.5, 0.75, 0.95)
HIDDEN_BINS = (0.0, 0.05, 0.25, 0.5, 1.0)  # shares of a hand's joints
# tau_gate and tau_var of figure 7; the latter in the units of the variances.
TEMPERATURES = (0.25, 0.5, 1.0, 2.0, 4.0)
VARIANCES = (0.25, 0.5, 1.0, 2.0, 4.0, 8.0, 16.0)


@dataclass(frozen=True)
class RefinementScore:
    """Numbers over the frames of a split, rounded to six decimals.

    Errors are those of joints from the wrist. auc: under the PCK over 0 to 50 mm; auc_third_person: over 20
    to 50 mm in the third-person clips, as for STB; auc_first_person: over 0 to 50 mm in the others, as for
    FPHA; None where there are none. error_px: in the crop, which is input_px wide. loss_quantiles: of a
    frame's 3D error, mm, at 5, 25, 50, 75 and 95 % (figure 8). loops: how often it went on, the mean over
    frames; loops_by_hidden: the same of frames with as many hidden joints as between two of HIDDEN_BINS, None
    where there are none. parameters: those in use. macs: of all loops that were run, the mean over frames;
    gmacs, gflops (2 x MAC).
    """

    frames: int
    auc: float
    auc_third_person: float | None
    auc_first_person: float | None
    error_mm: float
    error_px: float
    input_px: int
    loss_quantiles: list[float]
    loops: float
    loops_by_hidden: list[float | None]
    parameters: int
    macs: int
    flops: int
    gmacs: float
    gflops: float
    weight_bytes: int


@dataclass(frozen=True)
class RunCost:
    """parameters, weight_bytes (4 a parameter): of the network as it trains; exported it has fewer, as the
    extractor's normalisations go into its convolutions. macs: of a run without loops. loop_macs: of each loop
    more."""

    parameters: int
    weight_bytes: int
    macs: int
    loop_macs: int


def score_run(
    errors_mm: np.ndarray,
    errors_px: np.ndarray,
    loops: np.ndarray,
    hidden: np.ndarray,
    first_person: np.ndarray,
    input_px: int,
    cost: RunCost,
) -> RefinementScore:
    """errors_mm and errors_px (n, 21), loops (n,), hidden (n,): the share of a hand's joints that are;
    first_person (n,) bool."""
    macs = round(cost.macs + float(loops.mean()) * cost.loop_macs)
    return RefinementScore(
        frames=len(errors_mm),
        auc=_rounded(pck_auc(errors_mm, 0, 50)),
        auc_third_person=auc_of_some(errors_mm[~first_person], 20),
        auc_first_person=auc_of_some(errors_mm[first_person], 0),
        error_mm=_rounded(mean_error(errors_mm)),
        error_px=_rounded(mean_error(errors_px)),
        input_px=input_px,
        loss_quantiles=[_rounded(q) for q in np.quantile(errors_mm.mean(axis=1), QUANTILES)],
        loops=_rounded(float(loops.mean())),
        loops_by_hidden=_by_hidden(loops, hidden),
        parameters=cost.parameters,
        macs=macs,
        flops=2 * macs,
        gmacs=macs / 1e9,
        gflops=2 * macs / 1e9,
        weight_bytes=cost.weight_bytes,
    )


def read_refinement(facts: Mapping[str, dict]) -> dict[str, RefinementScore]:
    """Those of a net's ways of running, from JSON."""
    return {part: RefinementScore(**values) for part, values in facts.items()}


def auc_of_some(errors_mm: np.ndarray, low_mm: float) -> float | None:
    """Under the PCK from low_mm to 50 mm, rounded to six decimals; None of no frames."""
    return _rounded(pck_auc(errors_mm, low_mm, 50)) if len(errors_mm) else None


def _by_hidden(loops: np.ndarray, hidden: np.ndarray) -> list[float | None]:
    # The last bin has its upper edge in it.
    number = np.digitize(hidden, HIDDEN_BINS[1:-1])
    of_bins = [loops[number == k] for k in range(len(HIDDEN_BINS) - 1)]
    return [_rounded(float(each.mean())) if len(each) else None for each in of_bins]


def _rounded(value: float) -> float:
    return round(float(value), 6)
