"""Real hands labelled in 2D, to train on beside rendered ones: photos, and pictures of one's own sensor.

Photos are made to look like active infrared. Their folder holds images/ and labels.jsonl, a hand a line:
file, source, xy (21 x 2 px), side. Pictures of one's own sensor, amplitude, infrared or depth, stay as they
are. They come as COCO key-points, see ``datasets/coco.py``: whole frames of any size with any number of
hands, of which each becomes a crop. Neither knows anything of orientation, key-pose or distance: those labels
stay open.
"""

import json
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import NamedTuple

import cv2
import numpy as np
from scipy.sparse.csgraph import shortest_path

from handfast.data.arrays import MIN_INSIDE, inside_image
from handfast.data.augment import degrade_amplitude
from handfast.data.datasets.coco import open_coco
from handfast.data.synthesis import HEIGHT, WIDTH
from handfast.errors import HandfastError
from handfast.geometry import apply_affine, crop_affine
from handfast.sensors.images import normalise_exposure, proximity_image
from handfast.sensors.views import halvings, hand_size_px, take_view
from handfast.skeleton import HAND21, SIDES
from handfast.structures import HandSample

# Whole sources are kept aside: neighbouring frames of a video would tell how well it is learnt by heart.
HELD_OUT_SOURCES = ("gestures_rooms",)
# Near infrared sees skin much as a camera's red does: bright, with little of its colour.
_BLUE_GREEN_RED = (0.1, 0.25, 0.65)
_GREEN_HUE, _GREEN_SATURATION, _GREEN_SHARE = (35, 90), 70, 0.2
_FINGER_WIDTH = 0.13  # of the hand's size
# A crop of a frame shows so many times the hand's size, so that a wider view finds something about it. Then
# the hand is about as large as in a close look.
CROP_PX, CROP_HANDS = 320, 4.5
# Of the labelled frames, in the order of their names, the last tenth is kept aside: neighbours are alike.
HELD_OUT_SHARE = 0.1
CLEAN_SHARE = 0.5  # of one's own pictures: as the sensor gave them


@dataclass(frozen=True, eq=False)
class Photos:
    """Square pictures of a hand each.

    grey (n, S, S) uint8, in photos 0 where a green screen was. keypoints_px (n, 21, 2) float32: those without
    a label lie at a labelled one next to them, so that the hand's place and size are about right. labelled,
    visible (n, 21) bool. slot (n,), 0 left, 1 right. alone (n,) bool: no other hand is in the picture.
    infrared: these are pictures of one's own sensor, for ``observe_infrared``, rather than photos, for
    ``observe_photo``. sources: where they come from.
    """

    grey: np.ndarray
    keypoints_px: np.ndarray
    slot: np.ndarray
    labelled: np.ndarray
    visible: np.ndarray
    alone: np.ndarray
    infrared: bool
    sources: tuple[str, ...]

    def __len__(self) -> int:
        return len(self.grey)


def check_shown(folder: Path, photo_share: float) -> None:
    """HandfastError for photos that a mix would not show."""
    if photo_share == 0:
        raise HandfastError(
            f"{folder}: the recipe shows no photos, its data.photo_share is 0; raise that, or leave them out"
        )


def load_photos(folder: Path, held_out: bool) -> Photos:
    """What there is to train on, or, held_out, to validate on.

    folder: one with labels.jsonl, of which HELD_OUT_SOURCES are held out; or one with COCO key-points, or
    their annotation file, of which the last tenth of the frames is, in the order of their names. There hands
    with fewer than 8 labelled key-points are left out. Raises HandfastError for what is missing or broken,
    photos of different sizes, frames in colour, and fewer than two frames with a labelled hand.
    """
    if not folder.exists():
        raise HandfastError(
            f"{folder}: expected a folder with labels.jsonl or COCO annotations, or an annotation file; "
            "there is nothing"
        )
    if (folder / "labels.jsonl").is_file():
        return _load_listed(folder, held_out)
    return _load_coco(folder, held_out)


class Listed(NamedTuple):
    """What labels.jsonl says of n photos: their sources, keypoints_px (n, 21, 2) and joints_m (n, 21, 3)
    float32, the latter zeros where has_3d (n,) is not, slot (n,), 0 left, 1 right."""

    paths: tuple[Path, ...]
    sources: tuple[str, ...]
    keypoints_px: np.ndarray
    joints_m: np.ndarray
    has_3d: np.ndarray
    slot: np.ndarray

    def read(self) -> tuple[bytes, ...]:
        """The photos' files. Raises HandfastError for one that is missing."""
        try:
            return tuple(path.read_bytes() for path in self.paths)
        except OSError as error:
            raise HandfastError(
                f"{error.filename}: cannot be read ({error.strerror}); copy it anew, or remove its line from "
                "labels.jsonl"
            ) from error


