"""PyTorch, ONNX Runtime and the generated C find the same key-points on frames of the packaged clip."""

import ctypes
import shutil
import subprocess
import sys
from dataclasses import replace
from importlib.resources import as_file, files

import numpy as np
import pytest

from handfast.codecs import decode_heatmaps, map_to_input
from handfast.export.c.emit import emit
from handfast.export.c.interface import identifier
from handfast.export.c.targets import TARGETS
from handfast.geometry import fit_affine
from handfast.packaged import IN_GREY
from handfast.runtime import native
from handfast.runtime.model import load_model, read_model
from handfast.sensors.images import normalise_exposure
from handfast.sensors.sources import open_source
from handfast.sensors.views import halvings, take_view

torch = pytest.importorskip("torch", reason="needs the train extra")
pytestmark = pytest.mark.skipif(
    not any(map(shutil.which, native.COMPILERS)), reason="no C compiler on this machine"
)

TOLERANCE_PX = 1e-4


@pytest.fixture(scope="module")
def frames():
    """Six frames of the clip as the tracker looks at them whole: (6, 120, 160) uint8."""
    with as_file(files("handfast") / "assets" / "demo.zip") as clip:
        pictures = [frame.amplitude for frame in open_source(clip)][::5][:6]
    whole = fit_affine(pictures[0].shape[1], pictures[0].shape[0], 160, 120)
    return np.stack([normalise_exposure(take_view(halvings(p, 160), whole, 160, 120)) for p in pictures])


@pytest.fixture(scope="module")
def compiled(tmp_path_factory):
    """A function of a model and a target, or "strips": its C, compiled without what takes long."""
    cache = str(tmp_path_factory.mktemp("cache"))
    done = {}

    def compiled(name, target):
        if (name, target) not in done:
            with pytest.MonkeyPatch.context() as patch:
                patch.setenv("XDG_CACHE_HOME", cache)
                patch.setattr(native, "FLAGS", ("-O1", *(flag for flag in native.FLAGS if flag != "-O3")))
                if target == "strips":
                    done[name, target] = in_strips(name, compiled(name, "generic"))
                else:
                    patch.setattr(native, "_target", lambda *_: target)
                    done[name, target] = native.load_native(read_model(name), name)
        return done[name, target]

    return compiled


def in_strips(name, network):
    """The same network as on a microcontroller: maps in strips where that makes the arena smaller."""
    texts = emit(read_model(name), name, "generic")
    path = native.build_library(native.find_compiler(), texts, f"{network.symbol}.c", native.FLAGS)
    library = ctypes.CDLL(str(path))
    arena_bytes = getattr(library, f"{network.symbol}_arena_bytes")()
    assert arena_bytes < network.arena_bytes or name != "tofnet-tof8"
    return replace(network, library=library, arena=native._aligned(arena_bytes))


def vectors_here():
    """The targets whose vectors this processor has."""
    done = subprocess.run(
        [native.find_compiler(), "-march=native", "-dM", "-E", "-x", "c", "-"],
        input="", capture_output=True, text=True, check=True,
    )  # fmt: skip
    defined = {line.split()[1] for line in done.stdout.splitlines()}
    return [target for target, macros in native.TARGET_MACROS.items() if defined.issuperset(macros)]


# Runs a network in an arena between pages that nobody may touch: right behind the first, then right before
# the last.
GUARDED = """
import ctypes, mmap, sys
library, symbol, maps_bytes, logits_bytes = sys.argv[1:3] + [int(n) for n in sys.argv[3:]]
network = ctypes.CDLL(library)
size = getattr(network, symbol + "_arena_bytes")()
page = mmap.PAGESIZE
room = -(-size // page) * page
memory = mmap.mmap(-1, room + 2 * page)
first = ctypes.addressof(ctypes.c_char.from_buffer(memory))
for guard in (first, first + page + room):
    assert ctypes.CDLL(None).mprotect(ctypes.c_void_p(guard), ctypes.c_size_t(page), 0) == 0
image = sys.stdin.buffer.read()
maps, logits = map(ctypes.create_string_buffer, (maps_bytes, logits_bytes))
for arena in (first + page, first + page + room - size):
    getattr(network, symbol + "_maps")(image, maps, logits, ctypes.c_void_p(arena))
print("done", any(maps.raw))
"""


