"""Training batches of colour views for a finder of hands: frames of bench-rgb and photos from near and far,
over other pictures and beside each other, and places where no hand is.

Batch k is a function of k, whatever was asked for before.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path

import cv2
import numpy as np

from handfast.data.arrays import MIN_INSIDE
from handfast.data.batches import Batch, Mix, random_look
from handfast.data.colour_augment import degrade, shift_tones
from handfast.data.colour_grounds import add_skin, blend, texture
from handfast.data.colour_pictures import Pictures, is_green, load_frames, load_photographs
from handfast.data.order import shuffled
from handfast.data.photos import check_shown
from handfast.data.scenery import Scenes, load_scenes
from handfast.data.synthesis import HEIGHT, WIDTH
from handfast.geometry import apply_affine, crop_affine
from handfast.sensors.views import hand_size_px
from handfast.structures import ORIENTATIONS

WHOLE_VIEW = np.array([0, 0, WIDTH, HEIGHT])
EMPTY_SHARE = 0.13
# Where there are pictures without hands: of all views those without a hand, of grounds those that show one.
EMPTY_SHARE_OF_SCENES, SCENES_SHARE = 0.3, 0.6
# What a whole view shows: hands of so many pixels, turned so far. A look that goes astray has any turn.
SIZE_RANGE_PX, MAX_TURN_RAD = (20.0, 110.0), 0.5
ASTRAY_SHARE = 0.15
INSIDE_SHARE = 0.3  # a hand's middle is so much of its size within the view
SECOND_SCALE_RANGE = (0.6, 1.6)
# Of photos: those shown as they are, rather than the hand with a little about it; in whole views, in looks.
WHOLE_SHARE, WHOLE_LOOK_SHARE = 0.5, 0.8
FRAME_FILLS_SHARE = 0.8  # of frames in whole views: those that fill its height at least
CUT_OUT_MARGIN = (0.12, 0.35)  # of the hand's size, about its key-points
FEATHER_RANGE_PX = (0.5, 2.5)
BARS_SHARE = 0.25  # of whole views: those between black bars, as another aspect leaves them
UPRIGHT_WIDTHS_PX, WIDE_HEIGHTS_PX = (66, 130), (84, 108)
BLACK_SHARE, TEXTURE_SHARE, SKIN_SHARE, DECOY_SHARE = 0.25, 0.15, 0.35, 0.2
OTHER_LIGHT_SHARE = 0.4  # of pasted hands: those that another light falls on than on what is behind
PHOTO_SCENE_SHARE, SCENE_SHARE_RANGE = 0.25, (0.6, 1.0)
VALIDATION_BATCH, VALIDATION_BATCHES = 64, 10


@dataclass(frozen=True, eq=False)
class _Hand:
    """A hand as it will stand in a view: image (120, 160, 3) uint8, of which alpha (120, 160) float32 is
    shown; points_px (21, 2); known (21,) bool: those within the picture it comes from; visible (21,) bool.
    affine: from that picture to the view."""

    image: np.ndarray
    alpha: np.ndarray
    points_px: np.ndarray
    known: np.ndarray
    visible: np.ndarray
    slot: int
    affine: np.ndarray


@dataclass(frozen=True, eq=False)
class ColourViews:
    """Labelled colour images by step.

    frames: of bench-rgb. photos: mixed in at mix.photo_share. scenes: pictures without hands. Of mix,
    look_share is that of close looks, as a tracker takes them, and composite_share that of views with a
    second hand. name: for the cards of models trained on it. validation: batches kept aside, by kind.
    """

    frames: Pictures
    seed: int
    mix: Mix = field(default_factory=Mix)
    photos: Pictures | None = None
    scenes: Scenes | None = None
    name: str = "synthetic"
    validation: Mapping[str, tuple[Batch, ...]] = field(default_factory=dict)

    def __len__(self) -> int:
        """The frames of a pass."""
        return len(self.frames)

    def batch(self, step: int, batch_size: int) -> Batch:
        """Batch number ``step``: image (b, 120, 160, 3) uint8 RGB, keypoints_px (b, 2, 21, 2) float32,
        in_image and visible (b, 2, 21) bool, present (b, 2) bool, orientation and key_pose (b, 2) int64,
        segmentation (b, 120, 160) uint8, rendered (b,) bool: views with a photo's hand, or with two hands,
        have key-points, in_image and present only. Every pass over the frames has its own order."""
        samples = [self._sample(step * batch_size + i) for i in range(batch_size)]
        return {name: np.stack([s[name] for s in samples]) for name in samples[0]}

    def origin(self, step: int, batch_size: int) -> str:
        """Which files the hands of batch number ``step`` were made from, second ones left out."""
        chosen = (self._choose(step * batch_size + i)[1:] for i in range(batch_size))
        return ", ".join(sorted({pictures.files[index] for pictures, index in chosen}))

    def _choose(self, position: int) -> tuple[np.random.Generator, Pictures, int]:
        """A sample's generator, and the picture whose hand it shows, if it shows one."""
        rng = np.random.default_rng([self.seed, 6, position])
        if self.photos is not None and rng.random() < self.mix.photo_share:
            return rng, self.photos, int(rng.integers(len(self.photos)))
        epoch, place = divmod(position, len(self))
        return rng, self.frames, shuffled(place, len(self), self.seed + epoch)

    def _sample(self, position: int) -> dict[str, np.ndarray]:
        rng, pictures, index = self._choose(position)
        if rng.random() < (EMPTY_SHARE_OF_SCENES if self.scenes else EMPTY_SHARE):
            return _labelled(rng, self._ground(rng, DECOY_SHARE), [], _window(rng))
        is_look = rng.random() < self.mix.look_share
        window = WHOLE_VIEW if is_look else _window(rng)
        hand = _look(rng, pictures, index) if is_look else _placed(rng, pictures, index, window)
        beyond_is_black = not pictures.green[index] and rng.random() < BLACK_SHARE
        ground = np.zeros_like(hand.image) if beyond_is_black else self._ground(rng, DECOY_SHARE / 2)
        image, hands = blend(ground, hand.image, hand.alpha), [hand]
        other = self._second(rng, hand, window) if rng.random() < self.mix.composite_share else None
        if other is not None:
            image = blend(image, other.image, other.alpha)
            if not is_look:  # a close look asks about one hand, whatever else is in it
                hands.append(other)
        sample = _labelled(rng, image, hands, window)
        if pictures.segmentations and other is None:
            sample |= _rendered_labels(pictures, index, hand, window)
        else:
            sample["rendered"] = np.False_
        return sample

    def _second(self, rng: np.random.Generator, first: _Hand, window: np.ndarray) -> _Hand | None:
        """A hand of the other side, about as large as the first one; None if it would hide some of that."""
        pictures = self.photos or self.frames
        index = int(rng.integers(len(pictures)))
        size_px = hand_size_px(first.points_px) * np.exp(rng.uniform(*np.log(SECOND_SCALE_RANGE)))
        flip = bool(pictures.slot[index] == first.slot)
        A = _anywhere(rng, pictures, index, flip, size_px, window)
        other = _shown(rng, pictures, index, A, as_whole=False)
        columns, rows = np.rint(first.points_px[_inside(first.points_px, WHOLE_VIEW)]).astype(int).T
        return None if (other.alpha[rows, columns] > 0.1).any() else other

    def _ground(self, rng: np.random.Generator, decoy_share: float) -> np.ndarray:
        """A view (120, 160, 3) without hands, at times with a patch whose edge is that of a pasted hand."""
        ground = self._scene(rng)
        while rng.random() < SKIN_SHARE:
            ground = add_skin(rng, ground)
        if rng.random() < decoy_share:
            pictures = self.photos or self.frames
            index, size_px = int(rng.integers(len(pictures))), _size_px(rng)
            A = _anywhere(rng, pictures, index, False, size_px, WHOLE_VIEW)
            outline = _feathered(rng, _cut_out(rng, apply_affine(A, pictures.keypoints_px[index])))
            ground = blend(ground, self._scene(rng), outline)
        return ground

    def _scene(self, rng: np.random.Generator) -> np.ndarray:
        if self.scenes and rng.random() < SCENES_SHARE:
            return self.scenes.view(rng, WIDTH, HEIGHT)
        if rng.random() < TEXTURE_SHARE:
            return texture(rng, WIDTH, HEIGHT)
        pictures = self.photos if self.photos and rng.random() < PHOTO_SCENE_SHARE else self.frames
        index = int(rng.integers(len(pictures)))
        if pictures.green[index]:  # shows nothing else
            return texture(rng, WIDTH, HEIGHT)
        bare = pictures.without_hand(index)
        high, wide = bare.shape[:2]
        width = min(wide, high * WIDTH / HEIGHT) * rng.uniform(*SCENE_SHARE_RANGE)
        spare = np.array([wide - width, high - width * HEIGHT / WIDTH])
        middle = np.array([wide - 1, high - 1]) / 2 + rng.uniform(-0.5, 0.5, 2) * spare
        A = _of_mirrored(crop_affine(middle, width, WIDTH, HEIGHT), wide, rng.random() < 0.5)
        return cv2.warpAffine(bare, A, (WIDTH, HEIGHT), borderMode=cv2.BORDER_REFLECT)


