"""ICVL hand posture: ten people before a time-of-flight camera, 16 joints.

Tang, Chang, Tejani and Kim 2014, "Latent Regression Forest" (CVPR). The folder holds

    Training/labels.txt    201403121135/image_0000.png u v d u v d ... (16 joints; px, px, mm), a frame a line
    Training/Depth/201403121135/image_0000.png         320 x 240, 16 bits, mm
    Training/Depth/22-5/201403121135/image_0000.png    the same turned in the picture, a folder for each angle
    Testing/test_seq_1.txt, test_seq_2.txt             as labels.txt, with blank lines among the others
    Testing/Depth/test_seq_1/image_0000.png

``train`` is all of labels.txt, ``train_original`` what is not turned, ``test`` both sequences. Joints: palm,
then thumb to little finger, each root, mid and tip: skeleton icvl16, the middle of bones rather than their
ends. Depth above 32000 means none and is given as 0. The focal lengths are those of the evaluation code by
Guo and Chen (240.99, 240.96); others take 241.42 for both, as for MSRA15, of the same kind of camera.

Measured on the published test labels: the hands are left ones by the way they close, so either they are or
pictures are mirrored; distances between joints shrink as fingers bend, as those between bone centres do.
Not verified on the data: the same for training; how many frames are not turned (22 059 in the literature);
the value for no depth (32001 in the loaders of others); the terms of use.
"""

from pathlib import Path

import numpy as np

from handfast.data.datasets.depth_files import parse_joints, read_depth, read_named_rows
from handfast.data.datasets.reading import hand_label
from handfast.data.datasets.samples import DataSet, Samples, check_split
from handfast.geometry import Camera
from handfast.skeleton import ICVL16
from handfast.structures import Frame, HandSample

_SPLITS = {"train": 331_006, "train_original": 22_059, "test": 1_596, "test_seq_1": 702, "test_seq_2": 894}
_LABELS = {
    "train": ("Training/labels.txt",),
    "train_original": ("Training/labels.txt",),
    "test": ("Testing/test_seq_1.txt", "Testing/test_seq_2.txt"),
    "test_seq_1": ("Testing/test_seq_1.txt",),
    "test_seq_2": ("Testing/test_seq_2.txt",),
}
_CAMERA = Camera(240.99, 240.96, 160, 120, 320, 240)
_NO_DEPTH = 32_000


def open_icvl(folder: Path, split: str) -> Samples:
    """The samples of a split: icvl16 and depth.

    Raises HandfastError for an unknown split, and for missing or broken files.
    """
    check_split(split, _SPLITS)
    keys, uvd = [], []
    for file in _LABELS[split]:
        path = folder / file
        rows = read_named_rows(path, "a picture's name and 16 joints a line")
        if split == "train_original":
            rows = [row for row in rows if row[1].count("/") == 1]
        uvd.append(parse_joints(path, [(line, joints) for line, _, joints in rows], len(ICVL16)))
        keys += [f"{path.parent.name}/Depth/{name}" for _, name, _ in rows]
    uvd = np.concatenate(uvd)

    def read(index: int) -> HandSample:
        depth = read_depth(folder / keys[index], _CAMERA)
        depth[depth > _NO_DEPTH] = 0
        joints_m = _CAMERA.unproject(uvd[index, :, :2], uvd[index, :, 2] / 1000)
        frame = Frame(index, 0.0, depth=depth, depth_unit_mm=1.0, camera=_CAMERA)
        return HandSample(frame, (hand_label(keys[index], _CAMERA, joints_m, "left", ICVL16),))

    return Samples(tuple(keys), read)


ICVL = DataSet(
    title="ICVL hand posture",
    homepage="https://labicvl.github.io/hand.html",
    licence="not stated with the files; ask the authors",
    splits=_SPLITS,
    open=open_icvl,
)
