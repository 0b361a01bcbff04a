"""A network as a folder of C: what ``emit`` makes, a Makefile, and a test of it against a golden frame."""

import re
from dataclasses import dataclass
from importlib.resources import as_file, files
from pathlib import Path

import numpy as np
import onnxruntime

from handfast.codecs import decode_heatmaps, map_to_input
from handfast.export.c.emit import TARGETS, emit, identifier
from handfast.export.c.network import Convolution, read_network
from handfast.files import write_whole
from handfast.geometry import fit_affine
from handfast.sensors.images import normalise_exposure
from handfast.sensors.sources import open_source
from handfast.sensors.views import halvings, take_view

TEMPLATES = files("handfast") / "export" / "c" / "templates"
# How the golden test is linked, and what runs it, where this computer's own processor cannot.
EMULATED = {"neon": ("-static", "qemu-aarch64")}
# Processors without an operating system, of which make compiles the network alone.
BARE = ("mve", "wasm", "cortex-m4")


@dataclass(frozen=True, eq=False)
class Golden:
    """A picture (H, W) uint8, and what should be found in it: bit 0 a left and bit 1 a right hand; keypoints
    (2, K, 4) float32: x and y in pixels, visible and sharpness, zeros for a hand that is not there."""

    image: np.ndarray
    found: int
    keypoints: np.ndarray


@dataclass(frozen=True)
class Written:
    """The C of a network: {file name: text}, the arena's bytes and those of the weights."""

    texts: dict[str, str]
    arena_bytes: int
    weight_bytes: int


def write_c(content: bytes, name: str, target: str, folder: Path) -> Written:
    """Write the network of an ONNX file's content as C into a folder, which is made.

    Nothing is written if a layer has no kernel. Raises HandfastError as ``emit`` does, and when the folder
    cannot be written.
    """
    stem = identifier(name)
    texts = emit(content, name, target)
    arena_bytes = int(re.search(r"_ARENA_BYTES (\d+)", texts[f"{stem}.h"])[1])
    convolutions = [layer for layer in read_network(content, name).layers if isinstance(layer, Convolution)]
    texts |= _test_files(stem, target, golden_of(content))
    for file, text in texts.items():
        write_whole(folder / file, text.encode())
    return Written(texts, arena_bytes, sum(c.weight.nbytes + c.bias.nbytes for c in convolutions))


def golden_of(content: bytes) -> Golden:
    """What ONNX Runtime and ``codecs`` find in the first frame of the packaged clip."""
    session = onnxruntime.InferenceSession(content, providers=["CPUExecutionProvider"])
    (given,) = session.get_inputs()
    image = _first_frame(*given.shape[:1:-1])
    heatmaps, visibility = session.run(
        ["heatmaps", "visibility"], {given.name: image[None, None].astype(np.float32) / 255}
    )
    points_map, sharpness = decode_heatmaps(heatmaps[0])
    points_px = map_to_input(points_map, image.shape[1] / heatmaps.shape[-1])
    visible = 1 / (1 + np.exp(-visibility[0, :, 1:]))
    there = visibility[0, :, 0] > 0
    keypoints = np.concatenate([points_px, visible[..., None], sharpness[..., None]], axis=-1)
    return Golden(image, int(there @ [1, 2]), (keypoints * there[:, None, None]).astype(np.float32))


def _first_frame(width: int, height: int) -> np.ndarray:
    """(height, width) uint8, as the tracker looks at a whole frame."""
    with as_file(files("handfast") / "assets" / "demo.zip") as clip:
        frame = next(iter(open_source(clip))).amplitude
    whole = fit_affine(frame.shape[1], frame.shape[0], width, height)
    return normalise_exposure(take_view(halvings(frame, width), whole, width, height))


def _test_files(stem: str, target: str, golden: Golden) -> dict[str, str]:
    flags, run = EMULATED.get(target, ("", ""))
    makefile = (TEMPLATES / "Makefile").read_text()
    for word, value in {
        "NAME": stem,
        "TARGET": target,
        "COMPILER": TARGETS[target].compiler,
        "FLAGS": TARGETS[target].flags,
        "LDFLAGS": flags,
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
    sizes = "".join(f"#define NETWORK_{size} {upper}_{size}\n" for size in ("HANDS", "KEYPOINTS", "ARENA_BYTES"))
    rows = ",\n".join(", ".join(map(str, row)) for row in golden.image)
    points = ",\n".join(
        ", ".join(f"{value.item().hex()}f" for value in point) for point in golden.keypoints.reshape(-1, 4)
    )
    return f"""\
/* A frame of the clip that comes with handfast, and what {stem} finds in it in ONNX Runtime. */
#include "{stem}.h"

{sizes}#define network_run {stem}_run
#define GOLDEN_FOUND {golden.found}

static const uint8_t golden_image[] = {{
{rows}}};

/* x and y in pixels, visible, sharpness */
static const float golden_keypoints[] = {{
{points}}};
"""
