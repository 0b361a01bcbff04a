import numpy as np
import pytest
import torch

from handfast.bench.plain import PlainNetwork
from handfast.bench.task import read_task
from handfast.bench.torch_network import TorchNetwork
from handfast.errors import HandfastError
from handfast.packaged import IN_GREY


@pytest.mark.usefixtures("compiler")
@pytest.mark.parametrize("as_matrix_product", [False, True])
def test_every_kind_of_layer_as_pytorch_computes_it(network, image, as_matrix_product):
    plain = PlainNetwork(network, image, as_matrix_product)
    plain.run()
    expected = TorchNetwork(network)(torch.from_numpy(image[None, None].astype(np.float32) / 255))
    for found, right in zip(plain.outputs(), expected, strict=True):
        np.testing.assert_allclose(found, right[0], rtol=0, atol=1e-5)


@pytest.mark.usefixtures("compiler")
@pytest.mark.parametrize("model", [*IN_GREY, "tofnet-rgb"])
def test_packaged_networks_as_onnx_runtime_computes_them(model):
    task = read_task(model)
    for as_matrix_product in (False, True):
        plain = PlainNetwork(task.network, task.image, as_matrix_product)
        plain.run()
        for found, right in zip(plain.outputs(), task.expected, strict=True):
            np.testing.assert_allclose(found.reshape(right.shape), right, rtol=0, atol=1e-4)


@pytest.mark.usefixtures("compiler")
def test_the_arena_holds_every_map_and_for_matrix_products_the_largest_matrix(network, image):
    numbers = 143 + 4 * 252 + 420 + 672 + 144 + 16 + 6 + 576 + 144
    assert PlainNetwork(network, image, False).arena_bytes == 4 * numbers
    # The matrix of one group of "heatmaps": 4 channels x 3 x 3 taps for each of 6 x 6 outputs.
    assert PlainNetwork(network, image, True).arena_bytes == 4 * (numbers + 36 * 36)


@pytest.mark.usefixtures("no_compiler")
def test_without_a_compiler_it_says_so(network, image):
    with pytest.raises(HandfastError, match="no C compiler"):
        PlainNetwork(network, image, False)
