"""DIR-Net's losses against hand-worked values, their minima, and what the gate learns from its rewards."""

import math

import pytest
import torch

from handfast.errors import HandfastError
from handfast.losses import total_loss
from handfast.losses.refinement import (
    PoseTargets,
    RefinementWeights,
    coordinate_losses,
    exit_rewards,
    gate_loss,
    log_exit_probabilities,
    refinement_losses,
    sample_losses,
    variance_losses,
)
from handfast.models.dirnet_heads import Estimate

MEAN_POSE = torch.tensor([0.1, -0.2, 0.0])
LIMITS = torch.tensor([[-1.0, 1.0], [-0.5, 0.5], [-math.inf, math.inf]])


def estimate_off_by(hundredths=0.0, cm=0.0, log_variance=0.0, n=2):
    """Of hands whose labels are all zeros."""
    joints_3d = torch.full((n, 21, 3), cm / 100)
    joints_3d[:, 0] = 0
    return Estimate(
        pose=MEAN_POSE.expand(n, 3).clone(),
        shape=torch.zeros(n, 2),
        joints_3d=joints_3d,
        joints_2d=torch.full((n, 21, 2), hundredths * 2 / 100),  # the crop is 2 wide
        log_variance_2d=torch.full((n, 21, 2), float(log_variance)),
        log_variance_3d=torch.full((n, 21, 3), float(log_variance)),
        exit_logits=torch.zeros(n, 2),
    )


def zeros(n=2):
    ones = torch.ones(n, 21)
    return PoseTargets(torch.zeros(n, 21, 2), torch.zeros(n, 21, 3), ones, ones)


def losses_of(*estimates, targets=None):
    losses = refinement_losses(estimates, targets or zeros(len(estimates[0].pose)), MEAN_POSE, LIMITS)
    return {name: loss.item() for name, loss in losses.items()}


def test_the_losses_by_hand():
    """Of 3 hundredths smooth L1 makes 2.5, of half a one 0.125; of 2 cm the square 4, but for the wrist; a
    variance of e^2 expects that much."""
    losses = losses_of(estimate_off_by(hundredths=3, cm=2, log_variance=2))
    assert losses["joints_2d"] == pytest.approx(2.5)
    assert losses["joints_3d"] == pytest.approx(4 * 20 / 21)
    assert losses["variance"] == pytest.approx(math.exp(-2) * 2.5 + 1 + math.exp(-2) * 2 + 1)
    assert losses["pose"] == losses["shape"] == losses["limits"] == 0
    assert losses_of(estimate_off_by(hundredths=-0.5))["joints_2d"] == pytest.approx(0.125)


def test_the_regularisers_by_hand():
    estimate = estimate_off_by()
    estimate.pose[0] += torch.tensor([1.9, 0.0, 5.0])
    estimate.shape[:] = torch.tensor([1.0, 3.0])
    losses = losses_of(estimate)
    assert losses["pose"] == pytest.approx((1.9**2 + 5**2) / 6)
    assert losses["limits"] == pytest.approx(1.0**2 / 6)  # 2 where 1 is the limit; the third has none
    assert losses["shape"] == pytest.approx(5)


def test_loops_are_summed():
    first, second = estimate_off_by(3, 2), estimate_off_by(1.5, 1)
    together = losses_of(first, second)
    for name, loss in together.items():
        assert loss == pytest.approx(losses_of(first)[name] + losses_of(second)[name])


def test_what_has_no_label_counts_for_nothing():
    """Neither in the value nor in the mean: of two hands one has no labels in 3D, and 20 hidden joints."""
    estimate = estimate_off_by(hundredths=3, cm=2, n=2)
    estimate.joints_2d[1, 1:] = 77
    estimate.joints_3d[1] = 77
    targets = zeros()
    weight_2d, weight_3d = targets.weight_2d.clone(), targets.weight_3d.clone()
    weight_2d[1, 1:] = 0
    weight_3d[1] = 0
    targets = targets._replace(weight_2d=weight_2d, weight_3d=weight_3d)
    masked, whole = losses_of(estimate, targets=targets), losses_of(estimate_off_by(3, 2, n=1))
    for name in ("joints_2d", "joints_3d", "variance"):
        assert masked[name] == pytest.approx(whole[name])
    torch.testing.assert_close(sample_losses(estimate, targets), torch.tensor([2.5 + 80 / 21, 2.5]))


def test_a_batch_without_labels_has_no_loss():
    nothing = torch.zeros(2, 21)
    losses = losses_of(estimate_off_by(3, 2), targets=zeros()._replace(weight_2d=nothing, weight_3d=nothing))
    assert losses["joints_2d"] == losses["joints_3d"] == losses["variance"] == 0


def test_the_wrists_variance_in_3d_is_left_alone():
    estimate = estimate_off_by(1, 1)
    alpha = torch.zeros(2, 21, 3, requires_grad=True)
    losses = refinement_losses([estimate._replace(log_variance_3d=alpha)], zeros(), MEAN_POSE, LIMITS)
    losses["variance"].backward()
    assert torch.all(alpha.grad[:, 0] == 0)