def open_colour_views(
    folder: Path, mix: Mix, seed: int, photos: Path | None = None, scenes: Path | None = None
) -> ColourViews:
    """A folder made by ``handfast synth bench-rgb`` -> views of train/, validated on validation/.

    photos: a folder of labelled photos, see ``photos.py``, to mix in; then validation has views of the
    held-out ones too, if there are any. scenes: a folder of pictures without hands. Raises HandfastError when
    anything is missing or broken, and for another benchmark.
    """
    held_out = load_frames(folder, "validation")
    alone = replace(mix, composite_share=0.0)
    kinds = {"clips": ColourViews(held_out, 0, replace(alone, photo_share=0.0))}
    own_photos = None
    if photos is not None:
        check_shown(photos, mix.photo_share)
        own_photos = load_photographs(photos, held_out=False)
        unseen = load_photographs(photos, held_out=True)
        if len(unseen):
            kinds["photos"] = ColourViews(held_out, 0, replace(alone, photo_share=1.0), photos=unseen)
    frames = load_frames(folder, "train")
    own_scenes = None if scenes is None else load_scenes(scenes)
    shown = [frames.sources]
    if own_photos is not None:
        shown.append(own_photos.sources)
    if own_scenes is not None:
        shown.append(own_scenes.name)
    return ColourViews(
        frames,
        seed,
        mix,
        photos=own_photos,
        scenes=own_scenes,
        name="; ".join(shown),
        validation={
            kind: tuple(source.batch(step, VALIDATION_BATCH) for step in range(VALIDATION_BATCHES))
            for kind, source in kinds.items()
        },
    )


