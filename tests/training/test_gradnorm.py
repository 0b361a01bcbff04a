"""GradNorm: a case worked by hand, and what it is for."""

import math

import pytest
import torch

from handfast.training.gradnorm import LEARNING_RATE, GradNorm


def _losses(shared, slopes):
    """Losses whose gradient on ``shared`` is the slope: L = slope * shared."""
    return {name: slope * shared for name, slope in slopes.items()}


def test_one_step_by_hand():
    shared = torch.tensor([2.0], requires_grad=True)
    balance = GradNorm({"strong": 1.0, "weak": 1.0})
    balance.update({k: v.sum() for k, v in _losses(shared, {"strong": 3.0, "weak": 1.0}).items()}, shared)
    # At the first step r = 1: norms 3 and 1 about their mean 2, so one weight falls and the other rises.
    low, high = math.exp(-LEARNING_RATE), math.exp(LEARNING_RATE)
    assert balance.weights["strong"] == pytest.approx(2 * low / (low + high))
    assert balance.weights["weak"] == pytest.approx(2 * high / (low + high))
    assert balance.first_losses == {"strong": 6.0, "weak": 2.0}


def test_gradients_come_into_balance():
    shared = torch.tensor([1.0], requires_grad=True)
    balance = GradNorm({"a": 1.0, "b": 5.0, "off": 0.0})
    slopes = {"a": 4.0, "b": 1.0, "off": 100.0}
    for _ in range(300):
        balance.update({k: v.sum() for k, v in _losses(shared, slopes).items()}, shared)
    assert "off" not in balance.weights
    assert balance.weights["a"] * 4 == pytest.approx(balance.weights["b"], rel=0.1)
    assert sum(balance.weights.values()) == pytest.approx(6)


def test_the_task_that_learns_slowly_weighs_more():
    shared = torch.tensor([1.0], requires_grad=True)
    balance = GradNorm({"quick": 1.0, "slow": 1.0})
    for step in range(200):
        remaining = max(1 - step / 100, 0.1)
        slope = (shared - shared.detach()).sum()  # the same gradient, whatever is left of the loss
        balance.update({"quick": remaining + slope, "slow": 1 + slope}, shared)
    assert balance.weights["slow"] > 1.5 * balance.weights["quick"]


def test_restored_it_goes_on_alike():
    shared = torch.tensor([2.0], requires_grad=True)
    one, other = GradNorm({"a": 1.0, "b": 2.0}), GradNorm({"a": 1.0, "b": 2.0})
    one.update({k: v.sum() for k, v in _losses(shared, {"a": 3.0, "b": 1.0}).items()}, shared)
    other.restore(one.state)
    for balance in (one, other):
        balance.update({k: v.sum() for k, v in _losses(shared, {"a": 1.0, "b": 2.0}).items()}, shared)
    assert one.state == other.state
