"""One hand cut out of a depth image, as dense regression takes it (Wan et al. 2018).

What is cut out is a square of the image, without what lies too far behind the hand. Around its centre, at the
mean depth of what is left, 300 mm of depth in front and 150 mm behind count.
"""

import math
from dataclasses import dataclass

import cv2
import numpy as np

from handfast.errors import HandfastError
from handfast.geometry import Camera, crop_affine

CROP_PX = 128
DEPTH_TYPES = (np.uint16, np.float32, np.float64)
CUBE_MM = 300.0  # about a hand's middle
NEARER_MM, FARTHER_MM = 300.0, 150.0
# Depth in a crop is 0 at 150 mm before the centre, 1 at 150 mm behind it, and NO_DEPTH where there is no
# hand.
ZERO_MM, UNIT_MM = -150.0, 300.0
NO_DEPTH = -1.0
VALID_ABOVE = -0.9
JOINTS_MARGIN_PX, BEHIND_JOINTS_MM = 20.0, 250.0

LEAST_INSIDE = 0.5  # of the square, within the image
LEAST_HAND = 0.03  # of the crop: a fist end-on has five times that
MOST_HOLES = 0.5  # of the hand's outline, to which narrow gaps between fingers belong:
_GAP_PX = 9
# No depth camera sees a hand nearer than this; what says so is in another unit.
_NEAREST_MM = 20.0


@dataclass(frozen=True)
class HandBox:
    """Where a hand is in a depth image: a square of so many pixels about a centre (x, y), between two
    distances. Raises HandfastError for what is not finite, and for an empty square or space."""

    centre_px: tuple[float, float]
    width_px: float
    far_mm: float
    near_mm: float = 0.0

    def __post_init__(self) -> None:
        is_finite = all(map(math.isfinite, (*self.centre_px, self.width_px, self.far_mm, self.near_mm)))
        if not (is_finite and self.width_px > 0 and self.far_mm > max(self.near_mm, 0)):
            raise HandfastError(f"a hand's box needs finite numbers, width and depth > 0, got {self}")


@dataclass(frozen=True, eq=False)
class DepthCrop:
    """A hand cut out.

    depth: (128, 128) float32, (d - (z - 150 mm)) / 300 mm for z that of the centre, NO_DEPTH where there is
    no hand. camera: the crop's. centre_mm: (3,) in camera space.
    """

    depth: np.ndarray
    camera: Camera
    centre_mm: np.ndarray


def box_of_joints(joints_mm: np.ndarray, camera: Camera, behind_mm: float = BEHIND_JOINTS_MM) -> HandBox:
    """The square about joints (J, 3) in camera space and 20 px around them, which ends ``behind_mm`` behind
    the nearest of them: 250 for NYU, 500 for ICVL. Raises HandfastError for metres, and for joints that are
    not known or none."""
    nearest_mm = float(joints_mm[:, 2].min()) if len(joints_mm) else math.nan
    _check_millimetres("joints", nearest_mm)
    points_px = camera.project(joints_mm)
    low, high = points_px.min(axis=0), points_px.max(axis=0)
    width_px = float((high - low).max()) + 2 * JOINTS_MARGIN_PX
    x, y = ((low + high) / 2).tolist()
    return HandBox((x, y), width_px, nearest_mm + behind_mm)


def box_about(centre_mm: np.ndarray, camera: Camera, width_mm: float) -> HandBox:
    """The square that a cube of ``width_mm`` about a point (3,) in camera space takes in the image, its front
    and its back. Raises HandfastError for metres."""
    depth_mm = float(centre_mm[2])
    _check_millimetres("centre", depth_mm)
    x, y = camera.project(centre_mm).tolist()
    half_mm = width_mm / 2
    return HandBox((x, y), width_mm * camera.fx / depth_mm, depth_mm + half_mm, depth_mm - half_mm)


