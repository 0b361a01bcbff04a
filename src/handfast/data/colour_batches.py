"""Training batches of colour crops of one right hand: rendered clips and photos, turned, scaled, shifted,
hidden in part and degraded at random. Left hands are shown in the mirror, and the amplitude of a
time-of-flight camera as a grey picture.

Batch k is a function of k, whatever was asked for before.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

import cv2
import numpy as np

from handfast.data.colour_augment import degrade
from handfast.data.colour_frames import WHOLE, Batch, ColourFrames, load_clips, load_photos, part_of
from handfast.data.order import shuffled
from handfast.data.photos import check_shown
from handfast.errors import HandfastError
from handfast.sensors.colour_crop import LEAST_INSIDE, MARGIN, SquareBox, box_about_px

OCCLUDER_SHARE = (0.12, 0.4)  # of the crop's side
COARSE_SHARE, COARSER = 0.25, (1.3, 3.0)  # as of a hand far away
VALIDATION_BATCH, VALIDATION_BATCHES = 50, 8


@dataclass(frozen=True)
class ColourMix:
    """What is done to the pictures.

    input_px: the crop's size, a multiple of 16. turn_rad: the farthest turn. scale_range: of the box, a
    factor on its usual margin. shift: the farthest, along an axis, in sides of the box. filled_share: of
    crops in which the picture goes on beyond its border, as at run time it does not. occluded_share: of crops
    with a patch of another picture over them. degraded_share: of those as other cameras take them, in colour,
    sharpness and noise. photo_share: of photos, where there are any. replaced_share: of green screens, those
    that become another picture.
    """

    input_px: int = 224
    turn_rad: float = 0.8
    scale_range: tuple[float, float] = (0.8, 1.25)
    shift: float = 0.08
    filled_share: float = 0.6
    occluded_share: float = 0.25
    degraded_share: float = 0.9
    photo_share: float = 0.5
    replaced_share: float = 0.8

    def __post_init__(self) -> None:
        if not (self.input_px > 0 and self.input_px % 16 == 0):
            raise HandfastError(f"data: input_px must be a multiple of 16, got {self.input_px}")
        if not 0 <= self.turn_rad <= np.pi:
            raise HandfastError(f"data: turn_rad must be in 0..pi, got {self.turn_rad}")
        if not 0.5 <= self.scale_range[0] <= self.scale_range[1] <= 2:
            raise HandfastError(f"data: scale_range must rise within 0.5..2, got {self.scale_range}")
        if not 0 <= self.shift <= 0.25:
            raise HandfastError(f"data: shift must be in 0..0.25, got {self.shift}")
        for name in ("filled_share", "occluded_share", "degraded_share", "photo_share", "replaced_share"):
            if not 0 <= getattr(self, name) <= 1:
                raise HandfastError(f"data: {name} must be in 0..1, got {getattr(self, name)}")


def as_taken(input_px: int) -> ColourMix:
    """Nothing is done to the pictures: crops with the true boxes."""
    return ColourMix(input_px, 0.0, (1.0, 1.0), *(0.0,) * 6)


@dataclass(frozen=True)
class View:
    """From where a hand is shown: its box's turn, margin and shift, and what lies beyond the picture."""

    turn_rad: float
    margin: float
    shift: tuple[float, float]
    border: int

    def box(self, keypoints_px: np.ndarray) -> SquareBox:
        """About key-points (21, 2)."""
        box = box_about_px(keypoints_px, self.margin, self.turn_rad)
        x, y = np.array(box.centre_px) + box.side_px * np.array(self.shift)
        return SquareBox((float(x), float(y)), box.side_px, self.turn_rad)


def draw_view(rng: np.random.Generator, mix: ColourMix) -> View:
    """At random, as far as the mix allows."""
    # A photo ends close to the hand: were it always black beyond, that would tell where the hand is.
    is_filled = rng.random() < mix.filled_share
    return View(
        turn_rad=float(rng.uniform(-mix.turn_rad, mix.turn_rad)),
        margin=MARGIN * float(np.exp(rng.uniform(*np.log(mix.scale_range)))),
        shift=tuple(rng.uniform(-mix.shift, mix.shift, 2).tolist()),
        border=cv2.BORDER_REPLICATE if is_filled else cv2.BORDER_CONSTANT,
    )


