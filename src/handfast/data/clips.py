"""Clips of one hand before a colour camera, bench-rgb: 60 frames at 30 Hz, with all labels.

Half are like the STB data set: a left hand counts or moves at will, upright, 0.4 to 0.8 m before a still
camera in one of six rooms. The other half are like FPHA: a right hand over a table, seen from its owner's
shoulder, holds something that hides part of it.
"""

from collections.abc import Iterator
from dataclasses import dataclass, replace

import cv2
import numpy as np

from handfast.data.arms import Looks, paint_looks, place_arm, sample_looks
from handfast.data.grips import GRIPS, Held, grip_frame, sample_held
from handfast.data.motion import wander
from handfast.data.render import rasterise, visible
from handfast.data.rgb import Exposure, Light, Surface, join_surfaces, photograph, radiance
from handfast.data.rooms import paint_room, sample_room, sample_table
from handfast.data.scenes import Person, orientation_class
from handfast.data.synthesis import VISIBLE_TOLERANCE_M, World, hands_alone, make_world
from handfast.geometry import Camera, invert_rigid, rotation_from_axis_angle, transform
from handfast.hand_model.model import FOREARM, HandAsset, joint_rotations
from handfast.hand_model.pose_prior import PosePrior, classify, sample_motion
from handfast.skeleton import SIDES
from handfast.structures import Frame, HandLabel, HandSample

SIZE_PX = 256
FRAMES = 60
RATE_HZ = 30.0
ROOMS = 6
COUNTING = ("fist", "point", "l", "open_hand", "thumbs_up", "ok")
# A frame before the clip and one after it say how things move in its first and last one.
_TIME_S = np.arange(-1, FRAMES + 1) / RATE_HZ
# How the hand moves: right, down and forward, m, and about these axes, rad.
_COUNTING_SPREAD = np.array([0.025, 0.025, 0.03, 0.2, 0.3, 0.2])
_RANDOM_SPREAD = np.array([0.04, 0.035, 0.05, 0.4, 0.8, 0.4])
_HOLDING_SPREAD = np.array([0.04, 0.035, 0.04, 0.3, 0.4, 0.4])
_HEAD_SPREAD = np.array([0.01, 0.01, 0.01, 0.04, 0.05, 0.02])
_FASTEST = np.array([1.0, 1.0, 1.0, 5.0, 5.0, 5.0])
_TO_ELBOW_M = 0.3
_GRIP_SHARES = (0.5, 0.25, 0.25)
_GRIP_SPOTS_M = np.linspace(-0.015, 0.015, 5)


@dataclass(frozen=True, eq=False)
class ClipWorld:
    """What all clips share: the other sensors' world, how its people look, and the seeds of six rooms."""

    base: World
    looks: tuple[Looks, ...]
    rooms: tuple[int, ...]


@dataclass(frozen=True, eq=False)
class Clip:
    """All of a clip but its pictures; F = FRAMES + 2, one more before and after them.

    room, light: the still surroundings, in room axes. T_camera_room (F, 4, 4). angles_rad (F, 21, 3),
    rotations (F, 3, 3) hand to camera, palm_m (F, 3), its centre: how the hand moves. exposure: its gain is
    for a picture whose geometric mean is 1.
    """

    camera: Camera
    person: Person
    side: str
    room: Surface
    light: Light
    textures: np.ndarray
    exposure: Exposure
    T_camera_room: np.ndarray
    angles_rad: np.ndarray
    rotations: np.ndarray
    palm_m: np.ndarray
    held: Held | None = None


def make_clip_world(seed: int) -> ClipWorld:
    """The people of a benchmark with their looks, and six rooms."""
    base = make_world(seed)
    rng = np.random.default_rng([seed, 3])
    looks = tuple(sample_looks(rng) for _ in base.people)
    return ClipWorld(base, looks, tuple(rng.integers(2**32, size=ROOMS).tolist()))


def make_clip(world: ClipWorld, rng: np.random.Generator, person: int) -> Iterator[HandSample]:
    """The frames of a clip of one person: 256x256 colour, one hand, hand21 in px and m."""
    sample = third_person if rng.random() < 0.5 else first_person
    yield from film(world, sample(world, rng, person), rng)


