"""Networks as machine code: generated C, compiled once by the system's compiler, kept in the user's cache.

Beside the libraries the cache keeps what calibration for 8 bits has measured of each network.
"""

import ctypes
import hashlib
import json
import logging
import os
import shutil
import subprocess
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from threading import Lock
from typing import TYPE_CHECKING

import numpy as np

from handfast.errors import HandfastError
from handfast.files import write_whole

if TYPE_CHECKING:
    from handfast.compression.quantise import QuantisedNetwork
    from handfast.export.c.network import Network

COMPILERS = ("cc", "gcc", "clang")
FLAGS = ("-std=c99", "-O3", "-march=native", "-ffp-contract=off", "-fPIC", "-shared")
# What the compiler defines where it may use them, the widest vectors first.
TARGET_MACROS = {
    "avx512": ("__AVX512F__", "__AVX512BW__", "__AVX512VL__"),
    "avx2": ("__AVX2__", "__FMA__"),
    "neon": ("__aarch64__",),
}
INT8_MACROS = {"avx512": ("__AVX512VNNI__",)}  # in 8-bit integers these too
ALIGNMENT = 64

_log = logging.getLogger(__name__)


@dataclass(frozen=True, eq=False)
class NativeNetwork:
    """A network in C, with an arena of its own, for which several threads wait in turn.

    image_shape: (H, W), in colour (H, W, 3).
    """

    library: ctypes.CDLL
    symbol: str
    image_shape: tuple[int, ...]
    map_size: tuple[int, int]
    keypoints_per_hand: int
    arena: np.ndarray
    weight_bytes: int
    lock: Lock = field(default_factory=Lock)

    @property
    def arena_bytes(self) -> int:
        return self.arena.nbytes

    def maps(self, image: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """An image, uint8 -> logits as of the ONNX model: (2, K, h, w) and (2, 1 + K) float32."""
        (heatmaps,), (visibility,) = self.maps_of(image[None])
        return heatmaps, visibility

    def maps_of(self, images: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """The same of each of n images: (n, 2, K, h, w) and (n, 2, 1 + K)."""
        width, height = self.map_size
        heatmaps = np.empty((len(images), 2, self.keypoints_per_hand, height, width), np.float32)
        visibility = np.empty((len(images), 2, 1 + self.keypoints_per_hand), np.float32)
        function = self._function("maps")
        for image, maps, logits in zip(map(self._checked, images), heatmaps, visibility, strict=True):
            with self.lock:
                function(_at(image), _at(maps), _at(logits), _at(self.arena))
        return heatmaps, visibility

    def keypoints(self, image: np.ndarray) -> tuple[int, np.ndarray]:
        """An image, uint8 -> bit 0 for a left and 1 for a right hand, and (2, K, 4) float32: x, y in pixels,
        how visible, and the heat-map's share around its peak; zeros for a hand that is not there."""
        points = np.empty((2, self.keypoints_per_hand, 4), np.float32)
        image = self._checked(image)
        with self.lock:
            return self._function("run")(_at(image), _at(points), _at(self.arena)), points

    def _checked(self, image: np.ndarray) -> np.ndarray:
        if image.dtype != np.uint8 or image.shape != self.image_shape:
            expected, got = (" x ".join(map(str, shape)) for shape in (self.image_shape, image.shape))
            raise HandfastError(f"expected an image of {expected} uint8, got {got} {image.dtype}")
        return np.ascontiguousarray(image)

    def _function(self, name: str) -> ctypes._CFuncPtr:
        return getattr(self.library, f"{self.symbol}_{name}")


def load_native(content: bytes, name: str, int8: bool = False) -> NativeNetwork:
    """Compile the network of an ONNX file's content, or load what was compiled before.

    int8: in 8-bit integers, calibrated the first time, which takes some seconds. Raises HandfastError where
    there is no C compiler, and for a layer that has no kernel.
    """
    from handfast.export.c.emit import emit
    from handfast.export.c.emit_int8 import emit_int8
    from handfast.export.c.interface import identifier
    from handfast.export.c.network import read_network
    from handfast.export.c.targets import NO_VECTORS

    compiler, network = find_compiler(), read_network(content, name)
    target = _target(compiler, INT8_MACROS if int8 else {})
    if int8:
        quantised = _calibrated(network, content, name)
        texts = emit_int8(quantised, name, target)
    else:
        texts = emit(content, name, target, arena_limit_bytes=None)
    symbol = identifier(name)
    flags = (*FLAGS, *NO_VECTORS.split()) if target == "generic" else FLAGS
    path = build_library(compiler, texts, f"{symbol}.c", flags)
    try:
        library = ctypes.CDLL(str(path))
    except OSError as error:
        raise HandfastError(
            f"{path}: cannot be loaded ({error}); let XDG_CACHE_HOME name a folder that programs run from"
        ) from error
    arena_bytes = getattr(library, f"{symbol}_arena_bytes")
    arena_bytes.restype = ctypes.c_size_t
    channels, height, width = network.shapes[network.image]
    _, map_height, map_width = network.shapes[network.heatmaps]
    return NativeNetwork(
        library,
        symbol,
        (height, width) if channels == 1 else (height, width, channels),
        (map_width, map_height),
        network.keypoints_per_hand,
        _aligned(arena_bytes()),
        (quantised if int8 else network).weight_bytes,
    )


def _calibrated(network: "Network", content: bytes, name: str) -> "QuantisedNetwork":
    """A network in 8-bit integers. The ranges of its maps are measured once for a file's content."""
    from handfast.compression.calibration import VERSION, calibration_images, grey_size
    from handfast.compression.quantise import measure_ranges, quantise_within

    ranges_file = _cache() / f"ranges-{VERSION}-{hashlib.sha256(content).hexdigest()[:16]}.json"
    if not ranges_file.is_file():
        ranges = measure_ranges(network, calibration_images(*grey_size(network, name)))
        write_whole(ranges_file, json.dumps(ranges).encode())
    return quantise_within(network, json.loads(ranges_file.read_bytes()))


def build_library(compiler: str, texts: Mapping[str, str], main: str, flags: tuple[str, ...]) -> Path:
    """Compile one of ``texts`` {file name: C}, which may include the others, to a library in the cache.

    Raises HandfastError with the compiler's first complaint.
    """
    key = hashlib.sha256()
    for part in (
        compiler,
        _said_by(compiler, "--version"),
        _macros(compiler),  # a home may be shared by machines that differ
        *flags,
        *(text for item in sorted(texts.items()) for text in item),
    ):
        key.update(part.encode() + b"\0")
    cache = _cache()
    library = cache / f"{Path(main).stem}-{key.hexdigest()[:16]}.so"
    if library.is_file():
        return library
    try:
        cache.mkdir(parents=True, exist_ok=True)
        _log.info("compiling %s for this processor, which is done once", main)
        with tempfile.TemporaryDirectory(dir=cache) as folder:
            for file, text in texts.items():
                (Path(folder) / file).write_text(text, encoding="utf-8")
            built = Path(folder) / "library.so"
            done = subprocess.run(
                [compiler, *flags, "-o", built, Path(folder) / main],
                capture_output=True,
                text=True,
                check=False,
            )
            if done.returncode:
                complaint = next(
                    (line for line in done.stderr.splitlines() if "error" in line), "no reason given"
                )
                raise HandfastError(f"{compiler}: {complaint}")
            os.replace(built, library)
    except OSError as error:
        raise HandfastError(
            f"{cache}: compiled networks cannot be kept there ({error.strerror}); set XDG_CACHE_HOME to a "
            "folder that can be written"
        ) from error
    return library


def _cache() -> Path:
    try:
        return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "handfast"
    except RuntimeError as error:  # a user without a home
        raise HandfastError(
            "no home to keep compiled networks in; let XDG_CACHE_HOME name a folder"
        ) from error


def find_compiler() -> str:
    """The C compiler: what CC names, or the first of ``COMPILERS``. Raises HandfastError if there is none."""
    for name in (os.environ.get("CC"), *COMPILERS):
        if name and shutil.which(name):
            return name
    raise HandfastError(f"no C compiler found ({', '.join(COMPILERS)}, or the one that CC names)")


@cache
def _said_by(compiler: str, *arguments: str) -> str:
    try:
        done = subprocess.run([compiler, *arguments], input="", capture_output=True, text=True, check=False)
    except OSError as error:
        raise HandfastError(
            f"{compiler}: does not run ({error.strerror}); let CC name a C compiler"
        ) from error
    return done.stdout


def _macros(compiler: str) -> str:
    """What it defines for this machine's processor, a line each."""
    return _said_by(compiler, "-march=native", "-dM", "-E", "-x", "c", "-")


def _target(compiler: str, more: Mapping[str, tuple[str, ...]]) -> str:
    """The widest vectors that this machine has and the compiler knows. more: macros needed beside those of
    TARGET_MACROS."""
    defined = {line.split()[1] for line in _macros(compiler).splitlines() if line.startswith("#define")}
    fitting = (
        target
        for target, macros in TARGET_MACROS.items()
        if defined.issuperset(macros + more.get(target, ()))
    )
    return next(fitting, "generic")


def _aligned(size: int) -> np.ndarray:
    """(size,) uint8 that begins at a multiple of ALIGNMENT."""
    room = np.zeros(size + ALIGNMENT, np.uint8)
    start = -room.ctypes.data % ALIGNMENT
    return room[start : start + size]


def _at(array: np.ndarray) -> ctypes.c_void_p:
    return array.ctypes.data_as(ctypes.c_void_p)
