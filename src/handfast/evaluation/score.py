"""Scores of saved predictions, as ``handfast score`` prints them.

A file holds the joints of every frame of a test set in order, as
- text, plain or .gz: a frame a line, three numbers a joint, spaces or commas between them,
- .npy: one array (N, J, 3) or (N, 3 J),
- .npz: one such array under any name.

What the three numbers are depends on the data set (CONVENTIONS): pixels and depth (u px, v px, depth mm), as
predictions for the depth data sets are exchanged, or a point in space (mm) on any axes that both files share.
"""

import codecs
import gzip
import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.lib.npyio import NpzFile

from handfast.errors import HandfastError
from handfast.evaluation.metrics import joint_errors, mean_error, median_error, pck_auc, per_joint_error
from handfast.files import write_whole
from handfast.geometry import Camera
from handfast.skeleton import HAND21, ICVL16, NYU14, Skeleton

_REASON_LENGTH = 60  # of what a library says about a broken file


@dataclass(frozen=True)
class Convention:
    """What a data set's files hold: which joints, and the camera if they are in pixels and depth."""

    skeleton: Skeleton
    camera: Camera | None = None

    @property
    def joints(self) -> int:
        return len(self.skeleton)


CONVENTIONS = {
    "nyu": Convention(NYU14, Camera(588.03, 587.07, 320, 240, 640, 480)),
    "icvl": Convention(ICVL16, Camera(240.99, 240.96, 160, 120, 320, 240)),
    "msra15": Convention(HAND21, Camera(241.42, 241.42, 160, 120, 320, 240)),
    "stb": Convention(HAND21),
    "fpha": Convention(HAND21),
    "freihand": Convention(HAND21),
    "rhd": Convention(HAND21),
    "ho3d_v2": Convention(HAND21),
    "ho3d_v3": Convention(HAND21),
    "interhand": Convention(HAND21),
    "bench-depth": Convention(NYU14),  # as NYU, of the 21 joints that are labelled
    "bench-rgb": Convention(HAND21),
    "bench-tof-clips": Convention(HAND21),
}


@dataclass(frozen=True)
class Score:
    """A method's numbers on a test set; errors in mm, areas under the PCK curve from 0 to 1."""

    mean_mm: float
    median_mm: float
    frames: int
    joints: int
    auc_20_50: float
    auc_0_50: float
    per_joint_mm: list[float]


def errors_by_method(predictions: Sequence[Path], groundtruth: Path, dataset: str) -> dict[str, np.ndarray]:
    """{method: (N, J) errors in mm} for one file of predictions a method, named after its file.

    Raises HandfastError, naming file and lines, for what cannot be read or does not fit together, and for an
    unknown data set, and for a file that is given twice.
    """
    if dataset not in CONVENTIONS:
        raise HandfastError(f"data set {dataset!r}: expected one of {', '.join(CONVENTIONS)}")
    if repeated := [str(path) for path in predictions if predictions.count(path) > 1]:
        raise HandfastError(f"{repeated[0]}: expected each file of predictions once")
    convention = CONVENTIONS[dataset]
    truth_mm = read_points_mm(groundtruth, convention)
    errors = {}
    for path, method in zip(predictions, _method_names(predictions), strict=True):
        predicted_mm = read_points_mm(path, convention)
        if len(predicted_mm) != len(truth_mm):
            raise HandfastError(_unlike_lengths(path, len(predicted_mm), groundtruth, len(truth_mm)))
        errors[method] = joint_errors(predicted_mm, truth_mm)
    return errors


def summarise(errors_mm: np.ndarray) -> Score:
    """(N, J) errors -> Score, rounded to six decimals."""
    frames, joints = errors_mm.shape
    return Score(
        mean_mm=round(mean_error(errors_mm), 6),
        median_mm=round(median_error(errors_mm), 6),
        frames=frames,
        joints=joints,
        auc_20_50=round(pck_auc(errors_mm, 20, 50), 6),
        auc_0_50=round(pck_auc(errors_mm, 0, 50), 6),
        per_joint_mm=[round(error, 6) for error in per_joint_error(errors_mm).tolist()],
    )


