"""2.5D: key-points in the image take the depth of the surface under them (paper, section 5)."""

import numpy as np

from handfast.geometry import Camera, median_of_few
from handfast.skeleton import Skeleton

# A hand is no deeper than this about where it is: what lies farther is background or an occluder. Of a palm
# all of it is nearer.
HAND_REACH_M, PALM_REACH_M = 0.13, 0.08
NEIGHBOURHOOD = 0.045  # of the hand's size in px
_IN_PALM = (
    "wrist",
    "wrist_centre",
    "hand_centre",
    "thumb_cmc",
    "index_mcp",
    "middle_mcp",
    "ring_mcp",
    "pinky_mcp",
)


def in_palm(skeleton: Skeleton) -> np.ndarray:
    """(K,) bool: key-points that lie so deep in a hand that they count as hidden though nothing is before
    them but skin."""
    return np.isin(skeleton.keypoints, _IN_PALM)


def lift(
    keypoints_px: np.ndarray,
    visible: np.ndarray,
    depth_m: np.ndarray,
    camera: Camera,
    palm: np.ndarray | None = None,
) -> np.ndarray:
    """Key-points (K, 2) px on a depth image (H, W) m, 0 = no value -> (K, 3) m in camera space.

    Each visible key-point takes the median of the valid depths in a disc around it that can belong to this
    hand, and so do those of ``palm`` (K,) bool that are not visible; NaN where another one is hidden, outside
    the image, or no depth is near. Depth is the skin's, not the joint's.
    """
    size_px = max(np.ptp(keypoints_px, axis=0).max(), 8.0)
    hand_m = _hand_depth(keypoints_px[visible], depth_m)
    if hand_m is None:
        return np.full((len(keypoints_px), 3), np.nan)
    skin_m = np.full(len(keypoints_px), np.nan, depth_m.dtype)
    radius = max(1.5, NEIGHBOURHOOD * size_px)
    for k in np.flatnonzero(visible if palm is None else visible | palm):
        near = _disc(keypoints_px[k], radius, depth_m)
        reach_m = HAND_REACH_M if visible[k] else PALM_REACH_M
        near = near[(near > 0) & (np.abs(near - hand_m) < reach_m)]
        if len(near):
            skin_m[k] = median_of_few(near)
    return camera.unproject(keypoints_px, skin_m).astype(float)


def _hand_depth(points_px: np.ndarray, depth_m: np.ndarray) -> float | None:
    """How far away a hand is, by the depth right under its key-points."""
    height, width = depth_m.shape
    x, y = np.round(points_px).astype(int).T if len(points_px) else (np.empty(0, int), np.empty(0, int))
    inside = (x >= 0) & (x < width) & (y >= 0) & (y < height)
    under = depth_m[y[inside], x[inside]]
    under = under[under > 0]
    # Less than the median: key-points that miss the hand fall behind it, seldom before it.
    return float(np.quantile(under, 0.35)) if len(under) else None


def _disc(centre_px: np.ndarray, radius_px: float, image: np.ndarray) -> np.ndarray:
    """The pixels of an image within a radius of a point."""
    x, y = centre_px
    height, width = image.shape
    x0, x1 = max(0, int(np.ceil(x - radius_px))), min(width, int(np.floor(x + radius_px)) + 1)
    y0, y1 = max(0, int(np.ceil(y - radius_px))), min(height, int(np.floor(y + radius_px)) + 1)
    if x0 >= x1 or y0 >= y1:
        return np.empty(0, image.dtype)
    dx, dy = np.arange(x0, x1) - x, np.arange(y0, y1) - y
    return image[y0:y1, x0:x1][dx**2 + dy[:, None] ** 2 <= radius_px**2]
