"""The colour of skin: light absorbed by melanin and blood, painted over an open hand seen from either side.

Reflectance follows Beer and Lambert's law, as in models of skin optics (Jacques 2013, "Optical properties of
biological tissues"), with three numbers a pigment in place of spectra. They were chosen so that the melanin
of ``sample_complexion`` gives the range of tones from very light to very dark.
"""

from dataclasses import dataclass

import cv2
import numpy as np

from handfast.hand_model.model import FINGER_BONES, HandAsset

_BARE = np.array([0.84, 0.70, 0.54], np.float32)  # linear red, green, blue of skin without pigments
_MELANIN = np.array([0.85, 1.0, 1.2], np.float32)
_BLOOD = np.array([0.08, 0.95, 0.75], np.float32)
# The picture: columns along the hand frame's y, rows along its x.
_PX_PER_M = 1150.0
_ORIGIN_M = np.array([-0.174, -0.228])
SHAPE = (400, 500)
_FINGER_M = 0.0085  # half a finger's width
# Through the palm of the mean hand, x and y in the hand frame, mm.
_PALM_LINES_MM = (
    ((46, 72), (24, 79), (4, 88), (-10, 99), (-13, 106)),
    ((-37, 84), (-14, 79), (12, 67), (34, 48)),
    ((-37, 84), (-21, 73), (-10, 54), (-8, 32), (-13, 12)),
    ((-24, -4), (0, -7), (22, -3)),
    ((4, 14), (2, 40), (-2, 62)),
)


@dataclass(frozen=True)
class Complexion:
    """How much of each pigment a person's skin has, in natural logarithms of green light."""

    melanin: float
    blood: float


def sample_complexion(rng: np.random.Generator) -> Complexion:
    """Any human skin tone, from very light to very dark."""
    return Complexion(melanin=rng.uniform(0.03, 2.6), blood=rng.uniform(0.2, 0.45))


def reflectance(melanin: np.ndarray, blood: np.ndarray) -> np.ndarray:
    """(...) pigments -> (..., 3) linear red, green, blue."""
    melanin, blood = np.asarray(melanin, np.float32), np.asarray(blood, np.float32)
    return _BARE * np.exp(-melanin[..., None] * _MELANIN - blood[..., None] * _BLOOD)


def texture_px(rest_vertices_m: np.ndarray) -> np.ndarray:
    """Where a vertex of the mean hand at rest (V, 3) lies in the painted pictures: (V, 2) column, row."""
    return (rest_vertices_m[:, :2] - _ORIGIN_M)[:, ::-1] * _PX_PER_M


def paint_skin(complexion: Complexion, asset: HandAsset, rng: np.random.Generator) -> np.ndarray:
    """(2, 400, 500, 3) float32 linear reflectance of the right hand's palm side and back, forearm included.

    Palms have little melanin; knuckles and fingertips are flushed; joints and palm have their creases, the
    back its nails and veins.
    """
    fingers = _fingers(asset)
    mottled, flushed = _noise(rng), _noise(rng)
    palm_melanin = 0.12 + (0.22 + 0.1 * rng.random()) * complexion.melanin
    # The forearm's inner side is nearly as dark as its back.
    arm = np.clip((_axes_m()[1] + 0.005) / -0.03, 0, 1)
    palm = (
        reflectance(
            (palm_melanin + arm * (0.85 * complexion.melanin - palm_melanin)) * (1 + 0.06 * mottled),
            complexion.blood * (1.1 + 0.12 * flushed + 0.5 * _spots(fingers[:, 3], 0.008) - 0.2 * arm),
        )
        * np.exp(-_palm_creases(fingers, rng.uniform(0.2, 0.45)))[..., None]
    )

    knuckles = _spots(fingers[:, 1], 0.007) + 0.6 * _spots(fingers[:, 2], 0.006) + _spots(fingers[:, 0], 0.01)
    back = (
        reflectance(
            complexion.melanin * (1 + 0.08 * mottled + 0.15 * knuckles),
            complexion.blood * (0.9 + 0.12 * flushed + 0.5 * knuckles),
        )
        * np.exp(-_back_wrinkles(fingers, rng.uniform(0.1, 0.4)) - 0.12 * _veins(fingers))[..., None]
    )
    for nail in _nails(asset):
        back = _with_nail(back, nail, complexion)
    return np.stack([palm, back]).astype(np.float32)


def _fingers(asset: HandAsset) -> np.ndarray:
    """(5, 4, 2) m: root, two joints and tip of each finger at rest, x and y."""
    tips = asset.vertices_m[asset.tip_vertices][:, None]
    return np.concatenate([asset.joints_m[FINGER_BONES], tips], axis=1)[..., :2].astype(np.float64)


def _pixels(points_m: np.ndarray) -> np.ndarray:
    """(..., 2) m -> column and row in the sixteenths of a pixel that OpenCV draws with."""
    return np.round((points_m - _ORIGIN_M)[..., ::-1] * _PX_PER_M * 16).astype(np.int32)


def _axes_m() -> tuple[np.ndarray, np.ndarray]:
    """x of every row and y of every column, m, float32."""
    return tuple(
        (np.arange(n) / _PX_PER_M + start).astype(np.float32)
        for n, start in zip(SHAPE, _ORIGIN_M, strict=True)
    )


