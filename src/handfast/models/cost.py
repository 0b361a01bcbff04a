"""What a net costs before it is exported: as it trains, with a normalisation behind each convolution."""

from collections.abc import Callable

import torch
from torch import nn
from torch.utils.flop_counter import FlopCounterMode


def network_cost(build: Callable[[], nn.Module], *input_shape: int) -> tuple[int, int]:
    """-> learned parameters, and the multiply-accumulates of convolutions and matrix products on one input.

    Nothing is computed: the net that ``build`` makes has no weights. A file of it has fewer parameters,
    normalisations being folded into convolutions there.
    """
    with torch.device("meta"):
        net = build().eval()
        with FlopCounterMode(display=False) as counter, torch.inference_mode():
            net(torch.empty(input_shape))
    return sum(parameter.numel() for parameter in net.parameters()), counter.get_total_flops() // 2
