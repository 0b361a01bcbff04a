"""The field's measures of hand pose, as functions of whole sequences.

    errors = joint_errors(predicted, truth)           # (N, J), or procrustes_errors, root_relative_errors
    mean_error(errors), pck_auc(errors, 0, 50)        # numbers of them

N frames, J joints, D = 2 or 3 coordinates. Points may be in any unit, the same for both; errors and
thresholds are in it too. ``labelled`` (N, J) bool says which joints have a label, all if None; the others may
hold anything, and their errors are NaN, which every summary leaves out. Rows in messages count from 0.
"""

from collections.abc import Sequence

import numpy as np

from handfast.errors import HandfastError

AUC_STEPS = 100
_BLOCK = 512  # points whose distances to all others are held at once


def joint_errors(predicted: np.ndarray, truth: np.ndarray, labelled: np.ndarray | None = None) -> np.ndarray:
    """Absolute error of each joint: e_nj = |p_nj - t_nj|, in the points' unit.

    predicted, truth: (N, J, D). Returns (N, J). Raises HandfastError for unlike shapes and NaN.
    """
    predicted, truth = _checked(predicted, truth, labelled)
    return np.linalg.norm(predicted - truth, axis=-1)


def found_errors(found: np.ndarray, truth: np.ndarray, fallback: np.ndarray) -> np.ndarray:
    """Distances (..., J) of joints (..., J, 3); one that was not found, NaN, counts as at ``fallback``, which
    is broadcast to them."""
    return np.linalg.norm(np.where(np.isnan(found), fallback, found) - truth, axis=-1)


def root_relative_errors(
    predicted: np.ndarray, truth: np.ndarray, root: int = 0, labelled: np.ndarray | None = None
) -> np.ndarray:
    """Errors once both roots lie in the origin: e_nj = |(p_nj - p_nr) - (t_nj - t_nr)|, in the points' unit.

    As Zimmermann and Brox, "Learning to Estimate 3D Hand Pose from Single RGB Images", ICCV 2017. The root
    itself counts, with 0. predicted, truth: (N, J, D). Returns (N, J), NaN throughout frames whose root
    is not labelled. Raises HandfastError for unlike shapes and NaN.
    """
    predicted, truth = _checked(predicted, truth, labelled)
    relative = (predicted - predicted[:, root, None]) - (truth - truth[:, root, None])
    return np.linalg.norm(relative, axis=-1)


def procrustes_errors(
    predicted: np.ndarray, truth: np.ndarray, labelled: np.ndarray | None = None
) -> np.ndarray:
    """Errors after the best similarity: e_nj = |s R p_nj + c - t_nj|, in the points' unit.

    Their mean is PA-MPJPE: Procrustes alignment (Gower 1975) with rotation R, no reflection, scale s and
    shift c for each frame (Umeyama, "Least-Squares Estimation of Transformation Parameters", PAMI 1991; for
    hands Zimmermann et al., "FreiHAND", ICCV 2019). predicted, truth: (N, J, D). Returns (N, J), NaN
    throughout frames with fewer than D labelled joints. Raises HandfastError for unlike shapes and NaN.
    """
    predicted, truth = _checked(predicted, truth, labelled)
    known = ~np.isnan(truth).any(axis=-1, keepdims=True)
    p, _ = _centred(predicted, known)
    t, truth_centre = _centred(truth, known)
    U, singular, Vt = np.linalg.svd(p.swapaxes(1, 2) @ t)
    sign = np.ones_like(singular)
    sign[:, -1] = np.sign(np.linalg.det(U @ Vt))  # -1: the best map would mirror the hand
    R = (U * sign[:, None, :]) @ Vt  # for points as rows: p R
    spread = (p**2).sum(axis=(1, 2))
    scale = np.divide((singular * sign).sum(axis=1), spread, out=np.zeros_like(spread), where=spread > 0)
    aligned = scale[:, None, None] * (p @ R) + truth_centre
    enough = known.sum(axis=1, keepdims=True) >= truth.shape[2]
    return np.linalg.norm(np.where(enough, aligned - truth, np.nan), axis=-1)


def mean_error(errors: np.ndarray) -> float:
    """MPJPE, also EPE or mean joint error: (1 / NJ) sum_nj e_nj, in the unit of the errors (N, J).

    Ionescu et al., "Human3.6M", PAMI 2014; for hands Tang et al., "Latent Regression Forest", CVPR 2014.
    """
    return float(_known(errors).mean())


