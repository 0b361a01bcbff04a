"""What a model remembers of a hand is handed on as long as it is that hand, in the next frame.

The model here counts the crops of its track.
"""

from dataclasses import dataclass, replace
from types import SimpleNamespace

import numpy as np
import pytest

from handfast.structures import Frame, HandPose
from handfast.tracking.crop_tracker import CropTracker

WIDTH, HEIGHT, CROP_PX = 240, 180, 64
SHAPE = np.column_stack([np.tile(np.linspace(-0.4, 0.4, 7), 3), np.repeat([-0.5, 0.0, 0.5], 7)])
LEFT_PX, RIGHT_PX = (70.0, 90.0), (170.0, 90.0)


@dataclass(frozen=True, eq=False)
class Estimate:
    joints_m: np.ndarray
    effort: int = 0


class Model:
    """remembered: how much it knew at each crop."""

    card = SimpleNamespace(name="toy", input={"image": "colour crop", "width": CROP_PX})

    def __init__(self):
        self.remembered = []

    def step(self, image, memory):
        self.remembered.append(memory or 0)
        return Estimate(np.zeros((21, 3))), self.remembered[-1] + 1


class Finder:
    """hands: the track, the side and the middle of each. forgot: how often it was told to."""

    def __init__(self, *hands):
        self.hands, self.forgot = list(hands), 0

    def forget(self):
        self.forgot += 1

    def step(self, frame):
        return [
            HandPose(side, 0.9, middle + 60 * SHAPE, np.ones(21, bool), track=track)
            for track, side, middle in self.hands
        ]


def picture(seed):
    blocks = np.random.default_rng(seed).integers(0, 256, (6, 8, 3), dtype=np.uint8)
    return blocks.repeat(HEIGHT // 6, axis=0).repeat(WIDTH // 8, axis=1)


FRAME = Frame(0, 0.0, colour=picture(0))


def at_frame(number):
    return replace(FRAME, time_s=number / 30)


def followed_for(frames, *hands):
    """A tracker that has followed hands at 30 frames a second."""
    tracker = CropTracker(Model(), Finder(*hands))
    for number in range(frames):
        tracker.step(at_frame(number))
    return tracker


def known(tracker, frame):
    """What the model knows in the next frame, crop by crop."""
    tracker.model.remembered.clear()
    tracker.step(frame)
    return tracker.model.remembered


def test_each_track_has_a_memory_that_grows_by_a_frame_at_a_time():
    tracker = followed_for(3, (1, "left", LEFT_PX))
    tracker.finder.hands.append((2, "right", RIGHT_PX))
    assert known(tracker, at_frame(3)) == [3, 0]
    assert known(tracker, at_frame(4)) == [4, 1]
    tracker.finder.hands.reverse()
    assert known(tracker, at_frame(5)) == [2, 5]


def test_a_hand_that_was_lost_is_new():
    tracker = followed_for(3, (1, "right", LEFT_PX))
    tracker.finder.hands = []
    assert known(tracker, at_frame(3)) == []
    tracker.finder.hands = [(1, "right", LEFT_PX)]
    assert known(tracker, at_frame(4)) == [0]


def test_a_hand_of_another_side_than_was_thought_is_new():
    """It is shown the other way round from now on."""
    tracker = followed_for(3, (1, "right", LEFT_PX))
    tracker.finder.hands = [(1, "left", LEFT_PX)]
    assert known(tracker, at_frame(3)) == [0]
    assert known(tracker, at_frame(4)) == [1]


@pytest.mark.parametrize("change", ["scene", "size", "back"])
def test_of_what_was_before_a_cut_nothing_is_known(change):
    tracker = followed_for(3, (1, "right", LEFT_PX))
    frame = {
        "scene": replace(at_frame(3), colour=picture(1)),
        "size": replace(at_frame(3), colour=np.ascontiguousarray(FRAME.colour[:-2])),
        "back": at_frame(1),
    }[change]
    assert known(tracker, frame) == [0]
    assert tracker.finder.forgot == 1


def test_another_source_begins_anew():
    tracker = followed_for(3, (1, "right", LEFT_PX))
    tracker.model.remembered.clear()
    list(tracker.track([at_frame(3), at_frame(4)]))
    assert tracker.model.remembered == [0, 1] and tracker.finder.forgot == 1


@pytest.mark.parametrize("missing", [2, 30])
def test_after_a_gap_nothing_is_remembered_but_the_hand_is_looked_for_where_it_was(missing):
    tracker = followed_for(3, (1, "right", LEFT_PX))
    assert known(tracker, at_frame(3 + missing)) == [0]
    assert known(tracker, at_frame(4 + missing)) == [1]
    assert tracker.finder.forgot == 0


def test_one_missing_frame_is_no_gap():
    tracker = followed_for(3, (1, "right", LEFT_PX))
    assert known(tracker, at_frame(4)) == [3]
