"""A user's MANO hand (Romero et al. 2017), read without chumpy and without running anything of the file's.

MANO's licence forbids shipping it; who has it brings MANO_RIGHT.pkl as it is published, a pickle that
Python 2 wrote. A pickle may name any function to be called. Here every name stands for an inert record, or
the file is refused, and arrays are made of what the records hold.
"""

import io
import pickle
import re
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from scipy.sparse import csc_matrix

from handfast.errors import HandfastError


@dataclass(frozen=True, eq=False)
class ManoAsset:
    """The right hand: 778 vertices, 16 joints in the order wrist, index, middle, pinky, ring, thumb, float32.

    v_template (778, 3) m; shapedirs (778, 3, 10), one unit = one standard deviation; posedirs (778, 3, 135),
    for the entries of the rotations of joints 1 to 15 less the identity. J_regressor (16, 778) makes joints
    of vertices at rest, weights (778, 16) skin. parents (16,) int64, -1 for the wrist. hands_mean (45,) rad
    and hands_components (45, 45): the mean pose, axis-angle, and principal components about it. faces
    (1538, 3) int64.
    """

    v_template: np.ndarray
    shapedirs: np.ndarray
    posedirs: np.ndarray
    J_regressor: np.ndarray
    weights: np.ndarray
    parents: np.ndarray
    hands_mean: np.ndarray
    hands_components: np.ndarray
    faces: np.ndarray


_SHAPES = {
    "v_template": (778, 3),
    "shapedirs": (778, 3, 10),
    "posedirs": (778, 3, 135),
    "J_regressor": (16, 778),
    "weights": (778, 16),
    "kintree_table": (2, 16),
    "hands_mean": (45,),
    "hands_components": (45, 45),
    "f": (1538, 3),
}


def load_mano(path: Path) -> ManoAsset:
    """MANO_RIGHT.pkl as published. Raises HandfastError for any other file, and for one that holds what is
    not an array; nothing of it is executed."""
    try:
        content = path.read_bytes()
    except OSError as error:
        raise HandfastError(f"{path}: cannot be read ({error.strerror}); give MANO_RIGHT.pkl") from error
    try:
        held = _Unpickler(io.BytesIO(content), encoding="latin1").load()
        arrays = {name: _array(held[name]) for name in _SHAPES}
    except _NotAnArray as error:
        raise HandfastError(f"{path}: holds {error}, which is not an array; not loaded") from error
    except Exception as error:  # a broken pickle raises almost anything
        raise HandfastError(
            f"{path}: expected MANO_RIGHT.pkl as published, which this is not or not whole "
            f"({type(error).__name__}: {error}); not loaded"
        ) from error
    _check(path, arrays)
    parents = arrays.pop("kintree_table")[0].astype(np.int64)
    parents[0] = -1
    faces = arrays.pop("f").astype(np.int64)
    floats = {name: array.astype(np.float32) for name, array in arrays.items()}
    return ManoAsset(**floats, parents=parents, faces=faces)


def _check(path: Path, arrays: dict[str, np.ndarray]) -> None:
    """HandfastError unless shapes and values can be those of a hand."""
    for name, shape in _SHAPES.items():
        found = arrays[name].shape
        with np.errstate(over="ignore"):
            is_finite = np.isfinite(arrays[name].astype(np.float32)).all()
        if found != shape or not is_finite:
            raise HandfastError(
                f"{path}: {name}: expected {shape} finite numbers, got {found if is_finite else 'others'}; "
                "give MANO_RIGHT.pkl"
            )
    parents = arrays["kintree_table"][0, 1:].astype(np.int64)
    if not ((parents >= 0) & (parents < np.arange(1, 16))).all():
        raise HandfastError(
            f"{path}: kintree_table: expected each joint behind its parent, got {parents.tolist()}"
        )
    if not ((arrays["f"] >= 0) & (arrays["f"] < 778)).all():
        raise HandfastError(f"{path}: f: expected vertices 0 to 777 in the faces, got others")


class _NotAnArray(Exception):
    """What a file holds besides arrays."""


class _Record:
    """Stands for a class or function that the file names: it keeps what it is given and does nothing."""

    def __new__(cls, *arguments):
        record = super().__new__(cls)
        record.arguments, record.state = arguments, None
        return record

    def __setstate__(self, state):
        self.state = state


class _Array(_Record):
    """numpy: state (version, shape, dtype, whether in Fortran's order, bytes)."""


class _Dtype(_Record):
    """numpy: arguments (code, ...), state (version, byte order, ...)."""

    def __new__(cls, code, *arguments):
        if not re.fullmatch("[fiu][1248]|b1", code):
            raise _NotAnArray(f"an array of {code!r}")
        return super().__new__(cls, code, *arguments)


class _Sparse(_Record):
    """scipy: state {data, indices, indptr, _shape}."""


class _Chumpy(_Record):
    """chumpy: state {x} of a plain array, {a, idxs, preferred_shape} of a selection from one."""


_STAND_INS = {
    "numpy.core.multiarray._reconstruct": _Array,
    "numpy.core.multiarray.scalar": _Record,
    "numpy.ndarray": _Record,
    "numpy.dtype": _Dtype,
    "scipy.sparse.csc.csc_matrix": _Sparse,
    "__builtin__.set": _Record,  # chumpy's notes of what has changed
}


class _Unpickler(pickle.Unpickler):
    """Knows no class but the stand-ins."""

    def find_class(self, module: str, name: str) -> type[_Record]:
        if module.split(".")[0] == "chumpy":
            return _Chumpy
        if stand_in := _STAND_INS.get(f"{module}.{name}"):
            return stand_in
        raise _NotAnArray(f"{module}.{name}")


def _array(value: object) -> np.ndarray:
    """What a record holds, as stored. Raises any of Python's own errors for a broken one."""
    match value:
        case _Array(state=(_, shape, _Dtype(arguments=(code, *_), state=(_, order, *_)), is_fortran, raw)):
            stored = np.frombuffer(raw.encode("latin1"), np.dtype(code).newbyteorder(order))
            return stored.reshape(shape, order="F" if is_fortran else "C")
        case _Sparse(state={"data": data, "indices": indices, "indptr": starts, "_shape": shape}):
            if shape != _SHAPES["J_regressor"]:
                raise ValueError(f"a sparse matrix of {shape}")
            matrix = csc_matrix((_array(data), _array(indices), _array(starts)), shape)
            matrix.check_format(full_check=True)
            return matrix.toarray()
        case _Chumpy(state={"a": whole, "idxs": indices, **rest}):
            selected = _array(whole).ravel()[_array(indices)]
            return selected.reshape(rest.get("preferred_shape", selected.shape))
        case _Chumpy(state={"x": plain}):
            return _array(plain)
    raise _NotAnArray(f"a {type(value).__name__}")