def median_error(errors: np.ndarray) -> float:
    """The median of all e_nj, in the unit of the errors (N, J)."""
    return float(np.median(_known(errors)))


def per_joint_error(errors: np.ndarray) -> np.ndarray:
    """(1 / N) sum_n e_nj: each joint's mean error (J,), in the unit of the errors; NaN without labels."""
    known = ~np.isnan(errors)
    count = known.sum(axis=0)
    total = np.where(known, errors, 0).sum(axis=0)
    return np.divide(total, count, out=np.full(len(count), np.nan), where=count > 0)


def fraction_of_frames(errors: np.ndarray, thresholds: np.ndarray) -> np.ndarray:
    """Share of frames with all joints within a threshold: (1 / N) #{n : max_j e_nj <= threshold}, 0 to 1.

    The worst-case measure of Taylor et al., "The Vitruvian Manifold", CVPR 2012. errors (N, J) and thresholds
    (T,) in one unit. Returns (T,). Frames without a label do not count.
    """
    worst = np.where(np.isnan(errors), -np.inf, errors).max(axis=1)
    return _fraction_within(np.where(worst >= 0, worst, np.nan), thresholds)


def pck(errors: np.ndarray, thresholds: np.ndarray) -> np.ndarray:
    """Percentage of correct key-points: (1 / NJ) #{(n, j) : e_nj <= threshold}, 0 to 1.

    Yang and Ramanan, PAMI 2013, with absolute thresholds as Zimmermann and Brox, ICCV 2017. errors (N, J) and
    thresholds (T,) in one unit. Returns (T,).
    """
    return _fraction_within(errors, thresholds)


def pck20(errors_mm: np.ndarray) -> float:
    """PCK at 20 mm, 0 to 1 (Fan et al. 2020, "Metrics"). errors_mm: (N, J)."""
    return float(pck(errors_mm, np.array([20.0]))[0])


def pck_auc(errors: np.ndarray, low: float, high: float) -> float:
    """Area under the PCK curve from low to high, over high - low: 0 to 1, and 1 for perfect predictions.

    Zimmermann and Brox, ICCV 2017: trapezoids on evenly spaced thresholds, here 100 with both ends as for
    FreiHAND. low and high are in the unit of the errors (N, J): 20 and 50 mm on STB, else 0 and 50.
    """
    curve = pck(errors, np.linspace(low, high, AUC_STEPS))
    return float((curve[1:] + curve[:-1]).mean() / 2)


def f_score(predicted: np.ndarray, truth: np.ndarray, thresholds: Sequence[float]) -> np.ndarray:
    """F-score of a mesh or point set at distances: 2 P R / (P + R), 0 to 1.

    P is the share of predicted points with a true one nearer than the threshold, R that of true points with a
    predicted one (Knapitsch et al., "Tanks and Temples", SIGGRAPH 2017; at 5 and 15 mm for hands: Zimmermann
    et al., "FreiHAND", ICCV 2019). predicted (M, D), truth (N, D), thresholds (T,) in one unit. Returns (T,).
    Raises HandfastError for empty sets, unlike dimensions and NaN.
    """
    predicted, truth = np.asarray(predicted, float), np.asarray(truth, float)
    for name, points in (("predicted", predicted), ("true", truth)):
        if points.ndim != 2 or len(points) == 0 or points.shape[1] != truth.shape[-1]:
            raise HandfastError(f"f_score: expected {name} points (M, D), got the shape {points.shape}")
        _refuse_rows(f"{name} points", ~np.isfinite(points).all(axis=1))
    limits = np.asarray(thresholds, float)[:, None]
    precision = (_nearest_distance(predicted, truth) < limits).mean(axis=1)
    recall = (_nearest_distance(truth, predicted) < limits).mean(axis=1)
    total = precision + recall
    return np.divide(2 * precision * recall, total, out=np.zeros_like(total), where=total > 0)


