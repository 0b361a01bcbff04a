"""Graphs of a folder, each by itself."""

from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

from handfast.runtime.graphs import as_channels, open_graphs


@pytest.fixture(params=["onnxruntime", "openvino"])
def extract(request):
    """The first graph of DIR-Net."""
    pytest.importorskip(request.param)
    return open_graphs("dirnet", "dirnet", request.param).engines["extract"]


def test_threads_that_run_one_graph_at_once_get_their_own_answers(extract):
    rng = np.random.default_rng(0)
    inputs = [{"image": as_channels(rng.integers(0, 256, (128, 128, 3), np.uint8))} for _ in range(16)]
    alone = [extract(each)[0].copy() for each in inputs]
    with ThreadPoolExecutor(8) as threads:
        together = list(threads.map(lambda each: extract(each)[0], inputs))
    for one, other in zip(alone, together, strict=True):
        np.testing.assert_array_equal(one, other)


def test_a_picture_becomes_channels_from_0_to_1():
    image = np.zeros((2, 2, 3), np.uint8)
    image[0, 1] = 255, 0, 51
    channels = as_channels(image)
    assert channels.shape == (1, 3, 2, 2) and channels.dtype == np.float32
    np.testing.assert_allclose(channels[0, :, 0, 1], [1, 0, 0.2], rtol=1e-6)
    assert channels[0, :, 1].max() == 0