def _look(rng: np.random.Generator, pictures: Pictures, index: int) -> _Hand:
    """A close look as a tracker takes it: upright, or with any turn where it has no good idea of the hand."""
    flip = rng.random() < 0.5
    points_px = _mirrored(pictures.keypoints_px[index], pictures.size_px, flip)
    A = random_look(rng, points_px)
    if rng.random() < ASTRAY_SHARE:
        middle = (WIDTH - 1) / 2, (HEIGHT - 1) / 2
        A = np.vstack([A, (0, 0, 1)])
        A = crop_affine(middle, WIDTH, WIDTH, HEIGHT, rng.uniform(-np.pi, np.pi)) @ A
    as_whole = bool(pictures.segmentations) or rng.random() < WHOLE_LOOK_SHARE
    return _shown(rng, pictures, index, _of_mirrored(A, pictures.size_px, flip), as_whole)


def _placed(rng: np.random.Generator, pictures: Pictures, index: int, window: np.ndarray) -> _Hand:
    """A hand of any size anywhere in the window; as far as they reach, pictures shown as they are fill it."""
    is_frame = bool(pictures.segmentations)
    as_whole = is_frame or rng.random() < WHOLE_SHARE
    size_px = _size_px(rng)
    if is_frame and rng.random() < FRAME_FILLS_SHARE:
        smallest_px = hand_size_px(pictures.keypoints_px[index]) * HEIGHT / pictures.size_px
        size_px = max(size_px, smallest_px)
    A = _anywhere(rng, pictures, index, rng.random() < 0.5, size_px, window)
    if as_whole:
        A = _filling(A, pictures.bounds_px[index], window)
    return _shown(rng, pictures, index, A, as_whole)


