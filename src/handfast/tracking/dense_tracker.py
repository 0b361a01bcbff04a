"""Hands in depth images, in space: found by the tracker of key-points, then cut out for dense regression.

A hand that is followed is cut out where its joints were in the frame before; the finder looks when there is
none, and now and then for another.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from handfast.errors import HandfastError
from handfast.geometry import Camera
from handfast.runtime.dense import DenseModel
from handfast.sensors.depth_crop import CUBE_MM, box_about, crop_hand
from handfast.sensors.images import measured_depth_m
from handfast.sensors.sources import open_source
from handfast.skeleton import SIDES
from handfast.structures import Frame, HandPose
from handfast.tracking.finds import MOST_HANDS, SIDE_MEMORY, SURE
from handfast.tracking.sizes import Sizes, size_of
from handfast.tracking.tracker import HAND_SIZES, Tracker

SKIN_TO_MIDDLE_MM = 12.0  # the finder tells the depth of skin
# The mean of a hand's joints' scores at which it counts as found, and as still there: torn hands, arms and
# faces seldom have as much (benchmarks/torn_hands.py).
FOUND, FOLLOWED = 0.72, 0.69
KNOWN = 0.4  # the score of a joint at which it counts as known: of those below six in ten are 40 mm off
LEAST_SCORE = 0.01  # of a hand that is not there, when sides are compared
LEAST_JOINTS = 0.8  # of a hand's, that must be known
# Of the mean hand's bones in all: what is left of half a hand can look like a smaller one, and depth in
# another unit makes giants. People whom no network has seen come out at 0.72 to 1.09.
LEAST_SIZE, MOST_SIZE = 0.7, 1.2
SAME_HAND_MM = 60.0  # between the middles of two finds that are one hand
# A new hand is looked at twice, the second time about where the first look put it: a mere guess then comes
# out otherwise, by more than STEADY_MM in the mean. So is one that moved by more than JUMP_MM since the frame
# before.
STEADY_MM, JUMP_MM = 18.0, 20.0
FIND_EVERY = 10  # frames, while a hand is followed and another may come
# Evidence for a side as a logit, as it was on synthetic people that nobody was trained on: so many times the
# logarithm of how much surer the joints are seen that way round, and what the finder says.
SURER_LOGITS, FINDER_LOGIT = 20.0, 1.2
# A joint can be seen where the surface before it is no farther away than this: more is another finger.
DEEPEST_MM = 35.0


@dataclass(frozen=True, eq=False)
class _Hand:
    """joints_mm (K, 3) in camera space, NaN where not known; right_logit > 0 speaks for a right hand."""

    side: str
    joints_mm: np.ndarray
    score: float
    right_logit: float
    track: int

    @property
    def middle_mm(self) -> np.ndarray:
        return (np.nanmin(self.joints_mm, axis=0) + np.nanmax(self.joints_mm, axis=0)) / 2


class DenseTracker:
    """Tracks up to two hands through the depth frames of one sensor.

    model: predicts the joints of right hands; left ones are shown to it in the mirror. finder: finds hands.
    """

    def __init__(self, model: DenseModel, finder: Tracker) -> None:
        self.model, self.finder = model, finder
        self._sizes = Sizes(*HAND_SIZES)
        self._hands: list[_Hand] = []
        self._frames = self._tracks = 0

    def track(self, source: str | Path | Iterable[Frame]) -> Iterator[tuple[Frame, list[HandPose]]]:
        """Each frame of a source with the hands in it, as ``Tracker.track``."""
        frames = open_source(source) if isinstance(source, str | Path) else source
        self._hands, self._frames = [], 0
        self._sizes.forget()
        self.finder.forget()
        for frame in frames:
            yield frame, self.step(frame)

    @property
    def wrong_size(self) -> float | None:
        """Of the latest hands, and of what the finder took for one and the network did not, as
        ``Sizes.wrong``."""
        return self._sizes.wrong

    def step(self, frame: Frame) -> list[HandPose]:
        """The hands in the next frame, knowing those of the frames before.

        Raises HandfastError for a frame without depth or without a camera, and for depth that no sensor
        measures.
        """
        if frame.depth is None or frame.camera is None:
            raise HandfastError(
                f"frame {frame.index}: model {self.model.card.name} needs depth and a camera; give 16-bit "
                "depth images with --depth-unit-mm and --intrinsics"
            )
        depth_mm = 1e3 * measured_depth_m(frame)
        hands = [self._followed(depth_mm, frame.camera, old) for old in self._hands]
        hands = [hand for hand in hands if hand is not None]
        searching = len(hands) < MOST_HANDS and self._frames % FIND_EVERY == 0
        if not hands or searching:
            hands += self._found(frame, depth_mm, hands)
        self._frames += 1
        self._hands = _distinct(hands)[:MOST_HANDS]
        for hand in self._hands:
            self._sizes.add(hand.joints_mm, self.model.skeleton)
        return [_as_pose(hand, depth_mm, frame.camera) for hand in self._hands]

    def _found(self, frame: Frame, depth_mm: np.ndarray, followed: list[_Hand]) -> list[_Hand]:
        """Hands that the finder sees and that are not followed."""
        new = []
        for pose in self.finder.step(frame, search=bool(followed)):
            known_mm = pose.xyz_mm[np.isfinite(pose.xyz_mm).all(axis=1)]
            if not len(known_mm):
                continue
            middle_mm = np.median(known_mm, axis=0) + np.array([0, 0, SKIN_TO_MIDDLE_MM])
            if any(np.linalg.norm(middle_mm - old.middle_mm) < SAME_HAND_MM for old in followed):
                continue
            hint = FINDER_LOGIT if pose.side == "right" else -FINDER_LOGIT
            rough = self._seen(depth_mm, frame.camera, middle_mm, hint, self._tracks + 1, FOLLOWED)
            hand = rough and self._confirmed(depth_mm, frame.camera, rough, hint)
            if hand is not None:
                self._tracks += 1
                new.append(hand)
            elif pose.score > SURE:
                self._sizes.add(pose.xyz_mm, self.finder.model.skeleton)
        return new

    def _followed(self, depth_mm: np.ndarray, camera: Camera, old: _Hand) -> _Hand | None:
        """The hand of the frame before, where it is now; None where it is lost."""
        memory = SIDE_MEMORY * old.right_logit
        hand = self._seen(depth_mm, camera, old.middle_mm, memory, old.track, FOLLOWED)
        if hand is not None and _apart_mm(hand, old) > JUMP_MM:
            return self._confirmed(depth_mm, camera, hand, memory)
        return hand

    def _confirmed(
        self, depth_mm: np.ndarray, camera: Camera, first: _Hand, right_logit: float
    ) -> _Hand | None:
        """The hand of a first look, from a second one; None where they do not agree."""
        hand = self._seen(depth_mm, camera, first.middle_mm, right_logit, first.track, FOUND)
        return hand if hand is not None and _apart_mm(hand, first) <= STEADY_MM else None

    def _seen(
        self,
        depth_mm: np.ndarray,
        camera: Camera,
        middle_mm: np.ndarray,
        right_logit: float,
        track: int,
        least: float,
    ) -> _Hand | None:
        """The hand about a point, as the likelier side; None where none has a score of ``least``.
        right_logit: what is known of its side."""
        mirror = np.array([-1.0, 1, 1])
        left_mm, left = self._regressed(depth_mm[:, ::-1], _mirrored(camera), mirror * middle_mm)
        right_mm, right = self._regressed(depth_mm, camera, middle_mm)
        if max(left, right) < least:
            return None
        right_logit += SURER_LOGITS * float(np.log(max(right, LEAST_SCORE) / max(left, LEAST_SCORE)))
        is_right = right >= least and (right_logit > 0 or left < least)
        return _Hand(
            side=SIDES[int(is_right)],
            joints_mm=right_mm if is_right else mirror * left_mm,
            score=right if is_right else left,
            right_logit=right_logit,
            track=track,
        )

    def _regressed(
        self, depth_mm: np.ndarray, camera: Camera, middle_mm: np.ndarray
    ) -> tuple[np.ndarray, float]:
        """Joints (K, 3) of a right hand about a point, and how sure they are: 0 if there is none."""
        nothing = np.full((len(self.model.skeleton), 3), np.nan)
        if not middle_mm[2] > CUBE_MM / 2:
            return nothing, 0.0
        crop = crop_hand(np.ascontiguousarray(depth_mm), camera, box_about(middle_mm, camera, CUBE_MM))
        if crop is None:
            return nothing, 0.0
        (joints_mm,), (scores,) = self.model.joints([crop])
        joints_mm = np.where(scores[:, None] >= KNOWN, joints_mm, np.nan)
        if np.isfinite(joints_mm).all(axis=1).mean() < LEAST_JOINTS:
            return nothing, 0.0
        if not LEAST_SIZE <= size_of(joints_mm, self.model.skeleton) <= MOST_SIZE:
            return nothing, 0.0
        return joints_mm.astype(np.float64), float(scores.mean())


def _apart_mm(hand: _Hand, other: _Hand) -> float:
    """Of the joints that both know, the mean."""
    return float(np.nanmean(np.linalg.norm(hand.joints_mm - other.joints_mm, axis=1)))


def _mirrored(camera: Camera) -> Camera:
    """That of the image flipped left for right."""
    return Camera(camera.fx, camera.fy, camera.width - 1 - camera.cx, camera.cy, camera.width, camera.height)


def _distinct(hands: list[_Hand]) -> list[_Hand]:
    """Without second finds of one hand; the first ones, which are followed, stay."""
    kept: list[_Hand] = []
    for hand in hands:
        if all(np.linalg.norm(hand.middle_mm - other.middle_mm) >= SAME_HAND_MM for other in kept):
            kept.append(hand)
    return kept


def _as_pose(hand: _Hand, depth_mm: np.ndarray, camera: Camera) -> HandPose:
    """A joint that is not known has no place in space, and that of the hand's middle in the image."""
    known = np.isfinite(hand.joints_mm).all(axis=1)
    points_px = camera.project(np.where(known[:, None], hand.joints_mm, hand.middle_mm))
    height, width = depth_mm.shape
    x, y = np.rint(points_px).astype(int).T
    inside = (x >= 0) & (x < width) & (y >= 0) & (y < height)
    surface_mm = depth_mm[y.clip(0, height - 1), x.clip(0, width - 1)]
    behind_mm = hand.joints_mm[:, 2] - surface_mm
    return HandPose(
        side=hand.side,
        score=hand.score,
        keypoints_px=points_px.astype(np.float32),
        visible=known & inside & (surface_mm > 0) & (behind_mm < DEEPEST_MM),
        xyz_mm=hand.joints_mm,
        track=hand.track,
    )
