"""The pose encoder of ACE (Fan et al. 2020, section 3.2, figure 2a): an hourglass (Newell et al. 2016) whose
heat-maps and features a small ConvNet turns into a vector, and the vector into 3D joints.

The paper prints costs alone, so the layout is ours: Newell's stem with its 64 and 128 channels, bottlenecks
whose 3x3 convolutions are as wide as the paper's feature channels and whose maps are twice that, two of them
at each place of the hourglass, which halves its maps down to 4 x 4, as the ConvNet does. At 2 x MAC:

| channels | input | parameters | FLOPs | the paper |
|---|---|---|---|---|
| 32 | 64 x 64 | 1,097,748 | 0.270 G | 0.28 G |
| 32 | 128 x 128 | 1,232,916 | 1.080 G | 1.10 G |
| 64 | 256 x 256 | 2,509,012 | 6.411 G | 6.96 G |

Normalisation follows each convolution, instead of preceding it, so that it folds away for deployment.
"""

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from handfast.errors import HandfastError
from handfast.models.ace import FEATURE_RANGE, Encoding
from handfast.models.layers import ConvNorm, averaged_down, start_near_nothing

STRIDE = 4
BOTTOM = 4
HEAD_CHANNELS = 128
RESIDUALS = 2


class Residual(nn.Module):
    """A bottleneck, 1x1, 3x3, 1x1; a changed width takes a 1x1 on the shortcut as well."""

    def __init__(self, channels_in: int, channels_out: int) -> None:
        super().__init__()
        middle = channels_out // 2
        self.body = nn.Sequential(
            ConvNorm(channels_in, middle, 1),
            ConvNorm(middle, middle, 3),
            ConvNorm(middle, channels_out, 1, relu=False),
        )
        changes = channels_in != channels_out
        self.shortcut = ConvNorm(channels_in, channels_out, 1, relu=False) if changes else nn.Identity()

    def forward(self, x: Tensor) -> Tensor:
        return F.relu(self.shortcut(x) + self.body(x))


def _residuals(channels: int) -> nn.Sequential:
    return nn.Sequential(*(Residual(channels, channels) for _ in range(RESIDUALS)))


class Hourglass(nn.Module):
    """(b, C, s, s) -> the same, having seen the whole at s / 2^depth."""

    def __init__(self, channels: int, depth: int) -> None:
        super().__init__()
        self.skip = nn.ModuleList(_residuals(channels) for _ in range(depth))
        self.down = nn.ModuleList(_residuals(channels) for _ in range(depth))
        self.bottom = _residuals(channels)
        self.up = nn.ModuleList(_residuals(channels) for _ in range(depth))

    def forward(self, x: Tensor) -> Tensor:
        skipped = []
        for skip, down in zip(self.skip, self.down, strict=True):
            skipped.append(skip(x))
            x = down(F.max_pool2d(x, 2))
        x = self.bottom(x)
        for up in self.up:
            x = skipped.pop() + F.interpolate(up(x), scale_factor=2.0, mode="nearest")
        return x


class HourglassEncoder(nn.Module):
    """Image -> heat-maps at 1/4, features and 3D joints of one hand.

    input_px: width and height that it works on, a power of two from 32 up; larger images are averaged down
    to it. channels: 32 for the paper's coarse encoder, 64 for its fine one. Raises HandfastError for another
    size.
    """

    def __init__(self, input_px: int, channels: int, joints: int = 21, feature_size: int = 256) -> None:
        super().__init__()
        if input_px < 32 or input_px & (input_px - 1):
            raise HandfastError(f"input_px: expected a power of two from 32 up, got {input_px}")
        self.input_px, self.joints, self.feature_size = input_px, joints, feature_size
        width = 2 * channels
        depth = (input_px // STRIDE // BOTTOM).bit_length() - 1
        self.early = nn.Sequential(ConvNorm(3, 64, 7, stride=2), Residual(64, 128), nn.MaxPool2d(2))
        self.quarter = nn.Sequential(Residual(128, 128), Residual(128, width))
        self.hourglass = Hourglass(width, depth)
        self.after = Residual(width, width)
        self.to_heatmaps = nn.Conv2d(width, joints, 1)
        start_near_nothing(self.to_heatmaps)
        shrink = [layer for _ in range(depth)
                  for layer in (nn.MaxPool2d(2), Residual(HEAD_CHANNELS, HEAD_CHANNELS))]  # fmt: skip
        self.to_features = nn.Sequential(
            Residual(joints + 2 * width + 128, HEAD_CHANNELS),
            *shrink,
            nn.Flatten(),
            nn.Linear(HEAD_CHANNELS * BOTTOM**2, feature_size, bias=False),
            nn.BatchNorm1d(feature_size),
            nn.Tanh(),
        )
        self.to_joints = nn.Linear(feature_size, 3 * joints)

    def forward(self, image: Tensor) -> Encoding:
        """image: (b, 3, S, S) float32, 0..1, S a multiple of input_px."""
        early = self.early(averaged_down(image, self.input_px) - 0.5)
        quarter = self.quarter(early)
        shared = self.after(self.hourglass(quarter))
        heatmaps = self.to_heatmaps(shared)
        features = FEATURE_RANGE * self.to_features(torch.cat([heatmaps, shared, quarter, early], dim=1))
        return Encoding(heatmaps, self.to_joints(features).unflatten(1, (self.joints, 3)), features)
