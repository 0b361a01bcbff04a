"""C that comes with the benchmark, compiled on the machine that it measures."""

import ctypes
import platform
from importlib import resources

from handfast.runtime.native import build_library, find_compiler

# Plain C99 without vector types, as a library's reference code is built.
PLAIN_FLAGS = ("-std=c99", "-O2", "-fPIC", "-shared")
# Some compilers halve the widest vectors unless told to prefer them.
_WIDEST = ("-mprefer-vector-width=512",) if platform.machine().lower() in ("x86_64", "amd64") else ()
PEAK_FLAGS = ("-std=gnu99", "-O2", "-march=native", *_WIDEST, "-fPIC", "-shared")


def load_compiled(source: str, flags: tuple[str, ...]) -> ctypes.CDLL:
    """A C file of ``bench/native`` as a library. Raises HandfastError where there is no compiler."""
    text = (resources.files("handfast.bench") / "native" / source).read_text(encoding="utf-8")
    return ctypes.CDLL(str(build_library(find_compiler(), {source: text}, source, flags)))


class PeakLoop:
    """Multiply-adds on the machine's widest vectors, which touch no memory: what a core does at best.

    flops: floating-point operations of one call, which takes a fraction of a millisecond.
    Raises HandfastError where there is no compiler.
    """

    ROUNDS = 5_000

    def __init__(self) -> None:
        library = load_compiled("peak.c", PEAK_FLAGS)
        library.peak_flops.restype = ctypes.c_double
        library.peak_run.restype = ctypes.c_float
        self._run = library.peak_run
        self.flops: float = library.peak_flops(self.ROUNDS)

    def __call__(self) -> float:
        return self._run(self.ROUNDS)
