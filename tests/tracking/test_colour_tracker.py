"""Hands are followed by what refines their joints; a finder says where one begins, and that there is one.

In the frames here a pixel's red is its x and its green its y, so that a crop tells what it shows.
"""

from dataclasses import dataclass, replace
from types import SimpleNamespace

import numpy as np
import pytest

from handfast.errors import HandfastError
from handfast.geometry import Camera, apply_affine, invert_affine, random_rotation
from handfast.hand_model.articulation import FINGER_DOF_COUNT, angles_from_dofs
from handfast.hand_model.model import joint_rotations, load_hand_asset, pose_hand
from handfast.sensors.views import hand_size_px
from handfast.structures import Frame, HandPose
from handfast.tracking.colour_tracker import FIND_EVERY, FIRST_LOOKS, LOST, MARGIN, ColourTracker

WIDTH, HEIGHT, CROP_PX = 240, 180, 160
CAMERA = Camera(200.0, 205.0, 118.0, 91.0, WIDTH, HEIGHT)
SURE = 0.02  # a deviation, of the hand's size


@dataclass(frozen=True, eq=False)
class Hand:
    """joints_m (21, 3) in camera space."""

    side: str
    joints_m: np.ndarray

    @property
    def keypoints_px(self):
        return CAMERA.project(self.joints_m)

    @property
    def relative_m(self):
        return self.joints_m - self.joints_m[0]

    def moved(self, *by_m):
        return replace(self, joints_m=self.joints_m + by_m)


def hand_at(x_m, y_m, z_m=0.5, side="right", seed=0):
    """A bent hand, turned any way, its middle there."""
    rng = np.random.default_rng(seed)
    dofs = np.zeros(24)
    dofs[:FINGER_DOF_COUNT] = rng.uniform(0, 0.5, FINGER_DOF_COUNT)
    asset = load_hand_asset()
    joints_m, _ = pose_hand(asset, joint_rotations(asset, angles_from_dofs(dofs)), np.zeros(10), side)
    joints_m = joints_m @ random_rotation(rng).T
    return Hand(side, joints_m - joints_m.mean(axis=0) + (x_m, y_m, z_m))


@dataclass(frozen=True, eq=False)
class Estimate:
    joints_m: np.ndarray
    keypoints_px: np.ndarray
    deviation_px: np.ndarray


class Oracle:
    """A model that knows the hands, and tells of the one in the middle of its crop, if it can one of the side
    that it is shown, being less sure of others; where there is none it sees one all the same. mirrored: of
    each crop, whether it was."""

    card = SimpleNamespace(name="toy", input={"width": CROP_PX})

    def __init__(self, hands, knows_camera=True, error_px=0.0, error_m=0.0):
        self.hands, self.knows_camera = hands, knows_camera
        self.error_px, self.error_m, self.deviation = error_px, error_m, SURE
        self.rng, self.mirrored = np.random.default_rng(0), []

    def step(self, image, memory):
        to_crop = invert_affine(affine_to_picture(image))
        self.mirrored.append(np.linalg.det(to_crop[:, :2]) < 0)
        middle_px = np.full(2, (CROP_PX - 1) / 2)
        seen = [(hand, apply_affine(to_crop, hand.keypoints_px)) for hand in self.hands]
        seen = [(h, points) for h, points in seen if np.abs(points.mean(0) - middle_px).max() < CROP_PX / 2]
        if seen:
            side = "left" if self.mirrored[-1] else "right"
            hand, keypoints_px = min(
                seen, key=lambda s: (s[0].side != side, np.linalg.norm(s[1].mean(axis=0) - middle_px))
            )
            deviation = self.deviation * (1 if hand.side == side else 1.5)
            axes = np.eye(3)
            axes[:2, :2] = to_crop[:, :2] / np.linalg.norm(to_crop[:, 0])
            look = rotation_to(apply_affine(invert_affine(to_crop), middle_px))
            joints_m = hand.relative_m @ look.T @ axes.T
        else:
            deviation, joints_m = self.deviation, hand_at(0, 0).relative_m
            keypoints_px = middle_px + CROP_PX * 3 * (joints_m - joints_m.mean(axis=0))[:, :2]
        return Estimate(
            joints_m=joints_m + self.error_m * self.rng.standard_normal((21, 3)),
            keypoints_px=keypoints_px + self.error_px * self.rng.standard_normal((21, 2)),
            deviation_px=np.full(21, deviation * hand_size_px(keypoints_px)),
        ), None


