"""Cameras, rigid transforms and affine crops.

Conventions: metres; right-handed camera axes, x right, y down, z forward; pixel centres at integer
coordinates, so that an image of width W covers -0.5 .. W - 0.5; ``T_a_b`` takes points in b to a.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from handfast.errors import HandfastError

FOCAL_LENGTHS = (0.1, 20.0)  # in widths of the image, from fish-eyes to telescopes


@dataclass(frozen=True)
class Camera:
    """A pinhole camera without distortion: focal lengths and principal point in pixels, image size."""

    fx: float
    fy: float
    cx: float
    cy: float
    width: int
    height: int

    def __post_init__(self) -> None:
        is_finite = all(map(math.isfinite, (self.fx, self.fy, self.cx, self.cy)))
        if not (is_finite and self.fx > 0 and self.fy > 0 and self.width > 0 and self.height > 0):
            raise HandfastError(
                f"a camera needs positive focal lengths and size, and a finite centre, got {self}"
            )

    @property
    def K(self) -> np.ndarray:
        """(3, 3) intrinsic matrix."""
        return np.array([[self.fx, 0, self.cx], [0, self.fy, self.cy], [0, 0, 1.0]])

    def project(self, points_m: np.ndarray) -> np.ndarray:
        """(..., 3) m in camera space, z > 0 -> (..., 2) px."""
        z = points_m[..., 2:]
        return points_m[..., :2] / z * (self.fx, self.fy) + (self.cx, self.cy)

    def unproject(self, points_px: np.ndarray, depth_m: np.ndarray) -> np.ndarray:
        """(..., 2) px and (...) m along z -> (..., 3) m in camera space."""
        xy = (points_px - (self.cx, self.cy)) / (self.fx, self.fy) * depth_m[..., None]
        return np.concatenate([xy, depth_m[..., None]], axis=-1)

    def warped(self, A: np.ndarray, width: int, height: int) -> "Camera":
        """The camera of an image warped by the axis-aligned affine A (2, 3): x' = A x."""
        return Camera(
            fx=float(self.fx * A[0, 0]),
            fy=float(self.fy * A[1, 1]),
            cx=float(A[0, 0] * self.cx + A[0, 2]),
            cy=float(A[1, 1] * self.cy + A[1, 2]),
            width=width,
            height=height,
        )


def camera_of(intrinsics: Sequence[float] | None, width: int, height: int) -> Camera | None:
    """Of fx, fy, cx, cy as a user gives them for images of this size. Raises HandfastError for what no camera
    has, as when they are of another size or in another order."""
    if intrinsics is None:
        return None
    fx, fy, cx, cy = intrinsics
    if not (0 <= cx < width and 0 <= cy < height):
        raise HandfastError(
            f"intrinsics: the centre {cx:g},{cy:g} is outside of images of {width} x {height} px; expected "
            "fx,fy,cx,cy of images as large as these"
        )
    least_px, most_px = (share * width for share in FOCAL_LENGTHS)
    if not all(least_px <= focal_px <= most_px for focal_px in (fx, fy)):
        raise HandfastError(
            f"intrinsics: expected focal lengths of {least_px:g} to {most_px:g} px for images of {width} px, "
            f"got {fx:g},{fy:g}; the order is fx,fy,cx,cy"
        )
    return Camera(fx, fy, cx, cy, width, height)


def rotation_from_axis_angle(axis_angle: np.ndarray) -> np.ndarray:
    """Rodrigues: (..., 3) rad -> (..., 3, 3)."""
    x, y, z = axis_angle[..., 0], axis_angle[..., 1], axis_angle[..., 2]
    half = 0.5 * np.sqrt(x * x + y * y + z * z) + 1e-100  # not 0, where sin(half) / half is 1
    share = 0.5 * np.sin(half) / half
    return _rotation_from_quaternion(np.cos(half), share * x, share * y, share * z)


def random_rotation(rng: np.random.Generator) -> np.ndarray:
    """A (3, 3) rotation drawn uniformly from SO(3) (Shoemake's quaternion)."""
    q = rng.standard_normal(4)
    return _rotation_from_quaternion(*(q / np.linalg.norm(q)))


def _rotation_from_quaternion(w: np.ndarray, x: np.ndarray, y: np.ndarray, z: np.ndarray) -> np.ndarray:
    """Of unit length, each part (...) -> (..., 3, 3)."""
    R = np.empty((*np.shape(w), 3, 3))
    R[..., 0, 0], R[..., 1, 1], R[..., 2, 2] = (1 - 2 * (a * a + b * b) for a, b in ((y, z), (x, z), (x, y)))
    R[..., 0, 1], R[..., 1, 0] = 2 * (x * y - w * z), 2 * (x * y + w * z)
    R[..., 0, 2], R[..., 2, 0] = 2 * (x * z + w * y), 2 * (x * z - w * y)
    R[..., 1, 2], R[..., 2, 1] = 2 * (y * z - w * x), 2 * (y * z + w * x)
    return R


def transform(T: np.ndarray, points: np.ndarray) -> np.ndarray:
    """Apply a rigid ``T_a_b`` (4, 4) to points in b (..., 3)."""
    return points @ T[:3, :3].T + T[:3, 3]


def invert_rigid(T: np.ndarray) -> np.ndarray:
    """The inverse of a rigid (4, 4)."""
    inverse = np.eye(4)
    inverse[:3, :3] = T[:3, :3].T
    inverse[:3, 3] = -T[:3, :3].T @ T[:3, 3]
    return inverse


def fit_affine(width: int, height: int, to_width: int, to_height: int) -> np.ndarray:
    """The (2, 3) affine that letterboxes a whole image into another size, aspect kept, centred."""
    scale = min(to_width / width, to_height / height)
    return crop_affine(((width - 1) / 2, (height - 1) / 2), to_width / scale, to_width, to_height)


def crop_affine(
    centre_px: tuple[float, float], crop_width_px: float, to_width: int, to_height: int, turn_rad: float = 0.0
) -> np.ndarray:
    """The (2, 3) affine that takes a crop of the given width about a centre to another image size.

    turn_rad: by how much what is in the crop is turned, from x towards y (clockwise on the screen).
    """
    scale = to_width / crop_width_px
    c, s = scale * np.cos(turn_rad), scale * np.sin(turn_rad)
    M = np.array([[c, -s], [s, c]])
    shift = np.array([(to_width - 1) / 2, (to_height - 1) / 2]) - M @ np.asarray(centre_px, float)
    return np.concatenate([M, shift[:, None]], axis=1)


def apply_affine(A: np.ndarray, points_px: np.ndarray) -> np.ndarray:
    """(2, 3) affine on (..., 2) px."""
    return points_px @ A[:, :2].T + A[:, 2]


def invert_affine(A: np.ndarray) -> np.ndarray:
    """The inverse of a (2, 3) affine."""
    M = np.linalg.inv(A[:, :2])
    return np.concatenate([M, -M @ A[:, 2:]], axis=1)


def median_of_few(values: np.ndarray) -> np.ndarray:
    """The median along the first axis. NumPy's own takes several times as long for so few values."""
    ordered = np.sort(values, axis=0)
    return (ordered[(len(values) - 1) // 2] + ordered[len(values) // 2]) / 2
