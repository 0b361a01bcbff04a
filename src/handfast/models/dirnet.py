"""DIR-Net (Yang et al. 2021, "Dynamic Iterative Refinement for Efficient 3D Hand Pose Estimation"): a small
residual network whose last layers run again and again, on features that the time before attended to.

``extract`` runs once (FE), ``refine`` in every loop (RF, and the heads of ``dirnet_heads``), ``attend``
between two loops (AMG). ``dirnet_gate`` says when to stop.

Where the text leaves a choice: Iterative ResNet9 is a stem and four phases of one basic block each, before
which figure 9's loop points lie; channels double where maps halve, as in ResNet18. The attention map
generator has no normalisation, since what it is given has another distribution in each loop.
"""

from copy import deepcopy

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from handfast.errors import HandfastError
from handfast.hand_model.model import load_hand_asset
from handfast.hand_model.torch_joints import OpenHand
from handfast.models.cost import network_cost
from handfast.models.dirnet_heads import Estimate, ExitGate, PosePredictor, UncertaintyEstimator
from handfast.models.layers import ConvNorm

LOOP_POINTS = (1, 2, 3, 4)
PHASES = 4


class LoopNorm(nn.Module):
    """Batch normalisation whose statistics and weights are each loop's own (section 3.1).

    loop: an int, or in evaluation also a tensor () int64, by which an exported graph can be told.
    """

    def __init__(self, channels: int, loops: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(loops, channels))
        self.bias = nn.Parameter(torch.zeros(loops, channels))
        self.register_buffer("running_mean", torch.zeros(loops, channels))
        self.register_buffer("running_var", torch.ones(loops, channels))

    def forward(self, x: Tensor, loop: int | Tensor) -> Tensor:
        return F.batch_norm(
            x,
            self.running_mean[loop],  # a view: its row is updated in training
            self.running_var[loop],
            self.weight[loop],
            self.bias[loop],
            self.training,
        )

    def of_loop(self, loop: int) -> nn.BatchNorm2d:
        """One loop's by itself, in evaluation mode, which a convolution can take in."""
        norm = nn.BatchNorm2d(self.weight.shape[1]).eval()
        norm.load_state_dict({name: tensor[loop] for name, tensor in self.state_dict().items()}, strict=False)
        return norm


