"""A network as a PyTorch module: what PyTorch runs, and what other engines' formats are converted from."""

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from handfast.export.c.network import (
    Add,
    Concat,
    Convolution,
    GlobalMax,
    Layer,
    MaxPool,
    Network,
    Shuffle,
    Upsample,
    sources_of,
)
from handfast.models.layers import ChannelShuffle


class TorchNetwork(nn.Module):
    """(1, 1, H, W) float32, 0..1 -> heat-maps (1, 2 K, h, w), visibility (1, 2 (1 + K), 1, 1), logits.

    Ready to run: batch normalisation is folded, as in the ONNX file that the network was read from.
    """

    def __init__(self, network: Network) -> None:
        super().__init__()
        self.network = network
        self.operators = nn.ModuleList(_operator(layer) for layer in network.layers)
        self.eval().requires_grad_(False)

    def forward(self, image: Tensor) -> tuple[Tensor, Tensor]:
        maps = {self.network.image: image}
        for layer, operator in zip(self.network.layers, self.operators, strict=True):
            sources = [maps[name] for name in sources_of(layer)]
            match layer:
                case Add():
                    result = sources[0] + sources[1]
                case Concat():
                    result = torch.cat(sources, 1)
                case GlobalMax():
                    result = sources[0].amax((2, 3), keepdim=True)
                case _:
                    result = operator(sources[0])
            is_rectified = isinstance(layer, Convolution | Add) and layer.relu
            maps[layer.target] = F.relu(result) if is_rectified else result
        return maps[self.network.heatmaps], maps[self.network.visibility]


def _operator(layer: Layer) -> nn.Module:
    """The module of a layer that PyTorch has one for."""
    match layer:
        case Convolution():
            return _convolution(layer)
        case Shuffle():
            return ChannelShuffle(layer.groups)
        case MaxPool():
            return nn.MaxPool2d(2)
        case Upsample():
            return nn.Upsample(scale_factor=2.0, mode="nearest")
        case _:
            return nn.Identity()


def _convolution(layer: Convolution) -> nn.Conv2d:
    filters, depth = layer.weight.shape[:2]
    convolution = nn.Conv2d(
        depth * layer.groups, filters, layer.kernel, layer.stride, layer.pad, layer.dilation, layer.groups
    )
    convolution.load_state_dict({"weight": torch.tensor(layer.weight), "bias": torch.tensor(layer.bias)})
    return convolution
