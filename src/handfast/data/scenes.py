"""What scenes are made of: a person, hands with forearms and upper arms, a room, a body, and distracting
objects, finger-like ones among them. ``headset.py`` and ``onlooker.py`` put them before cameras."""

from dataclasses import dataclass

import numpy as np

from handfast.data.meshes import Mesh, solid, unit_ball, unit_box, unit_tube
from handfast.geometry import Camera, random_rotation, rotation_from_axis_angle
from handfast.hand_model.model import HandAsset, faces_of, joint_rotations, pose_hand
from handfast.skeleton import SIDES
from handfast.structures import ORIENTATIONS

VIEWS = ("egocentric", "desk", "sideways", "from_above", "any")
VIEW_SHARES = (0.3, 0.25, 0.2, 0.1, 0.15)
# Mean direction of the fingers in camera axes and its spread, per view.
_FINGERS = {
    "egocentric": ((0.0, -0.7, 0.5), (0.5, 0.4, 0.4)),
    "desk": ((0.0, -0.8, -0.35), (0.55, 0.4, 0.35)),
    "sideways": ((1.0, 0.0, 0.0), (0.2, 0.4, 0.35)),
    "from_above": ((0.0, 0.9, 0.0), (0.5, 0.3, 0.35)),
}
HAND_LENGTH_M = 0.19
BARE_ARM = 3
ROOMS_A_PERSON = 6
# Of the frames: crops about a hand. How long it is there, of the height, and how far from the middle.
CROP_SHARE, CROP_LENGTH, CROP_SPREAD = 0.55, (0.45, 0.95), 0.12


@dataclass(frozen=True, eq=False)
class Person:
    """What stays the same for one synthetic person."""

    shape: np.ndarray
    skin_albedo: float
    sleeve_start_m: float  # distance from the wrist where the sleeve begins; beyond 0.23 a bare arm
    sleeve_thickness_m: float
    sleeve_albedo: float
    rooms: tuple[int, ...]  # the seeds of places where this person often is


@dataclass(frozen=True, eq=False)
class PlacedHand:
    """A hand of a scene in camera space."""

    side: str
    keypoints_m: np.ndarray
    key_pose: int
    orientation: int


@dataclass(frozen=True, eq=False)
class Scene:
    """A camera, all that it can see as one mesh, and the hands in it.

    Labels: 0 surroundings and sleeves, 1 left hand, 2 right hand, 3 bare arm.
    """

    camera: Camera
    mesh: Mesh
    hands: tuple[PlacedHand, ...]


def sample_person(rng: np.random.Generator) -> Person:
    """A person with hands of their own shape, skin and sleeves."""
    return Person(
        shape=np.clip(rng.standard_normal(10), -2, 2),
        skin_albedo=rng.uniform(0.35, 0.7),
        sleeve_start_m=rng.choice([rng.uniform(0.02, 0.2), 1.0]),
        sleeve_thickness_m=rng.uniform(0.002, 0.012),
        sleeve_albedo=rng.uniform(0.05, 0.9),
        rooms=tuple(rng.integers(2**32, size=ROOMS_A_PERSON).tolist()),
    )


def place_hand(
    asset: HandAsset,
    person: Person,
    side: str,
    angles_rad: np.ndarray,
    key_pose: int,
    rotation: np.ndarray,
    centre_m: np.ndarray,
) -> tuple[PlacedHand, Mesh]:
    """Pose a hand with its middle key-point at centre_m, turned by rotation (hand frame -> camera)."""
    keypoints, vertices = pose_hand(asset, joint_rotations(asset, angles_rad), person.shape, side)
    vertices, on_sleeve = _dressed(asset, person, vertices)
    shift = centre_m - rotation @ ((keypoints.min(0) + keypoints.max(0)) / 2)
    faces = faces_of(asset, side)
    is_hand = asset.is_hand[faces.T].all(0)
    is_sleeve = on_sleeve[faces.T].any(0)
    albedo = np.where(is_sleeve, person.sleeve_albedo, person.skin_albedo)
    arm = np.where(is_sleeve, 0, BARE_ARM)
    mesh = Mesh(
        vertices @ rotation.T + shift,
        faces,
        albedo,
        np.where(is_hand, 1 + SIDES.index(side), arm).astype(np.uint8),
    )
    return PlacedHand(side, keypoints @ rotation.T + shift, key_pose, orientation_class(rotation)), mesh


