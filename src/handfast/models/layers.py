"""Building blocks shared by the families: convolution with normalisation, channel shuffle, up-sampling."""

import torch
from torch import Tensor, nn
from torch.nn import functional as F


class ConvNorm(nn.Sequential):
    """Convolution that keeps the resolution but for ``stride``, batch normalisation and perhaps a ReLU."""

    def __init__(
        self,
        channels_in: int,
        channels_out: int,
        kernel: int,
        stride: int = 1,
        groups: int = 1,
        dilation: int = 1,
        relu: bool = True,
    ) -> None:
        padding = dilation * (kernel // 2)
        layers = [
            nn.Conv2d(channels_in, channels_out, kernel, stride, padding, dilation, groups, bias=False),
            nn.BatchNorm2d(channels_out),
        ]
        super().__init__(*layers, *([nn.ReLU(inplace=True)] if relu else []))


def averaged_down(image: Tensor, width_px: int) -> Tensor:
    """(b, c, S, S) -> (b, c, width_px, width_px), S a multiple of it."""
    factor = int(image.shape[-1]) // width_px
    return F.avg_pool2d(image, factor) if factor > 1 else image


def start_near_nothing(to_maps: nn.Conv2d) -> None:
    """For heat-maps that are taught by squared errors: else those of all cells, in the thousands for large
    maps, are all that the first hundreds of steps learn from."""
    nn.init.normal_(to_maps.weight, std=1e-3)
    nn.init.zeros_(to_maps.bias)


class ChannelShuffle(nn.Module):
    """(b, c, h, w): deal the channels of each group out to all groups, so that grouped layers mix them.

    In training channels come last in memory, and stay there: a step of ToFNet takes a tenth less time.
    """

    def __init__(self, groups: int) -> None:
        super().__init__()
        self.groups = groups

    def forward(self, x: Tensor) -> Tensor:
        _, channels, height, width = x.shape
        if self.training:
            x = x.permute(0, 2, 3, 1).unflatten(-1, (self.groups, channels // self.groups))
            return x.transpose(-2, -1).flatten(-2).permute(0, 3, 1, 2)
        x = x.reshape(-1, self.groups, channels // self.groups, height, width)
        return x.transpose(1, 2).reshape(-1, channels, height, width)


class UpsampleDepthwise(nn.Module):
    """(b, c, h, w) -> (b, c, 2h, 2w): nearest neighbour, then a depth-wise 3x3 convolution.

    It starts as bilinear interpolation, which is what the binomial kernel makes of nearest neighbours.
    """

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.convolution = nn.Conv2d(channels, channels, 3, padding=1, groups=channels)
        binomial = torch.tensor([0.25, 0.5, 0.25])
        with torch.no_grad():
            self.convolution.weight.copy_(torch.outer(binomial, binomial).expand_as(self.convolution.weight))
            self.convolution.bias.zero_()

    def forward(self, x: Tensor) -> Tensor:
        return self.convolution(F.interpolate(x, scale_factor=2.0, mode="nearest"))
