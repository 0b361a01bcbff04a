"""Frames made of two (section 2): a hand over another background, and hands of different frames together.

A sample is one frame of the arrays of ``pack``, of which amplitude, depth_mm, segmentation and the labels of
both slots are made anew. A hand is cut out of its frame, with its arm, and laid into the other frame; at each
pixel the nearer surface wins. Pictures stay where they are, so that every hand still fits its own camera; no
single camera sees the whole.
"""

import cv2
import numpy as np

from handfast.data.arrays import MIN_VISIBLE
from handfast.data.synthesis import VISIBLE_TOLERANCE_M
from handfast.jit import jit
from handfast.skeleton import HAND21

Sample = dict[str, np.ndarray]
Pixels = np.ndarray | tuple[slice, slice]

# Depth of what has none: behind everything, or too near.
_FAR_MM, _TOO_NEAR_MM = np.iinfo(np.uint16).max, 1
# From pixel to pixel a surface goes back by noise and by its slope; what is farther back is something else.
_NOISE_MM, _SLOPE = 20.0, 2.0
# Where an arm can be: in a cone about the line from the knuckles through the wrist, from a little before the
# wrist on. It begins as wide as a sleeve, and opens as far as wrists bend and elbows turn.
_ARM_FROM_MM, _ARM_TO_MM, _ARM_RADIUS_MM, _ARM_OPENING = -20.0, 500.0, 60.0, 1.0
_WRIST, _KNUCKLE = HAND21.keypoints.index("wrist"), HAND21.keypoints.index("middle_mcp")
# Refused: more of the hands than this within something, less than this left of a hand's visible key-points.
_CROSSING_SHARE, _LEFT_SHARE = 0.05, 2 / 3
# A picture made darker than this has no levels left.
_MOST_DARKENED = 1 / 5
_PICTURES = ("amplitude", "depth_mm", "segmentation")
_LABELS = ("present", "keypoints_px", "keypoints_m", "visible", "key_pose", "orientation")
_NEIGHBOURS = np.ones((3, 3), np.uint8)


def over_background(hand: Sample, background: Sample) -> Sample | None:
    """The hand of a sample with one, and its arm, in a sample without hands: a new sample.

    None where they do not go together: the hand would stick in something, more than a third of its visible
    key-points would be hidden, or fewer than MIN_VISIBLE would be left.
    """
    every_fourth = np.s_[::4, ::4]
    return _laid_into(hand, background, _brightness_ratio(hand, every_fourth, background, every_fourth))


def two_handed(hand: Sample, other: Sample) -> Sample | None:
    """The hand of a sample with one, and its arm, in a sample with one hand of the other side: a new sample.

    None where they do not go together, as in ``over_background``, which holds for both hands.
    """
    # The two hands of a frame have the skin of one person.
    skin, other_skin = hand["segmentation"] > 0, other["segmentation"] > 0
    return _laid_into(hand, other, _brightness_ratio(hand, skin, other, other_skin))


def _brightness_ratio(a: Sample, where_a: Pixels, b: Sample, where_b: Pixels) -> float:
    """How much brighter surfaces are in a than in b: the ratio of the medians of amplitude x z^2 at those
    pixels, 1 if either is not measured.

    Amplitude falls with z^2, so that its product depends on the frame's exposure and on the surfaces; and
    these are much the same in all rooms. Where it agrees, two frames are as bright as in one picture.
    """
    medians = []
    for sample, where in ((a, where_a), (b, where_b)):
        amplitude, depth_mm = sample["amplitude"][where], sample["depth_mm"][where]
        measured = (amplitude > 0) & (amplitude < 255) & (depth_mm > 0)
        if not measured.any():
            return 1.0
        medians.append(np.median(amplitude[measured] * depth_mm[measured].astype(np.float32) ** 2))
    return float(medians[0] / medians[1])


def _laid_into(a: Sample, b: Sample, brightness_ratio: float) -> Sample | None:
    """The hand of a, so many times as bright as b, in b; None where they do not go together."""
    slot = int(a["present"].argmax())
    front_mm, back_mm = _cut_out(a, slot), _surface_mm(b)
    if _crossing(front_mm, back_mm, (a["segmentation"] > 0) | (b["segmentation"] > 0)):
        return None
    labels = {name: b[name].copy() for name in _LABELS}
    for name, label in labels.items():
        label[slot] = a[name][slot]
    visible = labels["visible"]
    least = np.maximum(_LEFT_SHARE * visible.sum(axis=1), MIN_VISIBLE)
    for own, other_mm in ((slot, back_mm), (1 - slot, front_mm)):
        visible[own] &= ~_hidden(labels["keypoints_px"][own], labels["keypoints_m"][own, :, 2], other_mm)
    if (labels["present"] & (visible.sum(axis=1) < least)).any():
        return None
    # The brighter one is made darker: as in a real exposure nothing more saturates.
    of_a = a | {"amplitude": _darkened(a["amplitude"], 1 / brightness_ratio)}
    of_b = b | {"amplitude": _darkened(b["amplitude"], brightness_ratio)}
    nearer = front_mm < back_mm
    return a | labels | {name: np.where(nearer, of_a[name], of_b[name]) for name in _PICTURES}