class Phase(nn.Module):
    """A basic residual block (He et al. 2016), normalised anew in each of ``loops`` loops."""

    def __init__(self, channels_in: int, channels_out: int, stride: int, loops: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(channels_in, channels_out, 3, stride, padding=1, bias=False)
        self.norm1 = LoopNorm(channels_out, loops)
        self.conv2 = nn.Conv2d(channels_out, channels_out, 3, padding=1, bias=False)
        self.norm2 = LoopNorm(channels_out, loops)
        self.shortcut = None
        if stride > 1:
            self.shortcut = nn.Conv2d(channels_in, channels_out, 1, stride, bias=False)
            self.shortcut_norm = LoopNorm(channels_out, loops)

    def forward(self, x: Tensor, loop: int | Tensor) -> Tensor:
        inner = F.relu(self.norm1(self.conv1(x), loop))
        inner = self.norm2(self.conv2(inner), loop)
        if self.shortcut is not None:
            x = self.shortcut_norm(self.shortcut(x), loop)
        return F.relu(inner + x)


class FeatureExtractor(nn.Module):
    """FE: image (b, 3, S, S) -> features, whose height and width are those of the loop point."""

    def __init__(self, base_channels: int, phases: list[Phase]) -> None:
        super().__init__()
        self.stem = nn.Sequential(ConvNorm(3, base_channels, 7, stride=2), nn.MaxPool2d(3, 2, padding=1))
        self.phases = nn.ModuleList(phases)

    def forward(self, image: Tensor) -> Tensor:
        x = self.stem(2 * image - 1)
        for phase in self.phases:
            x = phase(x, 0)
        return x


class Refiner(nn.Module):
    """RF: features, attended to in all loops but the first -> encoded (b, 8 c, S / 32, S / 32), sizes rounded
    up."""

    def __init__(self, phases: list[Phase]) -> None:
        super().__init__()
        self.phases = nn.ModuleList(phases)

    def forward(self, x: Tensor, loop: int | Tensor) -> Tensor:
        for phase in self.phases:
            x = phase(x, loop)
        return x


class AttentionMapGenerator(nn.Module):
    """AMG: what was encoded says where the features matter.

    Each pixel shuffle doubles height and width, and the convolution behind it doubles the channels, which
    ends in those of any loop point. Most of the cost lies where maps are small.
    """

    def __init__(self, encoded_channels: int, enlargement: int) -> None:
        super().__init__()
        layers = [nn.Conv2d(encoded_channels, encoded_channels, 1), nn.ReLU(inplace=True)]
        channels, kernel = encoded_channels // 4, 3
        while enlargement > 1:
            convolution = nn.Conv2d(channels, 2 * channels, kernel, padding=kernel // 2)
            layers += [nn.PixelShuffle(2), convolution, nn.ReLU(inplace=True)]
            channels, kernel, enlargement = channels // 2, 1, enlargement // 2
        self.decoder = nn.Sequential(*layers[:-1], nn.Sigmoid())

    def attention(self, features: Tensor, encoded: Tensor) -> Tensor:
        """-> a map as large as the features, 0..1."""
        return _cut(self.decoder(encoded), features)

    def forward(self, features: Tensor, encoded: Tensor) -> Tensor:
        return features * self.attention(features, encoded)


class DirectFeedback(nn.Module):
    """In the AMG's place, for comparison: what was encoded is enlarged and refined again, whatever the
    features were (section 6.2). At loop point 3 it has nothing to learn."""

    def __init__(self, encoded_channels: int, enlargement: int, channels: int) -> None:
        super().__init__()
        shuffled = encoded_channels // 4
        self.enlarge = nn.Sequential(
            nn.PixelShuffle(2),
            nn.Identity() if shuffled == channels else nn.Conv2d(shuffled, channels, 1),
            nn.Upsample(scale_factor=enlargement / 2, mode="bilinear"),
        )

    def forward(self, features: Tensor, encoded: Tensor) -> Tensor:
        return _cut(self.enlarge(encoded), features)


class DIRNet(nn.Module):
    """Crops of right hands -> an estimate after each loop. Left hands are shown in the mirror.

    base_channels: c, after the stem; an even number. hidden: units of the fully connected layers. max_loops:
    how often it can go on after the first estimate. loop_point: the phase before which features are attended
    to (figure 9): 1 and 2 work on S / 4 cells a side, 3 on S / 8, 4 on S / 16. attention: False feeds back
    directly. hand: ``OpenHand`` or another with its interface. Raises HandfastError for a loop point that
    there is not.

    An image is (b, 3, S, S) float32, red, green, blue, 0..1; S is 224 in the paper.
    """

    def __init__(
        self,
        base_channels: int,
        hidden: int,
        max_loops: int,
        loop_point: int = 3,
        attention: bool = True,
        hand: nn.Module | None = None,
    ) -> None:
        super().__init__()
        if loop_point not in LOOP_POINTS:
            raise HandfastError(f"loop_point: expected one of {LOOP_POINTS}, got {loop_point}")
        c = base_channels
        widths = (c, c, 2 * c, 4 * c, 8 * c)
        phases = [
            Phase(
                widths[i],
                widths[i + 1],
                stride=1 if i == 0 else 2,
                loops=1 if i + 1 < loop_point else max_loops + 1,
            )
            for i in range(PHASES)
        ]
        # All phases but the first halve the maps.
        encoded, enlargement = widths[-1], 2 ** min(PHASES - 1, PHASES + 1 - loop_point)
        self.max_loops = max_loops
        self.extractor = FeatureExtractor(c, phases[: loop_point - 1])
        self.refiner = Refiner(phases[loop_point - 1 :])
        self.feedback = (
            AttentionMapGenerator(encoded, enlargement)
            if attention
            else DirectFeedback(encoded, enlargement, widths[loop_point - 1])
        )
        hand = OpenHand(load_hand_asset()) if hand is None else hand
        self.pose_predictor = PosePredictor(encoded, hidden, hand)
        self.uncertainty = UncertaintyEstimator(encoded, hidden)
        self.gate = ExitGate(hidden)
        self.apply(_initialise)

    def extract(self, image: Tensor) -> Tensor:
        """image -> features, which stay the same in all loops."""
        return self.extractor(image)

    def refine(self, features: Tensor, loop: int | Tensor) -> tuple[Estimate, Tensor]:
        """Features, attended to if ``loop`` is not 0 -> the loop's estimate, and what ``attend`` takes."""
        *doubts, pooled, encoded = self.encode(features, loop)
        return Estimate(*self.pose_predictor(pooled), *doubts), encoded

    def encode(self, features: Tensor, loop: int | Tensor) -> tuple[Tensor, ...]:
        """``refine`` without the pose: log variances and exit logits as in ``Estimate``, what the pose is
        predicted from, (b, 8 c), and what ``attend`` takes."""
        encoded = self.refiner(features, loop)
        pooled = encoded.mean(dim=(2, 3))
        log_variance_2d, log_variance_3d, unsure = self.uncertainty(pooled)
        return log_variance_2d, log_variance_3d, self.gate(unsure), pooled, encoded

    def attend(self, features: Tensor, encoded: Tensor) -> Tensor:
        """What ``extract`` and the last ``refine`` returned -> the features to refine next."""
        return self.feedback(features, encoded)

    def forward(self, image: Tensor, loops: int | None = None) -> list[Estimate]:
        """The estimates of loops 0 to ``loops``, which is ``max_loops`` if not given."""
        last = self.max_loops if loops is None else loops
        features = self.extract(image)
        estimate, encoded = self.refine(features, 0)
        estimates = [estimate]
        for loop in range(1, last + 1):
            estimate, encoded = self.refine(self.attend(features, encoded), loop)
            estimates.append(estimate)
        return estimates


def _cut(enlarged: Tensor, features: Tensor) -> Tensor:
    """Halving rounds up, so that maps enlarged again may have a row and a column too many."""
    height, width = features.shape[2:]
    return enlarged if enlarged.shape[2:] == (height, width) else enlarged[:, :, :height, :width]


class _AsFarAs(nn.Module):
    """A net that always makes so many loops."""

    def __init__(self, net: DIRNet, loops: int) -> None:
        super().__init__()
        self.net, self.loops = net, loops

    def forward(self, image: Tensor) -> list[Estimate]:
        return self.net(image, self.loops)


def run_macs(net: DIRNet, size_px: int) -> tuple[int, int]:
    """Multiply-accumulates on a crop so wide: without going on, and of each loop more."""
    shapes = deepcopy(net).to("meta")

    def macs(loops: int) -> int:
        return network_cost(lambda: _AsFarAs(shapes, loops), 1, 3, size_px, size_px)[1]

    once = macs(0)
    return once, macs(1) - once if net.max_loops else 0


def _initialise(module: nn.Module) -> None:
    """As ResNet18 does."""
    if isinstance(module, nn.Conv2d):
        nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")
