"""Training batches: shards in memory, moved, mirrored and degraded at random; batch k is a function of k."""

from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np

from handfast.data.augment import augment
from handfast.data.shards import MIN_INSIDE, inside_image, load_shards, read_card
from handfast.data.synthesis import HEIGHT, WIDTH
from handfast.geometry import crop_affine
from handfast.sensors.views import hand_size_px, look_affine
from handfast.structures import ORIENTATIONS

MAX_TURN_RAD = 0.45
SCALE_RANGE = (0.8, 1.2)
MAX_SHIFT_PX = 12.0
LOOK_SHARE, MIN_LOOK_PX = 0.75, 28.0
VALIDATION_BATCH, VALIDATION_BATCHES = 64, 16


@dataclass(frozen=True, eq=False)
class BatchSource:
    """arrays: as from load_shards. name: for the cards of models trained on it. validation: batches kept
    aside."""

    arrays: dict[str, np.ndarray]
    seed: int
    name: str = "synthetic"
    validation: tuple[dict[str, np.ndarray], ...] = ()

    def __len__(self) -> int:
        return len(self.arrays["amplitude"])

    def batch(self, step: int, batch_size: int) -> dict[str, np.ndarray]:
        """Batch number ``step``: image (b, 120, 160) uint8, keypoints_px (b, 2, 21, 2) float32, in_image and
        visible (b, 2, 21) bool, present (b, 2) bool, orientation and key_pose (b, 2) int64, segmentation
        (b, 120, 160) uint8. Every pass over the data has its own order."""
        samples = [self._sample(step * batch_size + i) for i in range(batch_size)]
        return {name: np.stack([s[name] for s in samples]) for name in samples[0]}

    def _sample(self, position: int) -> dict[str, np.ndarray]:
        epoch, place = divmod(position, len(self))
        index = _shuffled(place, len(self), self.seed + epoch)
        rng = np.random.default_rng([self.seed, 3, position])
        a = {name: array[index] for name, array in self.arrays.items()}
        if rng.random() < 0.5:
            a = mirror_sample(a)
        A = random_view(rng, a["keypoints_px"][a["present"]])
        points = a["keypoints_px"] @ A[:, :2].T.astype(np.float32) + A[:, 2].astype(np.float32)
        inside = inside_image(points)
        present = a["present"] & (inside.sum(-1) >= MIN_INSIDE)
        return {
            "image": augment(rng, a["amplitude"], a["depth_mm"], A),
            "keypoints_px": points,
            "in_image": inside,
            "visible": a["visible"] & inside,
            "present": present,
            "orientation": a["orientation"].astype(np.int64),
            "key_pose": a["key_pose"].astype(np.int64),
            "segmentation": cv2.warpAffine(a["segmentation"], A, (WIDTH, HEIGHT), flags=cv2.INTER_NEAREST),
        }


def open_batches(folder: Path, seed: int) -> BatchSource:
    """A folder with shards in train/ and validation/ -> batches of the first, validated on the second.

    Raises HandfastError when either is missing or broken.
    """
    card = read_card(folder / "train")
    held_out = BatchSource(load_shards(folder / "validation"), seed=0)
    return BatchSource(
        load_shards(folder / "train"),
        seed,
        name=f"{card['frames']} synthetic time-of-flight frames, seed {card['seed']}",
        validation=tuple(held_out.batch(step, VALIDATION_BATCH) for step in range(VALIDATION_BATCHES)),
    )


def mirror_sample(a: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    """Left for right: pictures flipped, slots swapped, pronation turned the other way."""
    pictures = {name: np.ascontiguousarray(a[name][:, ::-1]) for name in ("amplitude", "depth_mm")}
    segmentation = np.array([0, 2, 1], np.uint8)[a["segmentation"][:, ::-1]]
    points = a["keypoints_px"][::-1] * np.float32([-1, 1]) + np.float32([WIDTH - 1, 0])
    slots = {name: a[name][::-1] for name in ("present", "visible", "key_pose")}
    orientation = (-a["orientation"][::-1].astype(np.int64)) % ORIENTATIONS
    return (
        a
        | pictures
        | slots
        | {
            "segmentation": np.ascontiguousarray(segmentation),
            "keypoints_px": points,
            "orientation": orientation,
        }
    )


def random_view(rng: np.random.Generator, hands_px: np.ndarray) -> np.ndarray:
    """The affine (2, 3) of one of the two views that a tracker takes: the whole frame, turned, scaled and
    shifted a little, or a close look at one of the hands (n, 21, 2) px as ``look_affine`` would take it with
    a rough idea of where the hand is."""
    if len(hands_px) and rng.random() < LOOK_SHARE:
        hand = hands_px[rng.integers(len(hands_px))]
        size = hand_size_px(hand)
        if size > MIN_LOOK_PX:
            return look_affine(
                hand + rng.normal(0, 0.07 * size, 2),
                WIDTH,
                HEIGHT,
                zoom=np.exp(rng.normal(0, 0.12)),
                turn_rad=rng.normal(0, 0.3),
            )
    centre = np.array([(WIDTH - 1) / 2, (HEIGHT - 1) / 2]) + rng.uniform(-MAX_SHIFT_PX, MAX_SHIFT_PX, 2)
    turn = rng.uniform(-MAX_TURN_RAD, MAX_TURN_RAD)
    return crop_affine(centre, WIDTH / rng.uniform(*SCALE_RANGE), WIDTH, HEIGHT, turn)


def _shuffled(place: int, count: int, seed: int) -> int:
    """Position ``place`` of a pseudo-random permutation of range(count), without storing it: a Feistel
    network on the next power of four, walked until the value falls inside."""
    half_bits = max(1, (int(count - 1).bit_length() + 1) // 2)
    mask = (1 << half_bits) - 1
    while True:
        left, right = place >> half_bits, place & mask
        for round_ in range(4):
            mixed = (right * 0x9E3779B1 + seed * 0x85EBCA6B + round_ * 0xC2B2AE35) & 0xFFFFFFFF
            mixed = ((mixed ^ (mixed >> 15)) * 0x2C1B3C6D) & 0xFFFFFFFF
            left, right = right, left ^ ((mixed ^ (mixed >> 13)) & mask)
        place = (left << half_bits) | right
        if place < count:
            return place