@dataclass(frozen=True, eq=False)
class Occluder:
    """A patch over a crop: texture (S, S, 3) uint8 within a polygon (n, 2) int32 px."""

    texture: np.ndarray
    outline_px: np.ndarray

    def over(self, sample: Batch) -> Batch:
        """The sample with the patch over it."""
        size = self.texture.shape[0]
        mask = cv2.fillPoly(np.zeros((size, size), np.uint8), [self.outline_px], 1)
        column, row = np.rint(sample["keypoints_px"]).astype(int).clip(0, size - 1).T
        image = np.where(mask[..., None] > 0, self.texture, sample["image"])
        return sample | {"image": image, "visible": sample["visible"] & (mask[row, column] == 0)}


def draw_occluder(rng: np.random.Generator, mix: ColourMix, frames: ColourFrames) -> Occluder | None:
    """A patch of another of the frames, star-shaped, somewhere in the middle; or none."""
    if rng.random() >= mix.occluded_share:
        return None
    size = mix.input_px
    picture = frames.picture(int(rng.integers(len(frames))))
    texture = np.ascontiguousarray(cv2.resize(picture, (size, size))[..., rng.permutation(3)])
    angles_rad = np.sort(rng.uniform(0, 2 * np.pi, rng.integers(4, 9)))
    radii_px = size / 2 * rng.uniform(*OCCLUDER_SHARE) * rng.uniform(0.6, 1, len(angles_rad))
    spikes = radii_px[:, None] * np.stack([np.cos(angles_rad), np.sin(angles_rad)], axis=1)
    return Occluder(texture, np.rint(size * rng.uniform(0.2, 0.8, 2) + spikes).astype(np.int32))


@dataclass(frozen=True, eq=False)
class ColourBatches:
    """Crops of labelled frames by step.

    name: for the cards of models trained on it. in_order: the frames come as they lie, else every pass has
    its own order. validation: batches kept aside, by kind.
    """

    frames: ColourFrames
    seed: int
    mix: ColourMix
    photos: ColourFrames | None = None
    name: str = "synthetic"
    in_order: bool = False
    validation: Mapping[str, tuple[Batch, ...]] = field(default_factory=dict)

    def __len__(self) -> int:
        return len(self.frames)

    def batch(self, step: int, batch_size: int) -> Batch:
        """Batch number ``step``: image (b, S, S, 3) uint8, red, green, blue; keypoints_px (b, 21, 2) float32
        in the crop; joints_m (b, 21, 3) float32 from the wrist, in the axes of a camera that looks at the
        crop's middle, turned and mirrored as the crop is; has_3d (b,) bool: they are known; visible (b, 21)
        bool: in the crop, and not hidden as far as is known; rendered (b,) bool: joints_m are exact, else a
        guess in a scale of its own."""
        samples = [self._sample(step * batch_size + i) for i in range(batch_size)]
        return {name: np.stack([s[name] for s in samples]) for name in samples[0]}

    def origin(self, step: int, batch_size: int) -> str:
        """Which files batch number ``step`` was made from."""
        chosen = [self._choose(step * batch_size + i) for i in range(batch_size)]
        shards = sorted({frames.files[index] for _, frames, index in chosen if frames is self.frames})
        photos = sum(frames is not self.frames for _, frames, _ in chosen)
        return ", ".join(shards + ([f"{photos} photos"] if photos else []))

    def _choose(self, position: int) -> tuple[np.random.Generator, ColourFrames, int]:
        """A sample's generator, and which of which frames it shows."""
        rng = np.random.default_rng([self.seed, 6, position])
        if self.photos is not None and rng.random() < self.mix.photo_share:
            return rng, self.photos, int(rng.integers(len(self.photos)))
        epoch, place = divmod(position, len(self))
        index = place if self.in_order else shuffled(place, len(self), self.seed + epoch)
        return rng, self.frames, index

    def _sample(self, position: int) -> Batch:
        rng, frames, index = self._choose(position)
        view, occluder = draw_view(rng, self.mix), draw_occluder(rng, self.mix, frames)
        is_replaced = frames.has_screen[index] and rng.random() < self.mix.replaced_share
        backdrop = self._backdrop(rng) if is_replaced else None
        least_inside = 0.0 if self.in_order else LEAST_INSIDE
        for _ in range(len(frames)):
            box = view.box(frames.keypoints_px[index])
            behind = backdrop if frames.has_screen[index] else None
            sample = frames.sample(index, box, self.mix.input_px, view.border, behind, least_inside)
            if sample is not None:
                break
            index = (index + 1) % len(frames)  # this hand is outside
        else:
            raise HandfastError(
                f"{frames.files[index]}: expected key-points within the picture, found none there nor in any "
                "other; are the pictures of the size that was labelled?"
            )
        if occluder is not None:
            sample = occluder.over(sample)
        return sample | {"image": degraded(rng, sample["image"][None], self.mix)[0]}

    def _backdrop(self, rng: np.random.Generator) -> np.ndarray:
        """Some upper corner of a frame, away from its hand and above its arm."""
        index = int(rng.integers(len(self.frames)))
        picture = self.frames.picture(index)
        size = 3 * picture.shape[1] // 8
        is_right = self.frames.keypoints_px[index, :, 0].mean() > picture.shape[1] / 2
        return picture[:size, :size] if is_right else picture[:size, -size:]


