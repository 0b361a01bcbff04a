"""What a camera sees of a person's hands that stands about: over a desk, beside, above, or anywhere."""

import numpy as np

from handfast.data.meshes import join
from handfast.data.reach import sample_held
from handfast.data.scenes import (
    CROP_LENGTH,
    CROP_SHARE,
    CROP_SPREAD,
    HAND_LENGTH_M,
    Person,
    Scene,
    place_hand,
    sample_surroundings,
    upper_arm,
)
from handfast.geometry import Camera, random_rotation, rotation_from_axis_angle
from handfast.hand_model.model import HandAsset
from handfast.hand_model.pose_prior import PosePrior, sample_pose
from handfast.skeleton import SIDES

VIEWS = ("desk", "sideways", "from_above", "any")
VIEW_SHARES = (0.35, 0.28, 0.17, 0.2)
HAND_SHARES = (0.1, 0.55, 0.35)  # of frames with no, one and two hands
UPPER_ARM_SHARE = 0.8
# A second hand is tried so often in other places until it is in the picture and not too near the camera.
_TRIES, _NEAREST_M = 8, 0.12
# Where a camera above the hands has the person: below in the picture, or anywhere.
_PERSON_BELOW_SHARE = 0.6


def sample_scene(
    rng: np.random.Generator,
    person: Person,
    prior: PosePrior,
    asset: HandAsset,
    width: int,
    height: int,
) -> Scene:
    """One frame's scene for an image of the given size; the first hand is 16 to 0.95 x height pixels long."""
    view = str(rng.choice(VIEWS, p=VIEW_SHARES))
    camera, distance_m, spot_px = _sample_camera(rng, width, height)
    torso_to_camera = sample_view(rng, view)
    torso_m = np.zeros(3)
    hands, meshes = [], []
    count = rng.choice([0, 1, 2], p=HAND_SHARES)
    for side in rng.permutation(SIDES)[:count]:
        held_m, held = sample_held(rng, str(side))
        if not hands:  # the person stands where this hand is seen
            torso_m = camera.unproject(spot_px, np.array(distance_m)) - torso_to_camera @ held_m
        else:
            for _ in range(_TRIES):
                if _in_picture(camera, torso_to_camera @ held_m + torso_m):
                    break
                held_m, held = sample_held(rng, str(side))
            else:
                continue
        centre_m, rotation = torso_to_camera @ held_m + torso_m, torso_to_camera @ held
        angles, key_pose = sample_pose(prior, rng)
        hand, mesh = place_hand(asset, person, str(side), angles, key_pose, rotation, centre_m)
        hands.append(hand)
        meshes.append(mesh)
        if rng.random() < UPPER_ARM_SHARE:
            meshes.append(upper_arm(rng, mesh, person))
    objects = int(rng.integers(0, 11))
    meshes += sample_surroundings(rng, camera, distance_m, view, objects, tuple(hands))
    return Scene(camera, join(meshes), tuple(hands))


def sample_view(rng: np.random.Generator, view: str) -> np.ndarray:
    """Rotation (3, 3) from a person's axes, right, down and forward, to those of a camera."""
    side = rng.choice([-1.0, 1.0])
    x, y, z = rng.standard_normal(3)
    match view:
        case "desk":  # looks at the person
            return _looking(np.array([0.3 * x, 0.3 * y, -1.0]), np.array([0.1 * z, 1, 0]))
        case "sideways":
            return _looking(np.array([side, 0.1 + 0.25 * y, 0.3 * z]), np.array([0.15 * x, 1, 0]))
        case "from_above":
            forward = np.array([0, 0, -1.0])
            if rng.random() >= _PERSON_BELOW_SHARE:
                forward = rotation_from_axis_angle(np.array([0, rng.uniform(-np.pi, np.pi), 0])) @ forward
            return _looking(np.array([0.2 * x, 1.0, 0.1 + 0.2 * z]), forward)
    return random_rotation(rng)


def _looking(along: np.ndarray, down: np.ndarray) -> np.ndarray:
    """Rotation to the axes of a camera that looks along one direction (3,), the other down in its picture."""
    z = along / np.linalg.norm(along)
    x = np.cross(down, z)
    x /= np.linalg.norm(x)
    return np.stack([x, np.cross(z, x), z])


def _in_picture(camera: Camera, point_m: np.ndarray) -> bool:
    if point_m[2] < _NEAREST_M:
        return False
    x, y = camera.project(point_m)
    return 0 <= x < camera.width and 0 <= y < camera.height


def _sample_camera(rng: np.random.Generator, width: int, height: int) -> tuple[Camera, float, np.ndarray]:
    """A camera, a distance and a pixel for the hand, so that hands come in all sizes the tracker meets: whole
    frames, where they are small, and crops about one hand, where they are large and near the centre."""
    is_crop = rng.random() < CROP_SHARE
    if is_crop:
        length_px = rng.uniform(*CROP_LENGTH) * height
        spot = (0.5 + CROP_SPREAD * rng.standard_normal(2)) * (width, height)
    else:
        length_px = height * np.exp(rng.uniform(np.log(0.13), np.log(0.8)))
        spot = rng.uniform(0.08, 0.92, 2) * (width, height)
    distance_m = float(np.clip(rng.uniform(0.2, 1.0), 0.4 * width * HAND_LENGTH_M / length_px, 1.3))
    focal_px = length_px * distance_m / HAND_LENGTH_M
    # A crop is a part of a wider picture: its optical axis may lie outside.
    off_axis = rng.uniform(-0.5, 0.5, 2) * focal_px if is_crop else rng.normal(0, 3, 2)
    cx, cy = np.array([(width - 1) / 2, (height - 1) / 2]) + off_axis
    return Camera(focal_px, focal_px, cx, cy, width, height), distance_m, spot