def affine_to_picture(crop):
    """(2, 3), as the colours of a crop tell."""
    y, x = np.nonzero(crop[..., 2] == 255)
    columns = np.column_stack([x, y, np.ones(len(x))])
    return np.linalg.lstsq(columns, crop[y, x, :2].astype(float), rcond=None)[0].T


def rotation_to(point_px):
    """The smallest that takes a pixel's ray to z: I + [v] + [v]^2 / (1 + c), v = ray x z and c = ray . z."""
    ray = np.array([(point_px[0] - CAMERA.cx) / CAMERA.fx, (point_px[1] - CAMERA.cy) / CAMERA.fy, 1.0])
    ray /= np.linalg.norm(ray)
    v = np.cross(ray, (0, 0, 1))
    V = np.array([[0, -v[2], v[1]], [v[2], 0, -v[0]], [-v[1], v[0], 0]])
    return np.eye(3) + V + V @ V / (1 + ray[2])


class Finder:
    """Sees the hands, roughly, and counts how often it is asked."""

    def __init__(self, hands, error_px=0.0):
        self.hands, self.error_px = hands, error_px
        self.asked = 0

    def step(self, frame):
        self.asked += 1
        return [
            HandPose(hand.side, 0.9, hand.keypoints_px + self.error_px, np.ones(21, bool))
            for hand in self.hands
        ]


def picture():
    y, x = np.mgrid[:HEIGHT, :WIDTH]
    return np.stack([x, y, np.full_like(x, 255)], axis=-1).astype(np.uint8)


FRAME = Frame(0, 0.0, colour=picture(), camera=CAMERA)


def tracker_of(hands, **options):
    """A tracker to whose model and finder these hands can be seen, now and when the list changes."""
    return ColourTracker(Oracle(hands, **options), Finder(hands))


def tracks(poses):
    return {pose.track: pose.side for pose in poses}


def test_a_hand_is_found_once_and_then_followed():
    hands = [hand_at(0.02, 0.01)]
    tracker = tracker_of(hands)
    for _ in range(FIND_EVERY):
        (pose,) = tracker.step(FRAME)
        assert (pose.side, pose.track) == ("right", 1)
        assert pose.score == pytest.approx(1 - SURE / LOST, abs=0.01)
        np.testing.assert_allclose(pose.keypoints_px, hands[0].keypoints_px, atol=0.3)
        hands[0] = hands[0].moved(0.01, -0.005, 0.01)
    assert tracker.finder.asked == 1
    assert len(tracker.model.mirrored) == FIRST_LOOKS + FIND_EVERY - 1
    tracker.step(FRAME)
    assert tracker.finder.asked == 2


@pytest.mark.parametrize("side", ["left", "right"])
@pytest.mark.parametrize("place_m", [(0, 0, 0.4), (0.17, -0.13, 0.45), (-0.3, 0.2, 0.7), (-0.17, 0, 0.4)])
def test_a_hand_is_in_space_where_it_was_put(side, place_m):
    """Straight ahead or not: at the side of the picture its axes differ from the crop's by half a radian."""
    for seed in range(3):
        hand = hand_at(*place_m, side=side, seed=seed)
        tracker = tracker_of([hand])
        (pose,) = tracker.step(FRAME)
        assert tracker.model.mirrored == [side == "left"] * FIRST_LOOKS
        np.testing.assert_allclose(pose.keypoints_px, hand.keypoints_px, atol=0.3)
        np.testing.assert_allclose(pose.relative_mm, 1e3 * hand.relative_m, atol=0.5)
        np.testing.assert_allclose(pose.xyz_mm, 1e3 * hand.joints_m, atol=3)


def test_errors_in_the_picture_are_errors_of_a_few_per_cent_in_space():
    hands = [hand_at(0.1, -0.08, 0.5, seed=seed) for seed in range(20)]
    errors = []
    for hand in hands:
        (pose,) = tracker_of([hand], error_px=1.5, error_m=0.004).step(FRAME)
        errors.append((pose.xyz_mm - 1e3 * hand.joints_m).mean(axis=0) / (1e3 * hand.joints_m[:, 2].mean()))
    errors = np.array(errors)
    assert np.abs(errors[:, :2]).max() < 0.02
    assert np.abs(errors[:, 2]).mean() < 0.04
    assert abs(errors[:, 2].mean()) < 0.02  # neither too near nor too far


def test_without_a_camera_a_hand_is_as_one_sees_it_who_looks_at_it():
    hand = hand_at(0.17, -0.1, 0.45, side="left")
    (pose,) = tracker_of([hand]).step(replace(FRAME, camera=None))
    low, high = hand.keypoints_px.min(axis=0), hand.keypoints_px.max(axis=0)
    seen_m = hand.relative_m @ rotation_to((low + high) / 2).T
    assert pose.xyz_mm is None
    np.testing.assert_allclose(pose.relative_mm, 1e3 * seen_m, atol=0.5)


