"""What a model remembers of a hand is handed on as long as it is that hand, in the next frame.

The model here sees a hand in the middle of whatever it is shown, and counts the crops of its track.
"""

from dataclasses import dataclass, replace
from types import SimpleNamespace

import numpy as np
import pytest

from handfast.sensors.views import hand_size_px
from handfast.structures import Frame, HandPose
from handfast.tracking.colour_tracker import FIND_EVERY, FIRST_LOOKS, LOST, MARGIN, ColourTracker

WIDTH, HEIGHT, CROP_PX = 240, 180, 64
# (21, 2), from -0.5 to 0.5 in the longer direction
SHAPE = np.column_stack([np.tile(np.linspace(-0.4, 0.4, 7), 3), np.repeat([-0.5, 0.0, 0.5], 7)])
LEFT_PX, RIGHT_PX = (70.0, 90.0), (170.0, 90.0)


@dataclass(frozen=True, eq=False)
class Estimate:
    joints_m: np.ndarray
    keypoints_px: np.ndarray
    deviation_px: np.ndarray


class Model:
    """remembered: how much it knew at each crop. deviation: in sizes of the hand. off_px: what it sees is so
    much to the right, in the crop, where it remembers something."""

    card = SimpleNamespace(name="toy", input={"width": CROP_PX})

    def __init__(self):
        self.remembered, self.deviation, self.off_px = [], 0.02, 0.0

    def step(self, image, memory):
        self.remembered.append(memory or 0)
        keypoints_px = (CROP_PX - 1) / 2 + CROP_PX / MARGIN * SHAPE
        deviation_px = np.full(21, self.deviation * hand_size_px(keypoints_px))
        keypoints_px = keypoints_px + np.array([self.off_px if memory else 0.0, 0.0])
        return Estimate(np.zeros((21, 3)), keypoints_px, deviation_px), self.remembered[-1] + 1


class Finder:
    """hands: the side and the middle of each."""

    def __init__(self, *hands):
        self.hands, self.asked = list(hands), 0

    def step(self, frame):
        self.asked += 1
        return [HandPose(side, 0.9, middle + 60 * SHAPE, np.ones(21, bool)) for side, middle in self.hands]


def picture(seed):
    blocks = np.random.default_rng(seed).integers(0, 256, (6, 8, 3), dtype=np.uint8)
    return blocks.repeat(HEIGHT // 6, axis=0).repeat(WIDTH // 8, axis=1)


FRAME = Frame(0, 0.0, colour=picture(0))


def at_frame(number):
    return replace(FRAME, time_s=number / 30)


def followed_for(frames, *hands):
    """A tracker that has followed hands at 30 frames a second."""
    tracker = ColourTracker(Model(), Finder(*hands))
    for number in range(frames):
        tracker.step(at_frame(number))
    return tracker


def shown(tracker, frame):
    """What the model knows in the next frame, crop by crop, and the hands there by track."""
    tracker.model.remembered.clear()
    poses = tracker.step(frame)
    return tracker.model.remembered, {pose.track: pose.side for pose in poses}


def test_each_track_has_a_memory_that_grows_by_a_frame_at_a_time():
    """The looks at a new hand are of one frame: each begins anew."""
    tracker = followed_for(0, ("left", LEFT_PX), ("right", RIGHT_PX))
    both = {1: "left", 2: "right"}
    assert shown(tracker, at_frame(0)) == ([0] * FIRST_LOOKS * 2, both)
    tracker.finder.hands.pop()  # it is missed once, which says nothing
    for number in range(1, 2 * FIND_EVERY):
        assert shown(tracker, at_frame(number)) == ([number, number], both)


def test_a_hand_that_was_lost_is_new():
    tracker = followed_for(3, ("right", LEFT_PX))
    tracker.model.deviation = 1.1 * LOST
    assert tracker.step(at_frame(3)) == []
    tracker.model.deviation = 0.02
    assert shown(tracker, at_frame(4)) == ([0] * FIRST_LOOKS, {2: "right"})


def test_a_hand_of_another_side_than_was_thought_is_new():
    tracker = followed_for(FIND_EVERY, ("right", LEFT_PX))
    tracker.finder.hands = [("left", LEFT_PX)]
    expected = [FIND_EVERY] + [0] * FIRST_LOOKS
    assert shown(tracker, at_frame(FIND_EVERY)) == (expected, {1: "left"})


@pytest.mark.parametrize(("sizes", "is_elsewhere"), [(0.9, False), (1.1, True)])
def test_a_hand_that_is_suddenly_elsewhere_is_another_one(sizes, is_elsewhere):
    """Where the square about it does not meet that of the frame before, the finder is asked."""
    tracker = followed_for(3, ("right", LEFT_PX))
    tracker.model.off_px = sizes * CROP_PX / MARGIN
    knew = [3] + [0] * FIRST_LOOKS if is_elsewhere else [3]
    assert shown(tracker, at_frame(3)) == (knew, {1 + is_elsewhere: "right"})


def test_of_what_was_before_a_cut_nothing_is_known_or_shown():
    tracker = followed_for(3, ("right", LEFT_PX))
    tracker.finder.hands = [("right", RIGHT_PX)]
    tracker.model.remembered.clear()
    (pose,) = tracker.step(replace(at_frame(3), colour=picture(1)))
    assert tracker.model.remembered == [0] * FIRST_LOOKS and pose.track == 2
    np.testing.assert_allclose(pose.keypoints_px.mean(axis=0), RIGHT_PX, atol=2)
    tracker.finder.hands = []
    assert tracker.step(replace(at_frame(4), colour=picture(2))) == []


def test_frames_of_another_size_begin_anew():
    """As those of another source do."""
    tracker = followed_for(3, ("right", LEFT_PX))
    smaller = replace(at_frame(3), colour=np.ascontiguousarray(FRAME.colour[:-2]))
    assert shown(tracker, smaller) == ([0] * FIRST_LOOKS, {2: "right"})
    (_, poses), *_ = tracker.track([at_frame(4)])
    assert [pose.track for pose in poses] == [3]


@pytest.mark.parametrize("missing", [2, 30])
def test_after_a_gap_a_hand_goes_on_but_nothing_is_remembered(missing):
    """The same track: the finder, who is asked, still sees it."""
    tracker = followed_for(3, ("right", LEFT_PX))
    assert shown(tracker, at_frame(3 + missing)) == ([0], {1: "right"})
    assert tracker.finder.asked == 2
    assert shown(tracker, at_frame(4 + missing)) == ([1], {1: "right"})
    assert tracker.finder.asked == 2


def test_a_hand_that_has_gone_in_a_gap_is_not_shown():
    """However sure the model is of it."""
    tracker = followed_for(3, ("right", LEFT_PX))
    tracker.finder.hands = []
    assert len(tracker.step(at_frame(3))) == 1
    assert tracker.step(at_frame(10)) == []


def test_one_missing_frame_is_no_gap():
    tracker = followed_for(3, ("right", LEFT_PX))
    assert shown(tracker, at_frame(4)) == ([3], {1: "right"})
