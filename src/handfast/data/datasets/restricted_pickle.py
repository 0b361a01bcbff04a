"""Pickles of plain data: what data sets were published as, read without letting them run anything.

A pickle names functions to call. Here only those that make NumPy arrays and plain containers may be named,
as Python 2 and 3 and NumPy 1 and 2 write them, protocols 2 to 5; strings of Python 2 are read as Latin-1.
That keeps foreign code from running; it does not keep a forged array header from upsetting NumPy.
"""

import pickle
from collections import OrderedDict
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from handfast.data.datasets.samples import need_file
from handfast.errors import HandfastError


def _encode(text: str, encoding: str) -> bytes:
    """How Python 3 writes bytes in protocol 2: as text, Latin-1."""
    if encoding != "latin1":
        raise HandfastError(f"expected bytes as latin1, got {encoding!r}")
    return text.encode("latin1")


def _allowed() -> dict[tuple[str, str], Callable]:
    """(module, name) as written in pickles -> what it stands for."""
    named = {
        ("numpy", "ndarray"): np.ndarray,
        ("numpy", "dtype"): np.dtype,
        ("_codecs", "encode"): _encode,
        ("collections", "OrderedDict"): OrderedDict,
    }
    # NumPy's own account of how it pickles gives its functions wherever this release keeps them.
    for core in ("numpy.core", "numpy._core"):
        named[f"{core}.multiarray", "_reconstruct"] = np.zeros(1).__reduce__()[0]
        named[f"{core}.multiarray", "scalar"] = np.float64(0).__reduce__()[0]
        named[f"{core}.numeric", "_frombuffer"] = np.zeros(1).__reduce_ex__(5)[0]
    for builtins in ("builtins", "__builtin__"):
        for kind in (set, frozenset, bytearray, complex):
            named[builtins, kind.__name__] = kind
    return named


_ALLOWED = _allowed()


class _Unpickler(pickle.Unpickler):
    def find_class(self, module: str, name: str) -> Callable:
        try:
            return _ALLOWED[module, name]
        except KeyError:
            raise HandfastError(
                f"refused: it asks for {module}.{name}, but only arrays and plain containers are read"
            ) from None


def load_pickle(path: Path) -> Any:
    """What a pickle of dicts, lists, strings, numbers and NumPy arrays holds.

    Raises HandfastError, naming the file, for a missing or broken one, and for one that asks for any other
    class, which it names; nothing of that class is called.
    """
    need_file(path, "labels as a pickle")
    with path.open("rb") as file:
        try:
            return _Unpickler(file, encoding="latin1").load()
        except HandfastError as error:
            raise HandfastError(f"{path}: {error}") from None
        except Exception as error:  # a broken file raises whatever its bytes lead to
            raise HandfastError(f"{path}: not a readable pickle ({error}); unpack it again") from error
