"""Training batches of depth crops of one right hand, turned, scaled and degraded at random.

Batch k is a function of k, whatever was asked for before.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

import cv2
import numpy as np

from handfast.data.arrays import load_split
from handfast.data.cards import finished_card
from handfast.data.depth import CUBE_M, SIZE_PX
from handfast.data.order import shuffled
from handfast.errors import HandfastError
from handfast.geometry import Camera, apply_affine, crop_affine
from handfast.sensors.depth_crop import CUBE_MM, DepthCrop, HandBox, box_about, crop_hand
from handfast.skeleton import SIDES

Batch = dict[str, np.ndarray]

RIGHT = SIDES.index("right")
CENTRE_ERROR_MM = 12.0  # how far from the hand's middle a finder may put the cube
SCALE_RANGE, ASPECT_RANGE = (0.85, 1.15), (0.9, 1.1)
NOISE_MM, HOLES, HOLE_PX = 2.0, 3, (2, 9)
# How much of a torn hand is missing, as a share of its length that way, and how much farther the hole goes:
# with all of the hand, and more, what is left is its arm and whatever else is near.
TORN, TORN_BEYOND = (0.2, 1.1), (0.1, 1.0)
VALIDATION_BATCH, VALIDATION_BATCHES = 50, 10
# Frames in a row whose hand cannot be cut out, before the data are taken to be wrong.
MOST_WITHOUT_HAND = 20


@dataclass(frozen=True)
class DepthMix:
    """What is done to the frames. turn_rad: the farthest turn about the viewing axis. degraded_share: of the
    crops, those with more noise and holes than the sensor gave them. torn_share: of the crops, those in which
    a fifth of the hand or more is a hole and the joints there have no label."""

    turn_rad: float = float(np.pi)
    degraded_share: float = 0.5
    torn_share: float = 0.0

    def __post_init__(self) -> None:
        if not 0 <= self.turn_rad <= np.pi:
            raise HandfastError(f"data: turn_rad must be in 0..pi, got {self.turn_rad}")
        for name in ("degraded_share", "torn_share"):
            if not 0 <= getattr(self, name) <= 1:
                raise HandfastError(f"data: {name} must be in 0..1, got {getattr(self, name)}")


@dataclass(frozen=True, eq=False)
class DepthFrame:
    """One labelled hand.

    depth_mm: (H, W) uint16, 0 = no value. joints_mm: (J, 3) float64 in camera space, those that are labelled.
    middle_px, width_px: of a square that holds the hand however it is turned about its middle.
    """

    depth_mm: np.ndarray
    camera: Camera
    joints_mm: np.ndarray
    middle_px: tuple[float, float]
    width_px: int


class DepthFrames(Protocol):
    """Frames of one hand each, in order. Reading one may raise HandfastError."""

    def __len__(self) -> int: ...

    def __getitem__(self, index: int) -> DepthFrame: ...

    def box(self, camera: Camera, joints_mm: np.ndarray, error_mm: np.ndarray, scale: float) -> HandBox:
        """What is cut out: about a place that is ``error_mm`` (3,) off, and ``scale`` times as wide."""
        ...

    def origin(self, indices: Sequence[int]) -> str:
        """Which files frames are in."""
        ...


@dataclass(frozen=True, eq=False)
class BenchFrames:
    """Those of a split of bench-depth, which show a cube each. arrays: as from load_split. shard_frames: how
    many frames a shard of the split has."""

    arrays: dict[str, np.ndarray]
    shard_frames: int = 1

    def __len__(self) -> int:
        return len(self.arrays["depth_mm"])

    def __getitem__(self, index: int) -> DepthFrame:
        return DepthFrame(
            depth_mm=self.arrays["depth_mm"][index],
            camera=Camera(*self.arrays["intrinsics"][index], SIZE_PX, SIZE_PX),
            joints_mm=1000.0 * self.arrays["keypoints_m"][index, RIGHT].astype(np.float64),
            middle_px=((SIZE_PX - 1) / 2, (SIZE_PX - 1) / 2),
            width_px=SIZE_PX,
        )

    def box(self, camera: Camera, joints_mm: np.ndarray, error_mm: np.ndarray, scale: float) -> HandBox:
        return box_about(middle_mm(camera) + error_mm, camera, CUBE_MM * scale)

    def origin(self, indices: Sequence[int]) -> str:
        shards = sorted({index // self.shard_frames for index in indices})
        return ", ".join(f"shard-{shard:05d}.tar" for shard in shards)


@dataclass(frozen=True, eq=False)
class DepthBatches:
    """Crops of labelled frames by step.

    name: for the cards of models trained on it. validation: batches kept aside, by kind. mix: None to take
    frames as they are.
    """

    frames: DepthFrames
    seed: int
    mix: DepthMix | None
    name: str = "synthetic"
    validation: Mapping[str, tuple[Batch, ...]] = field(default_factory=dict)

    def __len__(self) -> int:
        return len(self.frames)

    def batch(self, step: int, batch_size: int) -> Batch:
        """Batch number ``step``: depth (b, 128, 128) float32 as ``DepthCrop.depth``, intrinsics (b, 4) of the
        crops' cameras, centre_mm (b, 3) and joints_mm (b, J, 3) in camera space, float64, NaN where a hand
        is torn. Every pass over the data has its own order. Raises HandfastError where one frame after the
        other shows no hand."""
        samples = [self._sample(step * batch_size + i) for i in range(batch_size)]
        return {name: np.stack([s[name] for s in samples]) for name in samples[0]}

    def origin(self, step: int, batch_size: int) -> str:
        """Which files batch number ``step`` was made from."""
        return self.frames.origin([self._choose(step * batch_size + i) for i in range(batch_size)])

    def _choose(self, position: int) -> int:
        epoch, place = divmod(position, len(self))
        return shuffled(place, len(self), self.seed + epoch) if self.mix else place

    def _sample(self, position: int) -> dict[str, np.ndarray]:
        chosen = self._choose(position)
        rng = np.random.default_rng([self.seed, 5, position])
        tries = min(MOST_WITHOUT_HAND, len(self))
        for index in range(chosen, chosen + tries):
            frame = self.frames[index % len(self)]
            joints_mm = frame.joints_mm
            if self.mix is None:
                crop = crop_as_taken(self.frames, frame)
            else:
                crop, joints_mm = _augmented(rng, self.frames, frame, self.mix)
            if crop is not None:
                return _as_sample(crop, joints_mm)
        raise HandfastError(
            f"{self.frames.origin([chosen])}: expected a hand where its label says, found none in {tries} "
            "frames from there on; check the data"
        )


def open_depth_batches(folder: Path, mix: DepthMix, seed: int) -> DepthBatches:
    """A folder made by ``handfast synth bench-depth`` -> batches of train/, validated on validation/.

    Raises HandfastError when anything is missing or broken, and for another benchmark.
    """
    card = finished_card(folder, "train", "bench-depth")
    held_out = open_as_taken(folder, "validation")
    return DepthBatches(
        BenchFrames(load_split(folder, card, "train"), card.shard_clips * card.clip_frames),
        seed,
        mix,
        name=f"{card.frames('train')} frames of {card.benchmark}, seed {card.seed}",
        validation={
            "crops": tuple(held_out.batch(step, VALIDATION_BATCH) for step in range(VALIDATION_BATCHES))
        },
    )


def open_as_taken(folder: Path, split: str) -> DepthBatches:
    """A split of bench-depth in its own order, with nothing done to its frames. Raises HandfastError as
    ``open_depth_batches`` does."""
    card = finished_card(folder, split, "bench-depth")
    return DepthBatches(BenchFrames(load_split(folder, card, split)), seed=0, mix=None)


def middle_mm(camera: Camera) -> np.ndarray:
    """The middle (3,) in camera space of the cube that a frame of bench-depth shows."""
    return camera.unproject(np.full(2, (SIZE_PX - 1) / 2), np.array(1000 * CUBE_M * camera.fx / SIZE_PX))


def crop_as_taken(frames: DepthFrames, frame: DepthFrame) -> DepthCrop | None:
    """A frame's hand, cut out where it is; None where there is no hand to tell a pose from."""
    return crop_hand(
        frame.depth_mm, frame.camera, frames.box(frame.camera, frame.joints_mm, np.zeros(3), 1.0)
    )


