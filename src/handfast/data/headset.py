"""What a head-worn camera sees of its wearer's own hands, as in chidananda2019.

Arms come from the shoulders below and behind the camera, elbows hang, forearms turn as far as forearms do. So
which hand it is can be told from where its arm comes from, and which way its fingers lie from both.
"""

from dataclasses import replace

import numpy as np

from handfast.data.meshes import join
from handfast.data.scenes import (
    CROP_LENGTH,
    CROP_SPREAD,
    HAND_LENGTH_M,
    PALM_FACING,
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

# As in the paper most frames show one hand, and few hands their palm (sections 2 and 4): the shares of frames
# with no, one and two hands; of the hands that would show their palm, those that do.
HAND_SHARES = (0.07, 0.68, 0.25)
PALM_SHARE = 0.3
FIELD_OF_VIEW_RAD = (1.1, 1.4)
DISTANCE_M = (0.22, 0.65)
# Right, down and forward: the right shoulder from a camera held straight, and where its elbow hangs.
_SHOULDER_M = np.array([0.18, 0.22, -0.10])
_ELBOW_HANGS = np.array([0.4, 1.0, -0.1])
_UPPER_ARM_M, _FOREARM_M, _WRIST_TO_CENTRE_M = 0.29, 0.26, 0.09
_STRETCH = 0.98  # arms are never quite straight
# How the head is held, down and to the side: mean and spread.
_PITCH_RAD, _YAW_RAD = (0.45, 0.2), (0.0, 0.2)
# Where in the picture hands are, of its width and height: a right hand's mean, and the spread.
_SPOT, _SPREAD = np.array([0.6, 0.55]), np.array([0.2, 0.22])
_SPOT_RANGE = (0.08, 0.92)
_MIRROR = np.diag([-1.0, 1.0, 1.0])
_SWIVEL_RAD = 0.35
_WRIST_BEND = 0.15
# Forearms are turned palm down for most of what hands do; 0 is thumb up.
_PALM_DOWN_RAD, _TURN_RANGE_RAD, _PALM_DOWN_SHARE = (1.2, 0.4), (-1.4, 1.7), 0.6


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
        orientation = orientation_class(rotation)
        hand, mesh = place_hand(asset, person, str(side), angles, key_pose, rotation, orientation, centre_m)
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
    centre_m, rotation = _right_reach(rng, mirrored, _MIRROR @ torso_to_camera @ _MIRROR)
    return _MIRROR @ centre_m, _MIRROR @ rotation @ _MIRROR


def _right_reach(
    rng: np.random.Generator, camera: Camera, torso_to_camera: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    shoulder_m = torso_to_camera @ _SHOULDER_M
    while True:
        spot = np.clip(_SPOT + _SPREAD * rng.standard_normal(2), *_SPOT_RANGE)
        spot_px = spot * (camera.width - 1, camera.height - 1)
        centre_m = camera.unproject(spot_px, np.array(rng.uniform(*DISTANCE_M)))
        to_hand_m = centre_m - shoulder_m
        away = to_hand_m / np.linalg.norm(to_hand_m)
        reach_m = np.linalg.norm(to_hand_m) - _WRIST_TO_CENTRE_M
        if _UPPER_ARM_M - _FOREARM_M < reach_m < _STRETCH * (_UPPER_ARM_M + _FOREARM_M):
            break
    # The elbow hangs down and outwards, on the circle about the line from the shoulder to the wrist.
    hanging = torso_to_camera @ _ELBOW_HANGS
    hanging -= away * (away @ hanging)
    hanging = rotation_from_axis_angle(away * rng.normal(0, _SWIVEL_RAD)) @ hanging
    along_m = (_UPPER_ARM_M**2 - _FOREARM_M**2 + reach_m**2) / (2 * reach_m)
    off_m = np.sqrt(_UPPER_ARM_M**2 - along_m**2)
    upper_arm_m = along_m * away + off_m * hanging / np.linalg.norm(hanging)
    forearm_m = reach_m * away - upper_arm_m
    y = forearm_m / _FOREARM_M + _WRIST_BEND * rng.standard_normal(3)
    y /= np.linalg.norm(y)
    # With the thumb up, the elbow bends about the axis that the back of the hand looks along.
    outwards = np.cross(upper_arm_m, forearm_m)
    outwards -= y * (y @ outwards)
    palm_down = rng.random() < _PALM_DOWN_SHARE
    turn = rng.normal(*_PALM_DOWN_RAD) if palm_down else rng.uniform(*_TURN_RANGE_RAD)
    z = rotation_from_axis_angle(-np.clip(turn, *_TURN_RANGE_RAD) * y) @ outwards
    z /= np.linalg.norm(z)
    return centre_m, np.stack([np.cross(y, z), y, z], axis=1)


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