def read_listed(folder: Path, held_out: bool) -> Listed:
    """Of all but HELD_OUT_SOURCES, or of those. Raises HandfastError where labels.jsonl is missing or
    broken, or has key-points that are no hand's."""
    unknown = np.zeros((len(HAND21), 3))
    try:
        lines = (folder / "labels.jsonl").read_text(encoding="utf-8").splitlines()
        labels = [json.loads(line) for line in lines]
        labels = [label for label in labels if (label["source"] in HELD_OUT_SOURCES) == held_out]
        listed = Listed(
            tuple(folder / "images" / label["file"] for label in labels),
            tuple(label["source"] for label in labels),
            np.array([label["xy"] for label in labels], np.float32).reshape(-1, 21, 2),
            np.array([label.get("xyz", unknown) for label in labels], np.float32).reshape(-1, 21, 3),
            np.array(["xyz" in label for label in labels], bool),
            np.array([SIDES.index(label["side"]) for label in labels], np.int64),
        )
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise HandfastError(
            f"{folder}: expected labels.jsonl and images/ of labelled photos: {error}"
        ) from error
    for path, keypoints_px in zip(listed.paths, listed.keypoints_px, strict=True):
        if not np.ptp(keypoints_px, axis=0).max() >= 1:  # nor if one is not a number
            raise HandfastError(
                f"{path}: expected the key-points of a hand, got none or all in one place; remove its line "
                "from labels.jsonl"
            )
    return listed


def _load_listed(folder: Path, held_out: bool) -> Photos:
    listed = read_listed(folder, held_out)
    grey = [_read_grey(path) for path in listed.paths]
    if len({image.shape for image in grey}) > 1:
        raise HandfastError(f"{folder}: expected photos of one size; crop and scale them first")
    known = np.ones((len(grey), len(HAND21)), bool)
    return Photos(
        np.array(grey),
        listed.keypoints_px,
        listed.slot,
        known,
        known,
        known[:, 0],
        False,
        tuple(sorted(set(listed.sources))),
    )


def _load_coco(path: Path, held_out: bool) -> Photos:
    samples = open_coco(path, "all")
    frames = []
    for index in sorted(range(len(samples)), key=samples.keys.__getitem__):
        if crops := _crops(samples[index], f"{path}: {samples.keys[index]}"):
            frames.append(crops)
    if len(frames) < 2:
        raise HandfastError(
            f"{path}: expected two images or more with a hand of {MIN_INSIDE} labelled key-points or more, "
            f"to train on and to validate on, got {len(frames)}; label some"
        )
    kept_aside = max(1, round(HELD_OUT_SHARE * len(frames)))
    chosen = frames[-kept_aside:] if held_out else frames[:-kept_aside]
    columns = zip(*(crop for crops in chosen for crop in crops), strict=True)
    return Photos(*map(np.array, columns), infrared=True, sources=(path.resolve().name,))


def _crops(sample: HandSample, where: str) -> list[tuple]:
    """The first six fields of Photos for each hand of a frame."""
    if sample.frame.colour is not None:
        raise HandfastError(
            f"{where}: expected a grey image of your sensor, got colour; convert it, or list photos in "
            f"labels.jsonl"
        )
    depth_only = sample.frame.amplitude is None
    levels = halvings(proximity_image(sample.frame.depth_m()) if depth_only else sample.frame.amplitude, 1)
    crops = []
    for hand in sample.hands:
        if hand.skeleton is not HAND21:
            raise HandfastError(f"{where}: expected the key-points of hand21, got {hand.skeleton.name}")
        labelled = hand.known
        if labelled.sum() < MIN_INSIDE:
            continue
        points = _filled(hand.keypoints_px, labelled)
        if not np.ptp(points, axis=0).max() >= 1:
            raise HandfastError(
                f"{where}: expected the key-points of a hand, got all in one place; label it anew"
            )
        width_px = CROP_HANDS * max(hand_size_px(points), 1.0)
        A = crop_affine((points.min(axis=0) + points.max(axis=0)) / 2, width_px, CROP_PX, CROP_PX)
        others = [o.keypoints_px[o.known] for o in sample.hands if o is not hand]
        alone = not any(inside_image(apply_affine(A, o), CROP_PX, CROP_PX).any() for o in others)
        crop = take_view(levels, A, CROP_PX, CROP_PX)
        points = apply_affine(A, points).astype(np.float32)
        visible = labelled if hand.visible is None else labelled & hand.visible
        crops.append((crop, points, SIDES.index(hand.side), labelled, visible, alone))
    return crops


def _filled(keypoints_px: np.ndarray, labelled: np.ndarray) -> np.ndarray:
    """Key-points (21, 2), those without a label put at the nearest along the bones that has one."""
    return keypoints_px[np.where(labelled, _bones_between(), np.inf).argmin(axis=1)]


@cache
def _bones_between() -> np.ndarray:
    """(21, 21): how many bones lie between two key-points of hand21."""
    bones = np.zeros((len(HAND21), len(HAND21)))
    bones[tuple(zip(*HAND21.edges, strict=True))] = 1
    return shortest_path(bones, directed=False, unweighted=True)


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


def observe_infrared(rng: np.random.Generator, grey: np.ndarray, A: np.ndarray) -> np.ndarray:
    """A picture of one's own sensor (S, S) uint8 through A (2, 3) -> (120, 160) uint8: as it is, or, not to
    learn a few frames by heart, with other noise, gain and gamma."""
    image = cv2.warpAffine(grey, A, (WIDTH, HEIGHT), flags=cv2.INTER_LINEAR)
    if rng.random() >= CLEAN_SHARE:
        depth_m = np.full(image.shape, 0.5, np.float32)  # not known: flat, so that nothing casts a shadow
        image = degrade_amplitude(rng, image, depth_m)
    return normalise_exposure(image)


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