def film(world: ClipWorld, clip: Clip, rng: np.random.Generator) -> Iterator[HandSample]:
    """The pictures of a clip with their labels; rng: the camera's noise."""
    asset, exposure = world.base.asset, clip.exposure
    (_, before), (keypoints_m, now) = (_at(asset, clip, moment) for moment in (0, 1))
    for index in range(FRAMES):
        next_keypoints_m, after = _at(asset, clip, index + 2)
        motion_m = (after.vertices_m - before.vertices_m) / 2
        light = clip.light.moved(clip.T_camera_room[index + 1])
        seen = radiance(now, motion_m, clip.textures, light, clip.camera, exposure.shutter)
        if index == 0:
            # The camera finds its exposure once, and half of its white balance.
            white = light.lamp + light.sky
            balance = np.sqrt(white / white.mean()) * np.exp(np.log(seen + 1e-4).mean())
            exposure = replace(exposure, gain=exposure.gain / balance)
        frame = Frame(index, index / RATE_HZ, camera=clip.camera, colour=photograph(seen, exposure, rng))
        yield HandSample(frame, *_labels(world.base.prior, clip, index + 1, keypoints_m, now))
        before, now, keypoints_m = now, after, next_keypoints_m


def third_person(world: ClipWorld, rng: np.random.Generator, person: int) -> Clip:
    """As in STB: the left hand upright, its palm to the camera, or turned at will."""
    is_counting = rng.random() < 0.5
    poses = rng.permutation(COUNTING).tolist() if is_counting else None
    moves = wander(rng, _TIME_S, _COUNTING_SPREAD if is_counting else _RANDOM_SPREAD, _FASTEST)
    camera = _sample_camera(rng)
    spot_px = SIZE_PX * rng.uniform(0.4, 0.6, 2)
    centre_m = camera.unproject(spot_px, np.array(rng.uniform(0.42, 0.78)))
    palm_first = np.array([[-1.0, 0, 0], [0, -1, 0], [0, 0, 1]])
    T = np.tile(_pitched(rng.normal(0, 0.06)), (len(_TIME_S), 1, 1))
    room_rng = np.random.default_rng(world.rooms[rng.integers(ROOMS)])
    return Clip(
        camera=camera,
        person=world.base.people[person],
        side="left",
        room=join_surfaces(sample_room(room_rng)),
        light=_sample_light(rng, transform(invert_rigid(T[0]), centre_m)),
        textures=_textures(world, room_rng, person),
        exposure=_sample_exposure(rng),
        T_camera_room=T,
        angles_rad=sample_motion(world.base.prior, rng, len(_TIME_S), RATE_HZ, poses),
        rotations=rotation_from_axis_angle(moves[:, 3:]) @ palm_first,
        palm_m=centre_m + moves[:, :3],
    )


def first_person(world: ClipWorld, rng: np.random.Generator, person: int) -> Clip:
    """As in FPHA: the right hand with a thing in it, over a table, from above."""
    grip = str(rng.choice(list(GRIPS), p=_GRIP_SHARES))
    moves, sways = (wander(rng, _TIME_S, spread, _FASTEST) for spread in (_HOLDING_SPREAD, _HEAD_SPREAD))
    camera = _sample_camera(rng)
    spot_px = SIZE_PX * rng.uniform(0.42, 0.58, 2)
    centre_m = camera.unproject(spot_px, np.array(rng.uniform(0.32, 0.5)))
    angles_rad = sample_motion(world.base.prior, rng, len(_TIME_S), RATE_HZ, GRIPS[grip])
    arms = -joint_rotations(world.base.asset, angles_rad)[:, FOREARM, :, 1]
    rotations = _holding(rng, moves[:, 3:], arms, centre_m / np.linalg.norm(centre_m))
    T = np.tile(_pitched(rng.uniform(0.45, 0.8)), (len(_TIME_S), 1, 1))
    T[:, :3, :3] = rotation_from_axis_angle(sways[:, 3:]) @ T[:, :3, :3]
    T[:, :3, 3] += sways[:, :3]
    palm_m = centre_m + moves[:, :3]
    elbow_m = palm_m + _TO_ELBOW_M * np.einsum("fij,fj->fi", rotations, arms)
    lowest_m = transform(invert_rigid(T[0]), np.concatenate([palm_m, elbow_m]))[:, 1].max()
    surroundings = sample_room(rng) + sample_table(rng, max(lowest_m + rng.uniform(0.05, 0.2), 0.3))
    clip = Clip(
        camera=camera,
        person=world.base.people[person],
        side="right",
        room=join_surfaces(surroundings),
        light=_sample_light(rng, transform(invert_rigid(T[0]), centre_m)),
        textures=_textures(world, rng, person),
        exposure=_sample_exposure(rng),
        T_camera_room=T,
        angles_rad=angles_rad,
        rotations=rotations,
        palm_m=palm_m,
    )
    return replace(clip, held=sample_held(rng, grip, *_clearance(world.base.asset, clip, grip)))