def _size_px(rng: np.random.Generator) -> float:
    return float(np.exp(rng.uniform(*np.log(SIZE_RANGE_PX))))


def _anywhere(
    rng: np.random.Generator,
    pictures: Pictures,
    index: int,
    flip: bool,
    size_px: float,
    window: np.ndarray,
) -> np.ndarray:
    """The affine (2, 3) that gives a picture's hand a size and puts its middle somewhere in the window."""
    points_px = _mirrored(pictures.keypoints_px[index], pictures.size_px, flip)
    middle = (points_px.min(axis=0) + points_px.max(axis=0)) / 2
    width_px = WIDTH * hand_size_px(points_px) / size_px
    A = crop_affine(middle, width_px, WIDTH, HEIGHT, rng.uniform(-MAX_TURN_RAD, MAX_TURN_RAD))
    low, high = window[:2], window[2:] - 1
    margin = np.minimum(INSIDE_SHARE * size_px, (high - low) / 2)
    A[:, 2] += rng.uniform(low + margin, high - margin) - ((WIDTH - 1) / 2, (HEIGHT - 1) / 2)
    return _of_mirrored(A, pictures.size_px, flip)


def _filling(A: np.ndarray, bounds_px: np.ndarray, window: np.ndarray) -> np.ndarray:
    """The affine shifted so that the picture covers the window where it is large enough to."""
    corners = apply_affine(A, bounds_px[[[0, 1], [2, 1], [2, 3], [0, 3]]])
    low, high = corners.min(axis=0), corners.max(axis=0)
    too_far_in = np.maximum(low - window[:2], 0) - np.maximum(window[2:] - 1 - high, 0)
    covers = high - low >= window[2:] - 1 - window[:2]
    A = A.copy()
    A[:, 2] -= np.where(covers, too_far_in, 0)
    return A


def _shown(rng: np.random.Generator, pictures: Pictures, index: int, A: np.ndarray, as_whole: bool) -> _Hand:
    """A picture's hand through A: with all of the picture, or cut out of it."""
    keypoints_px, bounds_px = pictures.keypoints_px[index], pictures.bounds_px[index]
    image = pictures.view(index, A, WIDTH, HEIGHT)
    points_px = apply_affine(A, keypoints_px).astype(np.float32)
    shape = _polygon(apply_affine(A, bounds_px[[[0, 1], [2, 1], [2, 3], [0, 3]]]))
    if pictures.green[index]:
        shape[is_green(image)] = 0
        image[..., 1] = np.minimum(image[..., 1], image[..., ::2].max(axis=2))  # the screen's light on skin
    elif not as_whole:
        shape &= _cut_out(rng, points_px)
    slot = int(pictures.slot[index])
    return _Hand(
        shift_tones(rng, image) if rng.random() < OTHER_LIGHT_SHARE else image,
        _feathered(rng, shape),
        points_px,
        _inside(keypoints_px, bounds_px + np.array([0, 0, 1, 1])),
        pictures.visible[index],
        1 - slot if np.linalg.det(A[:, :2]) < 0 else slot,
        A,
    )


def _cut_out(rng: np.random.Generator, points_px: np.ndarray) -> np.ndarray:
    """(120, 160) uint8, 255 on a hand (21, 2) and a little about it, and on the start of its arm."""
    arm_px = points_px[0] + 0.5 * (points_px[0] - points_px[9])
    hull = np.rint(cv2.convexHull(np.vstack([points_px, arm_px]).astype(np.float32))).astype(np.int32)
    mask = np.zeros((HEIGHT, WIDTH), np.uint8)
    cv2.fillConvexPoly(mask, hull, 255)
    margin_px = rng.uniform(*CUT_OUT_MARGIN) * hand_size_px(points_px)
    cv2.polylines(mask, [hull], True, 255, max(int(2 * margin_px), 1))
    return mask


def _polygon(corners_px: np.ndarray) -> np.ndarray:
    """(120, 160) uint8, 255 within convex corners (n, 2)."""
    mask = np.zeros((HEIGHT, WIDTH), np.uint8)
    cv2.fillConvexPoly(mask, np.rint(16 * corners_px).astype(np.int32), 255, shift=4)
    return mask


