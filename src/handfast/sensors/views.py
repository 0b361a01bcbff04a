"""The close look at a hand: upright, centred and always of the same size, in training and at run time."""

import numpy as np

from handfast.geometry import crop_affine

# The hand's share of the view's height.
HAND_SHARE = 0.62
STRAY = 2.6


def hand_size_px(keypoints_px: np.ndarray) -> float:
    """The diagonal of the key-points' (K, 2) box over the square root of two: the side of a square one."""
    return float(np.linalg.norm(np.ptp(keypoints_px, axis=0)) / np.sqrt(2))


def hand_direction_rad(keypoints_px: np.ndarray, root: int = 0) -> float:
    """The direction from the root key-point, the wrist, to the middle of all, from x towards y."""
    x, y = keypoints_px.mean(axis=0) - keypoints_px[root]
    return float(np.arctan2(y, x))


def look_affine(
    keypoints_px: np.ndarray,
    width: int,
    height: int,
    root: int = 0,
    zoom: float = 1.0,
    turn_rad: float = 0.0,
) -> np.ndarray:
    """The (2, 3) affine from the frame to a view of one hand (K, 2) px, wrist below and fingers up.

    root: which key-point is the wrist. zoom and turn_rad: by how much the view is closer and turned further.
    """
    low, high = keypoints_px.min(axis=0), keypoints_px.max(axis=0)
    upright = -np.pi / 2 - hand_direction_rad(keypoints_px, root)
    crop_height = max(hand_size_px(keypoints_px), 1.0) / HAND_SHARE / zoom
    return crop_affine(
        tuple((low + high) / 2), crop_height * width / height, width, height, upright + turn_rad
    )


def without_strays(keypoints_px: np.ndarray) -> np.ndarray:
    """Key-points (K, 2) px of one hand, those that jumped off it moved back to its middle.

    A point is a stray if it lies more than STRAY times as far from the median point as half of the points do.
    """
    middle = np.median(keypoints_px, axis=0)
    distance = np.linalg.norm(keypoints_px - middle, axis=1)
    return np.where((distance > STRAY * np.median(distance))[:, None], middle, keypoints_px)