def _noise(rng: np.random.Generator) -> np.ndarray:
    """Clouds about 0 of standard deviation 1, in patches of 3 mm to 3 cm."""
    height, width = SHAPE
    total = np.zeros(SHAPE, np.float32)
    for cell in (3, 8, 32):
        coarse = rng.standard_normal((height // cell + 2, width // cell + 2)).astype(np.float32)
        total += cv2.resize(coarse, (width, height), interpolation=cv2.INTER_CUBIC)
    return total / total.std()


def _lines(paths_m: list[np.ndarray], blur_px: float, width_px: int = 1) -> np.ndarray:
    """Paths of (n, 2) m drawn as lines, about 1 along their middle."""
    drawn = np.zeros(SHAPE, np.uint8)
    for path in paths_m:
        cv2.polylines(drawn, [_pixels(path)], False, 255, width_px, cv2.LINE_AA, shift=4)
    blurred = cv2.GaussianBlur(drawn.astype(np.float32), (0, 0), blur_px)
    return blurred / max(float(blurred.max()), 1.0)


def _spots(centres_m: np.ndarray, radius_m: float) -> np.ndarray:
    """Soft round spots, 1 in the middle."""
    x_m, y_m = _axes_m()
    along_x, along_y = (
        np.exp(-0.5 * ((axis_m - centres_m[:, i, None]) / radius_m) ** 2)
        for i, axis_m in enumerate((x_m, y_m))
    )
    return (along_x[:, :, None] * along_y[:, None, :]).max(0)


def _across(finger_m: np.ndarray, joint: int, along: float) -> np.ndarray:
    """A line (2, 2) m across a finger, the given share of the bone beyond the joint."""
    bone = finger_m[joint + 1] - finger_m[joint]
    side = np.array([-bone[1], bone[0]]) / np.linalg.norm(bone) * _FINGER_M
    return finger_m[joint] + along * bone + side * np.array([[-1], [1]])


def _palm_creases(fingers: np.ndarray, strength: float) -> np.ndarray:
    joints = [_across(finger, j, shift) for finger in fingers[1:] for j, shift in ((0, 0.45), (1, 0), (2, 0))]
    joints += [_across(fingers[0], j, 0.0) for j in (1, 2)]
    palm = [_curve(np.array(line) * 1e-3) for line in _PALM_LINES_MM]
    return strength * (0.7 * _lines(joints, 0.8) + _lines(palm, 0.8) + 0.25 * _lines(palm + joints, 3.0))


def _back_wrinkles(fingers: np.ndarray, strength: float) -> np.ndarray:
    shifts = {1: (-0.12, -0.04, 0.05, 0.13), 2: (-0.08, 0.04)}
    wrinkles = [_across(finger, j, shift) for finger in fingers for j in shifts for shift in shifts[j]]
    return strength * _lines(wrinkles, 0.8)


def _veins(fingers: np.ndarray) -> np.ndarray:
    """From between the knuckles to the wrist."""
    knuckles = fingers[1:, 0]
    between = (knuckles[:-1] + knuckles[1:]) / 2
    return _lines([_curve(np.array([b, 0.55 * b + (0.006, 0.0), (0.0, -0.02)])) for b in between], 2.0, 2)


def _curve(points_m: np.ndarray) -> np.ndarray:
    """A smooth path (24, 2) through or near a few points: a Bezier curve drawn half towards them."""
    t = np.linspace(0, 1, 24)
    at = np.linspace(0, 1, len(points_m))
    straight = np.stack([np.interp(t, at, points_m[:, i]) for i in range(2)], axis=1)
    padded = np.concatenate([np.repeat(straight[:1], 4, 0), straight, np.repeat(straight[-1:], 4, 0)])
    return np.stack([np.convolve(padded[:, i], np.full(9, 1 / 9), "valid") for i in range(2)], axis=1)


def _nails(asset: HandAsset) -> list[tuple[np.ndarray, np.ndarray, float]]:
    """Centre (2,) m, direction (2,) and half length m of each nail, as seen from the back."""
    last = FINGER_BONES[:, 2]
    flexion, tips = asset.joint_axes[last][:, :, 0], asset.vertices_m[asset.tip_vertices]
    bones = tips - asset.joints_m[last]
    dorsal = np.cross(bones, flexion)
    dorsal *= np.sign(dorsal[:, 2:])
    dorsal /= np.linalg.norm(dorsal, axis=1, keepdims=True)
    centres = (asset.joints_m[last] + 0.72 * bones + 0.007 * dorsal)[:, :2]
    directions = bones[:, :2] / np.linalg.norm(bones[:, :2], axis=1, keepdims=True)
    return list(zip(centres, directions, (0.0068, 0.0058, 0.006, 0.0058, 0.005), strict=True))


def _with_nail(
    back: np.ndarray, nail: tuple[np.ndarray, np.ndarray, float], complexion: Complexion
) -> np.ndarray:
    centre, direction, half_m = nail
    x_m, y_m = (axis_m - at for axis_m, at in zip(_axes_m(), centre, strict=True))
    along = (x_m[:, None] * direction[0] + y_m * direction[1]) / half_m
    across = (y_m * direction[0] - x_m[:, None] * direction[1]) / (0.72 * half_m)
    # A rounded rectangle; its rim is in shadow, its far end white.
    distance = np.sqrt(np.hypot(along * along, across * across))
    inside = np.clip((1 - distance) * 6, 0, 1)[..., None]
    rim = np.exp(-0.5 * ((distance - 1.05) / 0.12) ** 2)[..., None]
    plate = reflectance(0.1 + 0.3 * complexion.melanin, 1.2 * complexion.blood)
    edge = np.clip((along - 0.72) * 5, 0, 1)[..., None]
    plate = plate + 0.5 * edge * (np.float32([0.75, 0.72, 0.65]) - plate)
    return (back * (1 - inside) + plate * inside) * (1 - 0.25 * rim)