def test_what_fits_no_place_before_the_camera_has_none():
    hand = hand_at(0, 0)
    tracker = tracker_of([hand])
    step = tracker.model.step

    def turned_round(image, memory):
        found, memory = step(image, memory)
        return replace(found, joints_m=-found.joints_m), memory

    tracker.model.step = turned_round
    (pose,) = tracker.step(FRAME)
    assert np.isnan(pose.xyz_mm).all() and np.isfinite(pose.relative_mm).all()


def test_a_rough_find_is_a_start():
    hand = hand_at(0, 0)
    tracker = tracker_of([hand])
    tracker.finder.error_px = 0.3 * hand_size_px(hand.keypoints_px)
    (pose,) = tracker.step(FRAME)
    np.testing.assert_allclose(pose.keypoints_px, hand.keypoints_px, atol=0.3)


def test_a_find_of_no_extent_is_none():
    hand = Hand("right", np.tile([0.0, 0, 0.5], (21, 1)))
    assert tracker_of([hand]).step(FRAME) == []


def test_a_video_without_hands_yields_empty_frames():
    tracker = tracker_of([])
    found = list(tracker.track([FRAME] * 7))
    assert [hands for _, hands in found] == [[]] * 7
    assert tracker.finder.asked == 7 and not tracker.model.mirrored


def test_what_the_finder_misses_twice_is_a_ghost():
    """The model goes on seeing a hand when it has gone."""
    hands = [hand_at(0, 0)]
    tracker = tracker_of(hands)
    tracker.step(FRAME)
    hands.clear()
    found = [len(tracker.step(FRAME)) for _ in range(3 * FIND_EVERY)]
    assert found == [1] * (2 * FIND_EVERY - 1) + [0] * (FIND_EVERY + 1)
    hands.append(hand_at(0, 0))
    assert tracks(tracker.step(FRAME)) == {2: "right"}


def test_a_hand_that_the_finder_misses_now_and_then_is_kept():
    hands = [hand_at(0, 0)]
    tracker = tracker_of(hands)
    for i in range(8 * FIND_EVERY):
        tracker.finder.hands = [] if i // FIND_EVERY % 2 else hands
        assert tracks(tracker.step(FRAME)) == {1: "right"}


def test_a_hand_of_which_the_model_is_not_sure_is_dropped():
    tracker = tracker_of([hand_at(0, 0)])
    tracker.step(FRAME)
    tracker.model.deviation = 1.1 * LOST
    assert tracker.step(FRAME) == tracker.step(FRAME) == []
    assert tracker.finder.asked == 3
    tracker.model.deviation = 0.9 * LOST
    (pose,) = tracker.step(FRAME)
    assert pose.track == 2 and pose.score == pytest.approx(0.1, abs=0.01)


def test_hands_cross():
    """Their middles meet on the way. Of two that are in one place the finder may see one alone."""
    hands = [hand_at(-0.15, 0, side="left", seed=1), hand_at(0.15, 0.02, 0.55, seed=2)]
    tracker = tracker_of(hands)
    step_m = 0.3 / (4 * FIND_EVERY)
    for i in range(4 * FIND_EVERY):
        tracker.finder.hands = hands[:1] if i == 2 * FIND_EVERY else hands
        poses = tracker.step(FRAME)
        assert tracks(poses) == {1: "left", 2: "right"}
        for pose, hand in zip(poses, hands, strict=True):
            np.testing.assert_allclose(pose.xyz_mm, 1e3 * hand.joints_m, atol=5)
        hands[:] = [hands[0].moved(step_m, 0, 0), hands[1].moved(-step_m, 0, 0)]
    assert hands[0].joints_m[:, 0].mean() > 0.14 > -0.14 > hands[1].joints_m[:, 0].mean()


def test_of_two_finds_in_one_place_a_hand_is_that_of_its_side():
    hands = [hand_at(0, 0, side="left")]
    tracker = tracker_of(hands)
    tracker.step(FRAME)
    tracker.finder.hands = [replace(hands[0], side="right"), hands[0].moved(0.01, 0, 0)]
    for _ in range(FIND_EVERY):
        assert tracks(tracker.step(FRAME)) == {1: "left"}


