"""Dense 3D regression of one hand (Wan et al. 2018, "Dense 3D Regression for Hand Pose Estimation"), stacked
hourglasses that can be pruned (pruned_hourglass2019, figure 1).

A head at a level of an hourglass predicts, for each joint and each cell of its map, how near the joint is in
the image (2D heat-map), how near in space (3D heat-map), and the way there (unit vector); ``codecs.dense``
makes joints of them.

Two kinds of pruning take no training. ``single_stack`` keeps one stack of several. ``at_level`` leaves the
outer levels of the hourglass out, and with them the head's resolution, which is where the cost is: the head
has 93 % of it. Level 4, the whole, works on 32 x 32 cells, level 1 on 4 x 4.

Where the text leaves a choice: both of a level's residuals after the pooling stand on the way down, since the
levels' printed sizes lie one residual apart, which leaves none to the way up; each level has a head of its
own in training ("we add three supervision modules", section 3.4).
"""

from collections.abc import Collection, Mapping, Sequence
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from handfast.errors import HandfastError
from handfast.models.batch_renorm import BatchRenorm2d
from handfast.sensors.depth_crop import CROP_PX, NO_DEPTH, VALID_ABOVE

LEVELS = (1, 2, 3, 4)
TOP_LEVEL = 4
FEATURES = 128


class DensePrediction(NamedTuple):
    """What one head says of b crops: heatmaps_2d and heatmaps_3d (b, J, s, s), unit_vectors (b, J, 3, s, s),
    the last along the camera's axes. s is 4, 8, 16 or 32."""

    heatmaps_2d: Tensor
    heatmaps_3d: Tensor
    unit_vectors: Tensor


