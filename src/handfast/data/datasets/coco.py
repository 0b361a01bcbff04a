"""COCO key-points in and out: what CVAT, Label Studio and COCO-WholeBody write, and what they read.

A data set is one annotation file and its images, of any origin and licence. It is opened by its path, or by
that of a folder that holds no other, beside the images or in annotations/. The format is described at
https://cocodataset.org/#format-data; COCO-WholeBody, for research only, is at
https://github.com/jin-s13/COCO-WholeBody.

    annotations/person_keypoints_default.json    CVAT; images/default/ or images/
    result.json                                  Label Studio; images/
    annotations/coco_wholebody_val_v1.0.json     COCO-WholeBody; val2017/ or images/val2017/

- The image decides what the frame holds: 8-bit grey is amplitude, 16-bit grey depth, colour colour. `camera`
  {fx, fy, cx, cy} and `depth_unit_mm` of an image are ours, and may be missing (no camera, 1 mm).
- `keypoints` has x, y, v of each point: v 0 not labelled, 1 hidden, 2 visible. Names in the category that are
  those of one of our skeletons may stand in any order; other names, or none, mean hand21 in its order.
- The side is the annotation's attribute `side` or `handedness`, else left or right in its category's name.
- COCO-WholeBody's lefthand_kpts counts where lefthand_valid is true, and so for the right; v > 0 says that
  there is a label, nothing of visibility. Its order is hand21's.
- Annotations without key-points, such as boxes, are passed over; images without any stay, without hands.
- Pixel centres are taken to lie at integers. Tools that count from the corner of a pixel differ by a half.
"""

import json
import math
import os
import re
from collections import defaultdict
from collections.abc import Iterable
from pathlib import Path

import cv2
import numpy as np

from handfast.data.datasets.reading import label_array, read_as_stored, read_json
from handfast.data.datasets.samples import DataSet, Samples, check_split
from handfast.errors import HandfastError
from handfast.files import write_whole
from handfast.geometry import Camera
from handfast.skeleton import HAND21, SIDES, SKELETONS, Skeleton
from handfast.structures import Frame, HandLabel, HandSample

SPLITS = {"all": None}


def open_coco(folder: Path, split: str) -> Samples:
    """One sample an image, keyed by its file_name. folder: it, or the annotation file itself."""
    check_split(split, SPLITS)
    path = _annotation_file(folder)
    content = read_json(path, "images, annotations and categories")
    try:
        images = content["images"]
        names = tuple(image["file_name"].replace("\\", "/") for image in images)
        categories = {category["id"]: category for category in content["categories"]}
        annotations_of = defaultdict(list)
        for annotation in content["annotations"]:
            annotations_of[annotation["image_id"]].append(annotation)
        strangers = annotations_of.keys() - {image["id"] for image in images}
    except (KeyError, TypeError, AttributeError) as error:
        raise HandfastError(
            f"{path}: expected COCO's images (id, file_name), annotations (image_id) and categories (id), "
            f"got none of {error}"
        ) from error
    if strangers:
        raise HandfastError(
            f"{path}: annotations of images that are not listed: {sorted(strangers, key=str)[:5]}"
        )
    folders = _image_folders(path)

    def read(index: int) -> HandSample:
        frame = _read_frame(path, index, images[index], names[index], folders)
        hands = []
        for annotation in annotations_of[images[index]["id"]]:
            where = f"{path}: annotation {annotation.get('id')}"
            try:
                hands += _hands(annotation, categories, where)
            except (AttributeError, TypeError) as error:
                raise HandfastError(f"{where}: not as COCO describes it: {error}") from error
        return HandSample(frame, tuple(hands))

    return Samples(names, read)


def write_coco(folder: Path, samples: Iterable[HandSample]) -> None:
    """Samples as CVAT has them: annotations/person_keypoints_default.json and images/default/000000.png...

    As ``write_annotated``.
    """
    named = ((f"{number:06d}.png", sample) for number, sample in enumerate(samples))
    path = folder / "annotations" / "person_keypoints_default.json"
    write_annotated(path, folder / "images" / "default", named)


