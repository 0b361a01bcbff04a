"""Training batches: shards and photos in memory, moved, mirrored and degraded at random.

Batch k is a function of k, whatever was asked for before.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path

import cv2
import numpy as np

from handfast.data.arrays import MIN_INSIDE, inside_image, load_split
from handfast.data.augment import PICTURES, augment, clean_picture
from handfast.data.cards import finished_card
from handfast.data.composite import over_background, two_handed
from handfast.data.order import shuffled
from handfast.data.photos import Photos, check_shown, load_photos, observe_infrared, observe_photo
from handfast.data.synthesis import HEIGHT, WIDTH
from handfast.errors import HandfastError
from handfast.geometry import apply_affine, crop_affine
from handfast.sensors.views import HAND_SHARE, hand_size_px, look_affine
from handfast.structures import ORIENTATIONS

Batch = dict[str, np.ndarray]

MAX_TURN_RAD = 0.45
SCALE_RANGE = (0.8, 1.2)
MAX_SHIFT_PX = 12.0
MIN_LOOK_PX = 28.0
# Hands that hide most of themselves teach little: so many of their frames are met.
READABLE_SHARE, UNREADABLE_KEPT = 0.5, 0.25
# Of the close looks: those at no hand in particular, as a tracker takes them that follows a ghost.
ASTRAY_SHARE, ASTRAY_WIDTH_PX = 0.15, (40.0, 200.0)
# Of the composed frames: those of two hands.
PAIR_SHARE = 0.5
PHOTO_SCALE_RANGE = (0.7, 2.5)
VALIDATION_BATCH, VALIDATION_BATCHES = 64, 10


@dataclass(frozen=True)
class Mix:
    """What batches are made of.

    picture: "any", amplitude and depth as some real sensor would give them; or "amplitude" or "depth", as
    the synthetic sensor gave it. look_share: of close looks, as a tracker takes them, the rest being whole
    frames. photo_share: of photos, where there are any. composite_share: of the frames of one hand, those put
    over another background or made two-handed (section 2), where that is possible.
    """

    picture: str = "any"
    look_share: float = 0.75
    photo_share: float = 0.25
    composite_share: float = 0.0

    def __post_init__(self) -> None:
        if self.picture not in ("any", *PICTURES):
            raise HandfastError(
                f"data: picture must be one of any, {', '.join(PICTURES)}, got {self.picture!r}"
            )
        for name in ("look_share", "photo_share", "composite_share"):
            if not 0 <= getattr(self, name) <= 1:
                raise HandfastError(f"data: {name} must be in 0..1, got {getattr(self, name)}")


@dataclass(frozen=True, eq=False)
class BatchSource:
    """Labelled images by step.

    arrays: as from load_split. name: for the cards of models trained on it. shard_frames: frames of a shard
    of the split. validation: batches kept aside, by kind.
    """

    arrays: dict[str, np.ndarray]
    seed: int
    mix: Mix = field(default_factory=Mix)
    photos: Photos | None = None
    name: str = "synthetic"
    shard_frames: int = 1
    validation: Mapping[str, tuple[Batch, ...]] = field(default_factory=dict)

    def __len__(self) -> int:
        """The frames of a pass."""
        return len(self.order)

    @cached_property
    def order(self) -> np.ndarray:
        """The frames that a pass meets, before it is shuffled: all but most of the unreadable ones."""
        seen = np.where(self.arrays["present"], self.arrays["visible"].mean(axis=-1), 0).max(axis=1)
        readable = (seen > READABLE_SHARE) | ~self.arrays["present"].any(axis=1)
        lucky = np.random.default_rng([self.seed, 4]).random(len(seen)) < UNREADABLE_KEPT
        return np.flatnonzero(readable | lucky)

    def batch(self, step: int, batch_size: int) -> Batch:
        """Batch number ``step``: image (b, 120, 160) uint8, keypoints_px (b, 2, 21, 2) float32, in_image and
        visible (b, 2, 21) bool, present (b, 2) bool, orientation and key_pose (b, 2) int64, segmentation
        (b, 120, 160) uint8, rendered (b,) bool: photos have key-points, in_image and present only. Every
        pass over the data has its own order."""
        samples = [self._sample(step * batch_size + i) for i in range(batch_size)]
        return {name: np.stack([s[name] for s in samples]) for name in samples[0]}

    def origin(self, step: int, batch_size: int) -> str:
        """Which files batch number ``step`` was made from."""
        frames = [self._choose(step * batch_size + i)[1] for i in range(batch_size)]
        shards = sorted({index // self.shard_frames for indices in frames for index in indices})
        photos = [f"{frames.count(())} photos"] if () in frames else []
        return ", ".join([f"shard-{shard:05d}.tar" for shard in shards] + photos)

    def _choose(self, position: int) -> tuple[np.random.Generator, tuple[int, ...]]:
        """The sample's generator, and the frames it is made of: none for a photo, two for a composed one."""
        rng = np.random.default_rng([self.seed, 3, position])
        if self.photos is not None and rng.random() < self.mix.photo_share:
            return rng, ()
        epoch, place = divmod(position, len(self))
        index = int(self.order[shuffled(place, len(self), self.seed + epoch)])
        if self.mix.composite_share > 0 and rng.random() < self.mix.composite_share:
            return rng, (index, *self._partner(rng, index))
        return rng, (index,)

    def _partner(self, rng: np.random.Generator, index: int) -> tuple[int, ...]:
        """A frame to compose a frame of one hand with: one without hands, or with one of the other side."""
        slots = np.flatnonzero(self.arrays["present"][index])
        if len(slots) != 1:
            return ()
        empty, *alone = self._frames_by_hands
        partners = alone[1 - slots[0]] if rng.random() < PAIR_SHARE else empty
        return (int(rng.choice(partners)),) if len(partners) else ()

    @cached_property
    def _frames_by_hands(self) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """The frames of a pass where no hand is, the left one only, the right one only, not even a part of
        another, which is too little to count as present."""
        segmentation = self.arrays["segmentation"]
        left, right = (np.array([(segmentation[i] == label).any() for i in self.order]) for label in (1, 2))
        has_left, has_right = self.arrays["present"][self.order].T
        kinds = (~left & ~right, has_left & ~right, has_right & ~left)
        return tuple(self.order[kind] for kind in kinds)

    def _sample(self, position: int) -> dict[str, np.ndarray]:
        rng, indices = self._choose(position)
        if not indices:
            return self._photo_sample(rng)
        a, *partner = ({name: array[index] for name, array in self.arrays.items()} for index in indices)
        for b in partner:
            lay_into = two_handed if b["present"].any() else over_background
            a = lay_into(a, b) or a  # not all go together
        if rng.random() < 0.5:
            a = mirror_sample(a)
        A, looked_at = random_view(rng, a["keypoints_px"], a["present"], self.mix.look_share)
        points = apply_affine(A, a["keypoints_px"]).astype(np.float32)
        inside = inside_image(points, WIDTH, HEIGHT)
        present = a["present"] & (inside.sum(-1) >= MIN_INSIDE)
        if looked_at is not None:  # a close look asks about one hand, whatever else is in it
            present &= np.arange(2) == looked_at
        return {
            "image": self._picture(rng, a, A),
            "keypoints_px": points,
            "in_image": inside,
            "visible": a["visible"] & inside,
            "present": present,
            "orientation": a["orientation"].astype(np.int64),
            "key_pose": a["key_pose"].astype(np.int64),
            "segmentation": cv2.warpAffine(a["segmentation"], A, (WIDTH, HEIGHT), flags=cv2.INTER_NEAREST),
            "rendered": np.True_,
        }

    def _picture(self, rng: np.random.Generator, a: dict[str, np.ndarray], A: np.ndarray) -> np.ndarray:
        if self.mix.picture == "any":
            return augment(rng, a["amplitude"], a["depth_mm"], A)
        amplitude = cv2.warpAffine(a["amplitude"], A, (WIDTH, HEIGHT), flags=cv2.INTER_LINEAR)
        depth_mm = cv2.warpAffine(a["depth_mm"], A, (WIDTH, HEIGHT), flags=cv2.INTER_NEAREST)
        return clean_picture(amplitude, depth_mm, self.mix.picture)

    def _photo_sample(self, rng: np.random.Generator) -> dict[str, np.ndarray]:
        index = rng.integers(len(self.photos))
        grey, hand, slot = self.photos.grey[index], self.photos.keypoints_px[index], self.photos.slot[index]
        if rng.random() < 0.5:
            grey, slot = np.ascontiguousarray(grey[:, ::-1]), 1 - slot
            hand = hand * np.float32([-1, 1]) + np.float32([grey.shape[1] - 1, 0])
        # A wider view would have to tell of every hand in it.
        if not self.photos.alone[index] or rng.random() < self.mix.look_share:
            A = random_look(rng, hand)
        else:
            size = hand_size_px(hand) * rng.uniform(*PHOTO_SCALE_RANGE) / HAND_SHARE
            centre = (hand.min(0) + hand.max(0)) / 2 + rng.uniform(-0.25, 0.25, 2) * size
            turn = rng.uniform(-MAX_TURN_RAD, MAX_TURN_RAD)
            A = crop_affine(centre, size * WIDTH / HEIGHT, WIDTH, HEIGHT, turn)
        points = np.zeros((2, 21, 2), np.float32)
        points[slot] = apply_affine(A, hand)
        inside = inside_image(points, WIDTH, HEIGHT) & (np.arange(2) == slot)[:, None]
        labelled = inside & self.photos.labelled[index]
        if self.photos.infrared:
            image = observe_infrared(rng, grey, A)
        else:
            image = observe_photo(rng, grey, points[slot], A)
        return {
            "image": image,
            "keypoints_px": points,
            "in_image": labelled,
            "visible": labelled & self.photos.visible[index],
            "present": inside.sum(-1) >= MIN_INSIDE,
            "orientation": np.zeros(2, np.int64),
            "key_pose": np.zeros(2, np.int64),
            "segmentation": np.zeros((HEIGHT, WIDTH), np.uint8),
            "rendered": np.False_,
        }