class ConvRenorm(nn.Sequential):
    """Convolution, batch re-normalisation, ReLU."""

    def __init__(self, channels_in: int, channels_out: int, kernel: int = 1, stride: int = 1) -> None:
        super().__init__(
            nn.Conv2d(channels_in, channels_out, kernel, stride, kernel // 2, bias=False),
            BatchRenorm2d(channels_out),
            nn.ReLU(inplace=True),
        )


class Residual(nn.Module):
    """A bottleneck, 1x1, 3x3, 1x1, each with its ReLU, and none after the sum; a changed width takes a 1x1 on
    the shortcut as well. channels_middle: half of channels_in if not given."""

    def __init__(self, channels_in: int, channels_out: int, channels_middle: int | None = None) -> None:
        super().__init__()
        middle = channels_middle or channels_in // 2
        self.body = nn.Sequential(
            ConvRenorm(channels_in, middle), ConvRenorm(middle, middle, 3), ConvRenorm(middle, channels_out)
        )
        changes = channels_in != channels_out
        self.shortcut = ConvRenorm(channels_in, channels_out) if changes else nn.Identity()

    def forward(self, x: Tensor) -> Tensor:
        return self.body(x) + self.shortcut(x)


class Hourglass(nn.Module):
    """(b, C, 32, 32) -> features at some of its levels, level l with (b, C, 2^(l + 1), 2^(l + 1)).

    highest: the level that the way up ends at; the skip connections above it are left out.
    """

    def __init__(self, features: int, highest: int) -> None:
        super().__init__()
        self.down = nn.ModuleDict(
            {
                str(level): nn.Sequential(
                    nn.MaxPool2d(3, 2, padding=1), Residual(features, features), Residual(features, features)
                )
                for level in LEVELS
            }
        )
        self.skip = nn.ModuleDict(
            {str(level): Residual(features, features) for level in LEVELS if level <= highest}
        )

    def forward(self, x: Tensor) -> dict[int, Tensor]:
        on_the_way_down = {}
        for level in reversed(LEVELS):
            on_the_way_down[level] = x
            x = self.down[str(level)](x)
        features = {}
        for level in LEVELS[: len(self.skip)]:
            skipped = self.skip[str(level)](on_the_way_down[level])
            features[level] = x = skipped + F.interpolate(x, scale_factor=2.0, mode="nearest")
        return features


class Head(nn.Module):
    """Features of a level and the depth at its cells -> the three kinds of maps.

    channels: of each of the two branches that the unit vectors come from; their sum is the width behind.
    """

    def __init__(self, joints: int, features: int, channels: int) -> None:
        super().__init__()
        known = features + 2 * joints
        middle = min(known, channels) // 2  # narrow branches need no wider middle
        width = 2 * channels

        def branch() -> nn.Sequential:
            return nn.Sequential(Residual(known, channels, middle), Residual(channels, channels))

        self.joints = joints
        self.shared = nn.Sequential(Residual(features, features), ConvRenorm(features, features))
        self.heatmaps_2d = nn.Conv2d(features, joints, 1)
        self.heatmaps_3d = nn.Sequential(Residual(features + 3, features), nn.Conv2d(features, joints, 1))
        self.everywhere, self.on_hand = branch(), branch()
        self.merged = Residual(width, width)
        self.unit_vectors = nn.Sequential(
            nn.Conv2d(width + 3, width, 1), nn.ReLU(inplace=True), nn.Dropout(0.5),
            nn.Conv2d(width, width, 1), nn.ReLU(inplace=True), nn.Dropout(0.5),
            nn.Conv2d(width, 3 * joints, 1),
        )  # fmt: skip

    def forward(self, features: Tensor, depth: Tensor) -> tuple[DensePrediction, Tensor]:
        """features (b, C, s, s), depth (b, 1, s, s) -> maps, and the (b, C, s, s) that they share."""
        position = torch.cat([_image_position(depth), depth], dim=1)
        shared = self.shared(features)
        heatmaps_2d = self.heatmaps_2d(shared)
        heatmaps_3d = self.heatmaps_3d(torch.cat([shared, position], dim=1))
        known = torch.cat([features, heatmaps_2d, heatmaps_3d], dim=1)
        on_hand = self.on_hand(known * (depth > VALID_ABOVE))
        merged = self.merged(torch.cat([self.everywhere(known), on_hand], dim=1))
        vectors = self.unit_vectors(torch.cat([merged, position], dim=1))
        vectors = vectors.reshape(-1, self.joints, 3, *depth.shape[2:])
        return DensePrediction(heatmaps_2d, heatmaps_3d, vectors), shared


class Stack(nn.Module):
    """An hourglass with a head at each of some levels."""

    def __init__(self, joints: int, levels: Sequence[int], features: int, head_channels: int) -> None:
        super().__init__()
        self.hourglass = Hourglass(features, max(levels))
        self.heads = nn.ModuleDict({str(level): Head(joints, features, head_channels) for level in levels})


class Link(nn.Module):
    """From one stack to the next: what it predicts, and what that was made of, added to what it was given."""

    def __init__(self, joints: int, features: int) -> None:
        super().__init__()
        self.predicted = nn.Conv2d(5 * joints, features, 1)
        self.shared = nn.Conv2d(features, features, 1)

    def forward(self, x: Tensor, prediction: DensePrediction, shared: Tensor) -> Tensor:
        maps = [prediction.heatmaps_2d, prediction.heatmaps_3d, prediction.unit_vectors.flatten(1, 2)]
        return x + self.predicted(torch.cat(maps, dim=1)) + self.shared(shared)


class DenseRegression(nn.Module):
    """Depth crops of a hand -> maps, from which its joints follow.

    joints: J. stacks: hourglasses one behind the other. levels: which levels have a head; more than one for
    deep supervision (section 3.2), of which ``forward`` runs the highest alone. head_channels: 256 in Wan et
    al.; the head's cost grows with about the square. features: C, the hourglass's width, 128 there. Raises
    HandfastError for levels that are not some of 1 to 4, or that lack 4 in a net of several stacks, where
    each stack hands on full maps.

    Nothing but the size of the maps depends on that of the crops: those of 64 pixels give maps half as large.
    """

    def __init__(
        self,
        joints: int,
        stacks: int,
        levels: Collection[int],
        head_channels: int,
        features: int = FEATURES,
    ) -> None:
        super().__init__()
        if not levels or not set(levels) <= set(LEVELS) or (stacks > 1 and TOP_LEVEL not in levels):
            raise HandfastError(
                f"levels: expected some of {LEVELS}, with {TOP_LEVEL} among them for several stacks, got "
                f"{tuple(levels)} for {stacks}"
            )
        self.joints, self.head_channels, self.features = joints, head_channels, features
        self.levels = tuple(sorted(levels))
        self.stem = nn.Sequential(
            ConvRenorm(1, 32, 7, stride=2),
            Residual(32, 64),
            nn.MaxPool2d(2),
            Residual(64, 64),
            Residual(64, features),
        )
        self.stacks = nn.ModuleList(
            Stack(joints, self.levels, features, head_channels) for _ in range(stacks)
        )
        self.links = nn.ModuleList(Link(joints, features) for _ in range(stacks - 1))
        self.apply(_initialise)

    def forward(self, depth: Tensor) -> DensePrediction:
        """depth: (b, 1, 128, 128) float32 as ``DepthCrop.depth`` has it -> the last stack's highest level."""
        return self._branches(depth, self.levels[-1:])[-1]

    def branches(self, depth: Tensor) -> list[DensePrediction]:
        """All that equation 1 supervises: each stack's levels, from the lowest up."""
        return self._branches(depth, self.levels)

    def _branches(self, depth: Tensor, levels: Sequence[int]) -> list[DensePrediction]:
        """The levels of each stack; the last of them feeds the next stack."""
        x = self.stem(depth)
        branches = []
        for index, stack in enumerate(self.stacks):
            features = stack.hourglass(x)
            for level in levels:
                at_cells = cell_depth(depth, map_size(level))
                prediction, shared = stack.heads[str(level)](features[level], at_cells)
                branches.append(prediction)
            if index < len(self.links):
                x = self.links[index](x, prediction, shared)
        return branches


def map_size(level: int) -> int:
    """Cells along each side of a level's maps of a whole crop, 128 pixels wide: 4, 8, 16 or 32."""
    return 2 ** (level + 1)


def single_stack(net: DenseRegression, index: int) -> DenseRegression:
    """The stem and one stack of ``net`` (stack pruning, section 3.1). A later stack has to be trained anew to
    do without those before it."""
    kept = f"stacks.{index}."
    tensors = {name.replace(kept, "stacks.0."): tensor for name, tensor in net.state_dict().items()
               if name.startswith(("stem.", kept))}  # fmt: skip
    return _rebuilt(net, net.levels, tensors)


def at_level(net: DenseRegression, level: int) -> DenseRegression:
    """The part of a net of one stack that its head at ``level`` needs (level pruning): the same maps, bit for
    bit.

    Raises HandfastError if the net has several stacks, or no head there.
    """
    if len(net.stacks) > 1 or level not in net.levels:
        raise HandfastError(
            f"level {level}: expected one stack with a head there, got {len(net.stacks)} with heads at "
            f"{net.levels}; keep one stack, train with deep supervision"
        )
    return _rebuilt(net, (level,), net.state_dict())


def deeply_supervised(net: DenseRegression) -> DenseRegression:
    """A net of one stack with a head at all levels up to its highest, to be trained on: a copy of that one's
    where there is none."""
    highest = net.levels[-1]
    tensors = dict(net.state_dict())
    head = f"stacks.0.heads.{highest}."
    for level in set(LEVELS[: highest - 1]) - set(net.levels):
        tensors |= {
            name.replace(head, f"stacks.0.heads.{level}."): tensor
            for name, tensor in net.state_dict().items()
            if name.startswith(head)
        }
    return _rebuilt(net, LEVELS[:highest], tensors)


def _rebuilt(net: DenseRegression, levels: Sequence[int], tensors: Mapping[str, Tensor]) -> DenseRegression:
    """A net of one stack with copies of those of the tensors that it has."""
    with torch.device("meta"):
        rebuilt = DenseRegression(net.joints, 1, levels, net.head_channels, net.features)
    copies = {name: tensors[name].detach().clone() for name in rebuilt.state_dict()}
    rebuilt.load_state_dict(copies, assign=True)
    return rebuilt.train(net.training)


def cell_depth(depth: Tensor, size: int) -> Tensor:
    """``sensors.depth_crop.cell_depth`` of tensors: (b, 1, 128, 128) -> (b, 1, size, size). Cells of a
    coarser crop have as many pixels."""
    beyond = 2.0  # farther than any depth of a crop
    nearness = torch.where(depth > VALID_ABOVE, -depth, -beyond)
    nearest = -F.max_pool2d(nearness, CROP_PX // size)
    return torch.where(nearest < beyond, nearest, NO_DEPTH)


def _image_position(depth: Tensor) -> Tensor:
    """(b, 1, s, s) -> (b, 2, s, s): u and v of each cell, -1 at the first, 1 at the last."""
    along = torch.linspace(-1, 1, depth.shape[-1], dtype=depth.dtype, device=depth.device)
    v, u = torch.meshgrid(along, along, indexing="ij")
    # Not expanded: what is exported from one crop is to take any number.
    return torch.stack([u, v]) + 0 * depth


def _initialise(module: nn.Module) -> None:
    """Truncated normal weights, as Wan et al. have them."""
    if isinstance(module, nn.Conv2d):
        nn.init.trunc_normal_(module.weight, std=0.01, a=-0.02, b=0.02)
        if module.bias is not None:
            nn.init.zeros_(module.bias)