def write_annotated(path: Path, image_folder: Path, named: Iterable[tuple[str, HandSample]]) -> None:
    """An annotation file, and the images it is about, under the names (.png) that come with them.

    Of a frame's images the first of colour, amplitude, depth is written. Key-points whose visibility is not
    known count as visible: COCO cannot say otherwise. Labels in 3D are left out. Raises HandfastError if
    hands differ in their skeletons.
    """
    images, annotations, skeleton = [], [], None
    for number, (name, sample) in enumerate(named):
        write_whole(image_folder / name, cv2.imencode(".png", _picture(sample.frame))[1].tobytes())
        images.append(_image_entry(number + 1, name, sample.frame))
        for hand in sample.hands:
            skeleton = skeleton or hand.skeleton
            if hand.skeleton is not skeleton:
                raise HandfastError(
                    f"sample {number}: expected key-points {skeleton.name} as in the samples before, "
                    f"got {hand.skeleton.name}"
                )
            annotations.append(_annotation_entry(len(annotations) + 1, number + 1, hand))
    content = {"images": images, "annotations": annotations, "categories": [_category(skeleton or HAND21)]}
    write_whole(path, json.dumps(content, allow_nan=False).encode())


def annotation_files(folder: Path) -> list[Path]:
    """The files of a folder that may be annotations."""
    return sorted([*folder.glob("*.json"), *folder.glob("annotations/*.json")])


def _annotation_file(path: Path) -> Path:
    if not path.is_dir():
        return path
    found = annotation_files(path)
    if len(found) != 1:
        names = ", ".join(file.relative_to(path).as_posix() for file in found[:8]) or "none"
        raise HandfastError(
            f"{path}: expected one annotation file (.json) here or in annotations/, got {names}; "
            "give the path of one"
        )
    return found[0]


def _image_folders(path: Path) -> list[Path]:
    """Where the images of an annotation file may lie, the likeliest first.

    A folder that the file's name ends in, or one named after a word of it but for a year (train2017), holds
    that subset's.
    """
    home = path.parent.parent if path.parent.name == "annotations" else path.parent
    words = re.split(r"[_.\-]", path.stem)
    bases = [base for base in (home / "images", home) if base.is_dir()]
    folders = [
        base / name
        for base in bases
        for name in sorted(entry.name for entry in os.scandir(base) if entry.is_dir())
    ]
    at_the_end = [f for f in folders if re.search(rf"(^|[_.\-]){re.escape(f.name)}$", path.stem)]
    by_word = [f for f in folders if f.name.rstrip("0123456789") in words]
    # Of my_subset and subset, both at the end of its name, the longer one is meant.
    return sorted(at_the_end, key=lambda f: -len(f.name)) + by_word + bases


def _read_frame(path: Path, index: int, image: dict, name: str, folders: list[Path]) -> Frame:
    file = next((base / name for base in folders if (base / name).is_file()), None)
    if file is None:
        tried = ", ".join(str(base) for base in folders)
        raise HandfastError(f"{name}: {path.name} lists it, but it is in none of {tried}; put it there")
    pixels = read_as_stored(file)
    height, width = pixels.shape[:2]
    if (image.get("width", width), image.get("height", height)) != (width, height):
        raise HandfastError(
            f"{file}: expected {image.get('width')} x {image.get('height')} pixels as {path.name} says, "
            f"got {width} x {height}"
        )
    try:
        camera = Camera(**image["camera"], width=width, height=height) if "camera" in image else None
        depth_unit_mm = float(image.get("depth_unit_mm", 1.0))
        if not 0 < depth_unit_mm < math.inf:
            raise HandfastError(f"expected depth_unit_mm above 0, got {depth_unit_mm}")
    except (TypeError, ValueError, HandfastError) as error:
        raise HandfastError(f"{path}: {name}: camera or depth_unit_mm is wrong: {error}") from error
    match pixels.dtype, pixels.ndim:
        case np.uint8, 2:
            return Frame(index, 0.0, amplitude=pixels, camera=camera)
        case np.uint16, 2:
            return Frame(index, 0.0, depth=pixels, depth_unit_mm=depth_unit_mm, camera=camera)
        case np.uint8, 3:
            colour = cv2.cvtColor(pixels[..., :3], cv2.COLOR_BGR2RGB)
            return Frame(index, 0.0, colour=colour, camera=camera)
    raise HandfastError(
        f"{file}: expected 8-bit grey, 16-bit grey or 8-bit colour, got {pixels.dtype} {pixels.shape}"
    )


def _hands(annotation: dict, categories: dict, where: str) -> list[HandLabel]:
    """The hands of one annotation: none, one, or the two of a whole body. where: names it in errors."""
    if any(f"{side}hand_kpts" in annotation for side in SIDES):
        present = [side for side in SIDES if annotation.get(f"{side}hand_valid")]
        rows = {side: _rows(annotation.get(f"{side}hand_kpts"), 21, where) for side in present}
        return [_label(side, rows[side], HAND21, None) for side in present if rows[side][:, 2].any()]
    if not annotation.get("keypoints"):
        return []
    category = categories.get(annotation.get("category_id"), {})
    skeleton, order = _skeleton_of(category, where)
    rows = _rows(annotation["keypoints"], len(order), where)[order]
    if not np.isin(rows[:, 2], (0, 1, 2)).all():
        raise HandfastError(f"{where}: expected v of 0, 1 or 2, got {sorted(set(rows[:, 2].tolist()))[:5]}")
    if not rows[:, 2].any():
        return []
    return [_label(_side_of(annotation, category, where), rows, skeleton, rows[:, 2] == 2)]


