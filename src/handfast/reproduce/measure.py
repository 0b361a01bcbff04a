"""What a network that runs does with key-points on the people whom nobody has trained on."""

import math

import numpy as np
from scipy.special import expit

from handfast.codecs import decode_heatmaps, map_to_input
from handfast.data.arrays import inside_image, pack
from handfast.data.augment import clean_picture
from handfast.data.datasets.samples import Samples
from handfast.evaluation.keypoints import (
    KeypointLabels,
    KeypointPredictions,
    KeypointScore,
    measure_keypoints,
)
from handfast.geometry import apply_affine, fit_affine, invert_affine
from handfast.reproduce.parallel import Watch, on_every_core
from handfast.runtime.lifting import lift
from handfast.runtime.model import Model
from handfast.sensors.views import halvings, hand_size_px, take_view
from handfast.structures import Frame, HandSample


def measure_model(
    model: Model, samples: Samples, picture: str, knows_presence: bool, watch: Watch = iter
) -> KeypointScore:
    """Score a network on whole frames, each by itself and fitted into the network's image; pixels are those
    of that image.

    picture: 'amplitude', 'depth' or 'colour', what the network gets to see. knows_presence: whether it was
    taught which hands are there. Raises HandfastError for a shard that is not as it was made.
    """
    parts = on_every_core(lambda index: _measured(model, samples[index], picture), len(samples), watch)
    labels, predicted = zip(*parts, strict=True)
    labels = KeypointLabels(*map(np.concatenate, zip(*labels, strict=True)))
    predicted = KeypointPredictions(*map(np.concatenate, zip(*predicted, strict=True)))
    if not knows_presence:
        predicted = predicted._replace(presence=None)
    return measure_keypoints(predicted, labels, model.skeleton.keypoints, math.hypot(*model.input_size))


def _measured(model: Model, sample: HandSample, picture: str) -> tuple[KeypointLabels, KeypointPredictions]:
    """The labels of a frame, and what the network says of it."""
    frame, skeleton = sample.frame, model.skeleton
    height, width = frame.shape
    to_input = fit_affine(width, height, *model.input_size)
    points_px, presence = _predict(model, _whole_view(frame, picture, to_input, model.input_size))
    arrays = pack([sample])
    joints_px = arrays["keypoints_px"]
    joints_m = skeleton.select(arrays["keypoints_m"])
    labels = KeypointLabels(
        keypoints_px=apply_affine(to_input, skeleton.select(joints_px)),
        in_image=skeleton.select_visible(inside_image(joints_px, width, height)),
        visible=skeleton.select_visible(arrays["visible"]),
        present=arrays["present"],
        empty=np.array([not sample.hands]),
        size_px=np.array([[hand_size_px(apply_affine(to_input, hand)) for hand in joints_px[0]]]),
        joints_m=joints_m,
        lifted_m=np.full(joints_m.shape, np.nan),
    )
    from_input = invert_affine(to_input)

    def lifted(points_px: np.ndarray) -> np.ndarray:
        return _lifted(apply_affine(from_input, points_px), labels.seen, frame)

    predicted = KeypointPredictions(points_px, presence, lifted(points_px))
    return labels._replace(lifted_m=lifted(labels.keypoints_px)), predicted


def _whole_view(frame: Frame, picture: str, to_input: np.ndarray, input_size: tuple[int, int]) -> np.ndarray:
    """What the network sees of a frame: (H, W) or (H, W, 3) uint8 of its size."""
    is_colour = picture == "colour"
    image = frame.colour if is_colour else clean_picture(frame.amplitude, frame.depth, picture)
    return take_view(halvings(image, input_size[0]), to_input, *input_size)


def _predict(model: Model, image: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """An image -> key-points (1, 2, K, 2) px and presence (1, 2)."""
    heatmaps, visibility = model.run(image[None])
    points_px, _ = decode_heatmaps(heatmaps)
    return map_to_input(points_px, image.shape[1] // heatmaps.shape[-1]), expit(visibility[..., 0])


def _lifted(points_px: np.ndarray, seen: np.ndarray, frame: Frame) -> np.ndarray:
    """Key-points (1, 2, K, 2) of a frame, of which some are seen (1, 2, K), -> (1, 2, K, 3) m, NaN for the
    others, and for all where there is no depth."""
    lifted_m = np.full((*seen.shape, 3), np.nan)
    if frame.depth is not None:
        for slot in np.flatnonzero(seen[0].any(axis=-1)):
            lifted_m[0, slot] = lift(points_px[0, slot], seen[0, slot], frame.depth_m(), frame.camera)
    return lifted_m
