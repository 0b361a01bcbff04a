"""Finds: hands as the looks at one frame show them. Finds of one hand are merged, and some are believed."""

from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np

from handfast.sensors.views import hand_size_px, without_strays
from handfast.skeleton import SIDES
from handfast.tracking.looks import Look

MOST_HANDS = 2
# Two finds are one idea when their key-points lie less than this much of a hand's size apart; no two hands
# have so large a share of one's key-points in the other's box.
SAME_HAND, SAME_PLACE = 0.35, 0.4
# A hand whose score is above SURE needs no search for a better idea of it; one below FAINT is no start, nor a
# second one below SURE, or below ALIKE if it looks like one of the same side: most of these are none.
SURE, FAINT, ALIKE = 0.5, 0.3, 0.62
# In colour more things look a little like hands (`benchmarks/ghosts.py` counts them): all are followed, but
# told of is one whose key-points have been sharper, in the mean over the frames, and whose score has been
# higher once.
SHARP_IN_COLOUR, SHARPNESS_MEMORY = 0.38, 0.9
SURE_IN_COLOUR = 0.55
# Nets are trained on as many left hands as right ones; people hold up the right one three times of four.
RIGHT_PRIOR_LOGIT = 1.0
SIDE_MEMORY = 0.8  # how much of the evidence for a side lasts to the next frame


@dataclass(frozen=True, eq=False)
class Find:
    """A hand in the frame's pixels. side_logit > 0 speaks for a right hand; sharpness (K,) is the share of
    each heat-map around its peak; looks are those that it was found in; past_sharpness and past_best are the
    mean_sharpness and the best_score of the frame before, None and 0 of a new hand."""

    probability: float
    sharpness: np.ndarray
    side_logit: float
    keypoints_px: np.ndarray
    visible: np.ndarray
    looks: tuple[Look, ...] = ()
    track: int = 0
    past_sharpness: float | None = None
    past_best: float = 0.0

    @cached_property
    def score(self) -> float:
        """The network's opinion and how sure its key-points look, 0..1: ghosts have blurred heat-maps."""
        return float(np.sqrt(self.probability * self.sharpness.mean()))

    @property
    def best_score(self) -> float:
        """In this frame and those before."""
        return max(self.score, self.past_best)

    @property
    def mean_sharpness(self) -> float:
        """Over the key-points and the frames."""
        now = float(self.sharpness.mean())
        if self.past_sharpness is None:
            return now
        return SHARPNESS_MEMORY * self.past_sharpness + (1 - SHARPNESS_MEMORY) * now

    @cached_property
    def size_px(self) -> float:
        return hand_size_px(without_strays(self.keypoints_px))


def is_no_ghost(find: Find) -> bool:
    """Whether to tell of a find in colour."""
    return find.mean_sharpness > SHARP_IN_COLOUR and find.best_score > SURE_IN_COLOUR


def one_of_two(left: Find, right: Find, side_logit: float) -> Find:
    """Both slots mean the same hand: each key-point is where the slot says that is surer of it."""
    likelier = max(left, right, key=lambda find: find.probability)
    left_surer = left.sharpness > right.sharpness
    (left_look,), (right_look,) = left.looks, right.looks
    maps = np.where(left_surer[:, None, None], left_look.maps, right_look.maps)
    return replace(
        likelier,
        probability=1 - (1 - left.probability) * (1 - right.probability),
        sharpness=np.maximum(left.sharpness, right.sharpness),
        side_logit=side_logit,
        keypoints_px=np.where(left_surer[:, None], left.keypoints_px, right.keypoints_px),
        looks=(Look(left_look.affine, maps),),
    )


def merged(looks: tuple[Find | None, ...]) -> Find:
    """One hand seen in several looks, one of which has it at least; key-points are where most see them."""
    seen = [find for find in looks if find is not None]
    sharpness = np.array([find.sharpness for find in seen])
    weights = sharpness.mean(axis=1) / sharpness.mean(axis=1).sum()
    return replace(
        max(seen, key=lambda find: find.score),
        probability=float(weights @ [find.probability for find in seen]),
        sharpness=sharpness.sum(axis=0) / len(looks),
        side_logit=float(weights @ [find.side_logit for find in seen]),
        keypoints_px=np.median([find.keypoints_px for find in seen], axis=0).astype(np.float32),
        looks=tuple(look for find in seen for look in find.looks),
    )


def apart(a: Find, b: Find) -> float:
    """Mean distance of the key-points in hand sizes."""
    distance = np.linalg.norm(a.keypoints_px - b.keypoints_px, axis=1).mean()
    return float(distance / max(a.size_px, b.size_px, 1.0))


def _inside(a: Find, b: Find) -> float:
    """The share of a's key-points that lie in the box of b's."""
    points = without_strays(b.keypoints_px)
    low, high = points.min(axis=0), points.max(axis=0)
    return float(((a.keypoints_px >= low) & (a.keypoints_px <= high)).all(axis=1).mean())


def distinct(finds: list[Find]) -> list[Find]:
    """Without second finds of one hand, the surer ones first: a hand that is followed well stays itself.

    Of finds about as sure the earlier one in the list is kept.
    """
    kept: list[Find] = []
    for find in sorted(finds, key=lambda f: (not (f.track and f.score > SURE), -round(f.score, 2))):
        if all(apart(find, other) > SAME_HAND for other in kept):
            kept.append(find)
    return kept


def believed(finds: list[Find]) -> list[Find]:
    """The first of distinct finds that can be hands beside each other; new ones have to be sure enough."""
    kept: list[Find] = []
    for find in finds:
        alike = any((find.side_logit > 0) == (other.side_logit > 0) for other in kept)
        least = (ALIKE if alike else SURE) if kept else FAINT
        if (find.track or find.score > least) and all(_inside(find, other) < SAME_PLACE for other in kept):
            kept.append(find)
    return kept[:MOST_HANDS]


def sides_of(finds: list[Find]) -> list[str]:
    """Two hands are taken for a pair, one left and one right: the surer one has its way."""
    logits = [find.side_logit + RIGHT_PRIOR_LOGIT for find in finds]
    if len(finds) == MOST_HANDS and (logits[0] > 0) == (logits[1] > 0):
        unsure = int(abs(logits[1]) < abs(logits[0]))
        logits[unsure] = -logits[1 - unsure]
    return [SIDES[int(logit > 0)] for logit in logits]
