"""CMU Panoptic HandDB (Simon et al., CVPR 2017): colour images with 2D key-points of one hand each.

From http://domedb.perception.cs.cmu.edu/handdb.html. Three archives, unpacked side by side:

    hand_labels/{manual_train,manual_test}/{name}_{l,r}.jpg and .json   photos from MPII and NZSL
    hand_labels_synth/{synth1..synth4}/{number}.jpg and .json           rendered hands
    hand143_panopticdb/imgs/{number}.jpg, hands_v143_14817.json         1920 x 1080, labelled from many views

- Beside an image: hand_pts, 21 x (x, y, valid), and is_left; also hand_box_center and head_size, not read.
- hands_v143_14817.json: a list `root` of img_paths and joint_self, 21 x (x, y, valid), and more, not read.
- The joints are hand21's, in its order. One that is not 1 in the third column has no label. Visibility is not
  told.
- One hand is labelled in each image, however many it shows.
- Not verified: the licence; that coordinates count from 0 and not, as MATLAB does, from 1; that all hands of
  hand143_panopticdb are right ones: its file names no side, some who use it say so; and whether files of
  hand_labels_synth have more than 21 points, as one public author says: they would be refused.
"""

from pathlib import Path, PurePosixPath

import numpy as np

from handfast.data.datasets.reading import label_array, read_colour, read_json
from handfast.data.datasets.samples import DataSet, Samples, check_split
from handfast.errors import HandfastError
from handfast.structures import Frame, HandLabel, HandSample

SPLITS = {
    "manual_train": 1912,
    "manual_test": 846,
    "synth1": 6546,
    "synth2": 3243,
    "synth3": 2348,
    "synth4": 2124,
    "multiview": 14817,
}


def open_panoptic(folder: Path, split: str) -> Samples:
    """One sample an image, keyed by its path in the folder: colour and one hand in 2D."""
    check_split(split, SPLITS)
    if split == "multiview":
        return _open_multiview(folder)
    archive = "hand_labels" if split.startswith("manual") else "hand_labels_synth"
    labels = sorted((folder / archive / split).glob("*.json"))
    if not labels:
        raise HandfastError(
            f"{folder / archive / split}: expected images with a .json each, got none; unpack {archive}.zip "
            "there"
        )
    images = [path.with_suffix(".jpg") for path in labels]

    def read(index: int) -> HandSample:
        entry = read_json(labels[index], "hand_pts and is_left")
        try:
            points, is_left = entry["hand_pts"], bool(entry["is_left"])
        except (KeyError, TypeError) as error:
            raise HandfastError(f"{labels[index]}: expected hand_pts and is_left, got no {error}") from error
        return _sample(index, images[index], "left" if is_left else "right", points, str(labels[index]))

    return Samples(tuple(path.relative_to(folder).as_posix() for path in images), read)


def _open_multiview(folder: Path) -> Samples:
    path = folder / "hand143_panopticdb" / "hands_v143_14817.json"
    index = read_json(path, "a list 'root' of images and joints")
    try:
        entries = [(PurePosixPath(entry["img_paths"]), entry["joint_self"]) for entry in index["root"]]
    except (KeyError, TypeError) as error:
        raise HandfastError(
            f"{path}: expected a list 'root' of img_paths (text) and joint_self, got {error!r}; "
            "unpack it again"
        ) from error

    def read(number: int) -> HandSample:
        name, points = entries[number]
        return _sample(number, path.parent / name, "right", points, f"{path}: {name}")

    return Samples(tuple(f"{path.parent.name}/{name}" for name, _ in entries), read)


def _sample(index: int, image: Path, side: str, points: object, where: str) -> HandSample:
    """The sample of an image and its 21 rows of x, y, valid. where: names them if they are wrong."""
    rows = label_array(points, (21, 3), where)
    labelled = rows[:, 2] == 1
    frame = Frame(index, 0.0, colour=read_colour(image, (None, None)))
    if not labelled.any():
        return HandSample(frame, ())
    keypoints_px = np.where(labelled[:, None], rows[:, :2], 0).astype(np.float32)
    return HandSample(frame, (HandLabel(side, keypoints_px, labelled=None if labelled.all() else labelled),))


PANOPTIC = DataSet(
    title="CMU Panoptic HandDB",
    homepage="http://domedb.perception.cs.cmu.edu/handdb.html",
    licence="research only (not verified)",
    splits=SPLITS,
    open=open_panoptic,
)
