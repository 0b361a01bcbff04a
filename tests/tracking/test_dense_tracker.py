"""Hands are followed in space by what regresses their joints; a finder is asked only when one is missing."""

from types import SimpleNamespace

import numpy as np
import pytest

from handfast.data.depth import depth_clip
from handfast.data.synthesis import make_world
from handfast.errors import HandfastError
from handfast.geometry import Camera
from handfast.skeleton import HAND21
from handfast.structures import Frame, HandPose
from handfast.tracking.dense_tracker import FIND_EVERY, FOLLOWED, FOUND, DenseTracker


class Card:
    name = "toy"


class Oracle:
    """A dense model that knows a frame's right hand, if the crop is about it; its joints in mm."""

    card, skeleton = Card(), HAND21

    def __init__(self, joints_mm, score=0.8, lost=()):
        self.joints_mm, self.score, self.lost = joints_mm, score, list(lost)
        self.crops = 0

    def joints(self, crops):
        self.crops += len(crops)
        (crop,) = crops
        middle_mm = (self.joints_mm.min(0) + self.joints_mm.max(0)) / 2
        is_there = np.linalg.norm(crop.centre_mm[:2] - middle_mm[:2]) < 60
        joints_mm = np.where(np.isin(np.arange(21), self.lost)[:, None], np.nan, self.joints_mm)
        return joints_mm[None], np.full((1, 21), self.score if is_there else 0.1)


class Finder:
    """Sees hands of these joints, all of them or none, and counts how often it is asked."""

    def __init__(self, *hands_mm, side="right"):
        self.hands_mm, self.side = hands_mm, side
        self.model = SimpleNamespace(skeleton=HAND21)
        self.asked = self.forgotten = 0
        self.searches = []

    def forget(self):
        self.forgotten += 1

    def step(self, frame, search):
        self.asked += 1
        self.searches.append(search)
        return [
            HandPose(
                self.side, 0.9, frame.camera.project(joints_mm), np.ones(21, bool), joints_mm - (0.0, 0, 10)
            )
            for joints_mm in self.hands_mm
        ]


@pytest.fixture(scope="module")
def sample():
    world = make_world(2)
    return next(depth_clip(world, np.random.default_rng(5), 3))


@pytest.fixture(scope="module")
def joints_mm(sample):
    return 1e3 * sample.hands[0].keypoints_m.astype(np.float64)


def mirrored(frame):
    camera = frame.camera
    flipped = Camera(
        camera.fx, camera.fy, camera.width - 1 - camera.cx, camera.cy, camera.width, camera.height
    )
    return Frame(0, 0.0, depth=np.ascontiguousarray(frame.depth[:, ::-1]), camera=flipped)


def test_a_hand_is_found_once_and_then_followed(sample, joints_mm):
    finder = Finder(joints_mm)
    tracker = DenseTracker(Oracle(joints_mm), finder)
    poses = [tracker.step(sample.frame) for _ in range(FIND_EVERY)]
    assert finder.asked == 1
    for (pose,) in poses:
        assert (pose.side, pose.track) == ("right", 1)
        np.testing.assert_allclose(pose.xyz_mm, joints_mm)
        np.testing.assert_allclose(pose.keypoints_px, sample.hands[0].keypoints_px, atol=0.1)
    tracker.step(sample.frame)
    assert finder.searches == [False, True]  # for another hand, and that at once


def test_left_hands_are_seen_in_the_mirror(sample, joints_mm):
    """Whatever side the finder says."""
    own_mm = joints_mm * (-1, 1, 1)
    tracker = DenseTracker(Oracle(joints_mm), Finder(own_mm, side="right"))
    (pose,) = tracker.step(mirrored(sample.frame))
    assert pose.side == "left"
    np.testing.assert_allclose(pose.xyz_mm, own_mm)


def test_joints_that_can_be_seen_are_those_near_the_surface(sample, joints_mm):
    (pose,) = DenseTracker(Oracle(joints_mm), Finder(joints_mm)).step(sample.frame)
    agreement = (pose.visible == sample.hands[0].visible).mean()
    assert agreement > 0.8
    hidden = Frame(
        0,
        0.0,
        depth=sample.frame.depth - np.uint16(60) * (sample.frame.depth > 60),
        camera=sample.frame.camera,
    )
    (pose,) = DenseTracker(Oracle(joints_mm), Finder(joints_mm)).step(hidden)
    assert not pose.visible.any()


def test_joints_that_are_not_known_have_no_place_in_space(sample, joints_mm):
    (pose,) = DenseTracker(Oracle(joints_mm, lost=[3, 4]), Finder(joints_mm)).step(sample.frame)
    assert np.isnan(pose.xyz_mm[[3, 4]]).all() and np.isfinite(np.delete(pose.xyz_mm, [3, 4], axis=0)).all()
    assert np.isfinite(pose.keypoints_px).all() and not pose.visible[[3, 4]].any()
    assert DenseTracker(Oracle(joints_mm, lost=range(9)), Finder(joints_mm)).step(sample.frame) == []


def test_unsure_joints_are_no_hand(sample, joints_mm):
    finder = Finder(joints_mm)
    tracker = DenseTracker(Oracle(joints_mm, score=0.2), finder)
    assert tracker.step(sample.frame) == tracker.step(sample.frame) == []
    assert finder.asked == 2


def test_a_hand_that_leaves_is_lost_and_found_again_as_another(sample, joints_mm):
    empty = Frame(1, 0.1, depth=np.zeros_like(sample.frame.depth), camera=sample.frame.camera)
    tracker = DenseTracker(Oracle(joints_mm), Finder(joints_mm))
    tracks = [[pose.track for pose in tracker.step(f)] for f in (sample.frame, empty, sample.frame)]
    assert tracks == [[1], [], [2]]


