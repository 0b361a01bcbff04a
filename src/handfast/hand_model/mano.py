"""A user's MANO hand (Romero et al. 2017), read without chumpy and without running anything of the file's.

MANO's licence forbids shipping it; who has it brings MANO_RIGHT.pkl as it is published, a pickle that
Python 2 wrote, or as it was saved anew since. A pickle may name any function to be called. Here every name
stands for an inert record, or the file is refused, and arrays are made of what the records hold.
"""

import io
import pickle
import pickletools
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
    of vertices at rest, weights (778, 16) skin. parents (16,) int64, -1 for the wrist. hands_mean (45,) rad:
    the mean pose, axis-angle.
    """

    v_template: np.ndarray
    shapedirs: np.ndarray
    posedirs: np.ndarray
    J_regressor: np.ndarray
    weights: np.ndarray
    parents: np.ndarray
    hands_mean: np.ndarray


_SHAPES = {
    "v_template": (778, 3),
    "shapedirs": (778, 3, 10),
    "posedirs": (778, 3, 135),
    "J_regressor": (16, 778),
    "weights": (778, 16),
    "kintree_table": (2, 16),
    "hands_mean": (45,),
}
_EXPECTED = "MANO_RIGHT.pkl as published, or its arrays saved anew as a pickle or .npz"


def load_mano(path: Path) -> ManoAsset:
    """MANO_RIGHT.pkl as published, or its arrays in a pickle of Python 2 or 3 or in an .npz.

    Raises HandfastError for any other file, a left hand's among them, and for one that holds what is not an
    array; nothing of it is executed.
    """
    try:
        content = path.read_bytes()
    except OSError as error:
        raise HandfastError(f"{path}: cannot be read ({error.strerror}); give MANO_RIGHT.pkl") from error
    try:
        arrays = _arrays_of_npz(content) if content.startswith(b"PK") else _arrays_of_pickle(content)
    except _NotAnArray as error:
        raise HandfastError(
            f"{path}: holds {error}, which is not an array; not loaded, give {_EXPECTED}"
        ) from error
    except Exception as error:  # a broken pickle raises almost anything
        raise HandfastError(
            f"{path}: expected {_EXPECTED}, which this is not or not whole "
            f"({type(error).__name__}: {error}); not loaded"
        ) from error
    _check(path, arrays)
    parents = arrays.pop("kintree_table")[0].astype(np.int64)
    parents[0] = -1
    floats = {name: array.astype(np.float32) for name, array in arrays.items()}
    return ManoAsset(**floats, parents=parents)


def _arrays_of_npz(content: bytes) -> dict[str, np.ndarray]:
    with np.load(io.BytesIO(content), allow_pickle=False) as held:
        arrays = {name: held[name] for name in _SHAPES}
    for array in arrays.values():
        if array.dtype.kind not in "fiub":
            raise _NotAnArray(f"an array of {array.dtype.str!r}")
    return arrays


def _arrays_of_pickle(content: bytes) -> dict[str, np.ndarray]:
    _check_memo(content)
    held = _Unpickler(io.BytesIO(content), encoding="latin1").load()
    return {name: _array(held[name]) for name in _SHAPES}


def _check_memo(content: bytes) -> None:
    """UnpicklingError for a number in the memo that no pickle so long comes to: it claims memory up to it."""
    for opcode, argument, _ in pickletools.genops(content):  # which runs nothing
        if opcode.name in ("PUT", "BINPUT", "LONG_BINPUT") and argument > len(content):
            raise pickle.UnpicklingError(f"number {argument} in the memo of {len(content)} bytes")


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
    if _is_left(arrays):
        raise HandfastError(f"{path}: expected a right hand, got a left one; give MANO_RIGHT.pkl")


def _is_left(arrays: dict[str, np.ndarray]) -> bool:
    """Does the thumb lie where the back of a right hand is?

    At rest a thumb lies before the palm, in MANO's hand by 16 mm. Of the file's axes nothing is assumed.
    """
    joints_m = arrays["J_regressor"] @ arrays["v_template"]
    wrist, index, middle, pinky = joints_m[[0, 1, 4, 7]]
    thumb = joints_m[13:].mean(axis=0)
    behind = np.cross(middle - wrist, index - pinky)
    return bool(behind @ (thumb - (wrist + index + pinky) / 3) > 0)


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


class _Buffer(_Record):
    """numpy, in protocol 5: arguments (bytes, dtype, shape, order, for "K" also the axes)."""


class _Dtype(_Record):
    """numpy: arguments (code, ...), state (version, byte order, ...)."""


class _Encoded(_Record):
    """Bytes in protocol 2 of Python 3: arguments (text, "latin1")."""


class _Sparse(_Record):
    """scipy: state {data, indices, indptr, _shape}."""


class _Chumpy(_Record):
    """chumpy: state {x} of a plain array, {a, idxs, preferred_shape} of a selection from one."""


# By the names of older releases; newer ones say numpy._core and scipy.sparse._csc.
_STAND_INS = {
    "numpy.core.multiarray._reconstruct": _Array,
    "numpy.core.multiarray.scalar": _Record,
    "numpy.core.numeric._frombuffer": _Buffer,
    "numpy.ndarray": _Record,
    "numpy.matrix": _Record,
    "numpy.dtype": _Dtype,
    "scipy.sparse.csc.csc_matrix": _Sparse,
    "scipy.sparse.csc.csc_array": _Sparse,
    "_codecs.encode": _Encoded,
    "__builtin__.set": _Record,  # chumpy's notes of what has changed
    "builtins.set": _Record,
}


class _Unpickler(pickle.Unpickler):
    """Knows no class but the stand-ins."""

    def find_class(self, module: str, name: str) -> type[_Record]:
        if module.split(".")[0] == "chumpy":
            return _Chumpy
        if stand_in := _STAND_INS.get(f"{module}.{name}".replace("._c", ".c")):
            return stand_in
        raise _NotAnArray(f"{module}.{name}")


def _array(value: object) -> np.ndarray:
    """What a record holds, as stored. Raises any of Python's own errors for a broken one."""
    match value:
        case _Array(state=(_, shape, _Dtype() as dtype, is_fortran, raw)):
            return np.frombuffer(_bytes(raw), _dtype(dtype)).reshape(shape, order="F" if is_fortran else "C")
        case _Buffer(arguments=(raw, _Dtype() as dtype, shape, "K", axes)):
            return np.frombuffer(raw, _dtype(dtype)).reshape(shape).transpose(axes)
        case _Buffer(arguments=(raw, _Dtype() as dtype, shape, order, *_)):
            return np.frombuffer(raw, _dtype(dtype)).reshape(shape, order=order)
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


def _dtype(record: _Dtype) -> np.dtype:
    """Of numbers. Raises _NotAnArray for another."""
    code, (_, order, *_) = record.arguments[0], record.state
    if not re.fullmatch("[fiu][1248]|b1", code):
        raise _NotAnArray(f"an array of {code!r}")
    return np.dtype(code).newbyteorder(order)


def _bytes(raw: object) -> bytes:
    match raw:
        case str():  # of Python 2
            return raw.encode("latin1")
        case _Encoded(arguments=(text, "latin1")):
            return text.encode("latin1")
    return raw