def orientation_class(rotation: np.ndarray) -> int:
    """Hand frame -> camera rotation (3, 3) to one of eight classes of pronation, 0 = palm to the camera.

    The angle about the hand's long axis between the palm's normal and the direction to the camera.
    """
    long_axis, palm = rotation[:, 1], -rotation[:, 2]
    to_camera = np.array([0.0, 0, -1]) - long_axis * -long_axis[2]
    angle = np.arctan2(long_axis @ np.cross(to_camera, palm), palm @ to_camera)
    return int(np.round(angle / (2 * np.pi / ORIENTATIONS))) % ORIENTATIONS


def sample_surroundings(
    rng: np.random.Generator,
    camera: Camera,
    distance_m: float,
    view: str,
    objects: int,
    hands: tuple[PlacedHand, ...],
    room: int | None = None,
) -> list[Mesh]:
    """A room, any or that of a seed, perhaps a body, and distracting objects."""
    meshes = sample_room(rng if room is None else np.random.default_rng(room), distance_m)
    if view != "egocentric" and rng.random() < 0.45:
        meshes += sample_body(rng, camera, distance_m)
    return meshes + sample_objects(rng, camera, distance_m, objects, hands)


def sample_objects(
    rng: np.random.Generator,
    camera: Camera,
    distance_m: float,
    count: int,
    hands: tuple[PlacedHand, ...],
) -> list[Mesh]:
    """Distracting objects in view, behind the hands, beside them and, seldom, at the first of them."""
    meshes = []
    for _ in range(count):
        pixel = rng.uniform((0, 0), (camera.width, camera.height))
        if hands and rng.random() < 0.08:
            place = hands[0].keypoints_m[rng.integers(21)] + rng.normal(0, 0.04, 3)
        elif rng.random() < 0.25:
            place = camera.unproject(pixel, np.array(distance_m * rng.uniform(0.75, 1.3)))
        else:
            place = camera.unproject(pixel, np.array(distance_m + rng.exponential(0.5) + 0.08))
        meshes += sample_object(rng, place, size_m=rng.uniform(0.02, 0.13) * max(place[2], 0.2) / 0.6)
    return meshes


def sample_orientation(rng: np.random.Generator, view: str) -> np.ndarray:
    """A rotation hand frame -> camera (3, 3), as hands are held in a view."""
    if view == "any":
        return random_rotation(rng)
    mean, spread = _FINGERS[view]
    direction = np.array(mean) + np.array(spread) * rng.standard_normal(3)
    if view == "sideways" and rng.random() < 0.5:
        direction[0] *= -1
    y = direction / np.linalg.norm(direction)
    dorsal = np.array([0.0, 0, -1]) + y * y[2]
    dorsal /= np.linalg.norm(dorsal)
    # Backs and palms are what sensors see most; the edge of the hand less.
    turn = rng.choice(
        [rng.uniform(-np.pi, np.pi), rng.normal(0, 0.5), rng.normal(np.pi, 0.5)], p=[0.5, 0.25, 0.25]
    )
    z = rotation_from_axis_angle(y * turn) @ dorsal
    return np.stack([np.cross(y, z), y, z], axis=1)


