"""A network as a folder of C: what ``emit`` makes, a Makefile, and a test of it against a golden frame."""

import re
from dataclasses import dataclass
from importlib.resources import as_file, files
from pathlib import Path

import numpy as np
import onnxruntime

from handfast.codecs import decode_heatmaps, map_to_input
from handfast.compression.calibration import calibration_images, grey_size
from handfast.compression.integer import integer_logits
from handfast.compression.quantise import QuantisedNetwork, quantise
from handfast.errors import HandfastError
from handfast.export.c.emit import KERNELS, emit
from handfast.export.c.emit_int8 import BYTE_FLAGS, emit_int8
from handfast.export.c.interface import identifier
from handfast.export.c.network import read_network
from handfast.export.c.targets import TARGETS
from handfast.files import write_whole
from handfast.geometry import fit_affine
from handfast.sensors.images import as_floats, normalise_exposure, tinted
from handfast.sensors.sources import open_source
from handfast.sensors.views import halvings, take_view

TEMPLATES = files("handfast") / "export" / "c" / "templates"
# How the golden test is linked, and what runs it, where this computer's own processor cannot.
EMULATED = {"neon": ("-static", "qemu-aarch64")}
# Processors without an operating system, of which make compiles the network alone.
BARE = ("mve", "wasm", "cortex-m4")


@dataclass(frozen=True, eq=False)
class Golden:
    """A picture (H, W) or (H, W, 3) uint8, and what should be found in it: bit 0 a left and bit 1 a right
    hand; keypoints (2, K, 4) float32: x and y in pixels, visible and sharpness, zeros for a hand that is not
    there.

    tolerance: how far off C may be. found_by: what has found them.
    """

    image: np.ndarray
    found: int
    keypoints: np.ndarray
    tolerance: float
    found_by: str


@dataclass(frozen=True)
class Written:
    """The C of a network: {file name: text}, the arena's bytes and those of the weights."""

    texts: dict[str, str]
    arena_bytes: int
    weight_bytes: int


def write_c(content: bytes, name: str, target: str, folder: Path, int8: bool = False) -> Written:
    """Write the network of an ONNX file's content as C into a folder, which is made.

    int8: in 8-bit integers, calibrated first. Nothing is written if a layer has no kernel. Raises
    HandfastError as ``emit``, ``quantise`` and ``emit_int8`` do, for a folder with a Makefile of something
    else, and when it cannot be written.
    """
    stem, network = identifier(name), read_network(content, name)
    kernels = (file.name for of in (KERNELS, KERNELS / "int8") for file in of.iterdir())
    if f"{stem}.h" in {"golden.h", "vector.h", "bytes.h", *kernels}:
        raise HandfastError(f"{name}: is what a file that every network needs is called; choose another name")
    if (folder / "Makefile").exists() and not (folder / f"{stem}.h").exists():
        raise HandfastError(f"{folder}: has a Makefile already, which is not of {name}; choose another --out")
    if int8:
        quantised = quantise(network, calibration_images(*grey_size(network, name)))
        texts, golden = emit_int8(quantised, name, target), golden_of_integers(quantised)
        flags, weight_bytes = BYTE_FLAGS.get(target, ""), quantised.weight_bytes
    else:
        texts, golden = emit(content, name, target), golden_of(content)
        flags, weight_bytes = "", network.weight_bytes
    arena_bytes = int(re.search(r"_ARENA_BYTES (\d+)", texts[f"{stem}.h"])[1])
    texts |= _test_files(stem, target, flags, golden)
    for file, text in texts.items():
        write_whole(folder / file, text.encode())
    return Written(texts, arena_bytes, weight_bytes)


def golden_of(content: bytes) -> Golden:
    """What ONNX Runtime and ``codecs`` find in the first frame of the packaged clip."""
    session = onnxruntime.InferenceSession(content, providers=["CPUExecutionProvider"])
    (given,) = session.get_inputs()
    _, channels, height, width = given.shape
    image = _first_frame(width, height)
    if channels == 3:
        image = tinted(image)
    (heatmaps,), (visibility,) = session.run(["heatmaps", "visibility"], {given.name: as_floats(image[None])})
    return Golden(image, *_found(image, heatmaps, visibility), 1e-3, "ONNX Runtime")


def golden_of_integers(network: QuantisedNetwork) -> Golden:
    """What ``compression.integer``, whose bits C gives too, and ``codecs`` find in it."""
    image = _first_frame(*network.shapes[network.image][:0:-1])
    (heatmaps,), (visibility,) = integer_logits(network, image[None])
    return Golden(image, *_found(image, heatmaps, visibility), 1e-4, "8-bit integers")


def _found(image: np.ndarray, heatmaps: np.ndarray, visibility: np.ndarray) -> tuple[int, np.ndarray]:
    """Logits -> ``Golden``'s found and keypoints."""
    points_map, sharpness = decode_heatmaps(heatmaps)
    points_px = map_to_input(points_map, image.shape[1] // heatmaps.shape[-1])
    visible = 1 / (1 + np.exp(-visibility[:, 1:]))
    there = visibility[:, 0] > 0
    keypoints = np.concatenate([points_px, visible[..., None], sharpness[..., None]], axis=-1)
    return int(there @ [1, 2]), (keypoints * there[:, None, None]).astype(np.float32)


def _first_frame(width: int, height: int) -> np.ndarray:
    """(height, width) uint8, as the tracker looks at a whole frame."""
    with as_file(files("handfast") / "assets" / "demo.zip") as clip:
        frame = next(iter(open_source(clip))).amplitude
    whole = fit_affine(frame.shape[1], frame.shape[0], width, height)
    return normalise_exposure(take_view(halvings(frame, width), whole, width, height))


def _test_files(stem: str, target: str, flags: str, golden: Golden) -> dict[str, str]:
    """flags: for the compiler, beside the target's."""
    ldflags, run = EMULATED.get(target, ("", ""))
    makefile = (TEMPLATES / "Makefile").read_text()
    for word, value in {
        "NAME": stem,
        "TARGET": target,
        "COMPILER": TARGETS[target].compiler,
        "FLAGS": TARGETS[target].flags + flags,
        "LDFLAGS": ldflags,
        "RUN": run,
        "GOAL": f"{stem}.o" if target in BARE else f"{stem}_test",
    }.items():
        makefile = makefile.replace(f"@{word}@", value)
    return {
        "Makefile": makefile,
        f"{stem}_test.c": (TEMPLATES / "golden_test.c").read_text(),
        "golden.h": _golden_header(stem, golden),
    }


def _golden_header(stem: str, golden: Golden) -> str:
    upper = stem.upper()
    sizes = "".join(
        f"#define NETWORK_{size} {upper}_{size}\n" for size in ("HANDS", "KEYPOINTS", "ARENA_BYTES")
    )
    rows = ",\n".join(", ".join(map(str, row.ravel())) for row in golden.image)
    points = ",\n".join(
        ", ".join(f"{value.item().hex()}f" for value in point) for point in golden.keypoints.reshape(-1, 4)
    )
    return f"""\
/* A frame of the clip that comes with handfast, and what {stem} finds in it in {golden.found_by}. */
#include "{stem}.h"

{sizes}#define network_run {stem}_run
#define GOLDEN_FOUND {golden.found}
#define GOLDEN_TOLERANCE {golden.tolerance}f /* pixels for x and y; shares of 1 for the others */

static const uint8_t golden_image[] = {{
{rows}}};

/* x and y in pixels, visible, sharpness */
static const float golden_keypoints[] = {{
{points}}};
"""
