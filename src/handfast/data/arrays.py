"""A benchmark's split in memory: labelled frames as arrays to train on, two slots for the hands of each."""

from collections.abc import Iterable, Sequence
from itertools import chain
from pathlib import Path

import numpy as np

from handfast.data.cards import Card, read_shard
from handfast.data.shards import decode_shard
from handfast.skeleton import SIDES
from handfast.structures import HandSample

# A hand counts as in the picture when this many key-points are inside and this many can be seen.
MIN_INSIDE, MIN_VISIBLE = 8, 4


def load_split(folder: Path, card: Card, split: str) -> dict[str, np.ndarray]:
    """A split of the set whose ``finished_card`` this is: the arrays of ``pack``.

    Raises HandfastError for a shard that is not as it was made.
    """
    samples = chain.from_iterable(
        decode_shard(read_shard(folder, card, split, name)) for name in card.layout(split)
    )
    return _stacked(samples, card.frames(split))


def pack(samples: Sequence[HandSample]) -> dict[str, np.ndarray]:
    """n samples of one size, one at least -> arrays to train on.

    Pictures, those that there are: amplitude (n, H, W) uint8, depth_mm uint16, colour (n, H, W, 3) uint8,
    segmentation (n, H, W) uint8. intrinsics (n, 4) float64: fx, fy, cx, cy of the cameras.
    For the two hand slots (left, right): present (n, 2) bool, keypoints_px (n, 2, 21, 2) and keypoints_m
    (n, 2, 21, 3) float32, visible (n, 2, 21) bool, key_pose and orientation (n, 2) uint8. Of two hands of one
    side the slot keeps the one that is seen more.
    """
    return _stacked(samples, len(samples))


def _stacked(samples: Iterable[HandSample], count: int) -> dict[str, np.ndarray]:
    # Each into its place: a list of them to stack would take the memory twice.
    arrays: dict[str, np.ndarray] = {}
    for i, sample in enumerate(samples):
        row = _row(sample)
        if not arrays:
            arrays = {name: np.empty((count, *value.shape), value.dtype) for name, value in row.items()}
        for name, value in row.items():
            arrays[name][i] = value
    return arrays


def _row(sample: HandSample) -> dict[str, np.ndarray]:
    frame = sample.frame
    pictures = {
        "amplitude": frame.amplitude,
        "depth_mm": frame.depth,
        "colour": frame.colour,
        "segmentation": sample.segmentation,
    }
    slots = {
        "present": np.zeros(2, bool),
        "keypoints_px": np.zeros((2, 21, 2), np.float32),
        "keypoints_m": np.zeros((2, 21, 3), np.float32),
        "visible": np.zeros((2, 21), bool),
        "key_pose": np.zeros(2, np.uint8),
        "orientation": np.zeros(2, np.uint8),
    }
    camera = {"intrinsics": np.array([getattr(frame.camera, name) for name in ("fx", "fy", "cx", "cy")])}
    height, width = frame.shape
    for hand in sample.hands:
        slot = SIDES.index(hand.side)
        if hand.visible.sum() < slots["visible"][slot].sum():
            continue
        inside = inside_image(hand.keypoints_px, width, height)
        slots["present"][slot] = inside.sum() >= MIN_INSIDE and hand.visible.sum() >= MIN_VISIBLE
        slots["keypoints_px"][slot] = hand.keypoints_px
        slots["keypoints_m"][slot] = hand.keypoints_m
        slots["visible"][slot] = hand.visible
        slots["key_pose"][slot] = hand.key_pose
        slots["orientation"][slot] = hand.orientation
    return {name: picture for name, picture in pictures.items() if picture is not None} | camera | slots


def inside_image(points_px: np.ndarray, width: int, height: int) -> np.ndarray:
    """(..., 2) px -> (...) bool: within the image."""
    return ((points_px >= -0.5) & (points_px < np.array([width, height]) - 0.5)).all(-1)
