"""Colour pictures of one hand each, to compose views of: frames of bench-rgb, and labelled photos.

They stay JPEG files in memory, a tenth of their pixels, and are decoded only as large as a view needs.
"""

from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np

from handfast.data.arrays import MIN_INSIDE, MIN_VISIBLE, inside_image
from handfast.data.cards import finished_card, read_shard
from handfast.data.photos import read_listed
from handfast.data.shards import decode_sample, locate_frames
from handfast.errors import HandfastError
from handfast.sensors.views import level_for
from handfast.skeleton import SIDES

# A reduced pixel is the mean of s x s: by the JPEG's own transform, faster than decoding them all.
_REDUCED = (
    cv2.IMREAD_COLOR,
    cv2.IMREAD_REDUCED_COLOR_2,
    cv2.IMREAD_REDUCED_COLOR_4,
    cv2.IMREAD_REDUCED_COLOR_8,
)
_GREEN_LOW, _GREEN_HIGH, _GREEN_SHARE = (35, 70, 30), (90, 255, 255), 0.2
_PADDING_LEVEL = 24  # no pixel of a row or column of black padding is brighter


@dataclass(frozen=True, eq=False)
class Pictures:
    """n pictures of size_px x size_px.

    jpegs: their files' contents. files: what these come from. keypoints_px (n, 21, 2) float32. visible
    (n, 21) bool, all where nobody knows. slot (n,): 0 left, 1 right. bounds_px (n, 4): the first and last
    column and row, x0, y0, x1, y1, that are no padding. green (n,) bool: before a green screen.
    segmentations: of rendered frames their PNG files; of photos none. orientation, key_pose (n,): of rendered
    frames. sources: where they come from, for a model's card.
    """

    jpegs: tuple[bytes, ...]
    files: tuple[str, ...]
    size_px: int
    keypoints_px: np.ndarray
    visible: np.ndarray
    slot: np.ndarray
    bounds_px: np.ndarray
    green: np.ndarray
    segmentations: tuple[bytes, ...]
    orientation: np.ndarray
    key_pose: np.ndarray
    sources: str

    def __len__(self) -> int:
        return len(self.jpegs)

    def view(self, index: int, A: np.ndarray, width: int, height: int) -> np.ndarray:
        """A picture through an affine (2, 3) -> (height, width, 3) uint8 RGB, black beyond the picture."""
        level, A_reduced = level_for(A, len(_REDUCED))
        reduced = _decode(self.jpegs[index], _REDUCED[level])
        return cv2.cvtColor(cv2.warpAffine(reduced, A_reduced, (width, height)), cv2.COLOR_BGR2RGB)

    def segmentation(self, index: int, A: np.ndarray, width: int, height: int) -> np.ndarray:
        """(height, width) uint8 of a rendered frame through A: 0 background, 1 left, 2 right hand, sides
        swapped where A mirrors."""
        labels = _decode(self.segmentations[index], cv2.IMREAD_UNCHANGED)
        labels = cv2.warpAffine(labels, A, (width, height), flags=cv2.INTER_NEAREST)
        return np.array([0, 2, 1], np.uint8)[labels] if np.linalg.det(A[:, :2]) < 0 else labels

    def without_hand(self, index: int) -> np.ndarray:
        """A picture (H, W, 3) uint8 RGB within its bounds, its hand covered by what is beside it."""
        x0, y0, x1, y1 = self.bounds_px[index]
        whole = _decode(self.jpegs[index], cv2.IMREAD_COLOR)[y0 : y1 + 1, x0 : x1 + 1]
        return _covered(cv2.cvtColor(whole, cv2.COLOR_BGR2RGB), self.keypoints_px[index] - (x0, y0))


def load_frames(folder: Path, split: str) -> Pictures:
    """The frames of a split of bench-rgb in which something of the hand can be seen.

    Raises HandfastError for another benchmark, and for what is missing or broken.
    """
    card = finished_card(folder, split, "bench-rgb")
    rows, size_px = [], 0
    for name in card.layout(split):
        shard = read_shard(folder, card, split, name)
        for places in locate_frames(shard).values():
            files = {file: shard[where] for file, where in places.items()}
            sample = decode_sample(files)
            (hand,), size_px = sample.hands, sample.frame.shape[0]
            inside = inside_image(hand.keypoints_px, size_px, size_px)
            if inside.sum() < MIN_INSIDE or hand.visible.sum() < MIN_VISIBLE:
                continue
            labels = hand.keypoints_px, hand.visible, SIDES.index(hand.side), hand.orientation, hand.key_pose
            rows.append((files["colour.jpg"], name, files["segmentation.png"], *labels))
    jpegs, files, segmentations, keypoints_px, visible, slot, orientation, key_pose = zip(*rows, strict=True)
    return Pictures(
        jpegs,
        files,
        size_px,
        np.array(keypoints_px, np.float32),
        np.array(visible),
        np.array(slot),
        np.tile([0, 0, size_px - 1, size_px - 1], (len(rows), 1)),
        np.zeros(len(rows), bool),
        segmentations,
        np.array(orientation),
        np.array(key_pose),
        f"{card.frames(split)} frames of {card.benchmark}, seed {card.seed}",
    )


