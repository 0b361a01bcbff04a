"""What a head-worn camera sees of its wearer's own hands, as in chidananda2019: arms that come from the
shoulders below and behind it."""

from dataclasses import replace

import numpy as np

from handfast.data.meshes import join
from handfast.data.reach import ELBOW_HANGS, MIRROR, can_reach, sample_hold
from handfast.data.scenes import (
    CROP_LENGTH,
    CROP_SPREAD,
    HAND_LENGTH_M,
    Person,
    PlacedHand,
    Scene,
    orientation_class,
    place_hand,
    sample_surroundings,
    upper_arm,
)
from handfast.geometry import Camera, rotation_from_axis_angle
from handfast.hand_model.model import HandAsset
from handfast.hand_model.pose_prior import PosePrior, sample_pose
from handfast.skeleton import SIDES
from handfast.structures import ORIENTATIONS

# As in the paper most frames show one hand, and few hands their palm (sections 2 and 4): the shares of frames
# with no, one and two hands; of the hands that would show their palm, those that do.
HAND_SHARES = (0.07, 0.68, 0.25)
PALM_SHARE = 0.3
# Orientation classes with the palm to the camera, within 67.5 degrees.
PALM_FACING = (0, 1, ORIENTATIONS - 1)
FIELD_OF_VIEW_RAD = (1.1, 1.4)
DISTANCE_M = (0.22, 0.65)
# Right, down and forward from a camera that is held straight to the right shoulder.
_SHOULDER_M = np.array([0.18, 0.22, -0.10])
# How the head is held, down and to the side: mean and spread.
_PITCH_RAD, _YAW_RAD = (0.45, 0.2), (0.0, 0.2)
# Where in the picture hands are, of its width and height: a right hand's mean, and the spread.
_SPOT, _SPREAD = np.array([0.6, 0.55]), np.array([0.2, 0.22])
_SPOT_RANGE = (0.08, 0.92)


def sample_headset_scene(
    rng: np.random.Generator,
    person: Person,
    prior: PosePrior,
    asset: HandAsset,
    width: int,
    height: int,
    room: int | None = None,
    crop_share: float = 0.0,
) -> Scene:
    """One frame's scene for an image of the given size.

    room: the seed of the place; None for any. crop_share: of the scenes with hands, those of which the image
    shows a part about the first hand.
    """
    focal_px = width / 2 / np.tan(rng.uniform(*FIELD_OF_VIEW_RAD) / 2)
    cx, cy = np.array([(width - 1) / 2, (height - 1) / 2]) + rng.normal(0, 3, 2)
    camera = Camera(focal_px, focal_px, cx, cy, width, height)
    torso_to_camera = _sample_head(rng)
    hands, meshes = [], []
    count = rng.choice([0, 1, 2], p=HAND_SHARES)
    for side in rng.permutation(SIDES)[:count]:
        angles, key_pose = sample_pose(prior, rng)
        centre_m, rotation = sample_reach(rng, str(side), camera, torso_to_camera)
        while orientation_class(rotation) in PALM_FACING and rng.random() >= PALM_SHARE:
            centre_m, rotation = sample_reach(rng, str(side), camera, torso_to_camera)
        hand, mesh = place_hand(asset, person, str(side), angles, key_pose, rotation, centre_m)
        hands.append(hand)
        meshes += [mesh, upper_arm(rng, mesh, person)]
    if hands and rng.random() < crop_share:
        camera = _crop_camera(rng, hands[0].keypoints_m, width, height)
    distance_m = _distance_m(rng, tuple(hands))
    objects = int(rng.integers(0, 11))
    meshes += sample_surroundings(rng, camera, distance_m, "egocentric", objects, tuple(hands), room)
    return Scene(camera, join(meshes), tuple(hands))


def sample_reach(
    rng: np.random.Generator, side: str, camera: Camera, torso_to_camera: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Where an arm holds its hand: centre (3,) m and rotation (3, 3), hand frame -> camera.

    torso_to_camera: (3, 3), from right, down and forward of the wearer's torso.
    """
    if side == "right":
        return _right_reach(rng, camera, torso_to_camera)
    mirrored = replace(camera, cx=camera.width - 1 - camera.cx)
    centre_m, rotation = _right_reach(rng, mirrored, MIRROR @ torso_to_camera @ MIRROR)
    return MIRROR @ centre_m, MIRROR @ rotation @ MIRROR


def _right_reach(
    rng: np.random.Generator, camera: Camera, torso_to_camera: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    shoulder_m = torso_to_camera @ _SHOULDER_M
    while True:
        spot = np.clip(_SPOT + _SPREAD * rng.standard_normal(2), *_SPOT_RANGE)
        spot_px = spot * (camera.width - 1, camera.height - 1)
        centre_m = camera.unproject(spot_px, np.array(rng.uniform(*DISTANCE_M)))
        if can_reach(shoulder_m, centre_m):
            return centre_m, sample_hold(rng, shoulder_m, centre_m, torso_to_camera @ ELBOW_HANGS)


def _crop_camera(rng: np.random.Generator, hand_m: np.ndarray, width: int, height: int) -> Camera:
    """One whose picture is a part of a wider one, about a hand (21, 3)."""
    x, y, z = (hand_m.min(0) + hand_m.max(0)) / 2
    focal_px = rng.uniform(*CROP_LENGTH) * height * z / HAND_LENGTH_M
    spot_px = (0.5 + CROP_SPREAD * rng.standard_normal(2)) * (width, height)
    cx, cy = spot_px - focal_px * np.array([x, y]) / z
    return Camera(focal_px, focal_px, cx, cy, width, height)


def _sample_head(rng: np.random.Generator) -> np.ndarray:
    """Rotation (3, 3) from the torso's axes to those of a camera that looks where the head does."""
    yaw = rotation_from_axis_angle(np.array([0, -rng.normal(*_YAW_RAD), 0]))
    return rotation_from_axis_angle(np.array([rng.normal(*_PITCH_RAD), 0, 0])) @ yaw


def _distance_m(rng: np.random.Generator, hands: tuple[PlacedHand, ...]) -> float:
    """From the camera to the first hand, or to where one might be."""
    return float(hands[0].keypoints_m[:, 2].mean()) if hands else rng.uniform(*DISTANCE_M)