def open_batches(folder: Path, mix: Mix, seed: int, photos: Path | None = None) -> BatchSource:
    """A folder made by ``handfast synth`` -> batches of train/, validated on validation/.

    photos: a folder of labelled photos, see ``photos.py``, to mix in. Held-out batches are close looks,
    whole frames and, if there are any, close looks at held-out photos. Raises HandfastError when anything
    is missing or broken, and for a set without amplitude images of 160 x 120.
    """
    card = finished_card(folder, "train")
    name = f"{card.frames('train')} frames of {card.benchmark}, seed {card.seed}"
    held_out = _load(folder, "validation")
    as_taken = replace(mix, composite_share=0.0)
    frames = BatchSource(held_out, 0, replace(as_taken, look_share=0.0))
    looks = BatchSource(held_out, 0, replace(as_taken, look_share=1.0))
    kinds = {"looks": looks, "frames": frames} if mix.look_share > 0 else {"frames": frames}
    own_photos = None
    if photos is not None:
        check_shown(photos, mix.photo_share)
        own_photos = load_photos(photos, held_out=False)
        name += f"; {len(own_photos)} photos of {', '.join(own_photos.sources)}"
        if not len(own_photos):
            raise HandfastError(f"{photos}: expected photos to train on, got none beside those held out")
        if len(unseen := load_photos(photos, held_out=True)):
            only_photos = replace(mix, look_share=1.0, photo_share=1.0)
            kinds["photos"] = BatchSource(held_out, 0, only_photos, photos=unseen)
    return BatchSource(
        _load(folder, "train"),
        seed,
        mix,
        photos=own_photos,
        name=name,
        shard_frames=card.shard_clips * card.clip_frames,
        validation={
            kind: tuple(source.batch(step, VALIDATION_BATCH) for step in range(VALIDATION_BATCHES))
            for kind, source in kinds.items()
        },
    )