def _surface_mm(sample: Sample) -> np.ndarray:
    """(H, W) uint16 depth of what stops the view, _FAR_MM where nothing does.

    A median takes away the stray near values of dark surfaces, an opening stray far ones and narrow holes.
    They would take away thin fingers too, so hands stay as they are, but for their own holes: these lie as
    deep as the key-points on the whole. White without depth is too near to be measured.
    """
    depth_mm = sample["depth_mm"]
    known = depth_mm > 0
    measured_mm = np.where(known, depth_mm, np.uint16(_FAR_MM))
    measured_mm[~known & (sample["amplitude"] == 255)] = _TOO_NEAR_MM
    surface_mm = np.maximum(cv2.medianBlur(measured_mm, 5), measured_mm)
    surface_mm = cv2.morphologyEx(surface_mm, cv2.MORPH_OPEN, _NEIGHBOURS)
    for slot in np.flatnonzero(sample["present"]):
        hand = sample["segmentation"] == 1 + slot
        middle_mm = np.uint16(1000 * sample["keypoints_m"][slot, :, 2].mean())
        surface_mm[hand] = np.where(known[hand], depth_mm[hand], middle_mm)
    return surface_mm


def _cut_out(a: Sample, slot: int) -> np.ndarray:
    """(H, W) uint16: the surface of a hand and what belongs to it, _FAR_MM elsewhere.

    Labels tell the hand only. With it goes what it reaches without a step back: the arm, so no farther than
    where one can be, as hands also touch walls and tables; and what is nearer than the hand, as that may hide
    some of it and would leave a hole.
    """
    surface_mm = _surface_mm(a)
    points_mm = 1000 * a["keypoints_m"][slot].astype(np.float64)
    axis = points_mm[_WRIST] - points_mm[_KNUCKLE]
    hand = a["segmentation"] == 1 + slot
    cut = hand.copy()
    _grow(
        cut,
        surface_mm,
        points_mm[:, 2].max(),
        points_mm[_WRIST],
        axis / np.linalg.norm(axis),
        *_camera(a["keypoints_px"][slot], points_mm),
    )
    # The outermost pixels are mixed with what was behind; the hand's are left out of its labels already.
    cut = hand | (cv2.erode(cut.view(np.uint8), _NEIGHBOURS) > 0)
    return np.where(cut, surface_mm, np.uint16(_FAR_MM))


def _camera(points_px: np.ndarray, points: np.ndarray) -> tuple[float, np.ndarray]:
    """Focal length and principal point (2,) in px of the camera that saw points (K, 3) at (K, 2) px."""
    slopes = points[:, :2] / points[:, 2:]
    spread, spread_px = slopes - slopes.mean(axis=0), points_px - points_px.mean(axis=0)
    focal_px = float((spread * spread_px).sum() / (spread * spread).sum())
    return focal_px, points_px.mean(axis=0) - focal_px * slopes.mean(axis=0)


@jit()
def _grow(region, surface_mm, hand_back_mm, wrist_mm, axis, focal_px, centre_px):
    """Adds to a hand's region (H, W) bool, in place, the surface that it reaches from neighbour to neighbour
    without a step back, before hand_back_mm or in the cone of the arm, which leaves the wrist along the axis.
    """
    height, width = region.shape
    todo = np.empty(region.size, np.int32)
    count = 0
    for i in np.flatnonzero(region):
        todo[count] = i
        count += 1
    while count > 0:
        count -= 1
        y, x = divmod(todo[count], width)
        farthest_mm = surface_mm[y, x] * (1 + _SLOPE / focal_px) + _NOISE_MM
        for v, u in ((y - 1, x), (y + 1, x), (y, x - 1), (y, x + 1)):
            if not (0 <= v < height and 0 <= u < width) or region[v, u]:
                continue
            z = surface_mm[v, u]
            if z > farthest_mm:
                continue
            dx = z * (u - centre_px[0]) / focal_px - wrist_mm[0]
            dy = z * (v - centre_px[1]) / focal_px - wrist_mm[1]
            dz = z - wrist_mm[2]
            along = dx * axis[0] + dy * axis[1] + dz * axis[2]
            radius = _ARM_RADIUS_MM + _ARM_OPENING * max(along, 0.0)
            in_cone = dx * dx + dy * dy + dz * dz - along * along < radius * radius
            if z < hand_back_mm or (in_cone and _ARM_FROM_MM < along < _ARM_TO_MM):
                region[v, u] = True
                todo[count] = v * width + u
                count += 1


def _crossing(front_mm: np.ndarray, back_mm: np.ndarray, hands: np.ndarray) -> bool:
    """Whether the two surfaces lie within each other's flesh for more than _CROSSING_SHARE of the pixels of
    hands (H, W): real things do not, and noise would show now one, now the other."""
    apart_mm = np.abs(front_mm[hands].astype(np.int32) - back_mm[hands])
    together = np.count_nonzero(apart_mm < 1000 * VISIBLE_TOLERANCE_M)
    return together > _CROSSING_SHARE * len(apart_mm)


def _hidden(points_px: np.ndarray, depth_m: np.ndarray, surface_mm: np.ndarray) -> np.ndarray:
    """Points (K, 2) px at depth (K,) -> (K,) bool: behind the surface by more than VISIBLE_TOLERANCE_M, at
    each of the four pixels around, as in ``render.visible``."""
    height, width = surface_mm.shape
    low = np.floor(points_px).astype(np.int64)
    columns = np.clip(low[:, :1] + [0, 1, 0, 1], 0, width - 1)
    rows = np.clip(low[:, 1:] + [0, 0, 1, 1], 0, height - 1)
    return (surface_mm[rows, columns] < 1000 * (depth_m[:, None] - VISIBLE_TOLERANCE_M)).all(axis=1)


def _darkened(amplitude: np.ndarray, factor: float) -> np.ndarray:
    """(H, W) uint8 times the factor, if it is below 1."""
    factor = np.clip(factor, _MOST_DARKENED, 1)
    return cv2.LUT(amplitude, np.rint(factor * np.arange(256)).astype(np.uint8))