@pytest.mark.parametrize("off", [0.3, 0.9, 2.0, 6.0])
def test_the_best_variance_is_the_squared_error(off):
    """In 3D always, in 2D up to a hundredth; beyond it, the error counts once: 2 |d| - 1."""
    alpha = torch.linspace(-4, 5, 9001)
    estimate = estimate_off_by(off, off, n=1)._replace(
        log_variance_2d=alpha[:, None, None].expand(-1, 21, 2),
        log_variance_3d=alpha[:, None, None].expand(-1, 21, 3),
    )
    losses = variance_losses(coordinate_losses(estimate, zeros(1)), estimate)
    best_2d, best_3d = (alpha[of[:, 5, 0].argmin()].exp().item() for of in losses)
    assert best_3d == pytest.approx(off**2, rel=2e-3)
    assert best_2d == pytest.approx(off**2 if off <= 1 else 2 * off - 1, rel=2e-3)


def test_surer_joints_learn_more_from_the_variance_loss():
    """The exponential weighs a joint's own error as well (section 4.1)."""

    def pull(log_variance):
        estimate = estimate_off_by(3, 2, log_variance)
        joints = [estimate.joints_2d.requires_grad_(), estimate.joints_3d.requires_grad_()]
        losses = refinement_losses([estimate], zeros(), MEAN_POSE, LIMITS)
        return [gradient[0, 5, 0].item() for gradient in torch.autograd.grad(losses["variance"], joints)]

    for sure, unsure in zip(pull(-1), pull(1), strict=True):
        assert sure == pytest.approx(math.exp(2) * unsure) and unsure > 0


def test_the_weights_name_the_losses():
    weights = RefinementWeights(variance=0.5, shape=0)
    losses = refinement_losses([estimate_off_by(3, 2)], zeros(), MEAN_POSE, LIMITS)
    assert vars(weights).keys() == losses.keys()
    expected = losses["joints_2d"] + losses["joints_3d"] + 0.5 * losses["variance"]
    torch.testing.assert_close(total_loss(losses, vars(weights)), expected)
    with pytest.raises(HandfastError, match="variance"):
        RefinementWeights(variance=-1)


def test_rewards_by_hand():
    """Eq. 11: two loops more cost 0.1 GFLOP and must save a loss of 0.1 at lambda = 1."""
    rewards = exit_rewards(torch.tensor([[3.0, 2.0, 1.9]]), gflops_per_loop=0.05, scale=2.0)
    torch.testing.assert_close(rewards, torch.tensor([[-6.0, -4.05, -3.9]]))


def test_exit_probabilities_by_hand():
    """A quarter leave at once, half of the others next, and the rest at the end whatever the gate says."""
    logits = torch.tensor([[[0.0, math.log(3)], [0.0, 0.0], [0.0, 9.0]]])
    torch.testing.assert_close(log_exit_probabilities(logits).exp(), torch.tensor([[0.25, 0.375, 0.375]]))


@pytest.mark.parametrize("better", [0, 1])
def test_the_gradient_of_two_exits_points_to_the_better_one(better):
    logits = torch.zeros(64, 2, 2, requires_grad=True)
    rewards = torch.zeros(64, 2)
    rewards[:, better] = 1
    gate_loss(logits, rewards, torch.Generator().manual_seed(0)).backward()
    leave, go_on = logits.grad[:, 0].sum(0).tolist()
    assert (leave < 0 < go_on) if better == 0 else (go_on < 0 < leave)
    assert torch.all(logits.grad[:, 1] == 0)  # at the end there is no choice


def test_the_gradient_is_that_of_the_expected_reward():
    """Its mean over many draws against the exact one."""
    torch.manual_seed(0)
    one, rewards = torch.randn(1, 4, 2), torch.randn(1, 4)
    exact = one.clone().requires_grad_()
    (-(log_exit_probabilities(exact).exp() * rewards).sum()).backward()
    sampled = one.clone().requires_grad_()
    many = 200_000
    gate_loss(
        sampled.expand(many, -1, -1), rewards.expand(many, -1), torch.Generator().manual_seed(0)
    ).backward()
    torch.testing.assert_close(sampled.grad, exact.grad, rtol=0, atol=0.005)


def test_the_gate_learns_to_go_on_where_that_pays():
    """Half of the samples get better by two loops more, the other half are as good as they get."""
    torch.manual_seed(0)
    hard = torch.arange(64) % 2 == 1
    losses = torch.where(hard[:, None], torch.tensor([5.0, 3.0, 1.0, 1.0]), torch.ones(4))
    rewards = exit_rewards(losses, gflops_per_loop=0.06, scale=0.5)
    gate = torch.nn.Linear(1, 4 * 2)
    optimizer = torch.optim.Adam(gate.parameters(), 0.1)
    generator = torch.Generator().manual_seed(0)
    features = 2 * hard[:, None].float() - 1
    for _ in range(200):
        loss = gate_loss(gate(features).reshape(-1, 4, 2), rewards, generator)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    probabilities = log_exit_probabilities(gate(features).reshape(-1, 4, 2)).exp()
    assert probabilities[~hard, 0].min() > 0.9
    assert probabilities[hard, 2].min() > 0.8
