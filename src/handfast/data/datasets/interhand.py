"""InterHand2.6M (Moon et al., ECCV 2020): colour and grey images of one and two hands, with 3D joints.

From https://mks0601.github.io/InterHand2.6M/, licence CC BY-NC 4.0. The reader takes version 1.0, 5 frames/s:

    images/{train,val,test}/Capture0/{sequence}/cam{camera}/image{frame}.jpg
    annotations/{split}/InterHand2.6M_{split}_data.json      images and annotations, much as in COCO
    annotations/{split}/InterHand2.6M_{split}_camera.json    [capture] campos, camrot, focal, princpt of each
    annotations/{split}/InterHand2.6M_{split}_joint_3d.json  [capture][frame] world_coord, 42 x 3 mm

- A hand's 21 joints run from tip to root, thumb to little finger, then the wrist; the right hand comes first.
  A point p of the world lies at camrot (p - campos) in the camera.
- data.json's joint_valid says which joints are given and lie within the image; a hand with none is left out,
  so that there are two only where both are known. hand_type adds nothing to that and is not read. Some images
  show a second hand whose annotation failed and which has no label.
- The original's evaluation drops every joint of a hand whose wrist is invalid; here the others stay.
- A few images are 334 x 512 where data.json says 512 x 334 (cam400412): they are refused when read.
- Opening `train` parses 0.8 GB of text: half a minute and a few GB of memory.
- Not verified: that pixel centres lie at integers. The numbers of samples are the home page's "H+M" frames.
"""

from pathlib import Path
from typing import NamedTuple

import numpy as np

from handfast.data.datasets.reading import (
    camera_from_matrix,
    hand_label,
    label_array,
    read_colour,
    read_json,
)
from handfast.data.datasets.samples import DataSet, Samples, check_split
from handfast.errors import HandfastError
from handfast.geometry import Camera
from handfast.structures import Frame, HandSample

SPLITS = {"train": 1_361_062, "val": 380_125, "test": 849_160}

_FIRST_JOINT = {"right": 0, "left": 21}
# hand21's wrist, then each finger from its root, among the joints of one hand.
_FROM_HAND21 = np.array([20, *(4 * finger + 3 - joint for finger in range(5) for joint in range(4))])


class _Image(NamedTuple):
    id: int
    file_name: str
    width: int
    height: int
    capture: int
    camera: str
    frame_idx: int


class _Annotation(NamedTuple):
    image_id: int
    joint_valid: np.ndarray  # (42,) bool


def open_interhand(folder: Path, split: str) -> Samples:
    """One sample an annotated image, keyed by its path below images/{split}: colour, camera, 1 or 2 hands."""
    check_split(split, SPLITS)

    def path_of(what: str) -> Path:
        return folder / "annotations" / split / f"InterHand2.6M_{split}_{what}.json"

    images, annotations = _read_index(path_of("data"))
    cameras = read_json(path_of("camera"), "the cameras of each capture")
    joints = read_json(path_of("joint_3d"), "the joints of each frame", object_hook=_coordinates_only)

    def read(index: int) -> HandSample:
        image, annotation = images[index], annotations[index]
        shape = image.height, image.width
        colour = read_colour(folder / "images" / split / image.file_name, shape)
        camera, position_mm, rotation = _camera(path_of("camera"), cameras, image)
        world_mm = _world(path_of("joint_3d"), joints, image)
        points_m = (world_mm - position_mm) @ rotation.T * 1e-3
        where = f"{path_of('joint_3d')}: capture {image.capture}, frame {image.frame_idx}"
        hands = []
        for side, first in _FIRST_JOINT.items():
            order = first + _FROM_HAND21
            labelled = annotation.joint_valid[order]
            if labelled.any():
                hands.append(hand_label(where, camera, points_m[order], side, labelled=labelled))
        return HandSample(Frame(index, 0.0, camera=camera, colour=colour), tuple(hands))

    return Samples(tuple(image.file_name for image in images), read)


def _lean(entry: dict) -> object:
    """Keeps what is needed of an image or annotation, so that a million of them fit into memory."""
    if "joint_valid" in entry:
        return _Annotation(entry.get("image_id"), np.ravel(entry["joint_valid"]).astype(bool))
    if "file_name" in entry:
        return _Image(*(entry.get(field) for field in _Image._fields))
    return entry


def _coordinates_only(entry: dict) -> object:
    return np.array(entry["world_coord"], np.float64) if "world_coord" in entry else entry


def _read_index(path: Path) -> tuple[list[_Image], list[_Annotation]]:
    """data.json as pairs of image and annotation, checked."""
    index = read_json(path, "images and annotations", object_hook=_lean)
    try:
        annotations = index["annotations"]
        image_of = {image.id: image for image in index["images"]}
        images = [image_of[annotation.image_id] for annotation in annotations]
        wrong = next((a for a in annotations if a.joint_valid.shape != (42,)), None)
        unknown = next((i for i in images if None in i or not _has_right_types(i)), None)
    except (KeyError, TypeError, AttributeError) as error:
        raise HandfastError(
            f"{path}: expected images, and annotations each with an image_id among them and joint_valid, "
            f"got none for {error}; unpack it again"
        ) from error
    if wrong is not None:
        raise HandfastError(
            f"{path}: image {wrong.image_id}: expected joint_valid of 42 joints, got {wrong.joint_valid.size}"
        )
    if unknown is not None:
        raise HandfastError(f"{path}: expected {', '.join(_Image._fields)} of an image, got {unknown}")
    return images, annotations


def _has_right_types(image: _Image) -> bool:
    """What only names an entry of another file may be a number or text."""
    return isinstance(image.file_name, str) and isinstance(image.width, int) and isinstance(image.height, int)


def _camera(path: Path, cameras: object, image: _Image) -> tuple[Camera, np.ndarray, np.ndarray]:
    """The camera of an image, where it stands (3,) mm and how it is turned (3, 3), in the world."""
    where = f"{path}: capture {image.capture}, camera {image.camera}"

    def array(field: str, shape: tuple[int, ...]) -> np.ndarray:
        try:
            value = cameras[str(image.capture)][field][str(image.camera)]
        except (KeyError, TypeError) as error:
            raise HandfastError(
                f"{where}: expected {field}, got none for {error}; unpack it again"
            ) from error
        return label_array(value, shape, f"{where}: {field}")

    focal, centre = array("focal", (2,)), array("princpt", (2,))
    K = [[focal[0], 0, centre[0]], [0, focal[1], centre[1]], [0, 0, 1]]
    camera = camera_from_matrix(K, (image.height, image.width), where)
    return camera, array("campos", (3,)), array("camrot", (3, 3))


def _world(path: Path, joints: object, image: _Image) -> np.ndarray:
    """(42, 3) mm in the world."""
    where = f"{path}: capture {image.capture}, frame {image.frame_idx}"
    try:
        value = joints[str(image.capture)][str(image.frame_idx)]
    except (KeyError, TypeError) as error:
        raise HandfastError(f"{where}: missing, but there is an image of it; unpack it again") from error
    return label_array(value, (42, 3), where)


INTERHAND = DataSet(
    title="InterHand2.6M",
    homepage="https://mks0601.github.io/InterHand2.6M/",
    licence="CC BY-NC 4.0",
    splits=SPLITS,
    open=open_interhand,
)
