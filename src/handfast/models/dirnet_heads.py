"""What DIR-Net says of a hand after each loop (yang2021, sections 3.2 and 4): its pose, how sure of each
coordinate it is, and whether to go on."""

from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from handfast.skeleton import HAND21

ROTATION_SIZE = 6
# A right hand in the middle of its crop, turned as ``_start_rotation`` says, as large as boxes make it.
START_SCALE_PER_M = 6.5
START_TRANSLATION = (0.0, 0.6)
GATE_UNITS = 32
INDEX_MCP, MIDDLE_MCP, PINKY_MCP = map(HAND21.keypoints.index, ("index_mcp", "middle_mcp", "pinky_mcp"))


class Estimate(NamedTuple):
    """What is known of b hands after a loop.

    pose (b, P), shape (b, Q): the hand model's. joints_3d (b, 21, 3): hand21, m from the wrist, along the
    camera's axes. joints_2d (b, 21, 2): -1 at the first edge of the crop, 1 at the last, of which
    ``sensors.colour_crop.pixels_of`` makes pixels. log_variance_2d (b, 21, 2), log_variance_3d (b, 21, 3):
    alpha of Eq. 7 in the units of ``losses.refinement``, hundredths of the crop and cm, squared; the wrist's
    in 3D mean nothing. exit_logits (b, 2): of leaving the loop, of going on.
    """

    pose: Tensor
    shape: Tensor
    joints_3d: Tensor
    joints_2d: Tensor
    log_variance_2d: Tensor
    log_variance_3d: Tensor
    exit_logits: Tensor


class PosePredictor(nn.Module):
    """Psi_pose (Eq. 1), two fully connected layers, and the joints that follow from them (Eq. 2).

    Turns are two columns of a rotation matrix (Zhou et al. 2019, "On the Continuity of Rotation
    Representations"): hands take all turns, and angles about an axis would jump somewhere among them.
    """

    def __init__(self, channels: int, hidden: int, hand: nn.Module) -> None:
        super().__init__()
        self.hand = hand
        self.sizes = [hand.pose_size, hand.shape_size, ROTATION_SIZE, 1, 2]
        self.hidden = nn.Linear(channels, hidden)
        self.parameters_of_hand = nn.Linear(hidden, sum(self.sizes))
        mean_shape, place = torch.zeros(hand.shape_size), torch.tensor([0.0, *START_TRANSLATION])
        start = torch.cat([hand.mean_pose, mean_shape, _start_rotation(hand), place])
        _start_at(self.parameters_of_hand, start)

    def forward(self, pooled: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """(b, channels) -> pose, shape, joints_3d, joints_2d."""
        numbers = self.parameters_of_hand(F.relu(self.hidden(pooled)))
        pose, shape, columns, log_scale, translation = numbers.split(self.sizes, dim=1)
        joints_3d = self.hand(pose, shape) @ rotation_from_columns(columns).transpose(1, 2)
        scale = START_SCALE_PER_M * log_scale.exp()
        joints_2d = scale[:, None] * joints_3d[..., :2] + translation[:, None]
        return pose, shape, joints_3d, joints_2d


class UncertaintyEstimator(nn.Module):
    """Psi_var (Eq. 7): log variances of the coordinates, and the features f that the gate reads as well."""

    def __init__(self, channels: int, hidden: int) -> None:
        super().__init__()
        self.first = nn.Linear(channels, hidden)
        self.second = nn.Linear(hidden, 21 * (2 + 3))
        _start_at(self.second, torch.zeros(21 * (2 + 3)))

    def forward(self, pooled: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """(b, channels) -> log variances (b, 21, 2) and (b, 21, 3), features (b, hidden)."""
        features = F.relu(self.first(pooled))
        log_variances = self.second(features).reshape(-1, 21, 5)
        return log_variances[..., :2], log_variances[..., 2:], features


class ExitGate(nn.Sequential):
    """G (section 4.2): features (b, hidden) -> logits (b, 2) of leaving the loop and of going on.

    It starts undecided, and what it learns teaches no other part.
    """

    def __init__(self, hidden: int) -> None:
        super().__init__(nn.Linear(hidden, GATE_UNITS), nn.ReLU(), nn.Linear(GATE_UNITS, 2))
        _start_at(self[-1], torch.zeros(2))

    def forward(self, features: Tensor) -> Tensor:
        return super().forward(features.detach())


def rotation_from_columns(columns: Tensor) -> Tensor:
    """(b, 6), two columns that need not be orthonormal -> rotations (b, 3, 3) (Zhou et al. 2019, Eq. 15)."""
    first, second = columns[:, :3], columns[:, 3:]
    x = _unit(first)
    y = _unit(second - (x * second).sum(1, keepdim=True) * x)
    return torch.stack([x, y, torch.linalg.cross(x, y)], dim=2)


@torch.no_grad()
def _start_rotation(hand: nn.Module) -> Tensor:
    """(6,): of the turns by quarters, for whichever axes a hand model has, the one that shows a right hand
    with its fingers up and its palm to the camera."""
    joints = hand(hand.mean_pose[None], torch.zeros(1, hand.shape_size))[0]
    up = _nearest_axis(joints[MIDDLE_MCP] - joints[0])
    right = _nearest_axis((joints[INDEX_MCP] - joints[PINKY_MCP]) * (1 - up.abs()))
    rows = torch.stack([right, -up, torch.linalg.cross(right, -up)])
    return rows[:, :2].T.flatten().float()


def _nearest_axis(direction: Tensor) -> Tensor:
    """(3,) -> (3,) int64, 1 or -1 at the largest and 0 elsewhere."""
    return F.one_hot(direction.abs().argmax(), 3) * direction.sign().long()


def _unit(vectors: Tensor) -> Tensor:
    return vectors / vectors.norm(dim=1, keepdim=True).clamp(min=1e-6)


def _start_at(layer: nn.Linear, bias: Tensor) -> None:
    """Let a layer say ``bias`` of nearly everything at first."""
    nn.init.normal_(layer.weight, std=0.01)
    with torch.no_grad():
        layer.bias.copy_(bias)
