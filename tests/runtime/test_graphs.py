"""Graphs of a folder, each by itself."""

from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

from handfast.errors import HandfastError
from handfast.runtime.graphs import as_channels, open_graphs


@pytest.fixture(params=["onnxruntime", "openvino"])
def extract(request):
    """The first graph of DIR-Net."""
    pytest.importorskip(request.param)
    return open_graphs("dirnet", "dirnet", request.param).engines["extract"]


def test_threads_that_run_one_graph_at_once_get_their_own_answers(extract):
    rng = np.random.default_rng(0)
    crops = rng.integers(0, 256, (16, 128, 128, 3), np.uint8)
    inputs = [{"image": as_channels(crop, 128)} for crop in crops]
    alone = [extract(each)[0].copy() for each in inputs]
    with ThreadPoolExecutor(8) as threads:
        together = list(threads.map(lambda each: extract(each)[0], inputs))
    for one, other in zip(alone, together, strict=True):
        np.testing.assert_array_equal(one, other)


def test_a_picture_becomes_channels_from_0_to_1():
    image = np.zeros((2, 2, 3), np.uint8)
    image[0, 1] = 255, 0, 51
    channels = as_channels(image, 2)
    assert channels.shape == (1, 3, 2, 2) and channels.dtype == np.float32
    np.testing.assert_allclose(channels[0, :, 0, 1], [1, 0, 0.2], rtol=1e-6)
    assert channels[0, :, 1].max() == 0


def test_a_crop_is_averaged_down_to_what_a_graph_takes():
    """To half a level, since means are of whole ones."""
    image = np.random.default_rng(0).integers(0, 256, (12, 12, 3), np.uint8)
    for size in (6, 4, 3):
        factor = 12 // size
        means = image.reshape(size, factor, size, factor, 3).mean(axis=(1, 3)).transpose(2, 0, 1)
        channels = as_channels(image, 12, size)
        assert channels.shape == (1, 3, size, size) and channels.dtype == np.float32
        np.testing.assert_allclose(255 * channels[0], means, rtol=0, atol=0.5 + 1e-4)


@pytest.mark.parametrize(
    ("shape", "dtype"),
    [((64, 64, 3), np.uint8), ((2, 2), np.uint8), ((2, 2, 4), np.uint8), ((2, 2, 3), np.float32)],
)
def test_what_is_no_crop_is_refused(shape, dtype):
    with pytest.raises(HandfastError, match=r"image: expected a crop \(2, 2, 3\) uint8, got"):
        as_channels(np.zeros(shape, dtype), 2)
