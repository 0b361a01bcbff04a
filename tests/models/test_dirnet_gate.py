"""When the loop is left, by hand; ``test_dirnet`` has it with a net."""

import math

import numpy as np
import pytest
import torch

from handfast.models.dirnet_gate import exit_by_policy, exit_by_variance, exit_loop, mean_variance
from handfast.models.dirnet_heads import Estimate


def estimate_of(exit_logits=None, log_variance_2d=0.0, log_variance_3d=0.0, n=1):
    """What gates look at."""
    nothing = torch.zeros(n, 1)
    return Estimate(
        nothing,
        nothing,
        nothing,
        nothing,
        torch.zeros(n, 21, 2) + log_variance_2d,
        torch.zeros(n, 21, 3) + log_variance_3d,
        torch.zeros(n, 2) if exit_logits is None else torch.tensor(exit_logits),
    )


def test_the_mean_variance_by_hand():
    """Half of the 2D coordinates have a variance of 2, half of 5."""
    log_variance_2d = torch.tensor([math.log(2), math.log(5)]).expand(1, 21, 2)
    estimate = estimate_of(log_variance_2d=log_variance_2d, log_variance_3d=9.0)
    assert mean_variance(estimate).item() == pytest.approx(3.5)


def test_variance_leaves_at_the_threshold():
    estimate = estimate_of(n=2, log_variance_2d=torch.tensor([0.0, 1.0])[:, None, None])
    assert exit_by_variance(estimate, threshold=1.0).tolist() == [1, 0]


def test_a_higher_temperature_makes_the_policy_softer():
    estimate = estimate_of([[-2.0, 2.0]])
    probabilities = [exit_by_policy(estimate, temperature).item() for temperature in (0.5, 1, 10, 1e6)]
    assert probabilities == sorted(probabilities)
    assert probabilities[1] == pytest.approx(1 / (1 + np.exp(4)))
    assert probabilities[-1] == pytest.approx(0.5, abs=1e-5)


def test_the_loop_is_left_where_half_have_left():
    """By hand: 0.3 leave at once, then 0.3 of 0.7, together 0.51; 0.2, 0.36, 0.488, and all at the end."""
    probabilities = torch.tensor([[0.3, 0.3, 0.0, 0.0], [0.2, 0.2, 0.2, 0.2], [1, 0, 0, 0], [0.5, 0, 0, 0.0]])
    assert exit_loop(probabilities).tolist() == [1, 3, 0, 0]


def test_hotter_gates_leave_earlier_though_no_action_becomes_the_likelier():
    estimates = [estimate_of([[-1.0, 1.0]])] * 6
    loops = [
        exit_loop(torch.stack([exit_by_policy(e, temperature) for e in estimates], dim=1)).item()
        for temperature in (0.5, 1, 2, 4)
    ]
    assert loops == sorted(loops, reverse=True) and len(set(loops)) > 2