def _holding(
    rng: np.random.Generator, turns_rad: np.ndarray, arms: np.ndarray, sight: np.ndarray
) -> np.ndarray:
    """Hand to camera (F, 3, 3): turns (F, 3) about how a hand is held at a table.

    arms (F, 3): where the forearm points, in the hand frame. It comes from below or
    the right below, clear of the line of sight (3,), if need be by turning less.
    """
    while True:
        turns_rad = 0.97 * turns_rad
        fingers = np.array([-0.4, -0.6, 0.6]) + rng.normal(0, 0.2, 3)
        dorsal = np.array([0.8, -0.4, 0.0]) + rng.normal(0, 0.5, 3)
        rotations = rotation_from_axis_angle(turns_rad) @ _rotation(fingers, dorsal)
        seen = np.einsum("fij,fj->fi", rotations, arms)
        from_below = (seen[:, 1] > 0) & (seen[:, :2].max(1) > 0.4)
        if from_below.all() and (seen @ -sight < 0.75).all():
            return rotations


def _clearance(asset: HandAsset, clip: Clip, grip: str) -> tuple[np.ndarray, float]:
    """Where near a grip's axis, x and z (2,) m, the hand leaves the most room throughout, and how much, m."""
    spots_m = np.stack(np.meshgrid(_GRIP_SPOTS_M, _GRIP_SPOTS_M), axis=-1).reshape(-1, 1, 2)
    room_m = np.full(len(spots_m), np.inf)
    for moment in range(0, len(_TIME_S), 10):
        keypoints_m, hand = _arm(asset, clip, moment)
        on_hand = np.unique(hand.faces[hand.label == 1 + SIDES.index(clip.side)])
        inside_m = transform(invert_rigid(grip_frame(grip, keypoints_m)), hand.vertices_m[on_hand])
        distances_m = np.linalg.norm(inside_m[:, [0, 2]] - spots_m, axis=-1)
        # Skin gives way a little, and a stray vertex more.
        room_m = np.minimum(room_m, np.quantile(distances_m, 0.03, axis=1))
    return spots_m[room_m.argmax(), 0], float(room_m.max())


def _at(asset: HandAsset, clip: Clip, moment: int) -> tuple[np.ndarray, Surface]:
    """Key-points (21, 3) m and all that there is, in camera space, at one of the clip's F moments."""
    keypoints_m, hand = _arm(asset, clip, moment)
    parts = [hand]
    if clip.held is not None:
        parts.append(clip.held.surface.moved(grip_frame(clip.held.grip, keypoints_m)))
    return keypoints_m, join_surfaces([*parts, clip.room.moved(clip.T_camera_room[moment])])


def _arm(asset: HandAsset, clip: Clip, moment: int) -> tuple[np.ndarray, Surface]:
    """Key-points (21, 3) m and the hand with its arm at one of the clip's F moments."""
    moving = (clip.angles_rad[moment], clip.rotations[moment], clip.palm_m[moment])
    return place_arm(asset, clip.person, clip.side, *moving)


def _labels(
    prior: PosePrior, clip: Clip, moment: int, keypoints_m: np.ndarray, surface: Surface
) -> tuple[tuple[HandLabel], np.ndarray]:
    """The hand and the segmentation of a picture's middle moment."""
    raster = rasterise(surface.vertices_m, surface.faces, clip.camera)
    label = np.where(raster.face >= 0, surface.label[raster.face], 0)
    segmentation = hands_alone(label)
    keypoints_px = clip.camera.project(keypoints_m)
    nearest = visible(keypoints_m, raster, clip.camera, VISIBLE_TOLERANCE_M)
    hand = HandLabel(
        side=clip.side,
        keypoints_px=keypoints_px.astype(np.float32),
        keypoints_m=keypoints_m.astype(np.float32),
        # What the hand holds is nearer by less than the tolerance.
        visible=nearest & _on(segmentation > 0, keypoints_px),
        key_pose=classify(prior, clip.angles_rad[moment]),
        orientation=orientation_class(clip.rotations[moment]),
    )
    return (hand,), segmentation


