"""A finder says where hands are in the picture, a model of crops how they are in space.

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
from handfast.structures import Frame, HandPose
from handfast.tracking.crop_tracker import CropTracker

WIDTH, HEIGHT, CROP_PX = 240, 180, 160
CAMERA = Camera(200.0, 205.0, 118.0, 91.0, WIDTH, HEIGHT)


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
    effort: int = 2


class Oracle:
    """A model that knows the hands, and tells how the one in the middle of its crop is bent and turned.
    mirrored: of each crop, whether it was."""

    card = SimpleNamespace(name="toy", input={"image": "colour crop", "width": CROP_PX})

    def __init__(self, hands, error_m):
        self.hands, self.error_m = hands, error_m
        self.rng, self.mirrored = np.random.default_rng(0), []

    def step(self, image, memory):
        to_crop = invert_affine(affine_to_picture(image))
        self.mirrored.append(np.linalg.det(to_crop[:, :2]) < 0)
        middle_px = np.full(2, (CROP_PX - 1) / 2)
        hand = min(
            self.hands,
            key=lambda h: np.linalg.norm(apply_affine(to_crop, h.keypoints_px).mean(0) - middle_px),
        )
        axes = np.eye(3)
        axes[:2, :2] = to_crop[:, :2] / np.linalg.norm(to_crop[:, 0])
        look = rotation_to(apply_affine(invert_affine(to_crop), middle_px))
        joints_m = hand.relative_m @ look.T @ axes.T
        return Estimate(joints_m + self.error_m * self.rng.standard_normal((21, 3))), None


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
    """Sees the hands."""

    def __init__(self, hands, error_px):
        self.hands, self.error_px, self.rng = hands, error_px, np.random.default_rng(0)

    def forget(self):
        pass

    def step(self, frame):
        return [
            HandPose(
                hand.side,
                0.9,
                hand.keypoints_px + self.error_px * self.rng.standard_normal((21, 2)),
                np.ones(21, bool),
                track=1 + i,
            )
            for i, hand in enumerate(self.hands)
        ]


def picture():
    y, x = np.mgrid[:HEIGHT, :WIDTH]
    return np.stack([x, y, np.full_like(x, 255)], axis=-1).astype(np.uint8)


FRAME = Frame(0, 0.0, colour=picture(), camera=CAMERA)


def tracker_of(hands, error_px=0.0, error_m=0.0):
    """A tracker to whose model and finder these hands can be seen."""
    return CropTracker(Oracle(hands, error_m), Finder(hands, error_px))


@pytest.mark.parametrize("side", ["left", "right"])
@pytest.mark.parametrize("place_m", [(0, 0, 0.4), (0.17, -0.13, 0.45), (-0.3, 0.2, 0.7), (-0.17, 0, 0.4)])
def test_a_hand_is_in_space_where_it_was_put(side, place_m):
    """Straight ahead or not: at the side of the picture its axes differ from the crop's by half a radian."""
    for seed in range(3):
        hand = hand_at(*place_m, side=side, seed=seed)
        tracker = tracker_of([hand])
        (pose,) = tracker.step(FRAME)
        assert tracker.model.mirrored == [side == "left"]
        np.testing.assert_array_equal(pose.keypoints_px, hand.keypoints_px)
        assert pose.effort == 2
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


def test_where_next_to_nothing_is_in_the_picture_the_find_stays_as_it_is():
    nowhere = Hand("right", np.tile([0.0, 0, 0.5], (21, 1)))
    beyond = hand_at(3.0, 0, 0.5)
    for hand in (nowhere, beyond):
        (pose,) = tracker_of([hand]).step(FRAME)
        assert pose.relative_mm is None and pose.xyz_mm is None
        np.testing.assert_array_equal(pose.keypoints_px, hand.keypoints_px)


def test_where_nothing_is_found_the_model_is_not_asked():
    tracker = tracker_of([])
    found = list(tracker.track([FRAME] * 7))
    assert [hands for _, hands in found] == [[]] * 7
    assert not tracker.model.mirrored


def test_a_model_of_amplitude_sees_it_as_grey_and_leaves_measured_depth():
    hand, seen = hand_at(0, 0), []
    tracker = tracker_of([hand])
    tracker.model.card = SimpleNamespace(name="toy", input={"image": "amplitude crop", "width": CROP_PX})
    tracker.model.step = lambda image, memory: (seen.append(image), (Estimate(hand.relative_m), memory))[1]
    amplitude = np.random.default_rng(0).integers(0, 256, (HEIGHT, WIDTH), dtype=np.uint8)
    frame = Frame(0, 0.0, amplitude=amplitude, camera=CAMERA)
    (placed,) = tracker.step(frame)
    assert (seen[0] == seen[0][..., :1]).all() and seen[0].std() > 10
    np.testing.assert_allclose(placed.xyz_mm[0, 2], 1e3 * hand.joints_m[0, 2], rtol=0.1)
    (found,) = tracker.finder.step(frame)
    measured = replace(found, xyz_mm=np.full((21, 3), 321.0))
    tracker.finder.step = lambda frame: [measured]
    (pose,) = tracker.step(frame)
    assert (pose.xyz_mm == 321).all() and np.isfinite(pose.relative_mm).all()
    with pytest.raises(HandfastError, match="frame 0: model toy needs amplitude; give 8-bit infrared"):
        tracker.step(FRAME)


def test_frames_without_colour_are_refused():
    frame = Frame(7, 0.0, amplitude=np.zeros((HEIGHT, WIDTH), np.uint8))
    with pytest.raises(HandfastError, match="frame 7: model toy needs colour; give a colour video"):
        tracker_of([]).step(frame)