def _augmented(
    rng: np.random.Generator, frames: DepthFrames, frame: DepthFrame, mix: DepthMix
) -> tuple[DepthCrop | None, np.ndarray]:
    """A crop and its joints, turned and stretched in the image at their depths, as Wan et al. do it."""
    width = frame.width_px
    turn = crop_affine(frame.middle_px, width, width, width, rng.uniform(-mix.turn_rad, mix.turn_rad))
    stretch = np.sqrt(rng.uniform(*ASPECT_RANGE))
    middle = (width - 1) / 2
    A = np.array([[stretch, 0, middle * (1 - stretch)], [0, 1 / stretch, middle * (1 - 1 / stretch)]])
    A = A @ np.vstack([turn, (0, 0, 1)])
    turned_mm = cv2.warpAffine(frame.depth_mm, A, (width, width), flags=cv2.INTER_NEAREST)
    camera = frame.camera.warped(crop_affine(frame.middle_px, width, width, width), width, width)
    turned_px = apply_affine(A, frame.camera.project(frame.joints_mm))
    joints_mm = camera.unproject(turned_px, frame.joints_mm[:, 2])
    error_mm = CENTRE_ERROR_MM * rng.standard_normal(3)
    if rng.random() < mix.degraded_share:
        turned_mm = _degraded(rng, turned_mm)
    scale = rng.uniform(*SCALE_RANGE)
    if rng.random() >= mix.torn_share:
        return crop_hand(turned_mm, camera, frames.box(camera, joints_mm, error_mm, scale)), joints_mm
    left_mm, gone = _torn(rng, turned_mm, turned_px)
    if not gone.all():
        # A finder sees what is left, and takes the middle of that.
        error_mm += rng.random() * (joints_mm[~gone].mean(axis=0) - joints_mm.mean(axis=0))
    box = frames.box(camera, joints_mm, error_mm, scale)
    return crop_hand(left_mm, camera, box), np.where(gone[:, None], np.nan, joints_mm)


