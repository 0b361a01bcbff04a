"""Layers against hand-worked cases."""

import pytest
import torch
from torch.nn import functional as F

from handfast.models.layers import ChannelShuffle, ConvNorm, UpsampleDepthwise


@pytest.mark.parametrize("training", [True, False])
def test_shuffle_gives_each_group_a_channel_of_every_group(training):
    x = torch.arange(6.0).view(1, 6, 1, 1).expand(2, 6, 3, 5)
    shuffled = ChannelShuffle(2).train(training)(x)
    assert shuffled.shape == x.shape
    assert shuffled[0, :, 0, 0].tolist() == [0, 3, 1, 4, 2, 5]


def test_shuffle_is_the_same_in_training_and_leaves_channels_last_in_memory():
    x = torch.randn(2, 24, 4, 5).to(memory_format=torch.channels_last)
    shuffled = ChannelShuffle(4).train()(x)
    assert torch.equal(shuffled, ChannelShuffle(4).eval()(x))
    assert shuffled.is_contiguous(memory_format=torch.channels_last)


def test_shuffles_with_swapped_group_counts_are_inverses():
    x = torch.randn(2, 24, 4, 5)
    assert torch.equal(ChannelShuffle(6)(ChannelShuffle(4)(x)), x)


def test_upsampling_starts_as_bilinear_interpolation():
    x = torch.randn(2, 3, 7, 9)
    bilinear = F.interpolate(x, scale_factor=2.0, mode="bilinear", align_corners=False)
    # The border differs: zero padding there, repeated pixels in interpolation.
    torch.testing.assert_close(UpsampleDepthwise(3)(x)[..., 1:-1, 1:-1], bilinear[..., 1:-1, 1:-1])


def test_convolutions_keep_or_halve_the_resolution():
    x = torch.randn(2, 8, 12, 16)
    for dilation in (1, 2, 3, 4):
        assert ConvNorm(8, 4, 3, groups=4, dilation=dilation)(x).shape == (2, 4, 12, 16)
    assert ConvNorm(8, 4, 3, stride=2)(x).shape == (2, 4, 6, 8)