def _on(mask: np.ndarray, points_px: np.ndarray) -> np.ndarray:
    """(N,) bool: a pixel of the mask (H, W) is there or next to it."""
    near = np.pad(cv2.dilate(mask.astype(np.uint8), np.ones((3, 3), np.uint8)), 1)
    # Whatever is outside comes to lie on the border of zeros.
    column, row = np.clip(np.round(points_px) + 1, 0, np.array(near.shape[::-1]) - 1).astype(int).T
    return near[row, column] > 0


def _textures(world: ClipWorld, room_rng: np.random.Generator, person: int) -> np.ndarray:
    """All layers of a clip, in the order of ``rooms.Layer``."""
    base = world.base
    looks = paint_looks(world.looks[person], base.asset, base.textures)
    return np.concatenate([looks, paint_room(room_rng, base.textures)])


def _pitched(down_rad: float) -> np.ndarray:
    """T_camera_room (4, 4) of a camera that looks down by so much."""
    T = np.eye(4)
    T[:3, :3] = rotation_from_axis_angle(np.array([down_rad, 0.0, 0.0]))
    return T


def _rotation(fingers: np.ndarray, dorsal: np.ndarray) -> np.ndarray:
    """Hand to camera (3, 3), given where the fingers point and, about, the back of the hand."""
    y = fingers / np.linalg.norm(fingers)
    z = dorsal - y * (y @ dorsal)
    z /= np.linalg.norm(z)
    return np.stack([np.cross(y, z), y, z], axis=1)


def _sample_camera(rng: np.random.Generator) -> Camera:
    """About the field of view that a square cut from STB's and FPHA's colour cameras has."""
    focal_px = SIZE_PX * rng.uniform(1.15, 1.4)
    cx, cy = (SIZE_PX - 1) / 2 + rng.normal(0, 2, 2)
    return Camera(focal_px, focal_px, cx, cy, SIZE_PX, SIZE_PX)


def _sample_light(rng: np.random.Generator, target_m: np.ndarray) -> Light:
    """A lamp or a window above or beside the camera, seldom behind the hand; a brighter or darker room."""
    direction = np.array([rng.normal(0, 0.8), -rng.uniform(0.3, 1.2), rng.uniform(-1.0, 0.4)])
    distance_m = rng.uniform(0.8, 1.2)
    sky = _white(rng) * rng.uniform(0.15, 0.6)
    return Light(
        position_m=target_m + distance_m * direction / np.linalg.norm(direction),
        target_m=target_m,
        reach_m=0.4,
        softness_m=float(np.exp(rng.uniform(np.log(0.003), np.log(0.03)))),
        lamp=_white(rng) * rng.uniform(0.5, 1.6),
        up=np.array([0.0, -1, 0]),
        sky=sky,
        ground=sky * rng.uniform(0.25, 0.6) * np.array([1.0, 0.95, 0.88]),
    )


def _white(rng: np.random.Generator) -> np.ndarray:
    """From a bulb's warm light to a blue sky's."""
    warmth = rng.uniform(-0.5, 1)
    return np.array([1.0, 1 - 0.18 * max(warmth, 0) + 0.05 * min(warmth, 0), 1 - 0.42 * warmth])


def _sample_exposure(rng: np.random.Generator) -> Exposure:
    noise = np.exp(rng.uniform(np.log(0.006), np.log(0.04)))
    return Exposure(
        gain=0.24 * np.exp(rng.normal(0, 0.3)) * (1 + rng.normal(0, 0.03, 3)),
        shutter=rng.uniform(0.1, 0.6),
        blur_px=rng.uniform(0.4, 0.85),
        shot_noise=noise,
        read_noise=0.25 * noise,
        vignette=rng.uniform(0, 0.35),
    )
