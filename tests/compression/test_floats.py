"""NumPy's float32 agrees with ONNX Runtime, and with what a convolution is by definition."""

from importlib.resources import as_file, files

import cv2
import numpy as np
import pytest

from handfast.compression.floats import convolve, run_floats
from handfast.export.c.network import read_network
from handfast.packaged import IN_GREY
from handfast.runtime.model import open_session, read_model
from handfast.sensors.images import as_floats, normalise_exposure
from handfast.sensors.sources import open_source


@pytest.fixture(scope="module")
def images():
    """Hands, and noise."""
    with as_file(files("handfast") / "assets" / "demo.zip") as clip:
        frames = [frame.amplitude for frame in open_source(clip)][:40:20]
    hands = [normalise_exposure(cv2.resize(frame, (160, 120))) for frame in frames]
    return np.stack([*hands, np.random.default_rng(0).integers(0, 256, (120, 160), np.uint8)])


@pytest.mark.parametrize("name", IN_GREY)
def test_packaged_networks_equal_onnx_runtime(name, images):
    """Which decodes all images of a batch if a hand may be in one."""
    content = read_model(name)
    network, session = read_network(content, name), open_session(content, name)
    maps = run_floats(network, images)
    expected = session.run(["heatmaps", "visibility"], {"image": as_floats(images)})
    for got, want in zip((maps[network.heatmaps], maps[network.visibility]), expected, strict=True):
        np.testing.assert_allclose(got.reshape(want.shape), want, atol=1e-4)


@pytest.mark.parametrize(
    "kernel, groups, stride, dilation", [(3, 2, 2, 1), (3, 4, 1, 5), (1, 4, 1, 1), (2, 1, 1, 2)]
)
def test_a_convolution_is_a_sum_over_taps_and_channels_of_its_group(kernel, groups, stride, dilation):
    rng = np.random.default_rng(0)
    maps = rng.integers(-9, 9, (2, 4, 13, 12))
    weight = rng.integers(-9, 9, (8, 4 // groups, kernel, kernel))
    got = convolve(maps, weight, groups, stride, dilation)
    for n, out, y, x in np.ndindex(got.shape):
        group = out // (8 // groups)
        seen = maps[n, group * (4 // groups) : (group + 1) * (4 // groups)]
        rows, columns = (stride * at + dilation * np.arange(kernel) for at in (y, x))
        assert got[n, out, y, x] == (seen[:, rows[:, None], columns] * weight[out]).sum()
    assert got.shape[2:] == tuple((size - dilation * (kernel - 1) - 1) // stride + 1 for size in (13, 12))


def test_every_kind_of_layer_has_the_shape_that_the_network_says(small_network, small_images):
    maps = run_floats(small_network, small_images)
    assert {name: values.shape[1:] for name, values in maps.items()} == small_network.shapes
    assert all(values.dtype == np.float32 for values in maps.values())
