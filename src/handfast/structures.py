"""What travels between the parts: a sensor frame, a hand's label, a hand as found. Checked once, here."""

import math
from dataclasses import dataclass

import numpy as np

from handfast.errors import HandfastError
from handfast.geometry import Camera
from handfast.skeleton import HAND21, SIDES, Skeleton

KEY_POSES = ("ok", "open_hand", "pinch", "c", "fist", "l", "point", "thumbs_up", "other")
NO_DEPTH = 2**16 - 1  # beyond what can be told: some sensors' other way to say that there is no value
ORIENTATIONS = 8  # classes of 45 degrees of pronation, 0 = palm to the camera


def _check_array(what: str, array: np.ndarray, dtype: type, shape: tuple[int | None, ...]) -> None:
    fits = (
        isinstance(array, np.ndarray)
        and np.issubdtype(array.dtype, dtype)
        and array.ndim == len(shape)
        and all(want is None or want == got for want, got in zip(shape, array.shape, strict=True))
    )
    if not fits:
        want = f"{np.dtype(dtype).name if dtype is not np.floating else 'float'} {shape}"
        got = f"{array.dtype} {array.shape}" if isinstance(array, np.ndarray) else type(array).__name__
        raise HandfastError(f"{what}: expected {want.replace('None', 'any')}, got {got}")


def _check_points(what: str, points: np.ndarray, shape: tuple[int | None, int]) -> None:
    _check_array(what, points, np.floating, shape)
    if not np.isfinite(points).all():
        rows = np.flatnonzero(~np.isfinite(points).all(axis=1)).tolist()
        raise HandfastError(f"{what}: expected finite numbers, got NaN or infinity in rows {rows[:5]}")


@dataclass(frozen=True, eq=False)
class Frame:
    """One moment of one sensor.

    amplitude: (H, W) uint8, infrared or time-of-flight amplitude; None for a depth-only sensor.
    depth: (H, W) uint16 in units of ``depth_unit_mm``, 0 or 65535 = no value; None for an amplitude-only
    sensor.
    camera: needed with depth, to lift key-points to 3D. colour: (H, W, 3) uint8, red, green, blue; None where
    the sensor has none. file: what it was read from, None where it has no file of its own.
    """

    index: int
    time_s: float
    amplitude: np.ndarray | None = None
    depth: np.ndarray | None = None
    depth_unit_mm: float = 1.0
    camera: Camera | None = None
    colour: np.ndarray | None = None
    file: str | None = None

    def __post_init__(self) -> None:
        if self.amplitude is None and self.depth is None and self.colour is None:
            raise HandfastError(f"frame {self.index}: expected an amplitude, depth or colour image, got none")
        if self.colour is not None:
            _check_array(f"frame {self.index}: colour", self.colour, np.uint8, (None, None, 3))
            if self.colour.shape[:2] != self.shape:
                raise HandfastError(
                    f"frame {self.index}: colour is {self.colour.shape[:2]}, the other image {self.shape}"
                )
        if self.amplitude is not None:
            if getattr(self.amplitude, "dtype", None) == np.uint16:
                raise HandfastError(
                    f"frame {self.index}: amplitude: expected 8 bits, got 16; handfast.infrared_image makes "
                    "8 of them"
                )
            _check_array(f"frame {self.index}: amplitude", self.amplitude, np.uint8, (None, None))
        if self.depth is not None:
            _check_array(f"frame {self.index}: depth", self.depth, np.uint16, (None, None))
            if not 0 < self.depth_unit_mm < math.inf:
                raise HandfastError(
                    f"frame {self.index}: depth_unit_mm must be > 0 and finite, got {self.depth_unit_mm}"
                )
        if self.amplitude is not None and self.depth is not None:
            _check_array(f"frame {self.index}: depth", self.depth, np.uint16, self.amplitude.shape)
        if not all(self.shape):
            raise HandfastError(f"frame {self.index}: expected an image with pixels, got {self.shape}")
        if self.camera is not None and (self.camera.height, self.camera.width) != self.shape:
            raise HandfastError(
                f"frame {self.index}: camera is {self.camera.width} x {self.camera.height}, "
                f"image is {self.shape[1]} x {self.shape[0]}"
            )

    @property
    def shape(self) -> tuple[int, int]:
        """(height, width)."""
        images = (self.amplitude, self.depth, self.colour)
        return next(image for image in images if image is not None).shape[:2]

    def depth_m(self) -> np.ndarray:
        """(H, W) float32 metres, 0 = no value."""
        depth_m = self.depth.astype(np.float32) * np.float32(self.depth_unit_mm * 1e-3)
        depth_m[self.depth == NO_DEPTH] = 0
        return depth_m


