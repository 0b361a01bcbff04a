"""Turns a synthetic time-of-flight frame into what some real sensor would have given, at random.

What real frames show and this imitates: stereo and structured-light sensors have no depth in a shadow at
one side of every near edge, and some infrared streams are black wherever depth is missing; projected dots
on skin; nothing beyond a range; vignetting, gain, gamma, blur, few grey levels; depth in coarse steps with
ragged edges and holes.
"""

from functools import lru_cache

import cv2
import numpy as np

from handfast.jit import jit
from handfast.sensors.images import normalise_exposure, proximity_image

PICTURES = ("amplitude", "depth")
DEPTH_ONLY_SHARE = 0.3
CLEAN_SHARE = 0.2  # amplitude as the time-of-flight sensor gave it


def clean_picture(amplitude: np.ndarray, depth_mm: np.ndarray, picture: str) -> np.ndarray:
    """(H, W) uint8 amplitude and uint16 depth -> (H, W) uint8 network input made of one of PICTURES, as the
    sensor gave it."""
    if picture == "amplitude":
        return normalise_exposure(amplitude)
    return normalise_exposure(proximity_image(depth_mm.astype(np.float32) * 1e-3))


def augment(
    rng: np.random.Generator, amplitude: np.ndarray, depth_mm: np.ndarray, A: np.ndarray
) -> np.ndarray:
    """(H, W) uint8 amplitude and uint16 depth -> (H, W) uint8 network input.

    A (2, 3): where the caller moves the pixels, applied before the sensor's effects. A share of frames
    becomes a proximity image made from degraded depth, the rest an amplitude image, most of them degraded.
    """
    height, width = amplitude.shape
    depth_m = cv2.warpAffine(depth_mm, A, (width, height), flags=cv2.INTER_NEAREST).astype(np.float32) * 1e-3
    kind = rng.random()
    if kind < DEPTH_ONLY_SHARE:
        return normalise_exposure(proximity_image(degrade_depth(rng, depth_m)))
    amplitude = cv2.warpAffine(amplitude, A, (width, height), flags=cv2.INTER_LINEAR)
    if kind < DEPTH_ONLY_SHARE + CLEAN_SHARE:
        return normalise_exposure(amplitude)
    return normalise_exposure(degrade_amplitude(rng, amplitude, depth_m))


def degrade_depth(rng: np.random.Generator, depth_m: np.ndarray) -> np.ndarray:
    """A depth image (H, W) m as a cheap sensor would give it."""
    if rng.random() < 0.4:
        depth_m = ragged(rng, depth_m, rng.uniform(0.2, 0.8))
    if rng.random() < 0.6:
        depth_m = np.where(_shadow(rng, depth_m), np.float32(0), depth_m)
    if rng.random() < 0.6:
        depth_m = np.where(depth_m > _range_limit(rng, depth_m), 0, depth_m)
    if rng.random() < 0.3:
        depth_m = np.where(_holes(rng, depth_m.shape, rng.uniform(0.01, 0.08)), 0, depth_m)
    if rng.random() < 0.5:  # steps grow with z^2
        step = np.float32(rng.uniform(0.0005, 0.006)) * depth_m**2 / np.float32(0.36) + np.float32(1e-4)
        depth_m = np.round(depth_m / step) * step
    noise = rng.choice([0.0, rng.uniform(0, 0.004)])
    if noise:
        depth_m = np.where(
            depth_m > 0, depth_m + np.float32(noise) * rng.standard_normal(depth_m.shape, np.float32), 0
        )
    if rng.random() < 0.4:
        depth_m = cv2.medianBlur(depth_m, 3)
    return depth_m


def degrade_amplitude(rng: np.random.Generator, amplitude: np.ndarray, depth_m: np.ndarray) -> np.ndarray:
    """An amplitude or infrared image (H, W) uint8 as another sensor would give it."""
    height, width = amplitude.shape
    image = amplitude.astype(np.float32) / 255
    if rng.random() < 0.5:
        # A structured-light or flood-lit camera's exposure does not cut off with range as phase images do.
        flat = np.where(depth_m > 0, 1.0, 0.5).astype(np.float32)
        image = image * np.float32(rng.uniform(0.6, 1)) + flat * np.float32(rng.uniform(0, 0.25))
    if rng.random() < 0.35:
        image *= _projected_dots(rng, depth_m)
    if rng.random() < 0.5:
        image = image ** np.float32(rng.uniform(0.5, 1.7))
    if rng.random() < 0.6:
        image *= _vignette(rng, width, height)
    if rng.random() < 0.65:
        missing = _shadow(rng, depth_m)
        missing |= _holes(rng, depth_m.shape, rng.choice([0.0, rng.uniform(0, 0.06)]))
        if rng.random() < 0.3:
            missing |= depth_m > _range_limit(rng, depth_m)
        missing = ragged(rng, missing.astype(np.float32), rng.uniform(0.1, 1.0)) > 0
        image[missing] = 0
    if rng.random() < 0.5:
        image = cv2.GaussianBlur(image, (0, 0), rng.uniform(0.3, 1.3))
    gain = np.float32(rng.uniform(0.15, 1.1))
    image *= gain
    if rng.random() < 0.6:
        image += gain * np.float32(rng.uniform(0, 0.05) ** 1.5) * rng.standard_normal(image.shape, np.float32)
    levels = np.float32(rng.choice([255, rng.integers(30, 128)]) / gain)
    return (np.clip(np.round(image * levels) / levels, 0, 1) * 255 + 0.5).astype(np.uint8)


