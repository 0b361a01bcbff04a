"""Hands in colour video, in space: found by the tracker of key-points, then cut out for DIR-Net or ACE.

A hand that is followed is cut out where its key-points were in the frame before, and what the model remembers
of it is handed on. The model always sees a hand in what it is shown; that there is one is for the finder to
say, which looks now and then.

Nothing is remembered across a cut in the video, or of a hand that was lost, found anew or is suddenly
elsewhere; across a gap in time hands go on, but the finder is asked and the model starts afresh.
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Protocol

import numpy as np

from handfast.errors import HandfastError
from handfast.geometry import Camera
from handfast.runtime.model import ModelCard
from handfast.sensors.colour_crop import box_about_px, crop_colour, look_rotation
from handfast.sensors.sources import open_source
from handfast.sensors.views import hand_size_px, without_strays
from handfast.structures import Frame, HandPose
from handfast.tracking.continuity import Continuity, Passage
from handfast.tracking.tracker import MOST_HANDS, Tracker

# A little wider than in training: of a hand in too narrow a crop the network sees too little, and the next
# crop is narrower still.
MARGIN = 1.8
FIND_EVERY = 5  # frames, while a hand is followed
FIRST_LOOKS = 2  # a new hand is cut out so many times, since the finder's key-points are rough
# Of a hand's size, between the middles of two finds that may be one hand, and between the key-points, in the
# mean, of two that are.
SAME_HAND, SAME_POINTS = 0.5, 0.25
SAME_SIZE = 1.5  # times as large or as small as what the finder sees a followed hand may be
MISSED = 2  # times in a row that the finder may not see a hand which is followed
# Of a hand's size, the standard deviation that a model sees in its key-points from which on it is lost.
LOST = 0.2


class CropEstimate(Protocol):
    """What a model says of the hand in a crop: joints_m (21, 3) from the wrist, along the crop's axes,
    keypoints_px (21, 2) in the crop, deviation_px (21,) of these."""

    joints_m: np.ndarray
    keypoints_px: np.ndarray
    deviation_px: np.ndarray


class CropModel(Protocol):
    """A model of colour crops of right hands, with or without a memory."""

    card: ModelCard

    def step(self, image: np.ndarray, state: object | None) -> tuple[CropEstimate, object | None]:
        """The next crop (S, S, 3) uint8 of a track, and what the step before remembered of it, None at its
        beginning -> what is seen, and what to remember."""
        ...


@dataclass(frozen=True, eq=False)
class _Hand:
    """keypoints_px (21, 2) in the picture. relative_m (21, 3): from the wrist, in the camera's axes.
    deviation: of the key-points, in shares of the hand's size. memory: the model's. missed: how often the
    finder did, by now."""

    side: str
    keypoints_px: np.ndarray
    relative_m: np.ndarray
    deviation: float
    memory: object | None = None
    track: int = 0
    missed: int = 0

    @property
    def score(self) -> float:
        return max(1 - self.deviation / LOST, 0.0)

    def is_near(self, keypoints_px: np.ndarray) -> bool:
        size_px = max(hand_size_px(self.keypoints_px), hand_size_px(keypoints_px))
        return np.linalg.norm((self.keypoints_px - keypoints_px).mean(axis=0)) < SAME_HAND * size_px

    def apart(self, keypoints_px: np.ndarray) -> float:
        """The mean distance of key-points, in sizes of the larger hand."""
        size_px = max(hand_size_px(self.keypoints_px), hand_size_px(keypoints_px), 1.0)
        return np.linalg.norm(self.keypoints_px - keypoints_px, axis=1).mean() / size_px

    def overlaps(self, keypoints_px: np.ndarray) -> bool:
        """Whether the squares about both have a part in common."""
        (centre_px, reach_px), (other_px, other_reach_px) = map(_square, (self.keypoints_px, keypoints_px))
        return np.abs(centre_px - other_px).max() < reach_px + other_reach_px

    def is_as(self, find: HandPose) -> bool:
        """Whether a find that is near has the same side and about the same size."""
        sizes_px = hand_size_px(self.keypoints_px), hand_size_px(find.keypoints_px)
        return self.side == find.side and max(sizes_px) < SAME_SIZE * min(sizes_px)


class ColourTracker:
    """Tracks up to two hands through the colour frames of one camera.

    model: predicts the joints of right hands; left ones are shown to it in the mirror. finder: finds hands
    and says which side they are.
    """

    def __init__(self, model: CropModel, finder: Tracker) -> None:
        self.model, self.finder = model, finder
        self._hands: list[_Hand] = []
        self._continuity = Continuity()
        self._frames = self._tracks = 0

    def track(self, source: str | Path | Iterable[Frame]) -> Iterator[tuple[Frame, list[HandPose]]]:
        """Each frame of a source with the hands in it, as ``Tracker.track``."""
        frames = open_source(source) if isinstance(source, str | Path) else source
        self._hands, self._frames, self._continuity = [], 0, Continuity()
        for frame in frames:
            yield frame, self.step(frame)

    def step(self, frame: Frame) -> list[HandPose]:
        """The hands in the next frame, knowing those of the frames before.

        Raises HandfastError for a frame without colour.
        """
        if frame.colour is None:
            raise HandfastError(
                f"frame {frame.index}: model {self.model.card.name} needs colour; give a colour video or "
                "8-bit RGB PNGs, or choose another --model"
            )
        passage = self._continuity.passage(frame)
        if passage is Passage.CUT:
            self._hands = []
        elif passage is Passage.GAP:  # whom the finder does not see now, it would have missed before
            self._hands = [replace(hand, memory=None, missed=MISSED - 1) for hand in self._hands]
        seen = [self._refined(frame, old.side, old.keypoints_px, old.memory) for old in self._hands]
        hands = _distinct(
            replace(new, track=old.track, missed=old.missed)
            for old, new in zip(self._hands, seen, strict=True)
            if new is not None and new.deviation < LOST and old.overlaps(new.keypoints_px)
        )
        if not hands or passage is Passage.GAP or self._frames % FIND_EVERY == 0:
            hands = self._with_found(frame, hands)
        self._frames += 1
        self._hands = hands
        return [_as_pose(hand, frame) for hand in hands]

    def _with_found(self, frame: Frame, followed: list[_Hand]) -> list[_Hand]:
        """Those of the followed hands that the finder still sees, and those that are new."""
        finds = self.finder.step(frame)
        matches = _matches(followed, finds)
        hands = []
        for i, hand in enumerate(followed):
            find = matches.get(i)
            if find is None:
                hand = replace(hand, missed=hand.missed + 1)
            elif hand.is_as(find):
                hand = replace(hand, missed=0)
            else:  # the crops showed the wrong hand of two, or went astray: each rests on the one before
                hand = self._started(frame, find, hand.track)
            if hand is not None and hand.missed < MISSED:
                hands.append(hand)
        for find in finds:
            if len(hands) == MOST_HANDS or any(hand.is_near(find.keypoints_px) for hand in hands):
                continue
            new = self._started(frame, find, self._tracks + 1)
            if new is not None and not any(hand.is_near(new.keypoints_px) for hand in hands):
                self._tracks = new.track
                hands.append(new)
        return hands

    def _started(self, frame: Frame, find: HandPose, track: int) -> _Hand | None:
        """What the finder has found; None if it is not a hand after all."""
        keypoints_px = without_strays(find.keypoints_px)
        for _ in range(FIRST_LOOKS):
            hand = self._refined(frame, find.side, keypoints_px, memory=None)
            if hand is None:
                return None
            keypoints_px = hand.keypoints_px
        return replace(hand, track=track) if hand.deviation < LOST else None

    def _refined(self, frame: Frame, side: str, about_px: np.ndarray, memory: object | None) -> _Hand | None:
        """The hand where key-points (21, 2) are, more or less; None where that is outside the picture."""
        if not np.ptp(about_px, axis=0).max() >= 1:
            return None
        box = box_about_px(about_px, MARGIN)
        size_px = self.model.card.input["width"]
        crop = crop_colour(frame.colour, box, size_px, mirrored=side == "left")
        if crop is None:
            return None
        found, memory = self.model.step(crop.image, memory)
        keypoints_px = crop.to_picture_px(found.keypoints_px).astype(np.float32)
        relative_m = found.joints_m @ crop.axes
        if frame.camera is not None:
            relative_m = relative_m @ look_rotation(frame.camera, box.centre_px)
        deviation_px = float(found.deviation_px.mean()) * box.side_px / size_px
        deviation = deviation_px / max(hand_size_px(keypoints_px), 1.0)
        return _Hand(side, keypoints_px, relative_m, deviation, memory)


def _square(keypoints_px: np.ndarray) -> tuple[np.ndarray, float]:
    """Its centre, and half of its side."""
    low_px, high_px = keypoints_px.min(axis=0), keypoints_px.max(axis=0)
    return (low_px + high_px) / 2, (high_px - low_px).max() / 2


def _distinct(hands: Iterable[_Hand]) -> list[_Hand]:
    """Without the less sure of two that have come to follow one hand; older ones first."""
    kept: list[_Hand] = []
    for hand in sorted(hands, key=lambda hand: hand.deviation):
        if all(other.apart(hand.keypoints_px) >= SAME_POINTS for other in kept):
            kept.append(hand)
    return sorted(kept, key=lambda hand: hand.track)


def _matches(hands: Sequence[_Hand], finds: Sequence[HandPose]) -> dict[int, HandPose]:
    """Which find is which hand, by its place in the list: near ones, those first that agree best, each once.

    Where hands cross, their middles are in one place, but neither their sides nor their fingers.
    """
    pairs = sorted(
        (hand.side != find.side, hand.apart(find.keypoints_px), i, j)
        for i, hand in enumerate(hands)
        for j, find in enumerate(finds)
        if hand.is_near(find.keypoints_px)
    )
    found_by: dict[int, int] = {}
    for *_, i, j in pairs:
        if i not in found_by and j not in found_by.values():
            found_by[i] = j
    return {i: finds[j] for i, j in found_by.items()}


def _as_pose(hand: _Hand, frame: Frame) -> HandPose:
    """Of what is in the picture the network does not tell what is hidden: all of it counts as visible."""
    height, width = frame.shape
    points_px = hand.keypoints_px
    return HandPose(
        side=hand.side,
        score=hand.score,
        keypoints_px=points_px,
        visible=((points_px >= -0.5) & (points_px < np.array([width, height]) - 0.5)).all(axis=1),
        xyz_mm=None if frame.camera is None else 1e3 * _placed_m(hand, frame.camera),
        track=hand.track,
        relative_mm=1e3 * hand.relative_m,
    )


def _placed_m(hand: _Hand, camera: Camera) -> np.ndarray:
    """(21, 3) in camera space: where a hand of this size and pose is seen as it is; NaN if nowhere.

    With rays (x, y, 1) and the wrist at t, x (r_z + t_z) = r_x + t_x for each joint r, and so for y: least
    squares tell t. Weak perspective would be off where a hand is not straight ahead.
    """
    rays = camera.unproject(hand.keypoints_px.astype(np.float64), np.ones(len(hand.keypoints_px)))[:, :2]
    minus_rays = -rays.ravel()[:, None]
    unknowns = np.concatenate([np.tile(np.eye(2), (len(rays), 1)), minus_rays], axis=1)
    knowns = (rays * hand.relative_m[:, 2:] - hand.relative_m[:, :2]).ravel()
    wrist_m = np.linalg.lstsq(unknowns, knowns, rcond=None)[0]
    placed_m = wrist_m + hand.relative_m
    return placed_m if placed_m[:, 2].min() > 0 else np.full_like(placed_m, np.nan)
