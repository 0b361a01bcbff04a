"""NYU hand pose: one person to train on, two to test, right hands before three depth cameras.

Tompson, Stein, LeCun and Perlin 2014, "Real-Time Continuous Pose Recovery of Human Hands Using Convolutional
Networks" (ACM TOG 33:5). The folder is the ``dataset`` of nyu_hand_dataset_v2.zip: train/ and test/ with

    depth_1_0000001.png        640 x 480 RGB, numbers from 1; depth in mm is 256 green + blue
    rgb_1_0000001.png          colour, registered to the depth and black where there is none
    synthdepth_1_0000001.png   depth of the fitted hand model; not read
    joint_data.mat             joint_xyz, joint_uvd: cameras x frames x 36 joints x 3; joint_names

and the same for cameras 2 and 3. Only camera 1, the frontal one, is used, as is the custom. joint_xyz is in
mm in the camera's axes, but y up; joint_uvd is its projection. Of 36 joints 14 count in the literature:
0, 3, 6, 9, 12, 15, 18, 21, 24, 25, 27, 30, 31, 32, which are two each of F1, the little finger, to F4, three
of the thumb and PALM_1 to PALM_3. Where others split the test set into test_1 and test_2, these are frames 1
to 2440 and 2441 to 8252, one person each. rgb pictures may be left out: then the samples have no colour.

Measured on the published test labels: hands are right ones, PALM_1 is the little finger's side of the wrist
and PALM_2 the thumb's. Not verified on the data: that depth is 0 where there is none; whether pixels count
from 0, as here, or from 1, as the authors' MATLAB script draws them; the terms of use.
"""

from pathlib import Path

import numpy as np

from handfast.data.datasets.mat_files import load_mat
from handfast.data.datasets.reading import hand_label, label_array, read_colour
from handfast.data.datasets.samples import DataSet, Samples, check_split, need_file
from handfast.errors import HandfastError
from handfast.geometry import Camera
from handfast.skeleton import NYU14
from handfast.structures import Frame, HandSample

_SPLITS = {"train": 72_757, "test": 8_252}
# The authors' conversion scripts; the literature rounds to 588.03 and 587.07.
_CAMERA = Camera(588.036865, 587.075073, 320, 240, 640, 480)
_SHAPE = (480, 640)
_EVALUATED = [0, 3, 6, 9, 12, 15, 18, 21, 24, 25, 27, 30, 31, 32]


def open_nyu(folder: Path, split: str, with_colour: bool = True) -> Samples:
    """The samples of a split, seen by camera 1: nyu14, depth and, where its pictures are there, colour.

    with_colour: False to leave those unread, which takes half as long. Raises HandfastError for an unknown
    split, and for missing or broken files.
    """
    check_split(split, _SPLITS)
    path = folder / split / "joint_data.mat"
    variables = load_mat(path)
    if "joint_xyz" not in variables:
        raise HandfastError(f"{path}: expected a variable joint_xyz, got {', '.join(variables) or 'none'}")
    xyz_mm = label_array(variables["joint_xyz"], (3, None, 36, 3), f"{path}: joint_xyz")
    joints_m = xyz_mm[0][:, _EVALUATED] * (1e-3, -1e-3, 1e-3)
    names = [f"{number:07d}.png" for number in range(1, len(joints_m) + 1)]
    if names:
        need_file(folder / split / f"depth_1_{names[-1]}", f"the last of the {len(names)} frames in {path}")

    def read(index: int) -> HandSample:
        _, green, blue = np.moveaxis(read_colour(folder / split / f"depth_1_{names[index]}", _SHAPE), -1, 0)
        picture = folder / split / f"rgb_1_{names[index]}"
        has_colour = with_colour and picture.is_file()
        frame = Frame(
            index,
            0.0,
            depth=np.uint16(256) * green + blue,
            depth_unit_mm=1.0,
            camera=_CAMERA,
            colour=read_colour(picture, _SHAPE) if has_colour else None,
        )
        where = f"{path}: frame {index + 1}"
        return HandSample(frame, (hand_label(where, _CAMERA, joints_m[index], "right", NYU14),))

    return Samples(tuple(f"{split}/depth_1_{name}" for name in names), read)


NYU = DataSet(
    title="NYU hand pose",
    homepage="https://jonathantompson.github.io/NYU_Hand_Pose_Dataset.htm",
    licence="not stated with the files; ask the authors",
    splits=_SPLITS,
    open=open_nyu,
)
