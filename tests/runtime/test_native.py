"""Networks as machine code: compiled once, the same as ONNX Runtime, and without a compiler not there."""

import logging
import os
import shutil
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

from handfast.codecs import decode_heatmaps, map_to_input
from handfast.compression import calibration
from handfast.compression.integer import integer_logits
from handfast.compression.quantise import quantise
from handfast.errors import HandfastError
from handfast.export.c.folder import golden_of
from handfast.export.c.network import read_network
from handfast.runtime import native
from handfast.runtime.model import load_model, read_model

NAME = "tofnet-tof8"
needs_compiler = pytest.mark.skipif(
    not any(map(shutil.which, native.COMPILERS)), reason="no C compiler on this machine"
)


@pytest.fixture(scope="module")
def network():
    return native.load_native(read_model(NAME), NAME)


def images(n, seed=0):
    """Smooth pictures: of plain noise no network makes anything."""
    rng = np.random.default_rng(seed)
    coarse = rng.uniform(0, 255, (n, 12, 16))
    return np.kron(coarse, np.ones((10, 10))).astype(np.uint8)


@needs_compiler
def test_maps_are_those_of_onnx_runtime(network):
    model = load_model(NAME)
    for image in images(4):
        heatmaps, visibility = network.maps(image)
        expected_heatmaps, expected_visibility = model.run(image[None])
        assert np.abs(visibility - expected_visibility[0]).max() < 1e-4
        assert np.abs(heatmaps - expected_heatmaps[0]).max() < 1e-4


@needs_compiler
def test_threads_wait_in_turn(network):
    given = images(40)
    alone = [network.keypoints(image)[1] for image in given]
    with ThreadPoolExecutor(4) as pool:
        together = [points for _, points in pool.map(network.keypoints, given)]
    assert np.array_equal(alone, together)


@needs_compiler
def test_keypoints_are_those_of_the_codec(network):
    for image in images(6, seed=1):
        found, points = network.keypoints(image)
        heatmaps, visibility = network.maps(image)
        at_map, sharpness = decode_heatmaps(heatmaps)
        for hand in range(2):
            if not found >> hand & 1:
                assert visibility[hand, 0] <= 0 and not points[hand].any()
                continue
            assert np.abs(points[hand, :, :2] - map_to_input(at_map[hand], 2)).max() < 1e-4
            assert np.abs(points[hand, :, 2] - 1 / (1 + np.exp(-visibility[hand, 1:]))).max() < 1e-6
            assert np.abs(points[hand, :, 3] - sharpness[hand]).max() < 1e-5


@needs_compiler
def test_the_model_runs_it_and_says_so():
    model = load_model(NAME, backend="c")
    batch = images(3, seed=2)
    heatmaps, visibility = model.run(batch)
    expected_heatmaps, expected_visibility = load_model(NAME, "onnxruntime").run(batch)
    assert model.backend == "c"
    assert np.abs(visibility - expected_visibility).max() < 1e-4
    assert np.abs(heatmaps - expected_heatmaps).max() < 1e-4


@needs_compiler
def test_in_colour_it_is_the_same():
    name = "tofnet-rgb"
    hand = golden_of(read_model(name)).image
    batch = np.stack([hand, hand[:, ::-1], np.stack([images(1, seed)[0] for seed in range(3)], axis=-1)])
    model = load_model(name, backend="c")
    heatmaps, visibility = model.run(batch)
    expected_heatmaps, expected_visibility = load_model(name, "onnxruntime").run(batch)
    assert model.backend == "c"
    assert np.abs(visibility - expected_visibility).max() < 1e-4
    assert np.abs(heatmaps - expected_heatmaps).max() < 1e-4
    for maps in (heatmaps, expected_heatmaps):  # the early-out is of an image, whatever is beside it
        assert list(maps.any(axis=(1, 2, 3, 4))) == [True, True, False]


@needs_compiler
def test_what_is_compiled_is_said_and_kept(tmp_path, monkeypatch, caplog):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    caplog.set_level(logging.INFO, "handfast")
    native.load_native(read_model(NAME), NAME)
    (library,) = (tmp_path / "handfast").iterdir()
    before = library.stat().st_mtime_ns
    native.load_native(read_model(NAME), NAME)
    assert library.stat().st_mtime_ns == before
    assert caplog.messages == ["compiling tofnet_tof8.c for this processor, which is done once"]


@pytest.fixture
def calibrations(monkeypatch):
    """The sizes for which calibration images were made, which here are others and made at once."""
    made = []

    def calibration_images(width, height):
        made.append((width, height))
        return images(4)

    monkeypatch.setattr(calibration, "calibration_images", calibration_images)
    return made


