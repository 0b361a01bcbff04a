"""What an exported network does on the people whom nobody has trained on."""

import math
import os
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
from scipy.special import expit

from handfast.codecs import decode_heatmaps, map_to_input
from handfast.data.arrays import inside_image, pack
from handfast.data.augment import clean_picture
from handfast.data.cards import finished_card, read_shard
from handfast.data.shards import decode_shard
from handfast.evaluation.keypoints import (
    KeypointLabels,
    KeypointPredictions,
    KeypointScore,
    measure_keypoints,
)
from handfast.runtime.lifting import lift
from handfast.runtime.model import Model
from handfast.sensors.views import hand_size_px
from handfast.skeleton import Skeleton
from handfast.structures import HandSample

BATCH = 16


def measure_model(model: Model, folder: Path, picture: str, knows_presence: bool) -> KeypointScore:
    """Score a network on the whole frames of the split test of a benchmark.

    picture: 'amplitude' or 'depth', what the network gets to see. knows_presence: whether it was taught which
    hands are there. Raises HandfastError for a shard that is not as it was made.
    """
    card = finished_card(folder, "test")
    parts = [
        _measured(model, list(decode_shard(read_shard(folder, card, "test", name))), picture)
        for name in card.layout("test")
    ]
    labels = KeypointLabels(*map(np.concatenate, zip(*(labels for labels, _ in parts), strict=True)))
    predicted = KeypointPredictions(
        *map(np.concatenate, zip(*(predicted for _, predicted in parts), strict=True))
    )
    if not knows_presence:
        predicted = predicted._replace(presence=None)
    return measure_keypoints(predicted, labels, model.skeleton.keypoints, math.hypot(*model.input_size))


def _measured(
    model: Model, samples: list[HandSample], picture: str
) -> tuple[KeypointLabels, KeypointPredictions]:
    """The labels of frames, and what the network says of them."""
    arrays = pack(samples)
    images = np.stack(
        [
            clean_picture(amplitude, depth_mm, picture)
            for amplitude, depth_mm in zip(arrays["amplitude"], arrays["depth_mm"], strict=True)
        ]
    )
    points_px, presence = _predict(model, images)
    labels = _labels(samples, arrays, model.skeleton, *model.input_size)
    return (
        labels._replace(lifted_m=_lifted(labels.keypoints_px, labels.seen, samples)),
        KeypointPredictions(points_px, presence, _lifted(points_px, labels.seen, samples)),
    )


def _predict(model: Model, images: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """(n, H, W) uint8 -> key-points (n, 2, K, 2) px and presence (n, 2)."""

    def run(batch: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        heatmaps, visibility = model.run(batch)
        points_px, _ = decode_heatmaps(heatmaps)
        stride = images.shape[-1] // heatmaps.shape[-1]
        return map_to_input(points_px, stride), expit(visibility[..., 0])

    # A session has one thread, so every core can have one.
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        outputs = list(pool.map(run, np.array_split(images, math.ceil(len(images) / BATCH))))
    points_px, presence = zip(*outputs, strict=True)
    return np.concatenate(points_px), np.concatenate(presence)


def _labels(
    samples: list[HandSample], arrays: dict[str, np.ndarray], skeleton: Skeleton, width: int, height: int
) -> KeypointLabels:
    """Those of the samples, packed in the arrays, for the skeleton; not lifted yet."""
    joints_px = arrays["keypoints_px"]
    joints_m = skeleton.select(arrays["keypoints_m"])
    return KeypointLabels(
        keypoints_px=skeleton.select(joints_px),
        in_image=skeleton.select_visible(inside_image(joints_px, width, height)),
        visible=skeleton.select_visible(arrays["visible"]),
        present=arrays["present"],
        empty=np.array([not sample.hands for sample in samples]),
        size_px=np.array([[hand_size_px(hand) for hand in hands] for hands in joints_px]),
        joints_m=joints_m,
        lifted_m=np.full(joints_m.shape, np.nan),
    )


def _lifted(points_px: np.ndarray, seen: np.ndarray, samples: list[HandSample]) -> np.ndarray:
    """Key-points (n, 2, K, 2), of which some are seen (n, 2, K), -> (n, 2, K, 3) m, NaN for the others."""
    lifted_m = np.full((*seen.shape, 3), np.nan)
    for i, slot in np.argwhere(seen.any(axis=-1)):
        frame = samples[i].frame
        lifted_m[i, slot] = lift(points_px[i, slot], seen[i, slot], frame.depth_m(), frame.camera)
    return lifted_m