def test_two_finds_of_one_hand_are_one(sample, joints_mm):
    near_mm = joints_mm + np.array([15.0, 0, 0])
    assert len(DenseTracker(Oracle(joints_mm), Finder(joints_mm, near_mm)).step(sample.frame)) == 1


def test_a_find_without_depth_is_no_start(sample, joints_mm):
    assert DenseTracker(Oracle(joints_mm), Finder(np.full((21, 3), np.nan))).step(sample.frame) == []


def test_frames_without_depth_are_refused(joints_mm):
    frame = Frame(7, 0.0, amplitude=np.zeros((120, 160), np.uint8))
    with pytest.raises(HandfastError, match="frame 7: model toy needs depth and a camera; give 16-bit"):
        DenseTracker(Oracle(joints_mm), Finder()).step(frame)


class BothWays(Oracle):
    """As sure of a hand in the mirror, in the middle of whatever it is shown."""

    def joints(self, crops):
        (crop,) = crops
        middle_mm = (self.joints_mm.min(0) + self.joints_mm.max(0)) / 2
        joints_mm = self.joints_mm - middle_mm + crop.centre_mm
        return joints_mm[None], np.full((1, 21), self.score)


@pytest.mark.parametrize("side", ["left", "right"])
def test_where_both_ways_are_as_sure_the_finder_says_which_hand_it_is(sample, joints_mm, side):
    tracker = DenseTracker(BothWays(joints_mm), Finder(joints_mm, side=side))
    (pose,) = tracker.step(sample.frame)
    assert pose.side == side


def test_what_has_not_the_size_of_a_hand_is_none_and_is_remembered(sample, joints_mm):
    """What is left of half a hand can look like a smaller one, and depth in another unit makes giants."""
    middle_mm = (joints_mm.min(0) + joints_mm.max(0)) / 2
    sizes = {}
    for share, count in ((1.0, 1), (0.85, 1), (0.55, 0), (1.5, 0), (1.7, 0), (3.0, 0)):
        scaled_mm = middle_mm + share * (joints_mm - middle_mm)
        tracker = DenseTracker(Oracle(scaled_mm), Finder(scaled_mm))
        ((_, hands),) = tracker.track([sample.frame])
        assert len(hands) == count
        sizes[share] = tracker.wrong_size
    assert sizes[1.0] is sizes[0.85] is None
    for share in (0.55, 1.7):
        assert sizes[3.0] / sizes[share] == pytest.approx(3.0 / share)


def test_a_find_without_bones_says_nothing_of_the_unit(sample, joints_mm):
    alone_mm = np.where(np.arange(21)[:, None] == 12, joints_mm, np.nan)
    tracker = DenseTracker(Oracle(joints_mm, score=0.1), Finder(alone_mm))
    assert list(tracker.track([sample.frame])) == [(sample.frame, [])] and tracker.wrong_size is None


def test_a_find_of_a_hands_size_says_nothing_of_the_unit(sample, joints_mm):
    tracker = DenseTracker(Oracle(joints_mm, score=0.1), Finder(joints_mm))
    assert list(tracker.track([sample.frame])) == [(sample.frame, [])] and tracker.wrong_size is None


def test_a_hand_that_is_followed_may_be_less_sure_than_a_new_one(sample, joints_mm):
    between = (FOUND + FOLLOWED) / 2
    model = Oracle(joints_mm, score=between)
    tracker = DenseTracker(model, Finder(joints_mm))
    assert tracker.step(sample.frame) == []
    model.score = 0.8
    assert len(tracker.step(sample.frame)) == 1
    model.score = between
    assert len(tracker.step(sample.frame)) == 1
    model.score = 0.61
    assert tracker.step(sample.frame) == []


def test_every_source_is_a_new_beginning(sample, joints_mm):
    finder = Finder(joints_mm)
    tracker = DenseTracker(Oracle(joints_mm), finder)
    for times in (1, 2):
        assert len(list(tracker.track([sample.frame]))) == 1 and finder.forgotten == times


class Swaying(Oracle):
    """Each time it is asked for a right hand its joints lie so far from the last ones."""

    def __init__(self, joints_mm, step_mm):
        super().__init__(joints_mm)
        self.truth_mm, self.step_mm, self.looks = joints_mm, step_mm, 0

    def joints(self, crops):
        joints_mm, scores = super().joints(crops)
        if scores.mean() > 0.5:
            self.looks += 1
            self.joints_mm = self.truth_mm + (self.looks % 2) * np.array([0, 0, self.step_mm])
        return joints_mm, scores


def test_what_two_looks_do_not_agree_on_is_no_hand(sample, joints_mm):
    assert len(DenseTracker(Swaying(joints_mm, 10.0), Finder(joints_mm)).step(sample.frame)) == 1
    assert DenseTracker(Swaying(joints_mm, 25.0), Finder(joints_mm)).step(sample.frame) == []


def test_a_hand_that_jumps_is_looked_at_again(sample, joints_mm):
    model, finder = Oracle(joints_mm), Finder(joints_mm)
    tracker = DenseTracker(model, finder)
    tracker.step(sample.frame)

    def step(joints_mm):
        model.joints_mm, model.crops = joints_mm, 0
        return [pose.track for pose in tracker.step(sample.frame)], model.crops

    assert step(joints_mm + np.array([15.0, 0, 0])) == ([1], 2)  # one look, each way round
    assert step(joints_mm + np.array([40.0, 0, 0])) == ([1], 4)
    finder.hands_mm = ()
    model.score = (FOUND + FOLLOWED) / 2  # enough for a hand that is where it was
    assert step(joints_mm + np.array([10.0, 0, 0])) == ([], 4)
