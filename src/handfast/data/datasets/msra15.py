"""MSRA15, the MSRA hand gesture database: nine people, 17 gestures, the right hand before a depth camera.

Sun, Wei, Liang, Tang and Sun 2015, "Cascaded Hand Pose Regression" (CVPR); its readme is the home page below.
The folder, cvpr15_MSRAHandGestureDB, holds for each person P0 to P8 and gesture 1 to 9, I, IP, L, MP, RP, T,
TIP, Y

    P0/1/000000_depth.bin   six int32: picture's width, height (320, 240), box's left, top, right, bottom, the
                            last two exclusive; then the box's depth in mm by rows, float32, 0 = no hand
    P0/1/joint.txt          the number of frames (500 or a few less), then 21 x 3 numbers a line
    P0/1/000000_depth.jpg   to look at; there are 16 more of them than labels

Joints: wrist, then index, middle, ring and little finger and thumb, each from the root to the tip; what the
set calls the mcp, pip and dip of the thumb are our cmc, mcp and ip. They are in mm, y up and z backwards. The
custom is to leave one person out, in turn: split ``P3`` is person 3, ``without_P3`` are the other eight.
Depth is given in units of 0.1 mm. Frames which DeepPrior++ lists as faulty are given as they are: P2/TIP
172-174; P2/MP 173-175, 345-354, 356, 359, 360; P3/T 120, 489; P8/4 168.

Not verified on the data: that the pictures are not mirrored, so that hands labelled as right ones look like
such; that pixel centres lie at integers; the terms of use, beyond the request to cite the paper.
"""

from pathlib import Path

import numpy as np

from handfast.data.datasets.depth_files import parse_joints, read_rows
from handfast.data.datasets.reading import hand_label
from handfast.data.datasets.samples import DataSet, Samples, check_split, need_file
from handfast.errors import HandfastError
from handfast.geometry import Camera
from handfast.skeleton import HAND21_NAMES
from handfast.structures import Frame, HandSample

_FRAMES = {
    "P0": 8_499, "P1": 8_492, "P2": 8_412, "P3": 8_488, "P4": 8_500,
    "P5": 8_497, "P6": 8_497, "P7": 8_498, "P8": 8_492,
}  # fmt: skip
_SPLITS = _FRAMES | {f"without_{person}": sum(_FRAMES.values()) - n for person, n in _FRAMES.items()}
_GESTURES = ("1", "2", "3", "4", "5", "6", "7", "8", "9", "I", "IP", "L", "MP", "RP", "T", "TIP", "Y")
_CAMERA = Camera(241.42, 241.42, 160, 120, 320, 240)
_DEPTH_UNIT_MM = 0.1
_HEADER_BYTES = 6 * 4
_JOINTS = (
    "wrist",
    "index_mcp", "index_pip", "index_dip", "index_tip",
    "middle_mcp", "middle_pip", "middle_dip", "middle_tip",
    "ring_mcp", "ring_pip", "ring_dip", "ring_tip",
    "pinky_mcp", "pinky_pip", "pinky_dip", "pinky_tip",
    "thumb_cmc", "thumb_mcp", "thumb_ip", "thumb_tip",
)  # fmt: skip
_TO_HAND21 = [_JOINTS.index(name) for name in HAND21_NAMES]


def open_msra15(folder: Path, split: str) -> Samples:
    """The samples of a split, a person and a gesture after the other: hand21 and depth.

    Raises HandfastError for an unknown split, and for missing or broken files.
    """
    check_split(split, _SPLITS)
    keys, joints_m = [], []
    for person in (person for person in _FRAMES if (person in split) != split.startswith("without_")):
        for gesture in _GESTURES:
            joints_m.append(_load_joints(folder / person / gesture))
            keys += [f"{person}/{gesture}/{i:06d}_depth.bin" for i in range(len(joints_m[-1]))]
    joints_m = np.concatenate(joints_m)

    def read(index: int) -> HandSample:
        depth = _read_depth(folder / keys[index])
        frame = Frame(index, 0.0, depth=depth, depth_unit_mm=_DEPTH_UNIT_MM, camera=_CAMERA)
        return HandSample(frame, (hand_label(keys[index], _CAMERA, joints_m[index], "right"),))

    return Samples(tuple(keys), read)


def _load_joints(folder: Path) -> np.ndarray:
    """(N, 21, 3) m in camera space, hand21."""
    path = folder / "joint.txt"
    rows = read_rows(path, "the number of frames, then 21 joints a line")
    if not rows or rows[0][1] != str(len(rows) - 1):
        count = repr(rows[0][1]) if rows else "nothing"
        raise HandfastError(
            f"{path}, line 1: expected the number of lines that follow, got {count} before "
            f"{max(len(rows) - 1, 0)} lines; unpack it again"
        )
    joints_mm = parse_joints(path, rows[1:], len(_JOINTS))
    if len(joints_mm):
        need_file(folder / f"{len(joints_mm) - 1:06d}_depth.bin", f"the last of the frames in {path}")
    return joints_mm[:, _TO_HAND21] * (1e-3, -1e-3, -1e-3)


def _read_depth(path: Path) -> np.ndarray:
    """(240, 320) uint16 in _DEPTH_UNIT_MM."""
    content = need_file(path, "a depth picture's box").read_bytes()
    header = np.frombuffer(content[:_HEADER_BYTES].ljust(_HEADER_BYTES, b"\0"), "<i4").tolist()
    width, height, left, top, right, bottom = header
    fits = (
        (width, height) == (_CAMERA.width, _CAMERA.height)
        and 0 <= left <= right <= width
        and 0 <= top <= bottom <= height
        and len(content) == _HEADER_BYTES + 4 * (right - left) * (bottom - top)
    )
    if not fits:
        raise HandfastError(
            f"{path}: expected a box within {_CAMERA.width} x {_CAMERA.height} and a float32 for each of its "
            f"pixels, got {len(content)} bytes that start with {header}; unpack it again"
        )
    box_mm = np.frombuffer(content, "<f4", offset=_HEADER_BYTES).reshape(bottom - top, right - left)
    depth = np.zeros((height, width), np.uint16)
    units = np.where((box_mm > 0) & (box_mm < 65535 * _DEPTH_UNIT_MM), box_mm, 0) / _DEPTH_UNIT_MM
    depth[top:bottom, left:right] = np.rint(units).astype(np.uint16)
    return depth


MSRA15 = DataSet(
    title="MSRA15: MSRA hand gesture database",
    homepage="https://jimmysuen.github.io/txt/cvpr15_MSRAHandGestureDB_readme.txt",
    licence="not stated with the files; cite the paper",
    splits=_SPLITS,
    open=open_msra15,
)