@pytest.mark.skipif(sys.platform != "linux", reason="guards pages as Linux does")
@pytest.mark.parametrize("name", IN_GREY)
def test_nothing_is_touched_beside_the_arena(name, frames, tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    quickly = ("-O1", *(flag for flag in native.FLAGS if flag != "-O3"))
    keypoints = len(load_model(name, "onnxruntime").skeleton)
    sizes = [4 * 2 * keypoints * 60 * 80, 4 * 2 * (1 + keypoints)]
    for target in ("generic", *vectors_here()):
        # Where gcc could make vectors by itself they are what might reach beyond.
        flags = (*native.FLAGS, *TARGETS[target].flags.split()) if target == "generic" else quickly
        library = native.build_library(
            native.find_compiler(), emit(read_model(name), name, target), f"{identifier(name)}.c", flags
        )
        arguments = map(str, [library, identifier(name), *sizes])
        done = subprocess.run(
            [sys.executable, "-c", GUARDED, *arguments],
            input=frames[0].tobytes(), capture_output=True, check=False,
        )  # fmt: skip
        assert (done.returncode, done.stdout) == (0, b"done True\n"), (target, done.stderr)


def points_of(heatmaps, visibility):
    """Logits -> key-points (n, 2, K, 2) in pixels, NaN for hands that are not there."""
    points_map, _ = decode_heatmaps(heatmaps)
    there = visibility[..., 0] > 0
    return np.where(there[..., None, None], map_to_input(points_map, 2), np.nan)


@pytest.mark.parametrize("name", IN_GREY)
def test_three_ways_to_the_same_key_points(name, frames, compiled):
    from handfast.training.checkpoint import load_checkpoint

    with as_file(files("handfast") / "assets" / f"{name}.safetensors") as path:
        net, _ = load_checkpoint(path)
    with torch.inference_mode():
        of_torch = points_of(*(part.numpy() for part in net(torch.from_numpy(frames[:, None]).float() / 255)))
    of_onnx = np.concatenate([points_of(*load_model(name).run(frame[None])) for frame in frames])
    found, points = zip(*map(compiled(name, "generic").keypoints, frames), strict=True)
    there = (np.array(found)[:, None] >> np.arange(2) & 1).astype(bool)
    of_c = np.where(there[..., None, None], np.stack(points)[..., :2], np.nan)
    assert np.isfinite(of_torch).mean() > 0.5  # most frames show both hands
    np.testing.assert_allclose(of_onnx, of_torch, rtol=0, atol=TOLERANCE_PX)
    np.testing.assert_allclose(of_c, of_torch, rtol=0, atol=TOLERANCE_PX)
    np.testing.assert_allclose(of_c, of_onnx, rtol=0, atol=TOLERANCE_PX)


@pytest.mark.parametrize("name", IN_GREY)
def test_c_gives_the_same_bits_for_all_vectors_and_in_strips(name, frames, compiled):
    targets = vectors_here()
    if not targets:
        pytest.skip("this processor has no vectors with a fused multiply-add")
    for frame in frames:
        found, points = compiled(name, "generic").keypoints(frame)
        maps = compiled(name, "generic").maps(frame)
        for target in (*targets, "strips"):
            other_found, other_points = compiled(name, target).keypoints(frame)
            other_maps = compiled(name, target).maps(frame)
            assert (other_found, other_points.tobytes()) == (found, points.tobytes()), target
            assert [m.tobytes() for m in other_maps] == [m.tobytes() for m in maps], target
