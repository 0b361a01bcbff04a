import numpy as np
import torch

from handfast.bench.torch_network import TorchNetwork


def test_a_packaged_network_as_onnx_runtime_computes_it(task):
    network = TorchNetwork(task.network)
    for found, right in zip(network(torch.from_numpy(task.as_floats())), task.expected, strict=True):
        assert not found.requires_grad
        np.testing.assert_allclose(found.numpy().reshape(right.shape), right, rtol=0, atol=1e-4)
