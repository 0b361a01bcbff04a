"""One hand cut out of a colour picture: a square about it, always of the same size, in training and at run
time. A left hand is shown in the mirror, so that a network for right hands reads it."""

import math
from dataclasses import dataclass

import cv2
import numpy as np

from handfast.errors import HandfastError
from handfast.geometry import (
    Camera,
    apply_affine,
    crop_affine,
    invert_affine,
    rotation_from_axis_angle,
)

MARGIN = 1.6
LEAST_INSIDE = 0.2  # of the box, within the picture: of a hand in its corner a quarter is there


def pixels_of(points: np.ndarray, size_px: int) -> np.ndarray:
    """Points (..., 2) in a square crop, from -1 at its first edge to 1 at its last -> its pixels."""
    return (1 + points) / 2 * size_px - 0.5


@dataclass(frozen=True)
class SquareBox:
    """Where a hand is in a picture: a square of so many pixels about a centre (x, y).

    turn_rad: by how much what is in it is turned when it is cut out, from x towards y (clockwise on the
    screen). Raises HandfastError for what is not finite, and for a side of less than a pixel.
    """

    centre_px: tuple[float, float]
    side_px: float
    turn_rad: float = 0.0

    def __post_init__(self) -> None:
        if not (all(map(math.isfinite, (*self.centre_px, self.turn_rad))) and 1 <= self.side_px < math.inf):
            raise HandfastError(f"a hand's box needs finite numbers and a side of 1 px or more, got {self}")


@dataclass(frozen=True, eq=False)
class ColourCrop:
    """A hand cut out.

    image: (S, S, 3) uint8, red, green, blue. A: the (2, 3) affine from the pixels of the picture to those of
    the crop.
    """

    image: np.ndarray
    A: np.ndarray

    def to_crop_px(self, points_px: np.ndarray) -> np.ndarray:
        """(..., 2) px in the picture -> px in the crop."""
        return apply_affine(self.A, points_px)

    def to_picture_px(self, points_px: np.ndarray) -> np.ndarray:
        """(..., 2) px in the crop -> px in the picture."""
        return apply_affine(invert_affine(self.A), points_px)

    @property
    def axes(self) -> np.ndarray:
        """(3, 3): takes directions in the picture's axes (x right, y down, z forward) to the crop's, which
        may be turned and mirrored. Its transpose takes them back."""
        axes = np.eye(3)
        axes[:2, :2] = self.A[:, :2] / np.linalg.norm(self.A[:, 0])
        return axes


def box_about_px(keypoints_px: np.ndarray, margin: float = MARGIN, turn_rad: float = 0.0) -> SquareBox:
    """The square about key-points (K, 2), ``margin`` times as large as the longer side of their box. Raises
    HandfastError where they are not finite, or all in one place."""
    low, high = keypoints_px.min(axis=0), keypoints_px.max(axis=0)
    x, y = ((low + high) / 2).tolist()
    return SquareBox((x, y), margin * float((high - low).max()), turn_rad)


def crop_colour(
    picture: np.ndarray,
    box: SquareBox,
    size_px: int,
    mirrored: bool = False,
    border: int = cv2.BORDER_CONSTANT,
    least_inside: float = LEAST_INSIDE,
) -> ColourCrop | None:
    """Cut a square out of a picture (H, W, 3) uint8 -> a crop of ``size_px``, seen in the mirror if asked.

    border: what is shown beyond the picture, one of OpenCV's. At run time that is black: a smear of edge
    pixels can look like fingers, black says that nothing is known. None if less than ``least_inside`` of the
    box's area is in the picture. Raises HandfastError for other pictures.
    """
    if picture.dtype != np.uint8 or picture.ndim != 3 or picture.shape[2] != 3:
        raise HandfastError(f"picture: expected (H, W, 3) uint8, got {picture.dtype} {picture.shape}")
    A = crop_affine(box.centre_px, box.side_px, size_px, size_px, box.turn_rad)
    if mirrored:
        A[0] = np.array([0, 0, size_px - 1]) - A[0]
    outline_px = apply_affine(invert_affine(A), size_px * np.array([[0, 0], [1, 0], [1, 1], [0, 1]]) - 0.5)
    if _area_inside(outline_px, picture) < least_inside * box.side_px**2:
        return None
    return ColourCrop(_warped(picture, A, outline_px, size_px, border), A)


def look_rotation(camera: Camera, point_px: np.ndarray) -> np.ndarray:
    """The smallest rotation (3, 3) of the camera's axes that makes a pixel (x, y) lie straight ahead.

    A crop shows a hand as a camera sees it that looks at the hand, whatever its place in the picture; there
    weak perspective fits.
    """
    ray = camera.unproject(np.asarray(point_px, float), np.array(1.0))
    ray /= np.linalg.norm(ray)
    axis = np.array([ray[1], -ray[0], 0.0])  # as long as the sine of the angle
    return rotation_from_axis_angle(axis / np.sinc(np.arccos(ray[2]) / np.pi))


def _area_inside(outline_px: np.ndarray, picture: np.ndarray) -> float:
    """How many pixels of a convex outline (4, 2) are in the picture."""
    height, width = picture.shape[:2]
    frame_px = np.array([[0, 0], [width, 0], [width, height], [0, height]]) - 0.5
    return cv2.intersectConvexConvex(outline_px.astype(np.float32), frame_px.astype(np.float32))[0]


def _warped(
    picture: np.ndarray, A: np.ndarray, outline_px: np.ndarray, size_px: int, border: int
) -> np.ndarray:
    """The picture through A. What shrinks is averaged over the areas that its pixels take, or thin fingers
    would flicker."""
    shrink = 1 / np.linalg.norm(A[:, 0])
    if shrink > 1:
        low = np.maximum(np.floor(outline_px.min(axis=0)) - 1, 0).astype(int)
        high = np.ceil(outline_px.max(axis=0)).astype(int) + 2
        if (low >= picture.shape[1::-1]).any() or (high <= 0).any():
            return np.zeros((size_px, size_px, 3), np.uint8)
        part = picture[low[1] : high[1], low[0] : high[0]]
        size = np.array(part.shape[1::-1])
        smaller = np.maximum(np.round(size / shrink).astype(int), 1)
        picture = cv2.resize(part, smaller.tolist(), interpolation=cv2.INTER_AREA)
        # A pixel of the smaller picture is the mean of s x s, about x = low + s x' + (s - 1) / 2.
        s = size / smaller
        A = np.column_stack([A[:, :2] * s, apply_affine(A, low + (s - 1) / 2)])
    return cv2.warpAffine(picture, A, (size_px, size_px), flags=cv2.INTER_LINEAR, borderMode=border)
