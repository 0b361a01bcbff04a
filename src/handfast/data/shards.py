"""Synthetic data on disk: one safetensors file a shard, each made from the seed alone, so a run can resume.

    {folder}/dataset.json          seed, frames, people, split
    {folder}/shard-00007.safetensors

Arrays of n frames: amplitude (n, 120, 160) uint8, depth_mm uint16, segmentation uint8; for the two hand slots
(left, right): present (n, 2) bool, keypoints_px (n, 2, 21, 2) and keypoints_m (n, 2, 21, 3) float32,
visible (n, 2, 21) bool, key_pose and orientation (n, 2) uint8; person (n,) uint8.
"""

import json
import os
from pathlib import Path

import numpy as np
from safetensors import safe_open
from safetensors.numpy import save_file

from handfast.data.synthesis import HEIGHT, WIDTH, make_world, synthesise
from handfast.errors import HandfastError
from handfast.skeleton import SIDES
from handfast.structures import HandSample

SHARD_FRAMES = 1000
PEOPLE = 40
# As in the paper (section 5): 28 people to train on, 4 to validate, 8 to test.
SPLITS = {"train": range(0, 28), "validation": range(28, 32), "test": range(32, 40)}
# A hand counts as in the picture when this many key-points are inside and this many can be seen.
MIN_INSIDE, MIN_VISIBLE = 8, 4


def shard_path(folder: Path, shard: int) -> Path:
    """Where shard number ``shard`` lies."""
    return folder / f"shard-{shard:05d}.safetensors"


def write_shard(folder: Path, shard: int, seed: int, split: str) -> None:
    """Make one shard, unless it is there already."""
    path = shard_path(folder, shard)
    if path.exists():
        return
    world = make_world(seed, PEOPLE)
    people = SPLITS[split]
    first = shard * SHARD_FRAMES
    indices = range(first, first + SHARD_FRAMES)
    persons = [people[index % len(people)] for index in indices]
    samples = [synthesise(world, seed, i, p) for i, p in zip(indices, persons, strict=True)]
    arrays = pack(samples) | {"person": np.array(persons, np.uint8)}
    partial = path.with_suffix(f".partial{os.getpid()}")
    save_file(arrays, partial, metadata={"seed": str(seed), "first": str(first)})
    os.replace(partial, path)


def pack(samples: list[HandSample]) -> dict[str, np.ndarray]:
    """Samples -> the arrays of a shard."""
    n = len(samples)
    arrays = {
        "amplitude": np.zeros((n, HEIGHT, WIDTH), np.uint8),
        "depth_mm": np.zeros((n, HEIGHT, WIDTH), np.uint16),
        "segmentation": np.zeros((n, HEIGHT, WIDTH), np.uint8),
        "present": np.zeros((n, 2), bool),
        "keypoints_px": np.zeros((n, 2, 21, 2), np.float32),
        "keypoints_m": np.zeros((n, 2, 21, 3), np.float32),
        "visible": np.zeros((n, 2, 21), bool),
        "key_pose": np.zeros((n, 2), np.uint8),
        "orientation": np.zeros((n, 2), np.uint8),
    }
    for i, sample in enumerate(samples):
        arrays["amplitude"][i] = sample.frame.amplitude
        arrays["depth_mm"][i] = sample.frame.depth
        arrays["segmentation"][i] = sample.segmentation
        for hand in sample.hands:
            slot = SIDES.index(hand.side)
            inside = inside_image(hand.keypoints_px)
            # Two hands of one side: the slot keeps the one that is seen more.
            if hand.visible.sum() < arrays["visible"][i, slot].sum():
                continue
            arrays["present"][i, slot] = inside.sum() >= MIN_INSIDE and hand.visible.sum() >= MIN_VISIBLE
            arrays["keypoints_px"][i, slot] = hand.keypoints_px
            arrays["keypoints_m"][i, slot] = hand.keypoints_m
            arrays["visible"][i, slot] = hand.visible
            arrays["key_pose"][i, slot] = hand.key_pose
            arrays["orientation"][i, slot] = hand.orientation
    return arrays


def inside_image(points_px: np.ndarray) -> np.ndarray:
    """(..., 2) px -> (...) bool: within the 160x120 image."""
    return ((points_px >= -0.5) & (points_px < np.array([WIDTH, HEIGHT]) - 0.5)).all(-1)


def load_shards(folder: Path) -> dict[str, np.ndarray]:
    """All shards of a folder as one set of arrays.

    Raises HandfastError when there are none or when one cannot be read (it is named).
    """
    paths = sorted(folder.glob("shard-*.safetensors"))
    if not paths:
        raise HandfastError(f"{folder}: no shards here; make some with `python -m handfast.data.generate`")
    # Into place shard by shard: a list of them to join would take the memory twice.
    arrays: dict[str, np.ndarray] = {}
    first = 0
    for path in paths:
        try:
            with safe_open(path, framework="numpy") as shard:
                part = {name: shard.get_tensor(name) for name in shard.keys()}
            if not arrays:
                frames = len(paths) * SHARD_FRAMES
                arrays = {name: np.empty((frames, *a.shape[1:]), a.dtype) for name, a in part.items()}
            for name, array in arrays.items():
                array[first : first + SHARD_FRAMES] = part[name]
        except Exception as error:
            raise HandfastError(
                f"{path}: not a whole shard ({error}); delete it and generate again"
            ) from error
        first += SHARD_FRAMES
    return arrays


def write_card(folder: Path, seed: int, split: str, frames: int) -> None:
    """dataset.json beside the shards."""
    card = {"seed": seed, "split": split, "frames": frames, "people": list(SPLITS[split])}
    partial = folder / "dataset.json.partial"
    partial.write_text(json.dumps(card, indent=1))
    os.replace(partial, folder / "dataset.json")


def read_card(folder: Path) -> dict:
    """dataset.json. Raises HandfastError when it is missing: the set is not finished."""
    path = folder / "dataset.json"
    try:
        return json.loads(path.read_text())
    except (OSError, ValueError) as error:
        raise HandfastError(
            f"{path}: missing or broken; finish the set with `python -m handfast.data.generate`"
        ) from error
