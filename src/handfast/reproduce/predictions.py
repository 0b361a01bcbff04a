"""What a network finds in the frames that a public data set is tested on, as papers exchange it."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from handfast.data.depth_batches import DepthFrame, DepthFrames, crop_as_taken
from handfast.data.depth_datasets import DEPTH_DATASETS, JointBoxFrames, open_frames
from handfast.errors import HandfastError
from handfast.reproduce.parallel import Watch, on_every_core
from handfast.runtime.dense import DenseModel


@dataclass(frozen=True, eq=False)
class Predictions:
    """Of n frames in order, in camera space: found_mm and labelled_mm (n, J, 3). without_hand: keys of frames
    with too little depth in the box of the joints to be looked at."""

    found_mm: np.ndarray
    labelled_mm: np.ndarray
    without_hand: tuple[str, ...]


def open_test(name: str, folder: Path) -> JointBoxFrames:
    """The frames that one of DEPTH_DATASETS is tested on. Raises HandfastError for another name, and as
    ``open_frames`` does."""
    if name not in DEPTH_DATASETS:
        raise HandfastError(f"{name!r}: expected one of {', '.join(DEPTH_DATASETS)}")
    return open_frames(name, folder, DEPTH_DATASETS[name].test)


def predict(model: DenseModel, name: str, frames: JointBoxFrames, watch: Watch = iter) -> Predictions:
    """Find the joints of each frame, cut out by the box of the labelled ones, as in training.

    What is not found counts as in ``find_joints``. Raises HandfastError for a model with other joints, and
    for a frame that cannot be read.
    """
    labelled = DEPTH_DATASETS[name].skeleton
    if model.skeleton is not labelled:
        raise HandfastError(
            f"model {model.card.name}: expected the {len(labelled)} joints of {labelled.name}, which {name} "
            f"has labels of, got {len(model.skeleton)} of {model.skeleton.name}"
        )

    def find(index: int) -> tuple[np.ndarray, bool, np.ndarray]:
        frame = frames[index]
        return *find_joints(model, frames, frame), frame.joints_mm

    found_mm, has_hand, labelled_mm = zip(*on_every_core(find, len(frames), watch), strict=True)
    keys = frames.samples.keys
    return Predictions(
        found_mm=np.stack(found_mm),
        labelled_mm=np.stack(labelled_mm),
        without_hand=tuple(key for key, has in zip(keys, has_hand, strict=True) if not has),
    )


def find_joints(model: DenseModel, frames: DepthFrames, frame: DepthFrame) -> tuple[np.ndarray, bool]:
    """The joints (J, 3) mm of one of the frames, cut out where its label says, and whether there is a hand to
    be looked at.

    A joint that is not found is put in the middle of the crop; all of a frame without a hand, in the middle
    of the box, as far away as the nearest joint.
    """
    crop = crop_as_taken(frames, frame)
    if crop is None:
        nearest_mm = np.array(frame.joints_mm[:, 2].min())
        middle_mm = frame.camera.unproject(np.array(frame.middle_px), nearest_mm)
        return np.broadcast_to(middle_mm, (len(model.skeleton), 3)), False
    (found_mm,), _ = model.joints([crop])
    return np.where(np.isnan(found_mm), crop.centre_mm, found_mm), True
