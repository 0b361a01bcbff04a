"""RHD, the Rendered Hand Pose data set: 20 synthetic people, 39 actions, both hands.

Zimmermann and Brox 2017, "Learning to Estimate 3D Hand Pose from Single RGB Images" (ICCV); home page below.
The folder (RHD_published_v2) holds, 320 x 320 pixels each,

    training/color/00000.png
             mask/00000.png     a byte a pixel: 0 background, 1 person, 2-17 left hand, 18-33 right hand, each
                                three parts a finger, thumb to little finger, and the palm
             depth/00000.png    red is the upper, green the lower byte: 65535 is 5 m
             anno_training.pickle   {0: {'uv_vis': 42 x 3 px and 0 or 1, 'xyz': 42 x 3 m, 'K': 3 x 3}, ...}

and evaluation/ alike. Joints 0-20 are the left hand's, 21-41 the right one's: wrist, then thumb to little
finger, each from the tip to the root. The set's description calls xyz world coordinates; they are the
camera's, for K takes them to the pixels. 'Visible' counts pixels of the fitting part around the key-point
(its author, issue 32 of lmb-freiburg/hand3d): false outside the picture and where something else is in
front. A hand of which nothing is visible is left out here.

Not verified: the licence, taken to be that of the same authors' FreiHAND; what depth says of the sky; that
pixel centres lie at integers.
"""

from pathlib import Path

import numpy as np

from handfast.data.datasets.reading import (
    camera_from_matrix,
    check_ahead,
    label_array,
    read_colour,
    read_grey,
)
from handfast.data.datasets.restricted_pickle import load_pickle
from handfast.data.datasets.samples import DataSet, Samples, check_split
from handfast.errors import HandfastError
from handfast.skeleton import SIDES
from handfast.structures import Frame, HandLabel, HandSample

_SHAPE = (320, 320)
_SPLITS = {"training": 41_258, "evaluation": 2_728}
_DEPTH_UNIT_MM = 5000 / 65535
# Fingers come tip first.
_TO_HAND21 = [0, *(4 * finger + joint for finger in range(5) for joint in (4, 3, 2, 1))]
_FIRST_LEFT, _FIRST_RIGHT = 2, 18  # classes of the mask


def open_rhd(folder: Path, split: str) -> Samples:
    """The samples of a split: hand21 with visibility, depth and segmentation.

    Raises HandfastError for an unknown split, and for missing or broken files.
    """
    check_split(split, _SPLITS)
    path = folder / split / f"anno_{split}.pickle"
    labels = load_pickle(path)
    fits = isinstance(labels, dict) and all(
        isinstance(number, int) and isinstance(label, dict) and label.keys() >= {"uv_vis", "xyz", "K"}
        for number, label in labels.items()
    )
    if not fits:
        raise HandfastError(
            f"{path}: expected a dict from frame numbers to uv_vis, xyz and K; unpack it again"
        )
    numbers = sorted(labels)

    def read(index: int) -> HandSample:
        number = numbers[index]
        name = f"{number:05d}.png"
        colour = read_colour(folder / split / "color" / name, _SHAPE)
        depth = read_colour(folder / split / "depth" / name, _SHAPE)
        mask = read_grey(folder / split / "mask" / name, _SHAPE)
        where = f"{path}: frame {number}"
        frame = Frame(
            index,
            0.0,
            depth=np.uint16(256) * depth[..., 0] + depth[..., 1],
            depth_unit_mm=_DEPTH_UNIT_MM,
            camera=camera_from_matrix(labels[number]["K"], _SHAPE, f"{where}: K"),
            colour=colour,
        )
        segmentation = (mask >= _FIRST_LEFT).astype(np.uint8) + (mask >= _FIRST_RIGHT)
        return HandSample(frame, _hands(labels[number], where), segmentation)

    return Samples(tuple(f"{split}/color/{number:05d}.png" for number in numbers), read)


def _hands(label: dict, where: str) -> tuple[HandLabel, ...]:
    uv_vis = label_array(label["uv_vis"], (42, 3), f"{where}: uv_vis").astype(np.float32)
    xyz = label_array(label["xyz"], (42, 3), f"{where}: xyz").astype(np.float32)
    check_ahead(f"{where}: xyz", xyz[uv_vis[:, 2] == 1])  # what is not seen may lie behind the camera
    hands = tuple(
        HandLabel(
            side=side,
            keypoints_px=points[_TO_HAND21, :2],
            keypoints_m=points_m[_TO_HAND21],
            visible=points[_TO_HAND21, 2] == 1,
        )
        for side, points, points_m in zip(SIDES, uv_vis.reshape(2, 21, 3), xyz.reshape(2, 21, 3), strict=True)
    )
    return tuple(hand for hand in hands if hand.visible.any())


RHD = DataSet(
    title="RHD: Rendered Hand Pose data set",
    homepage="https://lmb.informatik.uni-freiburg.de/resources/datasets/RenderedHandposeDataset.en.html",
    licence="research only, no commercial use",
    splits=_SPLITS,
    open=open_rhd,
)
