"""Labelled time-of-flight frames of synthetic hands, bench-tof: scene -> render -> sensor -> HandSample.

The same seed gives the same bytes: frame i of a data set draws from its own generator, whatever was made
before it, so that work can be split and resumed anywhere.
"""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import cache

import cv2
import numpy as np

from handfast.data.headset import sample_headset_scene
from handfast.data.onlooker import sample_scene
from handfast.data.render import Raster, rasterise, shade, vertex_normals, visible
from handfast.data.scenes import BARE_ARM, CROP_SHARE, Person, PlacedHand, Scene, sample_person
from handfast.geometry import Camera, fit_affine
from handfast.hand_model.model import HandAsset, load_hand_asset
from handfast.hand_model.pose_prior import PosePrior, load_pose_prior
from handfast.sensors.tof import ToFSensor, capture
from handfast.structures import Frame, HandLabel, HandSample

WIDTH, HEIGHT = 160, 120
# Joints lie about a finger's radius under the skin; farther behind the nearest surface they are hidden.
VISIBLE_TOLERANCE_M = 0.02
# Rendered at twice the resolution: averaging the light of four samples makes flying pixels.
SUPERSAMPLING = 2
TEXTURE_COUNT = 48

SENSORS = (
    ToFSensor(frequencies_hz=(20e6,)),
    ToFSensor(frequencies_hz=(20e6, 80e6)),
    ToFSensor(frequencies_hz=(60e6, 80e6)),
)
# The amplitude of the third is also a range gate, black beyond 0.94 m: only for hands well within.
GATED_REACH_M = 0.75

# Of the frames of bench-tof: those in one of the person's own rooms.
HOME_SHARE = 0.7
# Of all other frames: those that the wearer of a camera sees of their own hands.
HEADSET_SHARE = 0.3


@dataclass(frozen=True, eq=False)
class World:
    """What all frames of a data set share."""

    asset: HandAsset
    prior: PosePrior
    people: tuple[Person, ...]
    textures: np.ndarray  # (T, h, w) float32 about 1


def make_world(seed: int, people: int = 40) -> World:
    """The people and surface textures of a data set."""
    rng = np.random.default_rng([seed, 0])
    return World(
        asset=load_hand_asset(),
        prior=load_pose_prior(),
        people=tuple(sample_person(rng) for _ in range(people)),
        textures=_textures(seed),
    )


def tof_clip(world: World, rng: np.random.Generator, person: int) -> Iterator[HandSample]:
    """The one frame of a clip of bench-tof: the wearer's hands before a head-worn camera, mostly in one of
    the person's own rooms."""
    who = world.people[person]
    room = who.rooms[rng.integers(len(who.rooms))] if rng.random() < HOME_SHARE else None
    scene = sample_headset_scene(rng, who, world.prior, world.asset, WIDTH, HEIGHT, room)
    textures = world.textures if room is None else world.textures[[room % len(world.textures)]]
    yield observe(scene, _sample_sensor(rng, scene), textures, rng, index=0, time_s=0.0)


def mixed_clip(world: World, rng: np.random.Generator, person: int) -> Iterator[HandSample]:
    """The one frame of a clip of mix-tof: hands and views of all kinds alike."""
    who = world.people[person]
    if rng.random() < HEADSET_SHARE:
        scene = sample_headset_scene(rng, who, world.prior, world.asset, WIDTH, HEIGHT, crop_share=CROP_SHARE)
    else:
        scene = sample_scene(rng, who, world.prior, world.asset, WIDTH, HEIGHT)
    yield observe(scene, _sample_sensor(rng, scene), world.textures, rng, index=0, time_s=0.0)


def _sample_sensor(rng: np.random.Generator, scene: Scene) -> ToFSensor:
    """Any, exposed for hands: what is nearer may saturate."""
    farthest = max((hand.keypoints_m[:, 2].max() for hand in scene.hands), default=0.0)
    sensor = SENSORS[rng.integers(len(SENSORS) if farthest < GATED_REACH_M else len(SENSORS) - 1)]
    nearest = min((hand.keypoints_m[:, 2].mean() for hand in scene.hands), default=rng.uniform(0.2, 0.6))
    return replace(sensor, exposure=float(np.clip((nearest / 0.5) ** 2, 0.02, 1.0)))