def read_points_mm(path: Path, convention: Convention) -> np.ndarray:
    """A saved file -> (N, J, 3) mm in space. Raises HandfastError, naming file and lines."""
    points = _read_array(path) if _is_array(path) else _read_text(path, convention.joints)
    if points.ndim == 2 and points.shape[1] == 3 * convention.joints:
        points = points.reshape(len(points), convention.joints, 3)
    if points.ndim != 3 or points.shape[1:] != (convention.joints, 3) or points.dtype.kind not in "fiu":
        expected = f"numbers of the shape (N, {convention.joints}, 3)"
        raise HandfastError(f"{path}: expected {expected}, got {points.dtype} {points.shape}")
    if not len(points):
        raise HandfastError(f"{path}: expected a frame a line, found none")
    points = points.astype(float)
    wrong = np.flatnonzero(~np.isfinite(points).all(axis=(1, 2)))
    if len(wrong):
        raise HandfastError(
            f"{path}: {_frames(path, wrong)}: NaN or infinite; every joint needs three numbers"
        )
    if convention.camera is None:
        return points
    # Linear in depth, so millimetres come out as they go in.
    return convention.camera.unproject(points[..., :2], points[..., 2])


def write_points_mm(path: Path, points_mm: np.ndarray, convention: Convention) -> None:
    """Save (N, J, 3) mm in space as text, to a thousandth, which ``read_points_mm`` takes back. Raises
    HandfastError when it cannot be written."""
    points = points_mm
    if convention.camera is not None:
        points = np.concatenate([convention.camera.project(points_mm), points_mm[..., 2:]], axis=-1)
    rows = points.reshape(len(points), -1)
    write_whole(path, "".join(" ".join(f"{number:.3f}" for number in row) + "\n" for row in rows).encode())


def _read_text(path: Path, joints: int) -> np.ndarray:
    try:
        content = gzip.decompress(path.read_bytes()) if path.suffix.lower() == ".gz" else path.read_bytes()
    except (OSError, EOFError, zlib.error) as error:
        raise HandfastError(f"{path}: cannot be read: {_reason(error)}") from error
    rows = []
    for index, line in enumerate(content.removeprefix(codecs.BOM_UTF8).rstrip().splitlines()):
        try:
            rows.append([float(number) for number in line.replace(b",", b" ").split()])
        except ValueError as error:
            expected = f"{joints * 3} numbers separated by spaces or commas"
            raise HandfastError(
                f"{path}: {_frames(path, [index])}: expected {expected}: {_reason(error)}"
            ) from error
    wrong = [index for index, row in enumerate(rows) if len(row) != joints * 3]
    if wrong:
        raise HandfastError(
            f"{path}: {_frames(path, wrong)}: expected {joints * 3} numbers ({joints} joints x 3), "
            f"got {len(rows[wrong[0]])}"
        )
    return np.array(rows).reshape(-1, joints * 3)


def _read_array(path: Path) -> np.ndarray:
    try:
        content = np.load(path, allow_pickle=False)
        if isinstance(content, NpzFile):
            with content as archive:
                if len(archive.files) != 1:
                    found = ", ".join(archive.files[:5]) or "none"
                    raise HandfastError(f"{path}: expected one array, under any name; found {found}")
                content = archive[archive.files[0]]
    except HandfastError:
        raise
    except Exception as error:  # a broken file raises whatever its bytes lead to
        raise HandfastError(f"{path}: cannot be read: {_reason(error)}") from error
    if not isinstance(content, np.ndarray):
        raise HandfastError(f"{path}: expected an array, found a file of another kind in it")
    return content


def _is_array(path: Path) -> bool:
    return path.suffix.lower() in (".npy", ".npz")


def _reason(error: Exception) -> str:
    return (getattr(error, "strerror", None) or str(error) or type(error).__name__)[:_REASON_LENGTH]


def _frames(path: Path, indices: Sequence[int]) -> str:
    """'line 3, 4, 5 and 7 more': lines of a text count from 1, rows of an array from 0."""
    word, first = ("row", 0) if _is_array(path) else ("line", 1)
    more = f" and {len(indices) - 5} more" if len(indices) > 5 else ""
    return f"{word} {', '.join(str(index + first) for index in indices[:5])}{more}"


def _unlike_lengths(path: Path, frames: int, groundtruth: Path, truth_frames: int) -> str:
    longer = path if frames > truth_frames else groundtruth
    alone = range(min(frames, truth_frames), max(frames, truth_frames))
    return (
        f"{path}: {frames} frames, but {groundtruth} has {truth_frames}: "
        f"no partner for {longer.name}, {_frames(longer, alone)}"
    )


def _method_names(paths: Sequence[Path]) -> list[str]:
    """File names without endings, or whole paths where these would be the same."""
    names = [Path(path.stem if path.suffix.lower() == ".gz" else path.name).stem for path in paths]
    return names if len(set(names)) == len(names) else [str(path) for path in paths]