@needs_compiler
def test_in_8_bits_maps_are_those_of_the_integers(tmp_path, monkeypatch, calibrations):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    native_network = native.load_native(read_model(NAME), NAME, int8=True)
    network = quantise(read_network(read_model(NAME), NAME), images(4))
    for image in images(3, seed=3):
        expected_heatmaps, expected_visibility = integer_logits(network, image[None])
        heatmaps, visibility = native_network.maps(image)
        np.testing.assert_array_equal(visibility, expected_visibility[0])
        np.testing.assert_array_equal(heatmaps, expected_heatmaps[0])
    assert native_network.weight_bytes == network.weight_bytes
    assert native_network.arena_bytes <= 48 * 1024


@needs_compiler
def test_a_network_is_calibrated_once(tmp_path, monkeypatch, calibrations):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    first, second = (native.load_native(read_model(NAME), NAME, int8=True) for _ in range(2))
    assert calibrations == [(160, 120)]
    assert len(list((tmp_path / "handfast").glob("*.so"))) == 1
    image = images(1, seed=4)[0]
    np.testing.assert_array_equal(first.maps(image)[0], second.maps(image)[0])
    monkeypatch.setattr(calibration, "VERSION", calibration.VERSION + 1)
    native.load_native(read_model(NAME), NAME, int8=True)
    assert len(calibrations) == 2, "other images, another calibration"


@needs_compiler
def test_a_compiler_that_fails_leaves_nothing_behind(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    with pytest.raises(HandfastError, match="error"):
        native.build_library("cc", {"wrong.c": "int main( {"}, "wrong.c", native.FLAGS)
    assert not list((tmp_path / "handfast").iterdir())


@needs_compiler
@pytest.mark.skipif(os.geteuid() == 0, reason="the superuser may write everywhere")
def test_a_cache_that_cannot_be_written_says_what_to_set(tmp_path, monkeypatch):
    tmp_path.chmod(0o500)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    with pytest.raises(HandfastError, match="XDG_CACHE_HOME"):
        native.load_native(read_model(NAME), NAME)


@needs_compiler
def test_a_library_that_cannot_be_loaded_says_which(tmp_path, monkeypatch):
    broken = tmp_path / "broken.so"
    broken.write_bytes(b"no library")
    monkeypatch.setattr(native, "build_library", lambda *arguments: broken)
    with pytest.raises(HandfastError, match=r"broken\.so: cannot be loaded .* XDG_CACHE_HOME"):
        native.load_native(read_model(NAME), NAME)


@needs_compiler
@pytest.mark.parametrize("wrong", [np.zeros((60, 80), np.uint8), np.zeros((120, 160), np.float32)])
def test_an_image_of_another_size_or_type_is_refused(network, wrong):
    with pytest.raises(HandfastError, match="expected an image of 120 x 160 uint8"):
        network.maps(wrong)


@needs_compiler
def test_it_is_what_runs_a_model_unless_something_else_is_asked_for():
    assert load_model(NAME).backend == "c" and load_model(NAME, "onnxruntime").backend == "onnxruntime"


@pytest.mark.parametrize(("backend", "level"), [("c", logging.WARNING), (None, logging.INFO)])
def test_without_a_compiler_onnx_runtime_stands_in(monkeypatch, caplog, backend, level):
    monkeypatch.setenv("PATH", "")
    monkeypatch.delenv("CC", raising=False)
    caplog.set_level(logging.INFO, "handfast")
    model = load_model(NAME, backend)
    assert model.backend == "onnxruntime"
    assert [(record.levelno, "no C compiler found" in record.message) for record in caplog.records] == [
        (level, True)
    ]
    assert model.run(images(1))[0].shape == (1, 2, 8, 60, 80)


def test_neither_a_home_that_is_not_there_nor_a_broken_compiler_stops_it(tmp_path, monkeypatch, caplog):
    """Nor with a traceback: ONNX Runtime stands in."""
    broken = tmp_path / "cc"
    broken.write_text("no program")
    broken.chmod(0o755)
    monkeypatch.setenv("CC", str(broken))
    assert load_model(NAME, "c").backend == "onnxruntime" and "cc: does not run" in caplog.text
    monkeypatch.setattr(native.Path, "home", raising(RuntimeError("no home")))
    monkeypatch.delenv("XDG_CACHE_HOME", raising=False)
    with pytest.raises(HandfastError, match="no home to keep compiled networks in"):
        native._cache()


def raising(error):
    def call(*_):
        raise error

    return call


def test_an_unknown_backend_is_refused_by_name():
    with pytest.raises(HandfastError, match="'cuda'"):
        load_model(NAME, backend="cuda")
