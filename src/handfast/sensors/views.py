"""The close look at a hand: upright, centred and always of the same size, in training and at run time."""

import cv2
import numpy as np

from handfast.geometry import crop_affine, median_of_few

# The hand's share of the view's height.
HAND_SHARE = 0.62
STRAY = 5.0  # of true hands one in 500 has a key-point farther off


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
    middle = median_of_few(keypoints_px)
    distance = np.linalg.norm(keypoints_px - middle, axis=1)
    return np.where((distance > STRAY * median_of_few(distance))[:, None], middle, keypoints_px)


def halvings(picture: np.ndarray, smallest_width: int) -> list[np.ndarray]:
    """The picture (H, W) or (H, W, 3) uint8, then half its size and so on, none narrower than
    ``smallest_width``."""
    levels = [picture]
    while levels[-1].shape[1] >= 2 * smallest_width and min(levels[-1].shape) > 1:
        height, width = levels[-1].shape[:2]
        size = (width // 2, height // 2)
        levels.append(
            cv2.resize(levels[-1][: 2 * size[1], : 2 * size[0]], size, interpolation=cv2.INTER_AREA)
        )
    return levels


def take_view(levels: list[np.ndarray], A: np.ndarray, width: int, height: int) -> np.ndarray:
    """A picture, as its ``halvings``, through an affine (2, 3) -> uint8, (height, width) or with 3 channels.

    What shrinks is averaged first, or thin fingers would flicker.
    """
    level, A_level = level_for(A, len(levels))
    return cv2.warpAffine(levels[level], A_level, (width, height), flags=cv2.INTER_LINEAR)


def level_for(A: np.ndarray, levels: int) -> tuple[int, np.ndarray]:
    """How often to halve a picture, fewer than ``levels`` times, until an affine (2, 3) shrinks it less than
    twofold, and the affine from there."""
    shrink = 1 / np.linalg.norm(A[:, 0])
    level = int(np.clip(np.log2(max(shrink, 1)), 0, levels - 1))
    # A pixel of the level is the mean of s x s in the picture, about x = s x_level + (s - 1) / 2.
    s = 2**level
    return level, np.column_stack([A[:, :2] * s, A[:, 2] + A[:, :2].sum(axis=1) * (s - 1) / 2])