def acceleration_error(
    predicted: np.ndarray, truth: np.ndarray, fps: float, labelled: np.ndarray | None = None
) -> float:
    """Mean of |p''_nj - t''_nj| with x''_n = (x_n+1 - 2 x_n + x_n-1) fps^2, in the points' unit per s^2.

    Kanazawa et al., "Learning 3D Human Dynamics from Video", CVPR 2019; Kocabas et al., "VIBE", CVPR 2020.
    The code of both, and of TCMR (Choi et al., CVPR 2021), gives it per frame^2: that is fps = 1.
    predicted, truth: (N, J, D), one sequence of N >= 3 frames; a joint counts where three frames in a row are
    labelled.
    Raises HandfastError for unlike shapes, NaN and too few frames.
    """
    predicted, truth = _checked(predicted, truth, labelled)
    return mean_error(_derivative_length(predicted - truth, 2, fps))


def jitter(points: np.ndarray, fps: float) -> float:
    """Mean jerk |x'''_nj|, x''' = (x_n+3 - 3 x_n+2 + 3 x_n+1 - x_n) fps^3, in the points' unit per s^3.

    Flash and Hogan, J. Neuroscience 1985; as a measure of trackers Yi et al., "Physical Inertial Poser", CVPR
    2022. points: (N, J, D), one sequence of N >= 4 frames. Raises HandfastError for NaN and too few frames.
    """
    points, _ = _checked(points, points, None)
    return mean_error(_derivative_length(points, 3, fps))


def _checked(
    predicted: np.ndarray, truth: np.ndarray, labelled: np.ndarray | None
) -> tuple[np.ndarray, np.ndarray]:
    """Both as float64, NaN where not labelled."""
    predicted, truth = np.asarray(predicted, float), np.asarray(truth, float)
    if predicted.shape != truth.shape or truth.ndim != 3 or truth.shape[2] not in (2, 3):
        raise HandfastError(
            f"expected predictions and truth (N, J, 2 or 3) alike, got {predicted.shape} and {truth.shape}"
        )
    if labelled is None:
        labelled = np.ones(truth.shape[:2], bool)
    elif labelled.shape != truth.shape[:2] or labelled.dtype != bool:
        raise HandfastError(
            f"labelled: expected {truth.shape[:2]} bool, got {labelled.shape} {labelled.dtype}"
        )
    for name, points in (("predictions", predicted), ("truth", truth)):
        _refuse_rows(name, (labelled & ~np.isfinite(points).all(axis=-1)).any(axis=1))
    known = labelled[..., None]
    return np.where(known, predicted, np.nan), np.where(known, truth, np.nan)


def _refuse_rows(name: str, wrong: np.ndarray) -> None:
    """HandfastError that names the first rows of a (N,) mask, if it has any."""
    rows = np.flatnonzero(wrong)
    if len(rows):
        first = ", ".join(map(str, rows[:5]))
        more = f" and {len(rows) - 5} more" if len(rows) > 5 else ""
        raise HandfastError(f"{name}: NaN or infinite in row {first}{more}; mask these or leave them out")


def _known(errors: np.ndarray) -> np.ndarray:
    known = errors[~np.isnan(errors)]
    if not known.size:
        raise HandfastError("no joint is labelled: there is nothing to measure")
    return known


def _fraction_within(values: np.ndarray, thresholds: np.ndarray) -> np.ndarray:
    known = np.sort(_known(values))
    return np.searchsorted(known, thresholds, side="right") / known.size


def _centred(points: np.ndarray, known: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Known points (N, J, D) less their centre, 0 elsewhere, and the centre (N, 1, D)."""
    count = np.maximum(known.sum(axis=1, keepdims=True), 1)
    centre = np.where(known, points, 0).sum(axis=1, keepdims=True) / count
    return np.where(known, points - centre, 0), centre


def _nearest_distance(points: np.ndarray, others: np.ndarray) -> np.ndarray:
    """From each of the points (M, D) to the nearest of the others (N, D): (M,)."""
    blocks = (points[start : start + _BLOCK, None] for start in range(0, len(points), _BLOCK))
    return np.concatenate([np.linalg.norm(block - others, axis=-1).min(axis=1) for block in blocks])


def _derivative_length(points: np.ndarray, order: int, fps: float) -> np.ndarray:
    """(N, J, D) -> (N - order, J): the length of the derivative in time."""
    if len(points) <= order or not fps > 0:
        raise HandfastError(
            f"expected at least {order + 1} frames and fps above 0, got {len(points)} frames and fps {fps}"
        )
    return np.linalg.norm(np.diff(points, n=order, axis=0), axis=-1) * fps**order