def _feathered(rng: np.random.Generator, mask: np.ndarray) -> np.ndarray:
    """(120, 160) uint8 -> float32, 0..1, falling to 0 at the mask's edge: beyond it is nothing to show."""
    blurred = cv2.GaussianBlur(mask, (0, 0), rng.uniform(*FEATHER_RANGE_PX))
    return np.maximum(blurred.astype(np.float32) * np.float32(2 / 255) - 1, 0)


def _mirrored(points_px: np.ndarray, width: int, flip: bool) -> np.ndarray:
    """Points (21, 2) of a picture so wide, of its mirror image if flip."""
    return points_px * np.float32([-1, 1]) + np.float32([width - 1, 0]) if flip else points_px


def _of_mirrored(A: np.ndarray, width: int, flip: bool) -> np.ndarray:
    """An affine of the mirror image of a picture so wide, if flip, as one of the picture."""
    return np.column_stack([-A[:, 0], A[:, 1], A[:, 2] + (width - 1) * A[:, 0]]) if flip else A


def _window(rng: np.random.Generator) -> np.ndarray:
    """What of a view is picture, x0, y0, x1, y1, the last two exclusive: at times there are black bars."""
    if rng.random() >= BARS_SHARE:
        return WHOLE_VIEW
    if rng.random() < 0.5:
        bar = (WIDTH - int(rng.integers(*UPRIGHT_WIDTHS_PX))) // 2
        return np.array([bar, 0, WIDTH - bar, HEIGHT])
    bar = (HEIGHT - int(rng.integers(*WIDE_HEIGHTS_PX))) // 2
    return np.array([0, bar, WIDTH, HEIGHT - bar])


def _inside(points_px: np.ndarray, window: np.ndarray) -> np.ndarray:
    """(..., 2) -> (...) bool."""
    return ((points_px >= window[:2] - 0.5) & (points_px < window[2:] - 0.5)).all(axis=-1)


def _in_window(image: np.ndarray, window: np.ndarray) -> np.ndarray:
    """The image, 0 outside of the window."""
    x0, y0, x1, y1 = window
    cut = np.zeros_like(image)
    cut[y0:y1, x0:x1] = image[y0:y1, x0:x1]
    return cut


def _labelled(
    rng: np.random.Generator, image: np.ndarray, hands: list[_Hand], window: np.ndarray
) -> dict[str, np.ndarray]:
    """A sample of these hands, with nothing rendered."""
    points = np.zeros((2, 21, 2), np.float32)
    in_image, visible, present = np.zeros((2, 21), bool), np.zeros((2, 21), bool), np.zeros(2, bool)
    for hand in hands:
        inside = _inside(hand.points_px, window) & hand.known
        points[hand.slot], in_image[hand.slot] = hand.points_px, inside
        visible[hand.slot] = hand.visible & inside
        present[hand.slot] = inside.sum() >= MIN_INSIDE
    return {
        "image": _in_window(degrade(rng, image), window),
        "keypoints_px": points,
        "in_image": in_image,
        "visible": visible,
        "present": present,
        "orientation": np.zeros(2, np.int64),
        "key_pose": np.zeros(2, np.int64),
        "segmentation": np.zeros((HEIGHT, WIDTH), np.uint8),
        "rendered": np.True_,
    }


def _rendered_labels(
    pictures: Pictures, index: int, hand: _Hand, window: np.ndarray
) -> dict[str, np.ndarray]:
    """What a rendered frame tells besides, seen through the hand's affine."""
    orientation = int(pictures.orientation[index])
    if np.linalg.det(hand.affine[:, :2]) < 0:  # in the mirror pronation turns the other way
        orientation = -orientation % ORIENTATIONS
    mine = np.arange(2) == hand.slot
    segmentation = pictures.segmentation(index, hand.affine, WIDTH, HEIGHT)
    return {
        "orientation": mine * np.int64(orientation),
        "key_pose": mine * np.int64(pictures.key_pose[index]),
        "segmentation": _in_window(segmentation, window),
    }
