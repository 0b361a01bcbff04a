"""FPHA, First-Person Hand Action: six people, 45 actions with objects, the right hand seen from the shoulder.

Garcia-Hernando, Yuan, Baek and Kim 2018, "First-Person Hand Action Benchmark with RGB-D Videos and 3D Hand
Pose Annotations" (CVPR; arXiv 1704.02463). Description and scripts at the home page below. The folder holds

    data_split_action_recognition.txt                               Training 600, then a sequence and its
                                                                    action's number a line; Test 575, likewise
    Hand_pose_annotation_v1/Subject_1/put_salt/1/skeleton.txt       frame, then 21 x 3 numbers in mm, a line
    Video_files/Subject_1/put_salt/1/color/color_0000.jpeg          1920 x 1080
                                     depth/depth_0000.png           640 x 480, 16 bits

(the annotations may be a later Hand_pose_annotation_v1_1). Joints: wrist, the five roots from thumb to little
finger, then three joints of each finger; what the set calls the mcp, pip and dip of the thumb are our cmc,
mcp and ip. World coordinates are the depth camera's: the authors' script draws joints on depth pictures with
the intrinsics alone, and on colour pictures after the extrinsics. So ``train`` and ``test`` are depth
pictures with labels as given; ``train_colour`` and ``test_colour`` are the same moments seen by the colour
camera. The two are not registered. This is the official action split; the set's readme has others for pose.
skeleton.txt is empty where a sequence has no frames. Sensors, tape and wires on the hand are seen in colour.

Not verified on the data: the unit of depth (1 mm in the loaders of others); the counts in the split file;
that every labelled frame has its pictures; frames in each split (more than 100 000 in all, by the paper).
"""

import re
from pathlib import Path

import numpy as np

from handfast.data.datasets.depth_files import parse_joints, read_depth, read_named_rows
from handfast.data.datasets.reading import hand_label, read_colour
from handfast.data.datasets.samples import DataSet, Samples, check_split
from handfast.errors import HandfastError
from handfast.geometry import Camera, transform
from handfast.skeleton import HAND21_NAMES
from handfast.structures import Frame, HandSample

_SPLITS = {"train": None, "test": None, "train_colour": None, "test_colour": None}
_HEADERS = {"Training": "train", "Test": "test"}
_ANNOTATIONS = ("Hand_pose_annotation_v1_1", "Hand_pose_annotation_v1")
_FRAMES_HZ = 30
_DEPTH_CAMERA = Camera(475.065948, 475.065857, 315.944855, 245.287079, 640, 480)
_COLOUR_CAMERA = Camera(1395.749023, 1395.749268, 935.732544, 540.681030, 1920, 1080)
_T_COLOUR_DEPTH = np.array(
    [
        [0.999988496304, -0.00468848412856, 0.000982563360594, 25.7e-3],
        [0.00469115935266, 0.999985218048, -0.00273845880292, 1.22e-3],
        [-0.000969709653873, 0.00274303671904, 0.99999576807, 3.902e-3],
        [0, 0, 0, 1],
    ]
)
_JOINTS = (
    "wrist",
    "thumb_cmc", "index_mcp", "middle_mcp", "ring_mcp", "pinky_mcp",
    "thumb_mcp", "thumb_ip", "thumb_tip",
    "index_pip", "index_dip", "index_tip",
    "middle_pip", "middle_dip", "middle_tip",
    "ring_pip", "ring_dip", "ring_tip",
    "pinky_pip", "pinky_dip", "pinky_tip",
)  # fmt: skip
_TO_HAND21 = [_JOINTS.index(name) for name in HAND21_NAMES]


def open_fpha(folder: Path, split: str) -> Samples:
    """The samples of a split, a sequence after the other: hand21, with either depth or colour.

    Raises HandfastError for an unknown split, and for missing or broken files.
    """
    check_split(split, _SPLITS)
    part, _, is_colour = split.partition("_")
    annotations = next(
        (folder / name for name in _ANNOTATIONS if (folder / name).is_dir()), folder / _ANNOTATIONS[-1]
    )
    picture = "color/color_{:04d}.jpeg" if is_colour else "depth/depth_{:04d}.png"
    keys, frames, joints_m = [], [], []
    for sequence in _load_sequences(folder / "data_split_action_recognition.txt")[part]:
        numbers, joints = _load_joints(annotations / sequence / "skeleton.txt")
        keys += [f"{sequence}/{picture.format(number)}" for number in numbers]
        frames += numbers
        joints_m.append(transform(_T_COLOUR_DEPTH, joints) if is_colour else joints)
    joints_m = np.concatenate(joints_m)
    camera = _COLOUR_CAMERA if is_colour else _DEPTH_CAMERA

    def read(index: int) -> HandSample:
        path = folder / "Video_files" / keys[index]
        time_s = frames[index] / _FRAMES_HZ
        if is_colour:
            colour = read_colour(path, (camera.height, camera.width))
            frame = Frame(frames[index], time_s, colour=colour, camera=camera)
        else:
            frame = Frame(
                frames[index], time_s, depth=read_depth(path, camera), depth_unit_mm=1.0, camera=camera
            )
        return HandSample(frame, (hand_label(keys[index], camera, joints_m[index], "right"),))

    return Samples(tuple(keys), read)


def _load_sequences(path: Path) -> dict[str, list[str]]:
    """The official action split: sequences such as 'Subject_1/put_salt/1' by 'train' and 'test'."""
    sequences, counts = {}, {}
    part = None
    for line, first, second in read_named_rows(path, "the official action split"):
        if first in _HEADERS:
            part = _HEADERS[first]
            sequences[part], counts[part] = [], second
        elif part is None or first.count("/") != 2:
            raise HandfastError(
                f"{path}, line {line}: expected Training, Test or a sequence as in 'Subject_1/put_salt/1 3', "
                f"got {first!r}"
            )
        else:
            sequences[part].append(first)
    for part in _HEADERS.values():
        found = len(sequences.get(part, ()))
        if not found or counts[part] not in ("", str(found)):
            raise HandfastError(
                f"{path}: expected {counts.get(part) or 'some'} sequences to {part}, got {found}; "
                "fetch it again"
            )
    return sequences


def _load_joints(path: Path) -> tuple[list[int], np.ndarray]:
    """Frame numbers, and (N, 21, 3) m in the depth camera's space, hand21."""
    rows = read_named_rows(path, "a frame's number and 21 joints a line")
    for line, number, _ in rows:
        if not re.fullmatch(r"\d+(\.0*)?", number):
            raise HandfastError(f"{path}, line {line}: expected a frame's number first, got {number!r}")
    joints_mm = parse_joints(path, [(line, joints) for line, _, joints in rows], len(_JOINTS))
    return [int(float(number)) for _, number, _ in rows], joints_mm[:, _TO_HAND21] / 1000


FPHA = DataSet(
    title="FPHA: First-Person Hand Action benchmark",
    homepage="https://github.com/guiggh/hand_pose_action",
    licence="academic research only, no redistribution, no commercial use",
    splits=_SPLITS,
    open=open_fpha,
)