def observe(
    scene: Scene,
    sensor: ToFSensor,
    textures: np.ndarray,
    rng: np.random.Generator,
    index: int,
    time_s: float,
    texture_rng: np.random.Generator | None = None,
) -> HandSample:
    """What the sensor sees of a scene, and the truth about it. texture_rng: draws which texture there is, and
    where, the same for all frames of a clip; rng if not given."""
    camera = scene.camera
    size = (camera.width * SUPERSAMPLING, camera.height * SUPERSAMPLING)
    fine = camera.warped(fit_affine(camera.width, camera.height, *size), *size)
    mesh = scene.mesh
    raster = rasterise(mesh.vertices_m, mesh.faces, fine)
    normals = vertex_normals(mesh.vertices_m, mesh.faces)
    shading = shade(raster, mesh.vertices_m, mesh.faces, fine, mesh.albedo, mesh.label, normals)
    albedo = shading.albedo * _texture(textures, texture_rng or rng, shading.label)
    amplitude, depth = capture(sensor, camera, raster.depth_m, shading.cos_incidence, albedo, rng)
    hands = tuple(label_of(hand, camera, raster, fine) for hand in scene.hands)
    segmentation = hands_alone(shading.label[::SUPERSAMPLING, ::SUPERSAMPLING])
    return HandSample(Frame(index, time_s, amplitude, depth, 1.0, camera), hands, segmentation)


def label_of(hand: PlacedHand, camera: Camera, raster: Raster, raster_camera: Camera) -> HandLabel:
    """What is true of a hand for ``camera``, seen or hidden as in what ``raster_camera`` drew."""
    return HandLabel(
        side=hand.side,
        keypoints_px=camera.project(hand.keypoints_m).astype(np.float32),
        keypoints_m=hand.keypoints_m.astype(np.float32),
        visible=visible(hand.keypoints_m, raster, raster_camera, VISIBLE_TOLERANCE_M),
        key_pose=hand.key_pose,
        orientation=hand.orientation,
    )


def hands_alone(label: np.ndarray) -> np.ndarray:
    """A picture of the labels of ``Scene`` as segmentation: 0 background, 1 left, 2 right hand; no arms."""
    return np.where(label == BARE_ARM, 0, label).astype(np.uint8)


def _texture(textures: np.ndarray, rng: np.random.Generator, label: np.ndarray) -> np.ndarray:
    """(H, W) factor on the albedo: strong on the surroundings, faint on skin."""
    height, width = label.shape
    texture = textures[rng.integers(len(textures))]
    y, x = rng.integers(0, texture.shape[0] - height), rng.integers(0, texture.shape[1] - width)
    patch = texture[y : y + height, x : x + width]
    strength = np.where(label > 0, np.float32(0.12), np.float32(rng.uniform(0, 0.9)))
    return 1 + strength * (patch - 1)


@cache
def _textures(seed: int) -> np.ndarray:
    """(T, 400, 500) float32 about 1, 0.1 to 1.9: clouds of several scales, stripes and checks."""
    rng = np.random.default_rng([seed, 2])
    textures = []
    for kind in range(TEXTURE_COUNT):
        total = np.zeros((400, 500), np.float32)
        for cell in (4, 10, 30, 90):
            noise = rng.standard_normal((400 // cell + 2, 500 // cell + 2)).astype(np.float32)
            total += rng.random() * cv2.resize(noise, (500, 400), interpolation=cv2.INTER_CUBIC)
        if kind % 3 == 1:
            angle, period = rng.uniform(0, np.pi), rng.uniform(4, 40)
            y, x = np.mgrid[:400, :500].astype(np.float32)
            total += 2 * np.sign(np.sin((np.cos(angle) * x + np.sin(angle) * y) * (2 * np.pi / period)))
        textures.append(1 + 0.9 * np.tanh(total / (2 * total.std())))
    return np.stack(textures)
