"""Photos of hands labelled in 2D, made to look like active infrared: real skin and real poses to train on.

A folder holds images/ and labels.jsonl, a hand a line: file, source, xy (21 x 2 px), side. Photos know
nothing of visibility, orientation, key-pose or depth: those labels stay open.
"""

import json
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
from rich.progress import track

from handfast.data.augment import degrade_amplitude
from handfast.data.synthesis import HEIGHT, WIDTH
from handfast.errors import HandfastError
from handfast.sensors.images import normalise_exposure
from handfast.sensors.views import hand_size_px
from handfast.skeleton import HAND21, SIDES

# Whole sources are kept aside: neighbouring frames of a video would tell how well it is learnt by heart.
HELD_OUT_SOURCES = ("gestures_rooms",)
# Near infrared sees skin much as a camera's red does: bright, with little of its colour.
_BLUE_GREEN_RED = (0.1, 0.25, 0.65)
_GREEN_HUE, _GREEN_SATURATION, _GREEN_SHARE = (35, 90), 70, 0.2
_FINGER_WIDTH = 0.13  # of the hand's size


@dataclass(frozen=True, eq=False)
class Photos:
    """grey (n, S, S) uint8, 0 where a green screen was; keypoints_px (n, 21, 2) float32; slot (n,), 0 left,
    1 right; sources: where they come from."""

    grey: np.ndarray
    keypoints_px: np.ndarray
    slot: np.ndarray
    sources: tuple[str, ...]

    def __len__(self) -> int:
        return len(self.grey)


def load_photos(folder: Path, held_out: bool) -> Photos:
    """The photos of a folder, either those of HELD_OUT_SOURCES or all others.

    Raises HandfastError for a missing folder, a broken label or photo, and photos of different sizes.
    """
    try:
        lines = (folder / "labels.jsonl").read_text(encoding="utf-8").splitlines()
        labels = [json.loads(line) for line in lines]
        labels = [label for label in labels if (label["source"] in HELD_OUT_SOURCES) == held_out]
        keypoints_px = np.array([label["xy"] for label in labels], np.float32).reshape(-1, 21, 2)
        slot = np.array([SIDES.index(label["side"]) for label in labels], np.int64)
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise HandfastError(
            f"{folder}: expected labels.jsonl and images/ of labelled photos: {error}"
        ) from error
    files = track(labels, description="photos", transient=True)
    grey = [_read_grey(folder / "images" / label["file"]) for label in files]
    if len({image.shape for image in grey}) > 1:
        raise HandfastError(f"{folder}: expected photos of one size; crop and scale them first")
    sources = tuple(sorted({label["source"] for label in labels}))
    return Photos(np.array(grey), keypoints_px, slot, sources)


def _read_grey(path: Path) -> np.ndarray:
    photo = cv2.imread(str(path), cv2.IMREAD_COLOR)
    if photo is None:
        raise HandfastError(f"{path}: not a readable photo; remove its line from labels.jsonl")
    grey = np.maximum((photo @ np.float32(_BLUE_GREEN_RED)).astype(np.uint8), 1)
    hue, saturation, _ = cv2.split(cv2.cvtColor(photo, cv2.COLOR_BGR2HSV))
    green = (hue > _GREEN_HUE[0]) & (hue < _GREEN_HUE[1]) & (saturation > _GREEN_SATURATION)
    if green.mean() > _GREEN_SHARE:
        grey[green] = 0
        grey[photo.max(axis=-1) < 8] = 0  # the crop's border
    return grey


def observe_photo(
    rng: np.random.Generator, grey: np.ndarray, keypoints_px: np.ndarray, A: np.ndarray
) -> np.ndarray:
    """A photo (S, S) uint8 through A (2, 3) -> (120, 160) uint8, as a cheap infrared sensor might see it.

    keypoints_px: (21, 2) in the view. Its own light reaches the hand better than what is behind, and where
    depth fails the picture is black: both need to know where the hand is, about.
    """
    border = (cv2.BORDER_CONSTANT, cv2.BORDER_REPLICATE)[rng.integers(2)]
    image = cv2.warpAffine(grey, A, (WIDTH, HEIGHT), flags=cv2.INTER_LINEAR, borderMode=border)
    image = image.astype(np.float32)
    hand = _silhouette(keypoints_px)
    cut = cv2.warpAffine((grey > 0).astype(np.float32), A, (WIDTH, HEIGHT), borderMode=cv2.BORDER_REPLICATE)
    if cut.min() < 0.5:
        hand = cut > 0.5
        image = image * cut + rng.uniform(0, 160) * (1 - cut)
    size = hand_size_px(keypoints_px)
    lit = cv2.GaussianBlur(hand.astype(np.float32), (0, 0), max(0.05 * size, 1.0))
    dark = np.float32(rng.choice([1.0, rng.uniform(0, 1), rng.uniform(0, 0.3)]))
    image *= dark + (1 - dark) * np.minimum(1.5 * lit, 1)
    depth_m = np.where(hand, np.float32(0.5), np.float32(0.5 + rng.uniform(0.05, 1.5)))
    return normalise_exposure(degrade_amplitude(rng, np.minimum(image, 255).astype(np.uint8), depth_m))


def _silhouette(keypoints_px: np.ndarray) -> np.ndarray:
    """(120, 160) bool: fingers as wide lines, the palm and the start of the arm filled."""
    mask = np.zeros((HEIGHT, WIDTH), np.uint8)
    width = max(int(_FINGER_WIDTH * hand_size_px(keypoints_px)), 2)
    points = np.round(keypoints_px).astype(np.int32)
    wrist, knuckles = points[0], points[[5, 9, 13, 17]]
    arm = (2 * wrist - points[9]).astype(np.int32)
    cv2.fillPoly(mask, [points[[0, 1, 2, 5, 9, 13, 17]]], 1)
    for start, end in HAND21.edges:
        cv2.line(mask, points[start].tolist(), points[end].tolist(), 1, width)
    cv2.line(mask, wrist.tolist(), arm.tolist(), 1, max(int(np.ptp(knuckles, axis=0).max()), width))
    return mask > 0