def _dressed(asset: HandAsset, person: Person, vertices: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Vertices with the sleeve's thickness, and which of them it covers."""
    along = -asset.vertices_m[:, 1]
    on_sleeve = (along > person.sleeve_start_m) & ~asset.is_hand
    axis = vertices[on_sleeve].mean(0) if on_sleeve.any() else np.zeros(3)
    away = vertices - axis * (vertices @ axis / max(axis @ axis, 1e-9))[:, None]
    away /= np.maximum(np.linalg.norm(away, axis=1, keepdims=True), 1e-6)
    return vertices + np.where(on_sleeve, person.sleeve_thickness_m, 0)[:, None] * away, on_sleeve


def upper_arm(rng: np.random.Generator, hand: Mesh, person: Person) -> Mesh:
    """A tube that carries the arm on from the forearm's cut, past the elbow."""
    is_hand = (hand.label == 1) | (hand.label == 2)
    on_arm = hand.vertices_m[hand.faces[~is_hand].ravel()]
    faces_at = np.bincount(hand.faces[is_hand].ravel(), minlength=len(hand.vertices_m))
    wrist = faces_at @ hand.vertices_m / faces_at.sum()
    distance = np.linalg.norm(on_arm - wrist, axis=1)
    end = on_arm[distance > np.quantile(distance, 0.9)].mean(0)
    y = (end - wrist) / np.linalg.norm(end - wrist) + 0.25 * rng.standard_normal(3)
    y /= np.linalg.norm(y)
    x = np.cross(y, [0.3, 0.2, 1.0])
    x /= np.linalg.norm(x)
    radius, half = rng.uniform(0.035, 0.055), rng.uniform(0.06, 0.2)
    axes = np.stack([radius * x, half * y, radius * np.cross(x, y)], axis=1)
    bare = person.sleeve_start_m > 0.23
    albedo, label = (person.skin_albedo, BARE_ARM) if bare else (person.sleeve_albedo, 0)
    return solid(unit_tube(), axes, end + 0.9 * half * y, albedo, label)


def sample_room(rng: np.random.Generator, distance_m: float) -> list[Mesh]:
    """A wall behind a hand at distance_m, with things before it and perhaps a desk; or nothing at all."""
    if rng.random() < 0.12:
        return []  # nothing behind within the sensor's reach
    wall_m = distance_m + rng.choice([rng.uniform(0.1, 0.5), rng.uniform(0.3, 3.0)])
    tilt = rotation_from_axis_angle(rng.normal(0, 0.2, 3))
    meshes = [solid(unit_box(), tilt * (6, 6, 0.01), np.array([0, 0, wall_m]), rng.uniform(0.05, 0.9))]
    for _ in range(rng.integers(0, 5)):  # doors, shelves, screens: rectangles before the wall
        size = rng.uniform(0.05, 0.5, 2) * wall_m
        centre = tilt @ np.array([*rng.uniform(-0.7, 0.7, 2) * wall_m, -rng.uniform(0.01, 0.1)]) + (
            0,
            0,
            wall_m,
        )
        meshes.append(solid(unit_box(), tilt * (*size, 0.02), centre, rng.uniform(0.02, 0.95)))
    if rng.random() < 0.4:  # a desk or a floor
        slope = rotation_from_axis_angle(rng.normal((rng.uniform(-0.5, 0.2), 0, 0), 0.12))
        height = rng.uniform(0.08, 0.5)
        meshes.append(
            solid(unit_box(), slope * (5, 0.01, 5), np.array([0, height, 0.5]), rng.uniform(0.05, 0.9))
        )
    return meshes


def sample_body(rng: np.random.Generator, camera: Camera, distance_m: float) -> list[Mesh]:
    """A torso and a head behind the hands."""
    pixel = rng.uniform((-0.2, 0.2), (1.2, 1.2)) * (camera.width, camera.height)
    chest = camera.unproject(pixel, np.array(distance_m + rng.uniform(0.2, 0.6)))
    albedo = rng.uniform(0.05, 0.9)
    torso = solid(unit_ball(), np.diag([0.2, 0.33, 0.12]), chest, albedo)
    head = solid(
        unit_ball(),
        np.diag([0.075, 0.11, 0.09]),
        chest + np.array([0, -0.45, rng.uniform(-0.08, 0.05)]),
        rng.uniform(0.35, 0.7),
    )
    return [torso, head]


def sample_object(rng: np.random.Generator, place_m: np.ndarray, size_m: float) -> list[Mesh]:
    """Something about so large, of any kind, at a place (3,)."""
    rotation, albedo = random_rotation(rng), rng.uniform(0.03, 0.95)
    kind = rng.integers(4)
    if kind == 3:  # a bundle of rods, as like fingers as can be without being a hand
        rods, spread = rng.integers(2, 6), rng.uniform(1.8, 4.0)
        radius = size_m * rng.uniform(0.08, 0.16)
        meshes = []
        for i in range(rods):
            lean = rotation_from_axis_angle(rotation[:, 2] * 0.12 * (i - rods / 2) * rng.random())
            axes = (lean @ rotation) * (radius, size_m * rng.uniform(0.6, 1.0), radius)
            offset = rotation[:, 0] * radius * spread * (i - rods / 2)
            meshes.append(solid(unit_ball(), axes, place_m + offset, albedo))
        return meshes
    unit = (unit_box, unit_ball, unit_tube)[kind]()
    return [solid(unit, rotation * (size_m * rng.uniform(0.15, 1.0, 3)), place_m, albedo)]
