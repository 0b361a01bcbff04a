"""How far off a two-handed key-point net is on labelled frames: arrays in, one record out.

n frames, slot 0 the left hand and 1 the right, K key-points a hand. p_nsk is where a key-point is predicted
in the image, t_nsk where it is labelled, e_nsk = |p_nsk - t_nsk|. Each hand is looked for in the slot of its
own side.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from handfast.evaluation.metrics import pck, pck_auc, per_joint_error

PCK_THRESHOLDS_PX = tuple(range(1, 21))
LIKELY = 0.5  # the presence above which a hand counts as found


class KeypointLabels(NamedTuple):
    """What is true of n frames. Rows of hands that are not present may hold anything.

    keypoints_px (n, 2, K, 2). in_image, visible (n, 2, K) bool. present (n, 2) bool. empty (n,) bool: there
    is no hand at all, not even one of which too little shows to be present. size_px (n, 2): each hand's.
    joints_m (n, 2, K, 3) in camera space. lifted_m (n, 2, K, 3): keypoints_px lifted by the depth image, NaN
    where that has no value.
    """

    keypoints_px: np.ndarray
    in_image: np.ndarray
    visible: np.ndarray
    present: np.ndarray
    empty: np.ndarray
    size_px: np.ndarray
    joints_m: np.ndarray
    lifted_m: np.ndarray

    @property
    def labelled(self) -> np.ndarray:
        """(n, 2, K) bool: the key-points of present hands that are in the image."""
        return self.present[..., None] & self.in_image

    @property
    def seen(self) -> np.ndarray:
        """(n, 2, K) bool: those of them that are visible."""
        return self.labelled & self.visible


class KeypointPredictions(NamedTuple):
    """What a net says of them: keypoints_px (n, 2, K, 2), presence (n, 2) from 0 to 1, None of a net that was
    never taught it, lifted_m (n, 2, K, 3) as that of the labels."""

    keypoints_px: np.ndarray
    presence: np.ndarray | None
    lifted_m: np.ndarray


@dataclass(frozen=True)
class KeypointScore:
    """A net's numbers, rounded to six decimals; None where there was nothing to measure.

    Means and medians of e_nsk over the key-points of present hands that are in the image: error_px and
    error_median_px over those that can be seen, which are the ones that the paper's labels have (section 2),
    error_hidden_px and error_hidden_median_px over the others, error_all_px over both. error_px in other
    units: error_percent_of_diagonal, that of the image; error_percent_of_hand, each e_nsk relative to the
    size of its hand. error_by_keypoint_px: error_px by name. pck: the share of visible key-points with e_nsk
    within 1, 2 .. 20 px; pck_auc: the area under that curve from 0 to 20.

    wrong_side_rate: of the present hands, those taken for the other one (``wrong_side``). missed_rate: with
    h_n hands present and f_n slots whose presence is above 1/2, sum_n max(0, h_n - f_n) / sum_n h_n, so that
    a hand found on the wrong side is not missed too. ghost_rate: of the empty frames, those with f_n > 0.

    2.5D (section 5): a point in the image takes the depth of the surface there, which lies in front of the
    joint. Over visible key-points for which prediction and label both meet depth, a share lifted_share of
    all: joint_error_mm, from the lifted prediction to the labelled joint; surface_error_mm, to the lifted
    label, which leaves out how deep the joint lies and the sensor's error there; label_joint_error_mm, from
    the lifted label to the joint: what is left to a net without any error in the image.
    """

    frames: int
    hands: int
    error_px: float
    error_median_px: float
    error_hidden_px: float | None
    error_all_px: float
    error_percent_of_diagonal: float
    error_percent_of_hand: float
    error_by_keypoint_px: dict[str, float | None]
    pck: list[float]
    pck_auc: float
    wrong_side_rate: float | None
    missed_rate: float | None
    ghost_rate: float | None
    joint_error_mm: float | None
    surface_error_mm: float | None
    label_joint_error_mm: float | None
    lifted_share: float
    error_hidden_median_px: float | None = None  # older results have none


def measure_keypoints(
    predicted: KeypointPredictions, labels: KeypointLabels, names: Sequence[str], diagonal_px: float
) -> KeypointScore:
    """Score predictions. names: of the K key-points. diagonal_px: of the image.

    Raises HandfastError if no key-point can be seen in any frame.
    """
    error_px = np.linalg.norm(predicted.keypoints_px - labels.keypoints_px, axis=-1)
    labelled, seen = labels.labelled, labels.seen
    hidden = labelled & ~seen
    size_px = np.broadcast_to(labels.size_px[..., None], seen.shape)
    visible_px = np.where(seen, error_px, np.nan).reshape(-1, len(names))
    curve = pck(visible_px, np.array(PCK_THRESHOLDS_PX))

    on_surface = seen & np.isfinite(predicted.lifted_m + labels.lifted_m).all(axis=-1)

    def mean_mm(points_m: np.ndarray, others_m: np.ndarray) -> float | None:
        return _mean(1000 * np.linalg.norm(points_m - others_m, axis=-1)[on_surface])

    wrong = missed = ghosts = None
    if predicted.presence is not None:
        wrong = _mean(wrong_side(predicted, labels)[labels.present])
        hands, found = labels.present.sum(axis=1), (predicted.presence > LIKELY).sum(axis=1)
        missed = _round(np.maximum(hands - found, 0).sum() / hands.sum())
        ghosts = _mean(found[labels.empty] > 0)
    return KeypointScore(
        frames=len(error_px),
        hands=int(labels.present.sum()),
        error_px=_mean(error_px[seen]),
        error_median_px=_round(np.median(error_px[seen])),
        error_hidden_px=_mean(error_px[hidden]),
        error_all_px=_mean(error_px[labelled]),
        error_percent_of_diagonal=_round(100 * error_px[seen].mean() / diagonal_px),
        error_percent_of_hand=_mean(100 * error_px[seen] / size_px[seen]),
        error_by_keypoint_px={
            name: None if np.isnan(error) else _round(error)
            for name, error in zip(names, per_joint_error(visible_px), strict=True)
        },
        pck=[_round(share) for share in curve],
        pck_auc=_round(pck_auc(visible_px, 0, PCK_THRESHOLDS_PX[-1])),
        wrong_side_rate=wrong,
        missed_rate=missed,
        ghost_rate=ghosts,
        joint_error_mm=mean_mm(predicted.lifted_m, labels.joints_m),
        surface_error_mm=mean_mm(predicted.lifted_m, labels.lifted_m),
        label_joint_error_mm=mean_mm(labels.lifted_m, labels.joints_m),
        lifted_share=_mean(on_surface[seen]),
        error_hidden_median_px=_round(np.median(error_px[hidden])) if hidden.any() else None,
    )


def wrong_side(predicted: KeypointPredictions, labels: KeypointLabels) -> np.ndarray:
    """Which present hands are taken for the other one: (n, 2) bool.

    With both hands in the frame hand s is, if its predicted key-points lie nearer to the other hand o:
    mean_k |p_nsk - t_nok| < mean_k e_nsk, each over the labelled key-points in the image. A hand that is
    alone is, if the other slot's presence is higher than its own.
    """
    labelled = labels.labelled

    def distance_px(points_px: np.ndarray) -> np.ndarray:
        """From the points (n, 2, K, 2) to the labels of their slot: (n, 2)."""
        each = np.linalg.norm(points_px - labels.keypoints_px, axis=-1)
        count = labelled.sum(axis=-1)
        total = np.where(labelled, each, 0).sum(axis=-1)
        return np.divide(total, count, out=np.full(count.shape, np.nan), where=count > 0)

    to_own = distance_px(predicted.keypoints_px)
    to_other = distance_px(predicted.keypoints_px[:, ::-1])[:, ::-1]
    both = labels.present.all(axis=1, keepdims=True)
    doubted = predicted.presence[:, ::-1] > predicted.presence
    return labels.present & np.where(both, to_other < to_own, doubted)


def _mean(values: np.ndarray) -> float | None:
    return _round(values.mean()) if values.size else None


def _round(value: float) -> float:
    return round(float(value), 6)