def test_two_tracks_of_one_hand_become_one():
    left, right = hand_at(-0.035, 0, side="left", seed=1), hand_at(0.035, 0)
    hands = [left, right]
    tracker = tracker_of(hands)
    assert tracks(tracker.step(FRAME)) == {1: "left", 2: "right"}
    hands.pop()  # what followed it now sees the other
    assert tracks(tracker.step(FRAME)) == {1: "left"}


def test_no_third_hand_and_no_second_find_of_one():
    first, second = hand_at(-0.1, 0), hand_at(0.1, 0, side="left")
    assert len(tracker_of([first, first.moved(0.02, 0, 0)]).step(FRAME)) == 1
    tracker = tracker_of([first, second, hand_at(0, 0.15)])
    assert tracks(tracker.step(FRAME)) == {1: "right", 2: "left"}


def test_a_second_hand_is_found_while_one_is_followed():
    hands = [hand_at(-0.1, 0)]
    tracker = tracker_of(hands)
    tracker.step(FRAME)
    hands.append(hand_at(0.1, 0, side="left"))
    found = [tracks(tracker.step(FRAME)) for _ in range(FIND_EVERY)]
    assert found[-2:] == [{1: "right"}, {1: "right", 2: "left"}]


def test_the_finder_may_change_its_mind_about_the_side():
    hands = [hand_at(0, 0)]
    tracker = tracker_of(hands)
    tracker.finder.hands = [replace(hands[0], side="left")]
    assert tracks(tracker.step(FRAME)) == {1: "left"}
    tracker.finder.hands = hands
    for _ in range(FIND_EVERY):
        (pose,) = tracker.step(FRAME)
    assert (pose.side, pose.track) == ("right", 1)
    assert tracker.model.mirrored[-FIRST_LOOKS:] == [False] * FIRST_LOOKS
    np.testing.assert_allclose(pose.relative_mm, 1e3 * hands[0].relative_m, atol=0.5)


@pytest.mark.parametrize("growth", [0.85, 1.2])
def test_crops_that_go_astray_are_put_right(growth):
    """Each is cut out about what the model saw in the one before: if that is too small, so is the next."""
    hand = hand_at(0, 0)
    tracker = tracker_of([hand])
    tracker.step(FRAME)
    step = tracker.model.step

    def misjudged(image, memory):
        found, memory = step(image, memory)
        low_px, high_px = found.keypoints_px.min(axis=0), found.keypoints_px.max(axis=0)
        share = growth / MARGIN * CROP_PX / (high_px - low_px).max()
        keypoints_px = (CROP_PX - 1) / 2 + share * (found.keypoints_px - (low_px + high_px) / 2)
        return replace(found, keypoints_px=keypoints_px), memory

    tracker.model.step = misjudged
    sizes = []
    for _ in range(6 * FIND_EVERY):
        (pose,) = tracker.step(FRAME)
        assert pose.track == 1
        sizes.append(hand_size_px(pose.keypoints_px) / hand_size_px(hand.keypoints_px))
    times = np.log(sizes) / np.log(growth)  # by how often it was misjudged in a row
    assert times.max() < FIND_EVERY + FIRST_LOOKS and times[-1] == pytest.approx(times[-1 - FIND_EVERY])


def test_a_hand_leaves_the_picture():
    """Its key-points go on beyond the border as long as enough of it is left to see."""
    hands = [hand_at(0.18, 0)]
    tracker = tracker_of(hands)
    while poses := tracker.step(FRAME):
        x_px = hands[0].keypoints_px[:, 0]
        clear = np.abs(x_px - (WIDTH - 0.5)) > 0.5
        np.testing.assert_array_equal(poses[0].visible[clear], (x_px < WIDTH - 0.5)[clear])
        np.testing.assert_allclose(poses[0].xyz_mm, 1e3 * hands[0].joints_m, atol=5)
        hands[0] = hands[0].moved(0.01, 0, 0)
    assert (x_px < WIDTH).mean() < 0.3
    assert [tracker.step(FRAME) for _ in range(FIND_EVERY)] == [[]] * FIND_EVERY


def test_a_new_source_begins_without_hands():
    hands = [hand_at(0, 0)]
    tracker = tracker_of(hands)
    ((frame, first),) = tracker.track([FRAME])
    hands.clear()
    assert frame is FRAME and tracks(first) == {1: "right"}
    assert [poses for _, poses in tracker.track([FRAME])] == [[]]


def test_frames_without_colour_are_refused():
    frame = Frame(7, 0.0, amplitude=np.zeros((HEIGHT, WIDTH), np.uint8))
    with pytest.raises(HandfastError, match="frame 7: model toy needs colour; give a colour video"):
        tracker_of([]).step(frame)