def _shadow(rng: np.random.Generator, depth_m: np.ndarray) -> np.ndarray:
    """(H, W) bool: without depth because the sensor's second eye (or projector) cannot see there."""
    # The time-of-flight noise would look like occluders everywhere: filtered away.
    smooth = cv2.medianBlur(depth_m, 5)
    # Crops are magnified, so focal length x baseline (px m) has a wide range.
    focal_baseline = float(np.exp(rng.uniform(np.log(3), np.log(40)))) * depth_m.shape[1] / 160
    # The second eye is beside the first, but views are turned: in them it may be on any side.
    side, quarter_turns = int(rng.choice([-1, 1])), int(rng.integers(2))
    turned = np.ascontiguousarray(np.rot90(smooth, quarter_turns))
    return np.rot90(stereo_shadow(turned, focal_baseline, side), -quarter_turns)


@jit()
def stereo_shadow(depth_m, focal_baseline, side):
    """Depth (H, W) m and px m -> (H, W) bool: hidden from a second eye, whose shadows fall to the right of
    what is near for side 1, to the left for -1. Walks each row towards that side and keeps the farthest
    displaced column that a surface has taken: what lands before it lies behind a nearer surface."""
    height, width = depth_m.shape
    hidden = np.zeros((height, width), np.bool_)
    for y in range(height):
        taken = -1e9
        for i in range(width):
            x = i if side > 0 else width - 1 - i
            z = depth_m[y, x]
            if z <= 0:
                continue
            # Column in the second eye, rising along the walk as long as nothing is hidden.
            column = i + focal_baseline / z
            if column < taken - 1.0:
                hidden[y, x] = True
            elif column > taken:
                taken = column
    return hidden


def _range_limit(rng: np.random.Generator, depth_m: np.ndarray) -> float:
    """Beyond this the sensor sees nothing: somewhere behind the nearest things."""
    seen = depth_m[depth_m > 0]
    near = np.percentile(seen, 10) if len(seen) else 0.5
    return float(near + rng.uniform(0.12, 1.0))


def ragged(rng: np.random.Generator, image: np.ndarray, strength_px: float) -> np.ndarray:
    """An image (H, W) whose edges wander by a pixel or so: pixels fetched from a randomly shifted place."""
    height, width = image.shape
    small = rng.standard_normal((2, height // 3 + 1, width // 3 + 1), np.float32) * np.float32(strength_px)
    dx, dy = (cv2.resize(s, (width, height), interpolation=cv2.INTER_LINEAR) for s in small)
    x, y = _grid(width, height)
    return cv2.remap(
        image.astype(np.float32), x + dx, y + dy, cv2.INTER_NEAREST, borderMode=cv2.BORDER_REPLICATE
    )


def _holes(rng: np.random.Generator, shape: tuple[int, int], share: float) -> np.ndarray:
    """(H, W) bool: blobs that cover about the given share of the image."""
    if share == 0:
        return np.zeros(shape, bool)
    cell = rng.integers(3, 14)
    small = rng.random((shape[0] // cell + 2, shape[1] // cell + 2), np.float32)
    field = cv2.resize(small, shape[::-1], interpolation=cv2.INTER_CUBIC)
    return field < np.quantile(field[::4, ::4], share)


def _vignette(rng: np.random.Generator, width: int, height: int) -> np.ndarray:
    x, y = _grid(width, height)
    cx, cy = rng.uniform(0.2, 0.8, 2) * (width, height)
    r2 = ((x - np.float32(cx)) ** 2 + (y - np.float32(cy)) ** 2) / np.float32(width**2)
    return 1 / (1 + np.float32(rng.uniform(0, 4)) * r2)


def _projected_dots(rng: np.random.Generator, depth_m: np.ndarray) -> np.ndarray:
    """(H, W) factor: a speckle of projected dots, shifted by depth as disparity does."""
    height, width = depth_m.shape
    pitch = rng.uniform(2.0, 6.0)
    grid = rng.random((int(height / pitch) + 3, int(2 * width / pitch) + 3), np.float32)
    pattern = cv2.resize(grid, (2 * width, height), interpolation=cv2.INTER_CUBIC)
    x, y = _grid(width, height)
    shift = np.float32(rng.uniform(5, 30)) / np.maximum(depth_m, 0.15)
    dots = cv2.remap(pattern, x + np.minimum(shift, width), y, cv2.INTER_LINEAR)
    return 1 + np.float32(rng.uniform(0.1, 1.2)) * (dots - 0.5)


@lru_cache(maxsize=8)
def _grid(width: int, height: int) -> tuple[np.ndarray, np.ndarray]:
    y, x = np.mgrid[:height, :width].astype(np.float32)
    return x, y
