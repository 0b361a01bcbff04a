"""What the readers of depth data sets share: 16-bit pictures, tables of joints."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from handfast.data.datasets.reading import read_as_stored
from handfast.data.datasets.samples import need_file
from handfast.errors import HandfastError
from handfast.geometry import Camera


def read_depth(path: Path, camera: Camera) -> np.ndarray:
    """A picture of 16 bits and one channel, as large as the camera's, as stored. Raises HandfastError."""
    depth = read_as_stored(path)
    if depth.dtype != np.uint16 or depth.shape != (camera.height, camera.width):
        raise HandfastError(
            f"{path}: expected 16-bit depth of {camera.width} x {camera.height}, got {depth.dtype} "
            f"{depth.shape}; unpack the original"
        )
    return depth


def read_rows(path: Path, what: str) -> list[tuple[int, str]]:
    """(line number from 1, text) of each line that is not blank. Raises HandfastError, naming the file."""
    try:
        lines = need_file(path, what).read_text(encoding="utf-8").splitlines()
    except UnicodeDecodeError as error:
        raise HandfastError(f"{path}: expected text with {what}, got {error}; unpack it again") from error
    return [(number, line.strip()) for number, line in enumerate(lines, 1) if line.strip()]


def read_named_rows(path: Path, what: str) -> list[tuple[int, str, str]]:
    """As read_rows, with the first word of each line apart: (line number, first word, the rest)."""
    return [(line, *[*row.split(maxsplit=1), ""][:2]) for line, row in read_rows(path, what)]


def parse_joints(path: Path, rows: Sequence[tuple[int, str]], joints: int) -> np.ndarray:
    """Three numbers a joint in each row -> (N, joints, 3) float64.

    path and the rows' line numbers are for messages: HandfastError for another count of numbers, for what is
    none, and for NaN or infinity.
    """
    for line, row in rows:
        if (found := len(row.split())) != 3 * joints:
            raise HandfastError(
                f"{path}, line {line}: expected {joints} joints x 3 numbers, got {found} numbers; "
                "unpack it again"
            )
    if not rows:
        return np.empty((0, joints, 3))
    try:
        points = np.loadtxt((row for _, row in rows), ndmin=2, comments=None)
    except ValueError as error:
        raise HandfastError(f"{path}: expected numbers, got {error}; unpack it again") from error
    broken = np.flatnonzero(~np.isfinite(points).all(axis=1))
    if len(broken):
        raise HandfastError(
            f"{path}, line {rows[broken[0]][0]}: expected finite numbers, got NaN or infinity; "
            "unpack it again"
        )
    return points.reshape(-1, joints, 3)
