"""What may stand behind hands, or where no hand is: made-up texture, and skin that is no hand.

Pictures are (H, W, 3) uint8, red, green, blue.
"""

import cv2
import numpy as np

LIGHT_SKIN, DARK_SKIN = np.float32([245, 208, 182]), np.float32([70, 44, 32])
_FORMS = ("blob", "face", "arm")
_SIZE_RANGE_PX = (14.0, 80.0)


def blend(below: np.ndarray, above: np.ndarray, alpha: np.ndarray) -> np.ndarray:
    """One picture over another: alpha (H, W) float32, 0..1, is the upper one's share."""
    return cv2.blendLinear(above, below, alpha, 1 - alpha)


def texture(rng: np.random.Generator, width: int, height: int) -> np.ndarray:
    """Patches, gradients or noise of a few related colours."""
    cells = np.exp(rng.uniform(np.log(2), np.log(40), 2)).astype(int)
    base, contrast = rng.uniform(20, 235, 3), rng.uniform(5, 70)
    colours = base + contrast * (rng.standard_normal((*cells, 1)) + 0.4 * rng.standard_normal((*cells, 3)))
    how = (cv2.INTER_NEAREST, cv2.INTER_LINEAR, cv2.INTER_CUBIC)[rng.integers(3)]
    return cv2.resize(np.clip(colours, 0, 255).astype(np.uint8), (width, height), interpolation=how)


def add_skin(rng: np.random.Generator, picture: np.ndarray) -> np.ndarray:
    """The picture with something in it that has a skin's colour and is no hand."""
    height, width = picture.shape[:2]
    form = _FORMS[rng.integers(len(_FORMS))]
    size = np.exp(rng.uniform(*np.log(_SIZE_RANGE_PX)))
    x, y = rng.uniform((0, 0), (width, height))
    share = np.float32(rng.random())
    skin = (1 - share) * LIGHT_SKIN + share * DARK_SKIN + rng.normal(0, 8, 3)
    shade = cv2.resize(rng.uniform(0.65, 1.15, (3, 3)).astype(np.float32), (width, height))
    layer = np.clip(skin * shade[..., None], 0, 255).astype(np.uint8)
    mask = np.zeros((height, width), np.uint8)
    if form == "arm":
        away = size * 2.5 * np.array([np.cos(a := rng.uniform(0, 2 * np.pi)), np.sin(a)])
        cv2.line(mask, (int(x), int(y)), (int(x + away[0]), int(y + away[1])), 255, max(int(0.5 * size), 3))
    elif form == "blob":
        for _ in range(rng.integers(2, 6)):
            spot = np.array([x, y]) + rng.normal(0, 0.3 * size, 2)
            _ellipse(mask, spot, rng.uniform(0.1, 0.5, 2) * size, rng.uniform(0, 180), 255)
    else:
        turn = rng.normal(0, 12)
        _ellipse(mask, (x, y - 0.1 * size), (0.45 * size, 0.58 * size), turn, 255)
        layer[mask > 0] = rng.uniform(10, 110, 3) * rng.uniform(0.3, 1)  # hair, of which a rim is left
        face = np.zeros_like(mask)
        _ellipse(face, (x, y), (0.37 * size, 0.5 * size), turn, 255)
        layer[face > 0] = np.clip(skin * shade[face > 0, None], 0, 255)
        for dx in (-0.15, 0.15):
            _ellipse(layer, (x + dx * size, y - 0.08 * size), (0.06 * size, 0.03 * size), turn, (0.35 * skin))
        _ellipse(layer, (x, y + 0.24 * size), (0.13 * size, 0.04 * size), turn, skin * (0.75, 0.5, 0.5))
        mask |= face
    alpha = cv2.GaussianBlur(mask.astype(np.float32) / 255, (0, 0), rng.uniform(0.4, 2.5))
    return blend(picture, layer, alpha)


def _ellipse(canvas: np.ndarray, middle: tuple, half_axes: tuple, turn_deg: float, colour: object) -> None:
    colour = colour if np.isscalar(colour) else tuple(map(float, colour))
    axes = tuple(max(int(axis), 1) for axis in half_axes)
    cv2.ellipse(canvas, tuple(map(int, middle)), axes, turn_deg, 0, 360, colour, -1)