@dataclass(frozen=True, eq=False)
class HandPose:
    """A hand as found in a frame.

    side: 'left' or 'right'. score: 0..1. keypoints_px: (K, 2) of the model's K, x right, y down. visible:
    (K,) bool.
    xyz_mm: (K, 3) in camera space, NaN rows where no depth supports a key-point; None without depth, unless
    a model tells it from colour and the camera is known.
    relative_mm: (K, 3) from the wrist, along the camera's axes, where a model tells it from colour alone; as
    if the camera looked at the hand where the camera is not known.
    effort: what an adaptive model spent on it beyond the least: DIR-Net's loops, or 1 where ACE's fine
    encoder ran; None of other models.
    track: number that stays with the hand from frame to frame.
    """

    side: str
    score: float
    keypoints_px: np.ndarray
    visible: np.ndarray
    xyz_mm: np.ndarray | None = None
    track: int = 0
    relative_mm: np.ndarray | None = None
    effort: int | None = None

    def __post_init__(self) -> None:
        if self.side not in SIDES:
            raise HandfastError(f"side: expected one of {SIDES}, got {self.side!r}")
        k = len(self.keypoints_px)
        _check_array("keypoints_px", self.keypoints_px, np.floating, (k, 2))
        _check_array("visible", self.visible, np.bool_, (k,))
        for what in ("xyz_mm", "relative_mm"):
            if getattr(self, what) is not None:
                _check_array(what, getattr(self, what), np.floating, (k, 3))


@dataclass(frozen=True, eq=False)
class HandLabel:
    """What is known about one hand; what a data set does not tell is None.

    keypoints_px: (K, 2), the skeleton's. keypoints_m: (K, 3) camera space. visible: (K,) bool, the joint's
    own skin is the nearest surface there. key_pose: index into KEY_POSES. orientation: 0..7, see
    ORIENTATIONS. labelled: (K,) bool, the key-points that have a label, the others being zero; None for all.
    vertices_m: (V, 3) the hand's skin in camera space.
    """

    side: str
    keypoints_px: np.ndarray
    keypoints_m: np.ndarray | None = None
    visible: np.ndarray | None = None
    key_pose: int | None = None
    orientation: int | None = None
    skeleton: Skeleton = HAND21
    labelled: np.ndarray | None = None
    vertices_m: np.ndarray | None = None

    def __post_init__(self) -> None:
        if self.side not in SIDES:
            raise HandfastError(f"side: expected one of {SIDES}, got {self.side!r}")
        k = len(self.skeleton)
        _check_points("keypoints_px", self.keypoints_px, (k, 2))
        if self.keypoints_m is not None:
            _check_points("keypoints_m", self.keypoints_m, (k, 3))
        if self.vertices_m is not None:
            _check_points("vertices_m", self.vertices_m, (None, 3))
        for what in ("visible", "labelled"):
            if getattr(self, what) is not None:
                _check_array(what, getattr(self, what), np.bool_, (k,))
        if self.key_pose is not None and not 0 <= self.key_pose < len(KEY_POSES):
            raise HandfastError(f"key_pose: expected 0..{len(KEY_POSES) - 1}, got {self.key_pose}")
        if self.orientation is not None and not 0 <= self.orientation < ORIENTATIONS:
            raise HandfastError(f"orientation: expected 0..{ORIENTATIONS - 1}, got {self.orientation}")

    @property
    def known(self) -> np.ndarray:
        """(K,) bool: the key-points that have a label."""
        return np.ones(len(self.skeleton), bool) if self.labelled is None else self.labelled


@dataclass(frozen=True, eq=False)
class HandSample:
    """A labelled frame: what every data-set reader and the synthesis yield.

    segmentation: (H, W) uint8, 0 background, 1 left hand, 2 right hand (without forearm); None if
    unknown.
    """

    frame: Frame
    hands: tuple[HandLabel, ...]
    segmentation: np.ndarray | None = None

    def __post_init__(self) -> None:
        if self.segmentation is not None:
            _check_array("segmentation", self.segmentation, np.uint8, self.frame.shape)
