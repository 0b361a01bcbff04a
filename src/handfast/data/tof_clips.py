"""Clips of one moving hand before a still time-of-flight camera, bench-tof-clips: 60 frames at 30 Hz, with
all labels. In half of them something passes between hand and camera.
"""

from collections.abc import Iterator
from dataclasses import replace

import numpy as np

from handfast.data.clips import FRAMES, RATE_HZ
from handfast.data.meshes import Mesh, join
from handfast.data.motion import wander
from handfast.data.scenes import (
    HAND_LENGTH_M,
    VIEW_SHARES,
    VIEWS,
    PlacedHand,
    Scene,
    place_hand,
    sample_object,
    sample_orientation,
    sample_surroundings,
    upper_arm,
)
from handfast.data.synthesis import GATED_REACH_M, HEIGHT, SENSORS, WIDTH, World, observe
from handfast.geometry import Camera, rotation_from_axis_angle
from handfast.hand_model.pose_prior import classify, sample_motion
from handfast.sensors.tof import ToFSensor
from handfast.skeleton import SIDES
from handfast.structures import HandSample

HAND_SHARE = (0.35, 0.7)  # a hand's length, of the picture's height
DISTANCE_M = (0.25, 0.75)
PASSING_SHARE = 0.5
_TIME_S = np.arange(FRAMES) / RATE_HZ
# How the hand moves: right, down and forward, m, and about these axes, rad.
_SPREAD = np.array([0.05, 0.04, 0.05, 0.35, 0.6, 0.35])
_FASTEST = np.array([1.0, 1.0, 1.0, 5.0, 5.0, 5.0])
# So far sideways, of half the picture, that a hand seldom leaves it.
_SIDEWAYS = 0.2
_KNUCKLE = 9  # of the middle finger


def make_tof_clip(world: World, rng: np.random.Generator, person: int) -> Iterator[HandSample]:
    """The frames of a clip of one person: 160x120 amplitude and depth in mm, one hand."""
    who, side = world.people[person], str(rng.choice(SIDES))
    view = str(rng.choice(VIEWS, p=VIEW_SHARES))
    distance_m = rng.uniform(*DISTANCE_M)
    camera = _sample_camera(rng, distance_m)
    home_m = camera.unproject(rng.uniform(0.4, 0.6, 2) * (WIDTH, HEIGHT), np.array(distance_m))
    reach_m = _SIDEWAYS * distance_m * HEIGHT / camera.fy
    moves = wander(rng, _TIME_S, np.minimum(_SPREAD, [reach_m, reach_m, *_SPREAD[2:]]), _FASTEST)
    rotations = rotation_from_axis_angle(moves[:, 3:]) @ sample_orientation(rng, view)
    angles_rad = sample_motion(world.prior, rng, FRAMES, RATE_HZ)
    room = who.rooms[rng.integers(len(who.rooms))]
    objects = int(rng.integers(0, 11))
    still = sample_surroundings(rng, camera, distance_m, view, objects, (), room)
    passes = _passing(rng, home_m) if rng.random() < PASSING_SHARE else [[]] * FRAMES
    has_arm, arm_seed, texture_seed = rng.random() < 0.8, rng.integers(2**32), rng.integers(2**32)
    textures = world.textures[[room % len(world.textures)]]
    sensor = _sample_sensor(rng, distance_m)
    for index in range(FRAMES):
        key_pose = classify(world.prior, angles_rad[index])
        hand, mesh = _held_at(
            home_m + moves[index, :3],
            *place_hand(world.asset, who, side, angles_rad[index], key_pose, rotations[index], home_m),
        )
        arm = [upper_arm(np.random.default_rng(arm_seed), mesh, who)] if has_arm else []
        scene = Scene(camera, join([mesh, *arm, *still, *passes[index]]), (hand,))
        texture_rng = np.random.default_rng(texture_seed)
        yield observe(scene, sensor, textures, rng, index, index / RATE_HZ, texture_rng)


def _sample_camera(rng: np.random.Generator, distance_m: float) -> Camera:
    """One that shows a hand so far away as large as hands are here."""
    focal_px = HEIGHT * rng.uniform(*HAND_SHARE) * distance_m / HAND_LENGTH_M
    cx, cy = np.array([(WIDTH - 1) / 2, (HEIGHT - 1) / 2]) + rng.normal(0, 3, 2)
    return Camera(focal_px, focal_px, cx, cy, WIDTH, HEIGHT)


def _sample_sensor(rng: np.random.Generator, distance_m: float) -> ToFSensor:
    """Exposed for a hand so far away."""
    farthest_m = distance_m + HAND_LENGTH_M
    sensor = SENSORS[rng.integers(len(SENSORS) if farthest_m < GATED_REACH_M else len(SENSORS) - 1)]
    return replace(sensor, exposure=float(np.clip((distance_m / 0.5) ** 2, 0.02, 1.0)))


def _held_at(palm_m: np.ndarray, hand: PlacedHand, mesh: Mesh) -> tuple[PlacedHand, Mesh]:
    """The hand with its palm's middle there, wherever its fingers are."""
    shift_m = palm_m - hand.keypoints_m[[0, _KNUCKLE]].mean(axis=0)
    return (
        replace(hand, keypoints_m=hand.keypoints_m + shift_m),
        replace(mesh, vertices_m=mesh.vertices_m + shift_m),
    )


def _passing(rng: np.random.Generator, hand_m: np.ndarray) -> list[list[Mesh]]:
    """Of every frame, something that comes from one side, passes before the hand and goes to the other."""
    heading = rng.uniform(0, 2 * np.pi)
    way_m = rng.uniform(0.4, 1.0) * hand_m[2] * np.array([np.cos(heading), np.sin(heading), 0.0])
    middle_m = hand_m * rng.uniform(0.55, 0.85)
    parts = sample_object(rng, middle_m, rng.uniform(0.03, 0.08))
    share = (_TIME_S - rng.uniform(0.2, 0.8) * _TIME_S[-1]) * rng.uniform(0.5, 1.5)
    return [[replace(part, vertices_m=part.vertices_m + s * way_m) for part in parts] for s in share]
