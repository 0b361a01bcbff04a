"""ToFNet (chidananda2019, section 3): a key-point net of some 41k parameters for time-of-flight amplitude.

``ToFNet`` is what ships: encoder, decoder, visibility. ``KeypointNet`` is all of it but the encoder, in whose
place others can stand. ``ToFNetHeads`` are the auxiliary tasks of section 4, which see the net's features in
training only.

Where the text leaves a choice, or this net departs from it: tiers 1 and 3 begin with max-pooling, tier 3 with
a 1x1 convolution as well; tier 2 has two units of two blocks; groups are shuffled; the decoder's 1x1 stands
between its two up-samplings, so its output is also the last of the "intermediate" layers; visibility,
orientation and key-pose are told from a global maximum; the segmentation's spatial path has two convolutions,
without BiSeNet's attention, and is held against labels at 1/4; visibility ships beside encoder and decoder.
"""

from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from handfast.models.layers import ChannelShuffle, ConvNorm, UpsampleDepthwise
from handfast.structures import KEY_POSES, ORIENTATIONS

INPUT_HEIGHT, INPUT_WIDTH = 120, 160
HEATMAP_STRIDE = 2
TIER2_GROUPS, TIER3_GROUPS = 4, 8
# An encoder within the paper's budget.
SMALL_TIERS = {
    "tier1_channels": 16,
    "tier2_channels": 32,
    "tier2_middle": 20,
    "tier3_channels": 64,
    "tier3_middle": 48,
}


class Features(NamedTuple):
    """What the heads share: eighth (b, c, 15, 20), decoded (b, c, 30, 40), and summary (b, s), one vector
    about the whole image."""

    eighth: Tensor
    decoded: Tensor
    summary: Tensor


class Prediction(NamedTuple):
    """Logits: heatmaps (b, 2, K, 60, 80), visibility (b, 2, 1 + K) of the hand and of its key-points."""

    heatmaps: Tensor
    visibility: Tensor


class AuxiliaryPrediction(NamedTuple):
    """Logits of the training-only heads.

    deep_eighth (b, 2, K, 15, 20), deep_quarter (b, 2, K, 30, 40), deep_half (b, 2, K, 60, 80), auxiliary
    (b, 2, A, 30, 40) or None, orientation (b, 2, 8), key_pose (b, 2, 9), segmentation (b, 3, 30, 40).
    """

    deep_eighth: Tensor
    deep_quarter: Tensor
    deep_half: Tensor
    auxiliary: Tensor | None
    orientation: Tensor
    key_pose: Tensor
    segmentation: Tensor


class ConvBlock131(nn.Sequential):
    """1x1, 3x3, 1x1 Conv-BN-ReLU in groups (figure 1 A); a shuffle lets the groups exchange features."""

    def __init__(self, channels_in: int, channels_middle: int, channels_out: int, shuffles: bool) -> None:
        super().__init__(
            ConvNorm(channels_in, channels_middle, 1, groups=TIER2_GROUPS),
            ChannelShuffle(TIER2_GROUPS if shuffles else 1),
            ConvNorm(channels_middle, channels_middle, 3, groups=TIER2_GROUPS),
            ConvNorm(channels_middle, channels_out, 1, groups=TIER2_GROUPS),
        )


