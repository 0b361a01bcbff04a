"""The heat-maps of one close look at a hand, and those of several looks as one."""

from dataclasses import dataclass

import cv2
import numpy as np

from handfast.geometry import apply_affine, invert_affine


@dataclass(frozen=True, eq=False)
class Look:
    """What one look at a hand showed: the affine (2, 3) from the frame to the cells of its heat-maps, and the
    probabilities of these (K, h, w)."""

    affine: np.ndarray
    maps: np.ndarray


def cells_near(look: Look, points_px: np.ndarray, radius_px: float) -> np.ndarray:
    """(h, w) bool: the cells of a look that are less than so far from one of these points (n, 2) of the
    frame."""
    height, width = look.maps.shape[1:]
    x, y = apply_affine(look.affine, points_px).T[..., None]
    dx, dy = np.arange(width) - x, np.arange(height) - y
    radius = radius_px * np.sqrt(abs(np.linalg.det(look.affine[:, :2])))
    return (dx[:, None, :] ** 2 + dy[:, :, None] ** 2 < radius**2).any(axis=0)


def fused(looks: tuple[Look, ...]) -> Look:
    """What several looks showed, as one: the mean of their probabilities, in the cells of the middle one."""
    middle = looks[len(looks) // 2]
    _, height, width = middle.maps.shape
    total = middle.maps.copy()
    for look in looks:
        if look is middle:
            continue
        back = invert_affine(look.affine)
        A = np.column_stack([middle.affine[:, :2] @ back[:, :2], apply_affine(middle.affine, back[:, 2])])
        moved = cv2.warpAffine(look.maps.transpose(1, 2, 0), A, (width, height), flags=cv2.INTER_LINEAR)
        total += moved.transpose(2, 0, 1) / np.float32(np.linalg.det(A[:, :2]))
    return Look(middle.affine, total / np.float32(len(looks)))
