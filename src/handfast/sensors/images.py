"""What every sensor's frame becomes before a network sees it: one grey picture with a known brightness.

Training and run time share ``proximity_image`` and ``normalise_exposure``, so that the network meets the same
pictures in both.
"""

import numpy as np

from handfast.errors import HandfastError
from handfast.structures import Frame

POSSIBLE_M = (0.02, 20.0)  # of the middle depth of a frame; beyond, its unit must be another
NEAR_PERCENTILE = 2.0
WHITE_PERCENTILE = 99.7
BRIGHT_PERCENTILE = 99.9
WHITE_LEVEL = 230.0
# Active light falls with the square of distance: an exponent near a half leaves bytes for the far.
GAMMA = 0.6
SKIN_TINT = np.array([1.0, 0.75, 0.6])  # red, green and blue


def measured_depth_m(frame: Frame) -> np.ndarray:
    """A frame's depth (H, W) float32 m, 0 = no value. Raises HandfastError for depth that no sensor
    measures."""
    depth_m = frame.depth_m()
    # Counting is a tenth of the work of a median, which only a wrong unit needs.
    least_m, most_m = POSSIBLE_M
    known = np.count_nonzero(depth_m)
    near = known - np.count_nonzero(depth_m >= least_m)
    if 2 * max(near, np.count_nonzero(depth_m > most_m)) > known:
        middle_mm = 1e3 * np.median(depth_m[depth_m > 0])
        raise HandfastError(
            f"frame {frame.index}: the middle of its depth is {middle_mm:.3g} mm, which no sensor measures; "
            f"--depth-unit-mm, {frame.depth_unit_mm:g} here, is how many mm a step of the images is"
        )
    return depth_m


def proximity_image(depth_m: np.ndarray) -> np.ndarray:
    """Depth (H, W) m, 0 = no value -> (H, W) uint8, 255 at the nearest surface and falling as 1 / z^2.

    That is the amplitude that a matt white scene facing the sensor would give back, so one network can read
    both. Nearest means the second percentile: a few wrong pixels do not darken the rest.
    """
    valid = depth_m > 0
    if not valid.any():
        return np.zeros(depth_m.shape, np.uint8)
    near_m = np.percentile(depth_m[valid], NEAR_PERCENTILE)
    with np.errstate(divide="ignore"):
        proximity = np.minimum((near_m / depth_m) ** 2, 1.0)
    return np.where(valid, 255.0 * proximity + 0.5, 0).astype(np.uint8)


def infrared_image(picture: np.ndarray) -> np.ndarray:
    """Infrared or amplitude of more than 8 bits, (H, W) uint16, -> (H, W) uint8: linear, however many bits a
    sensor has, with the level that 99.9 % of the lit pixels do not exceed becoming 255. Raises HandfastError
    for anything else."""
    if not isinstance(picture, np.ndarray):
        raise HandfastError(f"infrared image: expected an array, got {type(picture).__name__}")
    if picture.dtype != np.uint16 or picture.ndim != 2:
        raise HandfastError(f"infrared image: expected uint16 (H, W), got {picture.dtype} {picture.shape}")
    lit = picture[picture > 0]
    if not lit.size:
        return np.zeros(picture.shape, np.uint8)
    white = np.percentile(lit, BRIGHT_PERCENTILE)
    return np.minimum(picture * np.float32(255 / white) + np.float32(0.5), 255).astype(np.uint8)


def normalise_exposure(image: np.ndarray) -> np.ndarray:
    """(H, W) uint8 -> uint8, with gamma, the 99.7th percentile of the lit pixels becoming 230."""
    # A cumulative histogram is an exact percentile of bytes, ten times as fast as sorting.
    counts = np.bincount(image.ravel(), minlength=256)
    counts[0] = 0
    lit = counts.sum()
    if lit == 0:
        return image
    white = max(int(np.searchsorted(np.cumsum(counts), lit * WHITE_PERCENTILE / 100)), 1)
    levels = np.minimum((np.arange(256) / white) ** GAMMA * WHITE_LEVEL + 0.5, 255).astype(np.uint8)
    return levels[image]


def tinted(image: np.ndarray) -> np.ndarray:
    """Grey pictures (..., H, W) uint8 as ones in colour, (..., H, W, 3), where what is lit is like skin."""
    return (image[..., None] * SKIN_TINT).astype(np.uint8)


def as_planes(images: np.ndarray) -> np.ndarray:
    """Pictures (b, H, W) or (b, H, W, 3) with their channels apart, as networks see them: (b, c, H, W)."""
    return images[:, None] if images.ndim == 3 else np.ascontiguousarray(np.moveaxis(images, 3, 1))


def as_floats(images: np.ndarray) -> np.ndarray:
    """The same of uint8, as float32, 0..1."""
    return as_planes(images).astype(np.float32) / 255