def load_photographs(folder: Path, held_out: bool) -> Pictures:
    """A folder with labels.jsonl and images/ (``photos``): what there is to train on, or, held_out, the
    sources kept aside to validate on, of which there may be none.

    Raises HandfastError for what is missing or broken, and for photos that are not square and of one size.
    """
    listed = read_listed(folder, held_out)
    jpegs = listed.read()
    if not jpegs and not held_out:
        raise HandfastError(f"{folder}: expected photos to train on, got none")
    n, size_px = len(jpegs), 0
    bounds_px, green = np.zeros((n, 4), np.int64), np.zeros(n, bool)
    for i, (jpeg, path) in enumerate(zip(jpegs, listed.paths, strict=True)):
        photo = _decode(jpeg, cv2.IMREAD_COLOR)
        if photo is None:
            raise HandfastError(f"{path}: not a readable photo; remove its line")
        size_px = size_px or photo.shape[0]
        if photo.shape[:2] != (size_px, size_px):
            raise HandfastError(
                f"{path}: expected {size_px} x {size_px} px as of the first photo, got "
                f"{photo.shape[1]} x {photo.shape[0]}; crop and scale all to squares of one size"
            )
        bounds_px[i] = _bounds(photo)
        green[i] = is_green(cv2.cvtColor(photo, cv2.COLOR_BGR2RGB)).mean() > _GREEN_SHARE
    names = sorted(set(listed.sources))
    return Pictures(
        jpegs,
        tuple(path.name for path in listed.paths),
        size_px,
        listed.keypoints_px,
        np.ones((n, 21), bool),
        listed.slot,
        bounds_px,
        green,
        (),
        np.zeros(n, np.int64),
        np.zeros(n, np.int64),
        f"{n} photos of {', '.join(names)}",
    )


def is_green(picture: np.ndarray) -> np.ndarray:
    """(H, W, 3) uint8 RGB -> (H, W) bool: of the green of screens."""
    return cv2.inRange(cv2.cvtColor(picture, cv2.COLOR_RGB2HSV), _GREEN_LOW, _GREEN_HIGH) > 0


def _bounds(photo: np.ndarray) -> tuple[int, int, int, int]:
    """Those of a photo (H, W, 3) without black padding at its sides, and without a blurred edge of that."""
    bright = photo.max(axis=2) > _PADDING_LEVEL
    bounds = []
    for lit in (bright.any(axis=0), bright.any(axis=1)):
        places = np.flatnonzero(lit)
        first, last = (places[0], places[-1]) if len(places) else (0, len(lit) - 1)
        bounds.append((first + 2 * (first > 0), last - 2 * (last < len(lit) - 1)))
    (x0, x1), (y0, y1) = bounds
    return x0, y0, x1, y1


def _covered(picture: np.ndarray, hand_px: np.ndarray) -> np.ndarray:
    """The picture with its hand (21, 2) behind the largest strip of what is beside it, drawn out."""
    height, width = picture.shape[:2]
    margin = 0.2 * np.ptp(hand_px, axis=0).max()
    left, top = np.clip(hand_px.min(axis=0) - margin, 0, (width - 4, height - 4)).astype(int)
    right, bottom = np.clip(hand_px.max(axis=0) + margin, (left + 4, top + 4), (width, height)).astype(int)
    strips = (
        picture[:, :left],
        picture[:, right:],
        picture[:top],
        picture[bottom:],
    )
    widest = max(strips, key=lambda strip: strip.shape[0] * strip.shape[1])
    covered = picture.copy()
    patch = cv2.resize(widest, (right - left, bottom - top)) if widest.size else picture.mean(axis=(0, 1))
    covered[top:bottom, left:right] = patch
    return covered


def _decode(content: bytes, how: int) -> np.ndarray | None:
    return cv2.imdecode(np.frombuffer(content, np.uint8), how)
