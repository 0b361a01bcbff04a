"""DIR-Net's losses (yang2021): of joints and of variances in every loop (Eqs. 3, 8, 9, 12), and the gate's
(Eqs. 10, 11).

Errors in 2D are in hundredths of the crop's width, in 3D in cm: both are of the order of 1 in a net that has
learnt something, and so are the variances.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn import functional as F

from handfast.errors import HandfastError
from handfast.models.dirnet_heads import Estimate

HUNDREDTH = 0.02  # of the crop, which is 2 wide
CM = 0.01


@dataclass(frozen=True)
class RefinementWeights:
    """The gammas of Eq. 12, and those of the regularisers: pose and shape near the mean hand's, the pose
    within the joints' limits."""

    joints_2d: float = 1.0
    joints_3d: float = 1.0
    variance: float = 1.0
    pose: float = 0.1
    shape: float = 0.1
    limits: float = 10.0

    def __post_init__(self) -> None:
        for name, weight in vars(self).items():
            if not 0 <= weight < math.inf:
                raise HandfastError(f"losses: {name} must be 0 or more, got {weight}")


class PoseTargets(NamedTuple):
    """Labels of b crops. joints_2d (b, 21, 2), joints_3d (b, 21, 3): as ``Estimate`` has them. weight_2d,
    weight_3d (b, 21): 0 for a joint without a label, whose coordinates may be anything but NaN, 1 as a rule
    for others."""

    joints_2d: Tensor
    joints_3d: Tensor
    weight_2d: Tensor
    weight_3d: Tensor


class CoordinateLosses(NamedTuple):
    """Eq. 3 for each coordinate: smooth L1 in 2D (b, 21, 2), squared in 3D (b, 21, 3)."""

    in_2d: Tensor
    in_3d: Tensor


def coordinate_losses(estimate: Estimate, targets: PoseTargets) -> CoordinateLosses:
    """Of hundredths of the crop, and of cm."""
    return CoordinateLosses(
        F.smooth_l1_loss(
            estimate.joints_2d.float() / HUNDREDTH, targets.joints_2d / HUNDREDTH, reduction="none"
        ),
        F.mse_loss(estimate.joints_3d.float() / CM, targets.joints_3d / CM, reduction="none"),
    )


def variance_losses(losses: CoordinateLosses, estimate: Estimate) -> CoordinateLosses:
    """Eqs. 9 and 8 of ``coordinate_losses``: how little a Gaussian of the estimated variance expects them.

    Eq. 9 has L2D - 1/2, L2D being the absolute error: smooth L1, where that is above 1. Below 1 smooth L1 is
    half the square, so that Eq. 9 is Eq. 8 (He et al. 2019, "Bounding Box Regression with Uncertainty"). The
    joints learn from it too: certain ones count more.
    """
    alpha_2d, alpha_3d = estimate.log_variance_2d.float(), estimate.log_variance_3d.float()
    return CoordinateLosses(
        (-alpha_2d).exp() * losses.in_2d + alpha_2d / 2,
        (-alpha_3d).exp() / 2 * losses.in_3d + alpha_3d / 2,
    )


def refinement_losses(
    estimates: Sequence[Estimate], targets: PoseTargets, mean_pose: Tensor, pose_limits: Tensor
) -> dict[str, Tensor]:
    """Each loss of Eq. 12 by its name in ``RefinementWeights``, summed over the loops, unweighted.

    mean_pose (P,), pose_limits (P, 2): of the hand model.
    """
    of_loops = [_loop_losses(estimate, targets, mean_pose, pose_limits) for estimate in estimates]
    return {name: sum(losses[name] for losses in of_loops) for name in of_loops[0]}


def _loop_losses(
    estimate: Estimate, targets: PoseTargets, mean_pose: Tensor, pose_limits: Tensor
) -> dict[str, Tensor]:
    losses = coordinate_losses(estimate, targets)
    variance = variance_losses(losses, estimate)
    # The wrist is the origin in 3D: always right, its variance would shrink without end.
    beyond_wrist = targets.weight_3d * (torch.arange(21, device=targets.weight_3d.device) > 0)
    pose, (lower, upper) = estimate.pose.float(), pose_limits.unbind(1)
    outside = F.relu(lower - pose) + F.relu(pose - upper)
    of_batch = (0, 1)
    return {
        "joints_2d": _weighted_mean(losses.in_2d, targets.weight_2d, of_batch),
        "joints_3d": _weighted_mean(losses.in_3d, targets.weight_3d, of_batch),
        "variance": _weighted_mean(variance.in_2d, targets.weight_2d, of_batch)
        + _weighted_mean(variance.in_3d, beyond_wrist, of_batch),
        "pose": (pose - mean_pose).square().mean(),
        "shape": estimate.shape.float().square().mean(),
        "limits": outside.square().mean(),
    }


def sample_losses(estimate: Estimate, targets: PoseTargets) -> Tensor:
    """L2D + L3D of each sample (b,), means over its labelled joints: what Eq. 11 rewards."""
    losses = coordinate_losses(estimate, targets)
    return _weighted_mean(losses.in_2d, targets.weight_2d, 1) + _weighted_mean(
        losses.in_3d, targets.weight_3d, 1
    )


def _weighted_mean(values: Tensor, weight: Tensor, dims: int | tuple[int, ...]) -> Tensor:
    """The mean of (b, 21, D) over the coordinates of joints of weight (b, 21), 0 of nothing."""
    return (values.mean(dim=2) * weight).sum(dims) / weight.sum(dims).clamp(min=1)


def exit_rewards(losses: Tensor, gflops_per_loop: float, scale: float) -> Tensor:
    """Eq. 11: L2D + L3D after each loop (b, L) -> rewards (b, L) of leaving then. scale: lambda, how many
    GFLOP a loss of 1 is worth."""
    loops = torch.arange(losses.shape[1], device=losses.device)
    return -scale * losses - loops * gflops_per_loop


def log_exit_probabilities(exit_logits: Tensor) -> Tensor:
    """The gate's logits after each loop (b, L, 2) -> log probabilities (b, L) of leaving there. At the last
    loop all that remain do."""
    leave, go_on = exit_logits.float().log_softmax(dim=2).unbind(2)
    reached = F.pad(go_on[:, :-1].cumsum(dim=1), (1, 0))
    return reached + F.pad(leave[:, :-1], (0, 1))


def gate_loss(exit_logits: Tensor, rewards: Tensor, generator: torch.Generator) -> Tensor:
    """A number whose gradient is that of Eq. 10, on exits drawn from the policy (REINFORCE, Williams 1992).

    exit_logits (b, L, 2), rewards (b, L). The reward at the exit counts for all actions that led there. From
    it goes what the policy could expect, which the gradient's mean does not depend on and its noise does.
    """
    log_probabilities = log_exit_probabilities(exit_logits)
    probabilities = log_probabilities.detach().exp()
    exits = torch.multinomial(probabilities, 1, generator=generator)
    expected = (probabilities * rewards).sum(dim=1, keepdim=True)
    advantage = rewards.gather(1, exits) - expected
    return -(advantage * log_probabilities.gather(1, exits)).mean()
