"""Key-point sets: names, parents, and how the smaller sets follow from the 21 joints that everyone uses.

Every set is a linear map of hand21 (rows sum to one), so that key-points between joints, such as the
hand centre of the eight- and seventeen-point sets, need no label of their own.
"""

from dataclasses import dataclass

import numpy as np

SIDES = ("left", "right")
FINGERS = ("thumb", "index", "middle", "ring", "pinky")

_JOINTS = {"thumb": ("cmc", "mcp", "ip", "tip")} | {
    finger: ("mcp", "pip", "dip", "tip") for finger in FINGERS[1:]
}
HAND21_NAMES = ("wrist", *(f"{finger}_{joint}" for finger in FINGERS for joint in _JOINTS[finger]))


@dataclass(frozen=True)
class Skeleton:
    """A named set of K key-points.

    parents: the key-point nearer to the wrist, -1 for the root.
    from_hand21: (K, 21) float64, each row the weights of the hand21 joints that make the key-point.
    """

    name: str
    keypoints: tuple[str, ...]
    parents: tuple[int, ...]
    from_hand21: np.ndarray

    def __len__(self) -> int:
        return len(self.keypoints)

    @property
    def edges(self) -> tuple[tuple[int, int], ...]:
        """(parent, child) pairs, for drawing."""
        return tuple((p, c) for c, p in enumerate(self.parents) if p >= 0)

    @property
    def tips(self) -> tuple[int, ...]:
        """Indices of the fingertips."""
        return tuple(i for i, name in enumerate(self.keypoints) if name.endswith("_tip"))

    def select(self, points: np.ndarray) -> np.ndarray:
        """hand21 points (..., 21, D) -> this set's points (..., K, D)."""
        return np.einsum("kj,...jd->...kd", self.from_hand21.astype(points.dtype), points)

    def select_visible(self, visible: np.ndarray) -> np.ndarray:
        """hand21 visibility (..., 21) bool -> (..., K): a mixed key-point needs all of its joints."""
        needed = self.from_hand21 > 0
        return np.all(visible[..., None, :] | ~needed, axis=-1)


_MIXED = {"hand_centre": ("wrist", "middle_mcp"), "wrist_centre": ("wrist",)}


def _skeleton(name: str, keypoints: tuple[str, ...], parent_of: dict[str, str]) -> Skeleton:
    weights = np.zeros((len(keypoints), 21))
    for row, keypoint in enumerate(keypoints):
        sources = _MIXED.get(keypoint, (keypoint,))
        for source in sources:
            weights[row, HAND21_NAMES.index(source)] = 1.0 / len(sources)
    weights.setflags(write=False)
    parents = tuple(keypoints.index(parent_of[k]) if k in parent_of else -1 for k in keypoints)
    return Skeleton(name, keypoints, parents, weights)


def _chain(keypoints: tuple[str, ...], root: str) -> dict[str, str]:
    """Each finger's present joints in a row, the first one hanging on the root."""
    parent_of = {}
    for finger in FINGERS:
        present = sorted((k for k in keypoints if k.startswith(finger)), key=lambda k: HAND21_NAMES.index(k))
        parent_of |= dict(zip(present, (root, *present[:-1]), strict=False))
    return parent_of


HAND21 = _skeleton("hand21", HAND21_NAMES, _chain(HAND21_NAMES, "wrist"))

_TOF8 = (
    "thumb_tip", "thumb_mcp", "index_tip", "index_pip", "index_mcp", "middle_mcp",
    "wrist_centre", "hand_centre",
)  # fmt: skip
TOF8 = _skeleton("tof8", _TOF8, _chain(_TOF8, "hand_centre") | {"hand_centre": "wrist_centre"})

_LABEL17 = (
    *(k for k in HAND21_NAMES[1:] if not k.endswith("_dip") and k != "thumb_cmc"),
    "wrist_centre",
    "hand_centre",
)
LABEL17 = _skeleton("label17", _LABEL17, _chain(_LABEL17, "hand_centre") | {"hand_centre": "wrist_centre"})

SKELETONS = {s.name: s for s in (HAND21, TOF8, LABEL17)}
