"""A colour picture as another camera would have taken it: pure functions of a generator and a picture.

All take and give (H, W, 3) uint8, red, green, blue, and leave every pixel where it is.
"""

import cv2
import numpy as np

GAIN_RANGE, TINT = (0.6, 1.4), 0.07
GAMMA_RANGE = (0.7, 1.4)
SATURATION_RANGE, GREY_SHARE = (0.4, 1.3), 0.03
BLUR_RANGE_PX = (0.3, 1.4)
NOISE_RANGE = (1.0, 14.0)
QUALITY_RANGE = (25, 80)
_LUMA = np.float32([0.299, 0.587, 0.114])


def degrade(rng: np.random.Generator, picture: np.ndarray) -> np.ndarray:
    """Everything that can be wrong with a picture, each at times."""
    for change, share in (
        (shift_tones, 0.85),
        (change_saturation, 0.5),
        (soften, 0.4),
        (add_noise, 0.4),
        (compress, 0.2),
    ):
        if rng.random() < share:
            picture = change(rng, picture)
    return picture


def shift_tones(rng: np.random.Generator, picture: np.ndarray) -> np.ndarray:
    """Another exposure, white balance and contrast."""
    gain = np.exp(rng.uniform(*np.log(GAIN_RANGE))) * np.exp(rng.normal(0, TINT, 3))
    gamma = np.exp(rng.uniform(*np.log(GAMMA_RANGE)))
    levels = (np.arange(256) / 255)[:, None] ** gamma * gain * 255
    return cv2.LUT(picture, np.minimum(levels + 0.5, 255).astype(np.uint8)[None])


def change_saturation(rng: np.random.Generator, picture: np.ndarray) -> np.ndarray:
    """Paler or stronger colours, at times none."""
    share = 0.0 if rng.random() < GREY_SHARE else rng.uniform(*SATURATION_RANGE)
    return cv2.transform(picture, share * np.eye(3, dtype=np.float32) + np.float32(1 - share) * _LUMA)


def soften(rng: np.random.Generator, picture: np.ndarray) -> np.ndarray:
    """Out of focus."""
    return cv2.GaussianBlur(picture, (0, 0), rng.uniform(*BLUR_RANGE_PX))


def add_noise(rng: np.random.Generator, picture: np.ndarray) -> np.ndarray:
    """The sensor's noise, of one sigma for the whole picture."""
    noise = np.float32(rng.uniform(*NOISE_RANGE)) * rng.standard_normal(picture.shape, np.float32)
    return cv2.add(picture, noise, dtype=cv2.CV_8U)


def compress(rng: np.random.Generator, picture: np.ndarray) -> np.ndarray:
    """The blocks and the coarse colour of a video."""
    quality = int(rng.integers(*QUALITY_RANGE))
    bgr = cv2.cvtColor(picture, cv2.COLOR_RGB2BGR)
    _, coded = cv2.imencode(".jpg", bgr, (cv2.IMWRITE_JPEG_QUALITY, quality))
    return cv2.cvtColor(cv2.imdecode(coded, cv2.IMREAD_COLOR), cv2.COLOR_BGR2RGB)