class ConvUnit(nn.Module):
    """Two blocks in a row, their outputs concatenated: DenseNet without the input tensor (figure 1 B)."""

    def __init__(self, channels_in: int, channels_middle: int, channels_out: int, shuffles: bool) -> None:
        super().__init__()
        self.first = ConvBlock131(channels_in, channels_middle, channels_out // 2, shuffles)
        self.second = ConvBlock131(channels_out // 2, channels_middle, channels_out // 2, shuffles)

    def forward(self, x: Tensor) -> Tensor:
        x = self.first(x)
        return torch.cat([x, self.second(x)], dim=1)


class Bottleneck(nn.Module):
    """A residual bottleneck in groups whose 3x3 convolution is dilated (figure 1 A)."""

    def __init__(self, channels: int, channels_middle: int, dilation: int, shuffles: bool) -> None:
        super().__init__()
        self.body = nn.Sequential(
            ConvNorm(channels, channels_middle, 1, groups=TIER3_GROUPS),
            ChannelShuffle(TIER3_GROUPS if shuffles else 1),
            ConvNorm(channels_middle, channels_middle, 3, groups=TIER3_GROUPS, dilation=dilation),
            ConvNorm(channels_middle, channels, 1, groups=TIER3_GROUPS, relu=False),
        )

    def forward(self, x: Tensor) -> Tensor:
        return F.relu(x + self.body(x))


class DilatedLadder(nn.Sequential):
    """Four bottlenecks with dilation 1, 2, 3, 4 (figure 1 B)."""

    def __init__(self, channels: int, channels_middle: int, shuffles: bool) -> None:
        super().__init__(
            *(Bottleneck(channels, channels_middle, dilation, shuffles) for dilation in (1, 2, 3, 4))
        )


class KeypointNet(nn.Module):
    """An image -> heat-maps of both hands' key-points, and which of them are there to see.

    Whatever a subclass has for an encoder, the decoder, the summary and the visibility are the same
    (section 5). channels: those of the encoder's features at 1/8. decoder_groups: groups of the 1x1
    convolution that makes the maps; 2 K for the paper's channel-wise decoder, where each map sees its own
    channels only, 1 for a dense one. summary_channels: what presence, visibility and the pose classes are
    told from. skip_channels: those of the encoder's features at 1/4 that the decoder also takes, 0 for none.
    image_channels: c below, 1 of an amplitude image, 3 of red, green, blue. hands: with maps of their own; 1
    in a crop of a known hand.
    """

    def __init__(
        self,
        keypoints_per_hand: int,
        channels: int,
        decoder_groups: int,
        summary_channels: int,
        skip_channels: int = 0,
        image_channels: int = 1,
        hands: int = 2,
    ) -> None:
        super().__init__()
        self.keypoints_per_hand = keypoints_per_hand
        self.image_channels = image_channels
        self.hands = hands
        maps = hands * keypoints_per_hand
        self.upsample_to_quarter = UpsampleDepthwise(channels)
        self.skip = ConvNorm(skip_channels, channels, 1, relu=False) if skip_channels else None
        self.to_maps = nn.Conv2d(channels, maps, 1, groups=decoder_groups)
        self.upsample_to_half = UpsampleDepthwise(maps)
        # Which hand it is takes a layer of its own: thumb's side and palm's side mean nothing each alone.
        # Maxima are large and all positive: without normalisation every unit of the layer soon dies.
        self.summary = ConvNorm(channels, summary_channels, 1)
        self.visibility = nn.Linear(summary_channels, hands * (1 + keypoints_per_hand))

    @property
    def shared_weight(self) -> Tensor:
        """The weight of the last convolution that all tasks use: the encoder's last."""
        raise NotImplementedError

    def encode(self, image: Tensor) -> tuple[Tensor | None, Tensor]:
        """(b, c, 120, 160) -> features at 1/4 (b, skip_channels, 30, 40), None without a skip connection, and
        at 1/8 (b, channels, 15, 20), none negative."""
        raise NotImplementedError

    def features(self, image: Tensor) -> Features:
        """image: (b, c, 120, 160) float32, 0..1."""
        quarter, eighth = self.encode(image)
        decoded = self.upsample_to_quarter(eighth)
        if self.skip is not None:
            decoded = decoded + self.skip(quarter)
        summary = self.summary(eighth.amax(dim=(2, 3), keepdim=True)).flatten(1)
        return Features(eighth, F.relu(decoded), summary)

    def predict(self, features: Features) -> Prediction:
        # No ReLU after the 1x1: a channel-wise map that it silenced would never train again (section 4).
        heatmaps = self.upsample_to_half(self.to_maps(features.decoded))
        visibility = self.visibility(features.summary)
        return Prediction(_per_hand(heatmaps, self.hands), _per_hand(visibility, self.hands))

    def forward(self, image: Tensor) -> Prediction:
        """image: (b, c, 120, 160) float32, 0..1."""
        return self.predict(self.features(image))


class ToFNet(KeypointNet):
    """The paper's encoder of three tiers before the decoder.

    tier?_channels: channels after each tier (section 3: 16, 32, 64); tier?_middle: those inside its blocks.
    skip: also hand tier 2's features to the decoder, which the paper's net does not. shuffles: of channels
    between groups, of which the paper says nothing. The rest is ``KeypointNet``'s.
    """

    def __init__(
        self,
        keypoints_per_hand: int,
        tier1_channels: int,
        tier2_channels: int,
        tier2_middle: int,
        tier3_channels: int,
        tier3_middle: int,
        decoder_groups: int,
        skip: bool,
        summary_channels: int,
        image_channels: int = 1,
        hands: int = 2,
        shuffles: bool = True,
    ) -> None:
        skip_channels = tier2_channels if skip else 0
        super().__init__(
            keypoints_per_hand,
            tier3_channels,
            decoder_groups,
            summary_channels,
            skip_channels,
            image_channels,
            hands,
        )
        self.tier1 = nn.Sequential(ConvNorm(image_channels, tier1_channels, 3, stride=2), nn.MaxPool2d(2))
        self.tier2 = nn.Sequential(
            ConvUnit(tier1_channels, tier2_middle, tier2_channels, shuffles),
            ConvUnit(tier2_channels, tier2_middle, tier2_channels, shuffles),
        )
        self.tier3 = nn.Sequential(
            nn.MaxPool2d(2),
            ConvNorm(tier2_channels, tier3_channels, 1, groups=TIER3_GROUPS),
            DilatedLadder(tier3_channels, tier3_middle, shuffles),
            DilatedLadder(tier3_channels, tier3_middle, shuffles),
        )

    @property
    def shared_weight(self) -> Tensor:
        last_bottleneck = self.tier3[-1][-1]
        return last_bottleneck.body[-1][0].weight

    def encode(self, image: Tensor) -> tuple[Tensor, Tensor]:
        quarter = self.tier2(self.tier1(image))
        return quarter, self.tier3(quarter)


class SegmentationHead(nn.Module):
    """Background, left, right hand at 1/4: a spatial path beside the net as context path (BiSeNet [18])."""

    def __init__(self, context_channels: int, image_channels: int, spatial_channels: int = 16) -> None:
        super().__init__()
        self.spatial = nn.Sequential(
            ConvNorm(image_channels, spatial_channels, 3, stride=2),
            ConvNorm(spatial_channels, spatial_channels, 3, stride=2),
        )
        self.fuse = nn.Sequential(
            ConvNorm(spatial_channels + context_channels, 2 * spatial_channels, 1),
            nn.Conv2d(2 * spatial_channels, 3, 1),
        )

    def forward(self, image: Tensor, context: Tensor) -> Tensor:
        context = F.interpolate(context, scale_factor=2.0, mode="nearest")
        return self.fuse(torch.cat([self.spatial(image), context], dim=1))


class ToFNetHeads(nn.Module):
    """The training-only heads of section 4, for a net of ``channels`` at 1/8 and ``summary_channels``, whose
    image has ``image_channels``.

    auxiliary_keypoints: key-points a hand of the auxiliary decoder; 0 leaves it out. It uses no groups, "so
    as to avoid floating key-points", and stops at 1/4, where a dense 3x3 convolution is still cheap.
    Deep supervision has a dense 1x1 convolution after the encoder and after each up-sampling block. The
    second block gives the maps themselves: there the head carries each key-point's gradient to all maps,
    which the groups keep apart.
    """

    def __init__(
        self,
        keypoints_per_hand: int,
        channels: int,
        summary_channels: int,
        auxiliary_keypoints: int,
        image_channels: int = 1,
    ) -> None:
        super().__init__()
        maps, auxiliary_maps = 2 * keypoints_per_hand, 2 * auxiliary_keypoints
        self.deep_eighth = nn.Conv2d(channels, maps, 1)
        self.deep_quarter = nn.Conv2d(channels, maps, 1)
        self.deep_half = nn.Conv2d(maps, maps, 1)
        self.auxiliary = (
            nn.Sequential(
                ConvNorm(channels, auxiliary_maps, 1),
                nn.Upsample(scale_factor=2.0, mode="nearest"),
                nn.Conv2d(auxiliary_maps, auxiliary_maps, 3, padding=1),
            )
            if auxiliary_keypoints
            else None
        )
        self.orientation = nn.Linear(summary_channels, 2 * ORIENTATIONS)
        self.key_pose = nn.Linear(summary_channels, 2 * len(KEY_POSES))
        self.segmentation = SegmentationHead(channels, image_channels)

    def forward(self, image: Tensor, features: Features, heatmaps: Tensor) -> AuxiliaryPrediction:
        """image: (b, c, 120, 160). features, heatmaps: what the net makes of it."""
        return AuxiliaryPrediction(
            deep_eighth=_per_hand(self.deep_eighth(features.eighth)),
            deep_quarter=_per_hand(self.deep_quarter(features.decoded)),
            deep_half=_per_hand(self.deep_half(heatmaps.flatten(1, 2))),
            auxiliary=None if self.auxiliary is None else _per_hand(self.auxiliary(features.eighth)),
            orientation=_per_hand(self.orientation(features.summary)),
            key_pose=_per_hand(self.key_pose(features.summary)),
            segmentation=self.segmentation(image, features.eighth),
        )


def _per_hand(x: Tensor, hands: int = 2) -> Tensor:
    """(b, 2 n, ...) -> (b, 2, n, ...): left, then right."""
    return x.reshape(-1, hands, x.shape[1] // hands, *x.shape[2:])