def degraded(rng: np.random.Generator, images: np.ndarray, mix: ColourMix) -> np.ndarray:
    """Pictures (n, S, S, 3) uint8 that one camera took in a row, or another one that is not as good, all
    changed alike but for the noise."""
    if rng.random() >= mix.degraded_share:
        return images
    n, size = images.shape[:2]
    tall = images.reshape(n * size, size, 3)
    if rng.random() < COARSE_SHARE:
        pixels = int(size / rng.uniform(*COARSER))
        few = cv2.resize(tall, (pixels, n * pixels), interpolation=cv2.INTER_AREA)
        tall = cv2.resize(few, (size, n * size), interpolation=cv2.INTER_LINEAR)
    return degrade(rng, tall).reshape(images.shape)


def open_colour_batches(
    folder: Path,
    mix: ColourMix,
    seed: int,
    photos: Path | None = None,
    kind: str = "colour",
    part: str = WHOLE,
) -> ColourBatches:
    """A folder made by ``handfast synth bench-rgb`` -> batches of train/, validated on other people.

    kind, part: as of ``load_clips``. photos: a folder of labelled photos, see
    ``photos.py``, to mix in; its labels.jsonl may say xyz, 21 x 3 m. Held-out batches are clips and, if there
    are any, photos of other sources, as taken. Raises HandfastError when anything is missing or broken, and
    for another benchmark.
    """
    card, frames = load_clips(folder, "train", kind, part)
    held_out = {"clips": load_clips(folder, "validation", kind, part)[1]}
    name = f"{len(frames)} frames of {part_of(card.benchmark, part)}, seed {card.seed}"
    own_photos = None
    if photos is not None:
        check_shown(photos, mix.photo_share)
        own_photos, sources = load_photos(photos, held_out=False)
        if not len(own_photos):
            raise HandfastError(f"{photos}: expected photos to train on, got none beside those held out")
        name += f"; {len(own_photos)} photos of {', '.join(sources)}"
        unseen, _ = load_photos(photos, held_out=True)
        held_out |= {"photos": unseen} if len(unseen) else {}
    return ColourBatches(
        frames,
        seed,
        mix,
        photos=own_photos,
        name=name,
        validation={kind: _validation(others, mix.input_px) for kind, others in held_out.items()},
    )


def open_clips_as_taken(folder: Path, split: str, input_px: int) -> ColourBatches:
    """A split of bench-rgb in its own order, with nothing done to its frames. Raises HandfastError as
    ``open_colour_batches`` does."""
    return ColourBatches(load_clips(folder, split)[1], seed=0, mix=as_taken(input_px), in_order=True)


def _validation(frames: ColourFrames, input_px: int) -> tuple[Batch, ...]:
    source = ColourBatches(frames, seed=0, mix=as_taken(input_px))
    size = min(VALIDATION_BATCH, len(frames))
    return tuple(source.batch(step, size) for step in range(min(VALIDATION_BATCHES, len(frames) // size)))