def _torn(
    rng: np.random.Generator, depth_mm: np.ndarray, joints_px: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """A picture without what lies in a strip across the hand, from somewhere on it to beyond its end, and
    which of its joints (J, 2) are gone."""
    angle = rng.uniform(0, 2 * np.pi)
    along = joints_px @ (np.cos(angle), np.sin(angle))
    last, length = along.max(), np.ptp(along)
    first = last - length * rng.uniform(*TORN)
    rows, columns = np.indices(depth_mm.shape)
    place = columns * np.cos(angle) + rows * np.sin(angle)
    hole = (place >= first) & (place <= last + length * rng.uniform(*TORN_BEYOND))
    return np.where(hole, 0, depth_mm).astype(depth_mm.dtype), along >= first


def _degraded(rng: np.random.Generator, depth_mm: np.ndarray) -> np.ndarray:
    """With noise, and with holes."""
    noisy_mm = depth_mm + np.rint(NOISE_MM * rng.standard_normal(depth_mm.shape, np.float32))
    noisy_mm = np.where(depth_mm > 0, noisy_mm, 0).clip(0).astype(np.uint16)
    for _ in range(rng.integers(0, HOLES + 1)):
        x, y = rng.integers(0, depth_mm.shape[1]), rng.integers(0, depth_mm.shape[0])
        width, height = rng.integers(*HOLE_PX, 2)
        noisy_mm[y : y + height, x : x + width] = 0
    return noisy_mm


def _as_sample(crop: DepthCrop, joints_mm: np.ndarray) -> dict[str, np.ndarray]:
    camera = crop.camera
    return {
        "depth": crop.depth,
        "intrinsics": np.array([camera.fx, camera.fy, camera.cx, camera.cy]),
        "centre_mm": np.asarray(crop.centre_mm, np.float64),
        "joints_mm": np.asarray(joints_mm, np.float64),
    }
