"""HO-3D, versions 2 and 3: right hands with objects, RealSense colour and depth.

Hampali et al. 2020, "HOnnotate: A method for 3D Annotation of Hand and Object Poses" (CVPR), version 3 in
arXiv 2107.00887; home page below, academic research only. The folder holds, 640 x 480 pixels each,

    train/ABF10/rgb/0000.png     .jpg in version 3
               depth/0000.png    registered with rgb: red + 256 green, in units of 0.12498664727900177 mm
               meta/0000.pkl     a dict: camMat 3 x 3, handJoints3D 21 x 3 m, and hand and object poses
    train.txt, evaluation.txt    the labelled frames, one a line: ABF10/0000

and evaluation/ like train/, where handJoints3D is the root alone, 3 numbers: then only the wrist is
labelled. The authors have since published evaluation_xyz.json and evaluation_verts.json, in the order of
evaluation.txt; beside that file they make the evaluation complete. Joints are MANO's: wrist, then index,
middle, little and ring finger and thumb, three each from the root, then the five tips from thumb to little
finger. All points are in OpenGL's axes, y up and z towards the viewer, and are turned here. camMat and
handJoints3D may be missing or NaN in frames that the lists do not name.

Version 3 counts 103 462 frames, 20 137 of them for evaluation; its authors' script still says 78 297 for
training. Not verified on the data: axes and joint order of the two JSON files, taken as those that the
authors ask of predictions; that pixel centres lie at integers.
"""

from pathlib import Path

import numpy as np

from handfast.data.datasets.depth_files import read_rows
from handfast.data.datasets.json_matrices import JsonMatrices
from handfast.data.datasets.reading import camera_from_matrix, hand_label, label_array, read_colour
from handfast.data.datasets.restricted_pickle import load_pickle
from handfast.data.datasets.samples import DataSet, Samples, check_split
from handfast.errors import HandfastError
from handfast.geometry import Camera
from handfast.skeleton import HAND21_NAMES
from handfast.structures import Frame, HandLabel, HandSample

_SHAPE = (480, 640)
_SPLITS = ("train", "evaluation")
_DEPTH_UNIT_MM = 0.12498664727900177
_VERTICES = 778
_MANO_JOINTS = (
    "wrist",
    "index_mcp", "index_pip", "index_dip",
    "middle_mcp", "middle_pip", "middle_dip",
    "pinky_mcp", "pinky_pip", "pinky_dip",
    "ring_mcp", "ring_pip", "ring_dip",
    "thumb_cmc", "thumb_mcp", "thumb_ip",
    "thumb_tip", "index_tip", "middle_tip", "ring_tip", "pinky_tip",
)  # fmt: skip
_TO_HAND21 = [_MANO_JOINTS.index(name) for name in HAND21_NAMES]
_FROM_OPENGL = np.array([1.0, -1.0, -1.0])


def open_ho3d(folder: Path, split: str) -> Samples:
    """The samples of a split of either version: hand21 and depth.

    Raises HandfastError for an unknown split, and for missing or broken files.
    """
    check_split(split, dict.fromkeys(_SPLITS))
    path = folder / f"{split}.txt"
    lines = read_rows(path, "the frames of the split, one a line")
    for number, line in lines:
        if line.count("/") != 1:
            raise HandfastError(f"{path}: line {number}: expected SEQUENCE/FRAME, got {line!r}")
    keys = tuple(f"{split}/{line}" for _, line in lines)
    picture = "png" if keys and _file(folder, keys[0], "rgb", "png").is_file() else "jpg"
    joints, vertices = (_published(folder, split, kind, len(keys)) for kind in ("xyz", "verts"))

    def read(index: int) -> HandSample:
        path = _file(folder, keys[index], "meta", "pkl")
        meta = load_pickle(path)
        if not (isinstance(meta, dict) and meta.keys() >= {"camMat", "handJoints3D"}):
            raise HandfastError(f"{path}: expected a dict with camMat and handJoints3D; unpack it again")
        camera = camera_from_matrix(meta["camMat"], _SHAPE, f"{path}: camMat")
        depth = read_colour(_file(folder, keys[index], "depth", "png"), _SHAPE)
        frame = Frame(
            index,
            0.0,
            depth=depth[..., 0] + np.uint16(256) * depth[..., 1],
            depth_unit_mm=_DEPTH_UNIT_MM,
            camera=camera,
            colour=read_colour(_file(folder, keys[index], "rgb", picture), _SHAPE),
        )
        if joints is not None:
            where = f"{joints.path}: entry {index}"
            points = label_array(joints[index], (21, 3), where)
        else:
            where, shape = f"{path}: handJoints3D", (21, 3) if split == "train" else (3,)
            points = label_array(meta["handJoints3D"], shape, where).reshape(-1, 3)
        skin = None
        if vertices is not None:
            skin = label_array(vertices[index], (_VERTICES, 3), f"{vertices.path}: entry {index}")
        return HandSample(frame, (_hand(where, camera, points, skin),))

    return Samples(keys, read)


def _published(folder: Path, split: str, kind: str, count: int) -> JsonMatrices | None:
    """The evaluation split's truth, where the user has added it."""
    path = folder / f"evaluation_{kind}.json"
    return JsonMatrices(path, count) if split == "evaluation" and path.is_file() else None


def _file(folder: Path, key: str, kind: str, suffix: str) -> Path:
    """A frame's file: train/ABF10/0000 -> train/ABF10/rgb/0000.png."""
    split, sequence, number = key.split("/")
    return folder / split / sequence / kind / f"{number}.{suffix}"


def _hand(where: str, camera: Camera, points: np.ndarray, skin: np.ndarray | None) -> HandLabel:
    """The label of MANO's joints (21, 3), or of the root alone (1, 3), and of vertices, in OpenGL's axes."""
    points_m = np.zeros((21, 3))
    points_m[: len(points)] = points * _FROM_OPENGL
    labelled = np.arange(21) < len(points)
    vertices_m = None if skin is None else skin * _FROM_OPENGL
    return hand_label(
        where, camera, points_m[_TO_HAND21], "right", labelled=labelled[_TO_HAND21], vertices_m=vertices_m
    )


def _version(number: int, train: int, evaluation: int) -> DataSet:
    return DataSet(
        title=f"HO-3D version {number}",
        homepage="https://github.com/shreyashampali/ho3d",
        licence="academic research only, not to be passed on",
        splits={"train": train, "evaluation": evaluation},
        open=open_ho3d,
    )


HO3D_V2 = _version(2, 66_034, 11_524)
HO3D_V3 = _version(3, 83_325, 20_137)