def _load(folder: Path, split: str) -> dict[str, np.ndarray]:
    arrays = load_split(folder, finished_card(folder, split), split)
    if "amplitude" not in arrays or arrays["amplitude"].shape[1:] != (HEIGHT, WIDTH):
        raise HandfastError(
            f"{folder}: expected amplitude images of {WIDTH} x {HEIGHT}, as of `handfast synth bench-tof`"
        )
    return arrays


def mirror_sample(a: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    """Left for right: pictures flipped, slots swapped, pronation turned the other way."""
    pictures = {name: np.ascontiguousarray(a[name][:, ::-1]) for name in ("amplitude", "depth_mm")}
    segmentation = np.array([0, 2, 1], np.uint8)[a["segmentation"][:, ::-1]]
    points = a["keypoints_px"][::-1] * np.float32([-1, 1]) + np.float32([WIDTH - 1, 0])
    points_m = a["keypoints_m"][::-1] * np.float32([-1, 1, 1])
    slots = {name: a[name][::-1] for name in ("present", "visible", "key_pose")}
    orientation = (-a["orientation"][::-1].astype(np.int64)) % ORIENTATIONS
    return (
        a
        | pictures
        | slots
        | {
            "segmentation": np.ascontiguousarray(segmentation),
            "keypoints_px": points,
            "keypoints_m": points_m,
            "orientation": orientation,
        }
    )


def random_view(
    rng: np.random.Generator, hands_px: np.ndarray, present: np.ndarray, look_share: float
) -> tuple[np.ndarray, int | None]:
    """The affine (2, 3) of one of the two views that a tracker takes, and which hand it is about.

    hands_px (2, 21, 2), present (2,). At look_share a close look, at a hand that is there or astray; else the
    whole frame, turned, scaled and shifted a little. Those two are about no hand.
    """
    looks = rng.random() < look_share
    if looks and rng.random() < ASTRAY_SHARE:
        spot = rng.uniform((0, 0), (WIDTH, HEIGHT))
        width_px = np.exp(rng.uniform(*np.log(ASTRAY_WIDTH_PX)))
        return crop_affine(spot, width_px, WIDTH, HEIGHT, rng.uniform(-np.pi, np.pi)), None
    sizes_px = [hand_size_px(hand) for hand in hands_px]
    large = [slot for slot in np.flatnonzero(present) if sizes_px[slot] > MIN_LOOK_PX]
    if large and looks:
        slot = int(rng.choice(large))
        return random_look(rng, hands_px[slot]), slot
    centre = np.array([(WIDTH - 1) / 2, (HEIGHT - 1) / 2]) + rng.uniform(-MAX_SHIFT_PX, MAX_SHIFT_PX, 2)
    turn = rng.uniform(-MAX_TURN_RAD, MAX_TURN_RAD)
    return crop_affine(centre, WIDTH / rng.uniform(*SCALE_RANGE), WIDTH, HEIGHT, turn), None


def random_look(rng: np.random.Generator, hand_px: np.ndarray) -> np.ndarray:
    """A close look at a hand (21, 2) px by one who has a rough idea of where it is and points."""
    return look_affine(
        hand_px + rng.normal(0, 0.07 * hand_size_px(hand_px), 2),
        WIDTH,
        HEIGHT,
        zoom=np.exp(rng.normal(0, 0.12)),
        turn_rad=rng.normal(0, 0.3),
    )