def crop_hand(depth_mm: np.ndarray, camera: Camera, box: HandBox) -> DepthCrop | None:
    """Cut a hand out of a depth image (H, W), uint16, float32 or float64 mm, 0 or NaN = no value.

    None where the box holds no hand to tell a pose from: it lies for the most part outside the image, less
    than 3 % of it has depth up to the box's far end, or half of what is within the hand's outline is holes.
    Raises HandfastError for other numbers, if image and camera do not fit, and if depths are so small that
    they must be metres.
    """
    if depth_mm.dtype not in DEPTH_TYPES:
        raise HandfastError(f"depth: expected uint16, float32 or float64, got {depth_mm.dtype}")
    if depth_mm.shape != (camera.height, camera.width):
        raise HandfastError(
            f"depth: expected {camera.height} x {camera.width} as the camera has it, got {depth_mm.shape}"
        )
    A = crop_affine(box.centre_px, box.width_px, CROP_PX, CROP_PX)
    # The nearest pixel: between two depths there is nothing.
    crop_mm = cv2.warpAffine(depth_mm, A, (CROP_PX, CROP_PX), flags=cv2.INTER_NEAREST).astype(np.float32)
    known = crop_mm > 0
    if known.any():
        _check_millimetres("depth", float(np.median(crop_mm[known])))
    if _share_inside(box, camera) < LEAST_INSIDE:
        return None
    near = known & (crop_mm > box.near_mm) & (crop_mm < box.far_mm)
    if near.sum() < LEAST_HAND * near.size:
        return None
    z_mm = crop_mm[near].mean(dtype=np.float64)
    hand = near & (crop_mm > z_mm - NEARER_MM) & (crop_mm < z_mm + FARTHER_MM)
    if hand.sum() < LEAST_HAND * hand.size or _share_of_holes(hand, known) > MOST_HOLES:
        return None
    depth = (crop_mm - np.float32(z_mm + ZERO_MM)) / np.float32(UNIT_MM)
    return DepthCrop(
        depth=np.where(hand, depth, np.float32(NO_DEPTH)),
        camera=camera.warped(A, CROP_PX, CROP_PX),
        centre_mm=camera.unproject(np.array(box.centre_px), z_mm),
    )


def cell_depth(depth: np.ndarray, size: int) -> np.ndarray:
    """A crop's depth (128, 128) at ``size`` x ``size`` cells: the nearest in each, so that no finger is lost
    before the palm, and NO_DEPTH where the cell has none."""
    stride = CROP_PX // size
    known = np.where(depth > VALID_ABOVE, depth, np.float32(np.inf))
    # Rows first: that is three times as fast.
    nearest = known.reshape(size, stride, CROP_PX).min(axis=1).reshape(size, size, stride).min(axis=2)
    return np.where(np.isfinite(nearest), nearest, np.float32(NO_DEPTH))


def cell_centres_px(size: int) -> np.ndarray:
    """Where cells have their middle in the crop, along one axis: (size,)."""
    stride = CROP_PX / size
    return stride * np.arange(size) + (stride - 1) / 2


def points_mm(crop: DepthCrop, size: int) -> tuple[np.ndarray, np.ndarray]:
    """The surface in the middle of each cell, (size, size, 3) float32 mm from the crop's centre, and which
    cells have one."""
    depth = cell_depth(crop.depth, size)
    z_mm = depth * np.float32(UNIT_MM) + np.float32(ZERO_MM)
    along_px = cell_centres_px(size)
    camera, (x_mm, y_mm, centre_z_mm) = crop.camera, crop.centre_mm
    x_per_z = (along_px - camera.cx) / camera.fx
    y_per_z = (along_px - camera.cy) / camera.fy
    points = np.empty((size, size, 3), np.float32)
    points[..., 0] = x_per_z * (z_mm + centre_z_mm) - x_mm
    points[..., 1] = y_per_z[:, None] * (z_mm + centre_z_mm) - y_mm
    points[..., 2] = z_mm
    return points, depth > VALID_ABOVE


def _check_millimetres(what: str, depth_mm: float) -> None:
    if math.isnan(depth_mm):
        raise HandfastError(f"{what}: no depth is known; leave out such hands")
    if depth_mm < _NEAREST_MM:
        raise HandfastError(
            f"{what}: expected millimetres before the camera, got {depth_mm:.3g}; multiply metres by 1000"
        )


def _share_inside(box: HandBox, camera: Camera) -> float:
    """How much of a box is in the image."""
    centre, half = np.array(box.centre_px), box.width_px / 2
    low = np.maximum(centre - half, -0.5)
    high = np.minimum(centre + half, (camera.width - 0.5, camera.height - 0.5))
    return float(np.prod(np.maximum(high - low, 0)) / box.width_px**2)


def _share_of_holes(hand: np.ndarray, known: np.ndarray) -> float:
    """Of what is within the hand's outline, the share without any depth."""
    kernel = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (_GAP_PX, _GAP_PX))
    closed = cv2.morphologyEx(hand.astype(np.uint8), cv2.MORPH_CLOSE, kernel)
    outlines, _ = cv2.findContours(closed, cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_NONE)
    within = cv2.drawContours(closed, outlines, -1, 1, cv2.FILLED) > 0
    holes = np.count_nonzero(within & ~known)
    return holes / (holes + np.count_nonzero(hand))
