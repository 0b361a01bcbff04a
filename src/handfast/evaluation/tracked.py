"""What a tracker finds in frames whose hands are labelled, each by itself: which hands, how far off, and what
else."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import numpy as np

from handfast.data.datasets.samples import Samples
from handfast.errors import HandfastError
from handfast.evaluation.keypoints import PCK_THRESHOLDS_PX
from handfast.sensors.views import hand_size_px
from handfast.skeleton import HAND21, Skeleton
from handfast.structures import HandLabel, HandPose
from handfast.tracking.opening import open_tracker

FOUND_WITHIN = 0.5  # of a hand's size: the mean error at which a find is of that hand
LEAST_LABELLED = 8  # key-points: with fewer there is no telling how large a hand is


class Match(NamedTuple):
    """A labelled hand and its find, None if it was missed. error_px (K,) of the find's key-points, infinite
    if there is none, NaN where there is no label or nothing to be seen. size_px: the hand's."""

    label: HandLabel
    find: HandPose | None
    error_px: np.ndarray
    size_px: float


@dataclass(frozen=True)
class TrackedScore:
    """A tracker's numbers, rounded to six decimals; None where there was nothing to measure.

    hands: those with LEAST_LABELLED labelled key-points or more. missed_rate: of them, those without a find;
    wrong_side_rate: of those found, the ones taken for the other. error_px, error_median_px,
    error_percent_of_hand (of each hand's size): of the hands found, the labelled key-points that can be seen.
    pck: of all such key-points those within 1, 2 .. 20 px; within_tenth, within_fifth: those within so much
    of their hand's size, a hand that is missed having none. ghosts_a_frame: finds that are no labelled hand.
    """

    frames: int
    hands: int
    missed_rate: float | None
    wrong_side_rate: float | None
    error_px: float | None
    error_median_px: float | None
    error_percent_of_hand: float | None
    pck: list[float] | None
    within_tenth: float | None
    within_fifth: float | None
    ghosts_a_frame: float


def evaluate_tracker(
    model: str | Path,
    samples: Samples,
    backend: str | None = None,
    gate: str | None = None,
    watch: Callable[[Iterable], Iterable] = iter,
) -> tuple[str, str, TrackedScore]:
    """The model's name, what ran it, and what its tracker finds in each frame by itself.

    backend, gate: as for ``open_tracker``. watch: passes the samples on, one by one. Raises HandfastError as
    ``open_tracker`` and reading samples do, for no frames, and for labels of other key-points.
    """
    tracker = open_tracker(model, backend, gate)
    frames, ghosts, matches = 0, 0, []
    for sample in watch(samples):
        ((_, finds),) = tracker.track([sample.frame])
        of_frame, others = matched(sample.hands, finds, tracker.model.skeleton)
        matches += of_frame
        ghosts += others
        frames += 1
    if not frames:
        raise HandfastError("expected one labelled image or more, got none")
    return tracker.model.card.name, tracker.model.backend, score_matches(matches, frames, ghosts)


def matched(
    labels: Sequence[HandLabel], finds: Sequence[HandPose], skeleton: Skeleton
) -> tuple[list[Match], int]:
    """Each labelled hand with the nearest find, which may be another's too, and how many finds are nobody's.

    Hands with fewer than LEAST_LABELLED labelled key-points have no match; finds that are near what is
    labelled of them, by its own size, are not nobody's.
    """
    matches, taken = [], set()
    for label in labels:
        points_px, known = _points_of(label, skeleton)
        labelled_px = label.keypoints_px[label.known]
        if not known.any():
            continue
        size_px = hand_size_px(labelled_px)
        errors_px = [
            np.where(known, np.linalg.norm(find.keypoints_px - points_px, axis=1), np.nan) for find in finds
        ]
        nearest = min(range(len(finds)), key=lambda i: np.nanmean(errors_px[i]), default=None)
        match = Match(label, None, np.where(known, np.inf, np.nan), size_px)
        if nearest is not None and np.nanmean(errors_px[nearest]) < FOUND_WITHIN * size_px:
            taken.add(nearest)
            match = Match(label, finds[nearest], errors_px[nearest], size_px)
        if len(labelled_px) >= LEAST_LABELLED:
            matches.append(match)
    return matches, len(finds) - len(taken)


def _points_of(label: HandLabel, skeleton: Skeleton) -> tuple[np.ndarray, np.ndarray]:
    """A label's key-points as a model has them: (K, 2) px, and which of them to measure (K,): those that are
    labelled and can be seen, or all that are labelled if none can."""
    labelled = label.known
    seen = labelled if label.visible is None else labelled & label.visible
    points_px = label.keypoints_px
    if label.skeleton is not skeleton:
        if label.skeleton is not HAND21:
            raise HandfastError(
                f"expected labels of {skeleton.name}'s key-points or of hand21's, got {label.skeleton.name}'s"
            )
        points_px = skeleton.select(points_px)
        labelled, seen = skeleton.select_visible(labelled), skeleton.select_visible(seen)
    return points_px, seen if seen.any() else labelled


def score_matches(matches: Sequence[Match], frames: int, ghosts: int) -> TrackedScore:
    """The numbers of so many frames with so many finds that are nobody's."""
    found = [match for match in matches if match.find is not None]
    wrong = [match.find.side != match.label.side for match in found]
    nothing = np.empty(0)
    error_px = np.concatenate([m.error_px[~np.isnan(m.error_px)] for m in matches] or [nothing])
    of_hand = np.concatenate([(m.error_px / m.size_px)[~np.isnan(m.error_px)] for m in matches] or [nothing])
    of_found_px = error_px[np.isfinite(error_px)]
    return TrackedScore(
        frames=frames,
        hands=len(matches),
        missed_rate=_mean(np.array([match.find is None for match in matches])),
        wrong_side_rate=_mean(np.array(wrong)),
        error_px=_mean(of_found_px),
        error_median_px=round(float(np.median(of_found_px)), 6) if found else None,
        error_percent_of_hand=_mean(100 * of_hand[np.isfinite(of_hand)]),
        pck=[_mean(error_px <= px) for px in PCK_THRESHOLDS_PX] if matches else None,
        within_tenth=_mean(of_hand <= 0.1),
        within_fifth=_mean(of_hand <= 0.2),
        ghosts_a_frame=round(ghosts / frames, 6),
    )


def _mean(values: np.ndarray) -> float | None:
    return round(float(values.mean()), 6) if values.size else None
