"""Training batches and test crops of public depth data sets, cut out as Wan et al. (2018) do it: by the box
of the labelled joints, in training and in testing alike.

Frames are read from disk as they are needed.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from math import ceil
from pathlib import Path

import numpy as np

from handfast.data.datasets.check import spread
from handfast.data.datasets.icvl import ICVL, open_icvl
from handfast.data.datasets.nyu import NYU, open_nyu
from handfast.data.datasets.samples import Samples
from handfast.data.depth_batches import (
    VALIDATION_BATCH,
    VALIDATION_BATCHES,
    DepthBatches,
    DepthFrame,
    DepthMix,
)
from handfast.errors import HandfastError
from handfast.geometry import Camera
from handfast.sensors.depth_crop import HandBox, box_of_joints
from handfast.skeleton import ICVL16, NYU14, Skeleton

# Of the square that is turned in training: so many times as wide as the hand's box.
TURNED_WIDTH = 2.0


@dataclass(frozen=True)
class DepthDataSet:
    """How a data set is trained and tested on.

    open: (folder, split) -> its samples, of one hand each, with depth in mm. train, test: splits.
    behind_mm: how far behind the nearest joint the background begins.
    """

    title: str
    open: Callable[[Path, str], Samples]
    skeleton: Skeleton
    train: str
    test: str
    behind_mm: float


DEPTH_DATASETS = {
    "nyu": DepthDataSet(NYU.title, partial(open_nyu, with_colour=False), NYU14, "train", "test", 250.0),
    # Of the pictures that its authors turned it has many times as many; training turns them all.
    "icvl": DepthDataSet(ICVL.title, open_icvl, ICVL16, "train_original", "test", 500.0),
}


@dataclass(frozen=True, eq=False)
class JointBoxFrames:
    """Samples with depth in mm, cut out by the box of their joints."""

    samples: Samples
    behind_mm: float

    def __len__(self) -> int:
        return len(self.samples)

    def __getitem__(self, index: int) -> DepthFrame:
        sample = self.samples[index]
        camera, joints_mm = sample.frame.camera, 1000.0 * sample.hands[0].keypoints_m.astype(np.float64)
        box = box_of_joints(joints_mm, camera)
        return DepthFrame(
            sample.frame.depth, camera, joints_mm, box.centre_px, ceil(TURNED_WIDTH * box.width_px)
        )

    def box(self, camera: Camera, joints_mm: np.ndarray, error_mm: np.ndarray, scale: float) -> HandBox:
        box = box_of_joints(joints_mm + error_mm, camera, self.behind_mm)
        return replace(box, width_px=scale * box.width_px)

    def origin(self, indices: Sequence[int]) -> str:
        return ", ".join(self.samples.keys[index] for index in indices)


def open_dataset_batches(name: str, folder: Path, mix: DepthMix, seed: int) -> DepthBatches:
    """A copy of one of DEPTH_DATASETS -> batches of its split to train on, validated on 500 frames that are
    spread over the one to test on. Raises HandfastError for a folder that is not there, and for what is
    missing or broken in it."""
    dataset = DEPTH_DATASETS[name]
    train, test = (open_frames(name, folder, split) for split in (dataset.train, dataset.test))
    picked = spread(len(test), VALIDATION_BATCH * VALIDATION_BATCHES)
    some = Samples(tuple(test.samples.keys[i] for i in picked), lambda index: test.samples[picked[index]])
    held_out = DepthBatches(JointBoxFrames(some, dataset.behind_mm), seed=0, mix=None)
    size = min(VALIDATION_BATCH, len(some))
    return DepthBatches(
        train,
        seed,
        mix,
        name=f"{len(train)} frames of {dataset.title}",
        validation={"crops": tuple(held_out.batch(step, size) for step in range(len(some) // size))},
    )


def open_frames(name: str, folder: Path, split: str) -> JointBoxFrames:
    """A split of a copy of one of DEPTH_DATASETS. Raises HandfastError for a folder that is not there or has
    no frame of it, and for what is missing or broken."""
    dataset = DEPTH_DATASETS[name]
    if not folder.is_dir():
        raise HandfastError(f"{folder}: no such folder; give the one that holds {dataset.title}")
    samples = dataset.open(folder, split)
    if not len(samples):
        raise HandfastError(f"{folder}: its split {split} of {dataset.title} has no frame; unpack it again")
    return JointBoxFrames(samples, dataset.behind_mm)
