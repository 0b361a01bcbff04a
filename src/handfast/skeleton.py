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
        """hand21 points (..., 21, D) -> this set's points (..., K, D), NaN where a joint of theirs is."""
        unknown = np.isnan(points)
        known = np.where(unknown, 0, points)  # 0 x NaN is NaN
        selected = np.einsum("kj,...jd->...kd", self.from_hand21.astype(points.dtype), known)
        selected[np.einsum("kj,...jd->...kd", self.from_hand21 != 0, unknown)] = np.nan
        return selected

    def select_visible(self, visible: np.ndarray) -> np.ndarray:
        """hand21 visibility (..., 21) bool -> (..., K): a mixed key-point needs all of its joints."""
        needed = self.from_hand21 > 0
        return np.all(visible[..., None, :] | ~needed, axis=-1)


_Weights = dict[str, dict[str, float]]
_CENTRES: _Weights = {"hand_centre": {"wrist": 0.5, "middle_mcp": 0.5}, "wrist_centre": {"wrist": 1.0}}


def _skeleton(
    name: str, keypoints: tuple[str, ...], parent_of: dict[str, str], mixed: _Weights = _CENTRES
) -> Skeleton:
    """mixed: the weights of the key-points that are no joints of hand21."""
    weights = np.zeros((len(keypoints), 21))
    for row, keypoint in enumerate(keypoints):
        for joint, weight in mixed.get(keypoint, {keypoint: 1.0}).items():
            weights[row, HAND21_NAMES.index(joint)] = weight
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

# Of the NYU data set. Its fingertips lie within the fingers, and its wrist is a point on either side of ours:
# fitted to the lengths between the published test labels.
_NYU14 = (
    "pinky_tip", "pinky_pip", "ring_tip", "ring_pip", "middle_tip", "middle_pip", "index_tip", "index_pip",
    "thumb_tip", "thumb_ip", "thumb_mcp", "wrist_pinky_side", "wrist_thumb_side", "palm",
)  # fmt: skip
NYU14 = _skeleton(
    "nyu14",
    _NYU14,
    _chain(_NYU14, "palm") | {"wrist_pinky_side": "palm", "wrist_thumb_side": "palm"},
    {f"{finger}_tip": {f"{finger}_{_JOINTS[finger][-2]}": 0.25, f"{finger}_tip": 0.75} for finger in FINGERS}
    | {
        "wrist_pinky_side": {"wrist": 1.0, "pinky_mcp": 0.25, "index_mcp": -0.25},
        "wrist_thumb_side": {"wrist": 1.0, "pinky_mcp": -0.25, "index_mcp": 0.25},
        "palm": {"wrist": 0.28, "middle_mcp": 0.72},
    },
)

# Of the ICVL data set: the palm, and the middle of each finger's three bones.
_PARTS = ("root", "mid", "tip")
_ICVL16 = ("palm", *(f"{finger}_{part}" for finger in FINGERS for part in _PARTS))
ICVL16 = _skeleton(
    "icvl16",
    _ICVL16,
    {
        f"{finger}_{part}": f"{finger}_{nearer}" if nearer else "palm"
        for finger in FINGERS
        for nearer, part in zip((None, *_PARTS), _PARTS, strict=False)
    },
    {"palm": {"wrist": 0.28, "middle_mcp": 0.36, "ring_mcp": 0.36}}
    | {
        f"{finger}_{part}": {f"{finger}_{joint}": 0.5 for joint in _JOINTS[finger][i : i + 2]}
        for finger in FINGERS
        for i, part in enumerate(_PARTS)
    },
)

SKELETONS = {s.name: s for s in (HAND21, TOF8, LABEL17, NYU14, ICVL16)}
