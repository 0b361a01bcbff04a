"""What readers share: JSON, pictures, label arrays, cameras and labels, checked as they are read."""

import json
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np

from handfast.data.datasets.samples import need_file
from handfast.errors import HandfastError
from handfast.geometry import Camera
from handfast.skeleton import HAND21, Skeleton
from handfast.structures import HandLabel

_FARTHEST_M = 10.0
_ENDS = {b"\xff\xd8": b"\xff\xd9", b"\x89P": b"IEND\xae\x42\x60\x82"}  # how a JPEG and a PNG begin and end


def read_json(path: Path, what: str, object_hook: Callable[[dict], object] | None = None) -> object:
    """The content of a JSON file that should hold ``what``. Raises HandfastError.

    object_hook: as json.loads takes it, to keep less of a large file.
    """
    try:
        return json.loads(need_file(path, what).read_bytes(), object_hook=object_hook)
    except (ValueError, TypeError, RecursionError) as error:
        raise HandfastError(f"{path}: expected JSON with {what}, got {error}; unpack it again") from error


def read_colour(path: Path, shape: tuple[int | None, int | None]) -> np.ndarray:
    """A picture of the given (H, W), None for any, as (H, W, 3) uint8 red, green, blue.

    Raises HandfastError.
    """
    # Labels belong to the pixels as stored: a camera's note on which way is up is not to turn them.
    image = _read(path, cv2.IMREAD_COLOR | cv2.IMREAD_IGNORE_ORIENTATION)
    return np.ascontiguousarray(_checked(image, (*shape, 3), path)[..., ::-1])


def read_grey(path: Path, shape: tuple[int, int]) -> np.ndarray:
    """A picture of one channel and the given (H, W), uint8 as stored. Raises HandfastError."""
    return _checked(read_as_stored(path), shape, path)


def read_as_stored(path: Path) -> np.ndarray:
    """A picture with whatever channels (blue, green, red, alpha) and depth it has. Raises HandfastError."""
    return _read(path, cv2.IMREAD_UNCHANGED)


def _read(path: Path, flags: int) -> np.ndarray:
    content = need_file(path, "a picture of the data set").read_bytes()
    # Decoders make up what was cut off.
    is_whole = len(content) > 0 and _ENDS.get(content[:2], b"") in content[-1024:]
    image = cv2.imdecode(np.frombuffer(content, np.uint8), flags) if is_whole else None
    if image is None:
        raise HandfastError(f"{path}: not a readable picture; unpack it again")
    return image


def _checked(image: np.ndarray, shape: tuple[int | None, ...], path: Path) -> np.ndarray:
    if not _has_shape(image, shape) or image.dtype != np.uint8:
        raise HandfastError(
            f"{path}: expected a picture of {shape} bytes, got {image.dtype} {image.shape}; labels hold for "
            "the original size only"
        )
    return image


def _has_shape(array: np.ndarray, shape: tuple[int | None, ...]) -> bool:
    """None in the shape stands for any length."""
    return array.ndim == len(shape) and all(
        want in (None, got) for want, got in zip(shape, array.shape, strict=True)
    )


def label_array(value: object, shape: tuple[int | None, ...], where: str) -> np.ndarray:
    """Numbers as float64 of the given shape, None for any length.

    Raises HandfastError, starting with ``where`` (the file, and what in it), for another shape, what is not
    a number, and NaN or infinity.
    """
    try:
        array = np.asarray(value, np.float64)
    except (TypeError, ValueError):
        array = None
    if array is None or not _has_shape(array, shape):
        want = f"numbers of shape {shape}".replace("None", "any")
        got = type(value).__name__ if array is None else f"shape {array.shape}"
        raise HandfastError(f"{where}: expected {want}, got {got}; unpack the data set again")
    if not np.isfinite(array).all():
        raise HandfastError(
            f"{where}: expected finite numbers, got NaN or infinity; unpack the data set again"
        )
    return array


def camera_from_matrix(K: object, shape: tuple[int, int], where: str) -> Camera:
    """The camera of an intrinsic matrix (3, 3) and pictures of (H, W). Raises HandfastError."""
    K = label_array(K, (3, 3), where)
    try:
        fx, fy, cx, cy = (float(K[i, j]) for i, j in ((0, 0), (1, 1), (0, 2), (1, 2)))
        return Camera(fx, fy, cx, cy, width=shape[1], height=shape[0])
    except HandfastError as error:
        raise HandfastError(f"{where}: {error}") from None


def hand_label(
    where: str,
    camera: Camera,
    joints_m: np.ndarray,
    side: str,
    skeleton: Skeleton = HAND21,
    labelled: np.ndarray | None = None,
    vertices_m: np.ndarray | None = None,
) -> HandLabel:
    """The label of joints (K, 3) m in camera space, of which those without a label become zero.

    labelled: (K,) bool, one of them at least; None for all. vertices_m: (V, 3). Raises HandfastError, naming
    where, as check_ahead does.
    """
    labelled = np.ones(len(skeleton), bool) if labelled is None else labelled
    check_ahead(where, joints_m[labelled])
    if vertices_m is not None:
        check_ahead(where, vertices_m)
        vertices_m = vertices_m.astype(np.float32)
    keypoints_px = np.zeros((len(skeleton), 2), np.float32)
    keypoints_px[labelled] = camera.project(joints_m[labelled])
    return HandLabel(
        side=side,
        keypoints_px=keypoints_px,
        keypoints_m=np.where(labelled[:, None], joints_m, 0).astype(np.float32),
        skeleton=skeleton,
        labelled=None if labelled.all() else labelled,
        vertices_m=vertices_m,
    )


def check_ahead(where: str, points_m: np.ndarray) -> None:
    """HandfastError, naming where, unless points (N, 3) lie up to 10 m ahead of the camera: what does not is
    in other axes or units."""
    z_m = points_m[:, 2]
    strange_m = z_m[~((z_m > 0) & (z_m < _FARTHEST_M))]
    if len(strange_m):
        raise HandfastError(
            f"{where}: expected points 0 to {_FARTHEST_M:g} m ahead of the camera, got one at "
            f"z = {strange_m[0]:g} m; unpack the data set again"
        )
