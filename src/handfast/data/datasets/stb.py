"""STB, the stereo hand pose tracking benchmark: a left hand before six backgrounds.

Zhang et al. 2017, "A hand pose tracking benchmark from stereo matching" (ICIP; arXiv 1610.07214). Home page
below; the description there is what this follows. The folder holds, and so on for B2 to B6 and Random,

    images/B1Counting/BB_left_0.png, BB_right_0.png    Bumblebee2 stereo camera, rectified
                      SK_color_0.png, SK_depth_0.png   RealSense F200; depth in mm is red + 256 green
    labels/B1Counting_BB.mat, B1Counting_SK.mat        handPara: 3 x 21 x 1500, mm

By custom B1 is for testing, the other ten sequences for training. A split is a part and a picture, as in
test_left. Joints: palm centre, then little finger to thumb, each from the root; what the set calls mcp, pip
and dip of the thumb are our cmc, mcp and ip. There is no wrist: the one given here lies opposite the ring
finger, ring_mcp + 2 (palm - ring_mcp), as in the code of Zimmermann and Brox 2017 and of Ge et al. 2019.
Others take the middle finger and a factor of 2 to 2.3, so ask before comparing errors at the wrist.

_BB labels are relative to the left camera; the right one is 120.054 mm to its right. _SK labels are relative
to the depth camera, as the code of Ge et al. and of BiHand takes them. Colour and depth are not registered
with each other, so they come as samples of their own, each in its own camera.

Not verified on the data: the unit of depth; that pixel centres lie at integers; that the licence of the
repository holds for the pictures.
"""

import re
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from handfast.data.datasets.mat_files import load_mat
from handfast.data.datasets.reading import hand_label, label_array, read_colour
from handfast.data.datasets.samples import DataSet, Samples, check_split
from handfast.errors import HandfastError
from handfast.geometry import Camera, invert_rigid, rotation_from_axis_angle, transform
from handfast.skeleton import HAND21_NAMES
from handfast.structures import Frame, HandSample

_SHAPE = (480, 640)
_SEQUENCES = {
    "train": tuple(f"B{i}{kind}" for i in (2, 3, 4, 5, 6) for kind in ("Counting", "Random")),
    "test": ("B1Counting", "B1Random"),
}
_FRAMES = 1500
_JOINTS = (
    "palm",
    "pinky_mcp", "pinky_pip", "pinky_dip", "pinky_tip",
    "ring_mcp", "ring_pip", "ring_dip", "ring_tip",
    "middle_mcp", "middle_pip", "middle_dip", "middle_tip",
    "index_mcp", "index_pip", "index_dip", "index_tip",
    "thumb_cmc", "thumb_mcp", "thumb_ip", "thumb_tip",
)  # fmt: skip


@dataclass(frozen=True, eq=False)
class _View:
    """One kind of picture. T_camera_label (4, 4): m in the label's camera -> m in this picture's."""

    prefix: str
    labels: str
    camera: Camera
    T_camera_label: np.ndarray


def _rigid(axis_angle: tuple[float, float, float], translation_m: tuple[float, float, float]) -> np.ndarray:
    T = np.eye(4)
    T[:3, :3], T[:3, 3] = rotation_from_axis_angle(np.array(axis_angle)), translation_m
    return T


_BUMBLEBEE = Camera(822.79041, 822.79041, 318.47345, 250.31296, 640, 480)
_T_DEPTH_COLOUR = _rigid((0.00531, -0.01196, 0.00301), (-24.0381e-3, -0.4563e-3, -1.2326e-3))
_VIEWS = {
    "left": _View("BB_left", "BB", _BUMBLEBEE, np.eye(4)),
    "right": _View("BB_right", "BB", _BUMBLEBEE, _rigid((0, 0, 0), (-120.054e-3, 0, 0))),
    "color": _View(
        "SK_color",
        "SK",
        Camera(607.92271, 607.88192, 314.78337, 236.42484, 640, 480),
        invert_rigid(_T_DEPTH_COLOUR),
    ),
    "depth": _View("SK_depth", "SK", Camera(475.62768, 474.77709, 336.41179, 238.77962, 640, 480), np.eye(4)),
}
_SPLITS = {
    f"{part}_{view}": _FRAMES * len(sequences) for part, sequences in _SEQUENCES.items() for view in _VIEWS
}


def open_stb(folder: Path, split: str) -> Samples:
    """The samples of a split, a sequence after the other: hand21 in the picture's own camera.

    Raises HandfastError for an unknown split, and for missing or broken files.
    """
    check_split(split, _SPLITS)
    part, name = split.split("_")
    view = _VIEWS[name]
    keys, points_m = [], []
    for sequence in _SEQUENCES[part]:
        points_m.append(transform(view.T_camera_label, _load_labels(folder, sequence, view)))
        keys += [f"images/{sequence}/{view.prefix}_{i}.png" for i in range(len(points_m[-1]))]
    points_m = np.concatenate(points_m)

    def read(index: int) -> HandSample:
        image = read_colour(folder / keys[index], _SHAPE)
        if name == "depth":
            depth = image[..., 0] + np.uint16(256) * image[..., 1]
            frame = Frame(index, 0.0, depth=depth, depth_unit_mm=1.0, camera=view.camera)
        else:
            frame = Frame(index, 0.0, colour=image, camera=view.camera)
        return HandSample(frame, (hand_label(keys[index], view.camera, points_m[index], "left"),))

    return Samples(tuple(keys), read)


def _load_labels(folder: Path, sequence: str, view: _View) -> np.ndarray:
    """(N, 21, 3) m, hand21, in the label's camera."""
    path = folder / "labels" / f"{sequence}_{view.labels}.mat"
    variables = load_mat(path)
    if "handPara" not in variables:
        raise HandfastError(f"{path}: expected a variable handPara, got {', '.join(variables) or 'none'}")
    joints = label_array(variables["handPara"], (3, len(_JOINTS), None), f"{path}: handPara")
    joints_m = joints.transpose(2, 1, 0) / 1000
    images = folder / "images" / sequence
    # Beside these, others have published SK_depth_seg_0.png to put into the same folders.
    name = re.compile(rf"{view.prefix}_\d+\.png")
    found = sum(name.fullmatch(file.name) is not None for file in images.iterdir()) if images.is_dir() else 0
    if found != len(joints_m):
        raise HandfastError(
            f"{path}: labels of {len(joints_m)} frames, but {images} has {found} pictures "
            f"{view.prefix}_0.png ..; unpack both again"
        )
    palm, ring = joints_m[:, _JOINTS.index("palm")], joints_m[:, _JOINTS.index("ring_mcp")]
    fingers = [_JOINTS.index(name) for name in HAND21_NAMES[1:]]
    return np.concatenate([(ring + 2 * (palm - ring))[:, None], joints_m[:, fingers]], axis=1)


STB = DataSet(
    title="STB: stereo hand pose tracking benchmark",
    homepage="https://github.com/zhjwustc/icip17_stereo_hand_pose_dataset",
    licence="MIT",
    splits=_SPLITS,
    open=open_stb,
)
