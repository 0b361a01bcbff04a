"""ToFNet as an encoder of ACE: its tiers and its decoder on the crop of one hand, and little more.

As in ACE's own encoder (figure 2a) a small ConvNet turns heat-maps and features into a vector, and the vector
into 3D joints. Visibility, which tells of the whole picture, is a part of the vector: hidden key-points are
what a heavier encoder may be wanted for. The tensors of its tiers have the names that they have in
``tofnet-tof8``, so that a checkpoint of that starts an encoder.
"""

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from handfast.errors import HandfastError
from handfast.models.ace import FEATURE_RANGE, Encoding
from handfast.models.layers import ConvNorm, averaged_down, start_near_nothing
from handfast.models.tofnet import HEATMAP_STRIDE, SMALL_TIERS, ToFNet

TRUNK_STRIDE = 8
HEAD_CHANNELS, BOTTOM = 64, 4


class ToFNetEncoder(ToFNet):
    """Image -> heat-maps at 1/2, features and 3D joints of one hand.

    input_px: width and height that it works on, 64 or a multiple; larger images are averaged down to it. What
    it sees of an image is the mean of its colours, of which amplitude has but one. Raises HandfastError for
    another size.
    """

    def __init__(self, input_px: int, joints: int = 21, feature_size: int = 256) -> None:
        if input_px < 64 or input_px % 64:
            raise HandfastError(f"input_px: expected a multiple of 64, got {input_px}")
        super().__init__(
            keypoints_per_hand=joints,
            **SMALL_TIERS,
            decoder_groups=1,
            skip=True,
            summary_channels=32,
            hands=1,
        )
        self.input_px, self.joints, self.feature_size = input_px, joints, feature_size
        start_near_nothing(self.to_maps)
        self.shrink = nn.Sequential(
            ConvNorm(joints + SMALL_TIERS["tier3_channels"], HEAD_CHANNELS, 1),
            nn.MaxPool2d(2),
            ConvNorm(HEAD_CHANNELS, HEAD_CHANNELS, 3),
            nn.MaxPool2d(input_px // (2 * TRUNK_STRIDE * BOTTOM)),
            nn.Flatten(),
        )
        self.to_features = nn.Sequential(
            nn.Linear(HEAD_CHANNELS * BOTTOM**2 + 1 + joints, feature_size, bias=False),
            nn.BatchNorm1d(feature_size),
            nn.Tanh(),
        )
        self.to_joints = nn.Linear(feature_size, 3 * joints)

    def forward(self, image: Tensor) -> Encoding:
        """image: (b, 3, S, S) float32, 0..1, S a multiple of input_px."""
        shared = self.features(averaged_down(image.mean(dim=1, keepdim=True), self.input_px))
        heatmaps, visibility = (of_hand[:, 0] for of_hand in self.predict(shared))
        peaks = F.max_pool2d(heatmaps, TRUNK_STRIDE // HEATMAP_STRIDE)
        seen = self.shrink(torch.cat([peaks, shared.eighth], dim=1))
        features = FEATURE_RANGE * self.to_features(torch.cat([seen, visibility], dim=1))
        return Encoding(heatmaps, self.to_joints(features).unflatten(1, (self.joints, 3)), features)