def _skeleton_of(category: dict, where: str) -> tuple[Skeleton, list[int]]:
    """The skeleton of a category, and where the file has each of its key-points."""
    names = [str(name).lower() for name in category.get("keypoints") or HAND21.keypoints]
    for skeleton in SKELETONS.values():
        if sorted(names) == sorted(skeleton.keypoints):
            return skeleton, [names.index(keypoint) for keypoint in skeleton.keypoints]
    if len(names) != len(HAND21):
        raise HandfastError(
            f"{where}: expected the 21 key-points of hand21 or names as in {', '.join(SKELETONS)}, "
            f"got {len(names)} of category {category.get('name')!r}"
        )
    return HAND21, list(range(len(HAND21)))


def _side_of(annotation: dict, category: dict, where: str) -> str:
    attributes = annotation.get("attributes") or {}
    told = str(attributes.get("side") or attributes.get("handedness") or category.get("name") or "")
    sides = set(re.split(r"[^a-z]+", told.lower())) & set(SIDES)
    if len(sides) != 1:
        raise HandfastError(
            f"{where}: expected left or right in its attribute side or handedness or in its category's name, "
            f"got {told!r}; set the attribute, or name the label left_hand or right_hand"
        )
    return sides.pop()


def _rows(values: object, count: int, where: str) -> np.ndarray:
    """A flat list as (count, 3) x, y, v."""
    return label_array(values, (3 * count,), where).reshape(count, 3)


def _label(side: str, rows: np.ndarray, skeleton: Skeleton, visible: np.ndarray | None) -> HandLabel:
    labelled = rows[:, 2] > 0
    return HandLabel(
        side,
        np.where(labelled[:, None], rows[:, :2], 0).astype(np.float32),
        visible=visible,
        skeleton=skeleton,
        labelled=None if labelled.all() else labelled,
    )


def _picture(frame: Frame) -> np.ndarray:
    if frame.colour is not None:
        return cv2.cvtColor(frame.colour, cv2.COLOR_RGB2BGR)
    return frame.amplitude if frame.amplitude is not None else frame.depth


def _image_entry(number: int, name: str, frame: Frame) -> dict:
    entry = {"id": number, "file_name": name, "width": frame.shape[1], "height": frame.shape[0]}
    if frame.colour is None and frame.amplitude is None:
        entry["depth_unit_mm"] = frame.depth_unit_mm
    if frame.camera is not None:
        entry["camera"] = {name: getattr(frame.camera, name) for name in ("fx", "fy", "cx", "cy")}
    return entry


def _annotation_entry(number: int, image: int, hand: HandLabel) -> dict:
    labelled = hand.known
    visible = labelled if hand.visible is None else hand.visible
    v = np.where(labelled, np.where(visible, 2, 1), 0)
    points = np.where(labelled[:, None], hand.keypoints_px, 0).astype(np.float64)
    box = points[labelled] if labelled.any() else np.zeros((1, 2))
    (x, y), (width, height) = box.min(axis=0), np.ptp(box, axis=0)
    return {
        "id": number,
        "image_id": image,
        "category_id": 1,
        "keypoints": [
            n for (px, py), seen in zip(points.tolist(), v.tolist(), strict=True) for n in (px, py, seen)
        ],
        "num_keypoints": int(labelled.sum()),
        "bbox": [float(x), float(y), float(width), float(height)],
        "area": float(width * height),
        "segmentation": [],
        "iscrowd": 0,
        # Not the category: in CVAT a skeleton keeps its label, and the side can be what needs correcting.
        "attributes": {"side": hand.side},
    }


def _category(skeleton: Skeleton) -> dict:
    return {
        "id": 1,
        "name": "hand",
        "supercategory": "",
        "keypoints": list(skeleton.keypoints),
        "skeleton": [[parent + 1, child + 1] for parent, child in skeleton.edges],
    }


COCO = DataSet(
    title="COCO key-points",
    homepage="https://cocodataset.org/#format-data",
    licence="that of the images and labels at hand",
    splits=SPLITS,
    open=open_coco,
)
