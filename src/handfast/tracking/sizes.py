"""How large hands in space are: what depth in another unit, or the camera of another sensor, gives away."""

from collections import deque
from functools import cache
from statistics import median_high, median_low

import numpy as np

from handfast.hand_model.model import BONES, joint_rotations, load_hand_asset, pose_hand
from handfast.skeleton import Skeleton

LATEST = 100  # of the sizes that are remembered


class Sizes:
    """Those of the latest hands, which should lie between least and most in the middle."""

    def __init__(self, least: float, most: float) -> None:
        self._least, self._most = least, most
        self._latest: deque[float] = deque(maxlen=LATEST)

    def add(self, joints_mm: np.ndarray, skeleton: Skeleton) -> None:
        """A hand's joints (K, 3), NaN where not known."""
        if (size := size_of(joints_mm, skeleton)) > 0:  # some bone is known
            self._latest.append(size)

    def forget(self) -> None:
        self._latest.clear()

    @property
    def wrong(self) -> float | None:
        """The middle one, in shares of the mean hand's, if no hand is of that size; else None."""
        if not self._latest:
            return None
        low, high = median_low(self._latest), median_high(self._latest)
        return high if high < self._least else low if low > self._most else None


def size_of(joints_mm: np.ndarray, skeleton: Skeleton) -> float:
    """How long the known bones of joints (K, 3) are, in all, as a share of the mean hand's; 0 if none is."""
    parents, children = np.array(skeleton.edges).T
    mean_mm = skeleton.select(_mean_hand_mm())
    lengths_mm, mean_lengths_mm = (
        np.linalg.norm(hand_mm[children] - hand_mm[parents], axis=1) for hand_mm in (joints_mm, mean_mm)
    )
    known = np.isfinite(lengths_mm)
    return float(lengths_mm[known].sum() / max(mean_lengths_mm[known].sum(), 1.0))


@cache
def _mean_hand_mm() -> np.ndarray:
    """(21, 3)"""
    asset = load_hand_asset()
    rest = joint_rotations(asset, np.zeros((len(BONES), 3)))
    keypoints_m, _ = pose_hand(asset, rest, np.zeros(len(asset.shape_vertices_m)), "right")
    return 1e3 * keypoints_m
