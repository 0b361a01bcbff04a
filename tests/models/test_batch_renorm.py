"""Batch re-normalisation: its equation, its schedule, and that it folds."""

import pytest
import torch
from torch import nn

from handfast.models.batch_renorm import PLAIN_UPDATES, RAMP_UPDATES, BatchRenorm2d

RAMPED = PLAIN_UPDATES + RAMP_UPDATES


@pytest.fixture
def layer():
    torch.manual_seed(0)
    layer = BatchRenorm2d(5)
    nn.init.uniform_(layer.weight, 0.5, 2)
    nn.init.normal_(layer.bias)
    return layer


def batch(scale=1.0, shift=0.0):
    return shift + scale * torch.randn(6, 5, 7, 7)


def at(layer, updates, mean=0.0, variance=1.0):
    layer.num_batches_tracked.fill_(updates)
    layer.running_mean.fill_(mean)
    layer.running_var.fill_(variance)
    return layer


def test_at_first_it_is_batch_normalisation(layer):
    x = batch(3, 10)
    expected = nn.functional.batch_norm(x, None, None, layer.weight, layer.bias, True, eps=layer.eps)
    torch.testing.assert_close(at(layer, 0)(x), expected)
    torch.testing.assert_close(at(layer, PLAIN_UPDATES)(x), expected)


def test_within_its_limits_training_gives_what_evaluation_gives(layer):
    x = batch(2, 3)
    at(layer, RAMPED, mean=1.0, variance=1.5)
    evaluated = layer.eval()(x)
    torch.testing.assert_close(layer.train()(x), evaluated, rtol=1e-4, atol=1e-4)


def test_beyond_its_limits_the_correction_is_3_and_5(layer):
    x = batch(100, 1000)
    y = at(layer, RAMPED)(x).detach()
    normal = (x - x.mean((0, 2, 3), keepdim=True)) / x.std((0, 2, 3), keepdim=True, correction=0)
    expected = (3 * normal + 5) * layer.weight[:, None, None] + layer.bias[:, None, None]
    torch.testing.assert_close(y, expected.detach(), rtol=1e-4, atol=1e-3)


def test_half_way_up_the_limits_are_half_way(layer):
    x = batch(100, -1000)
    y = at(layer, PLAIN_UPDATES + RAMP_UPDATES // 2)(x).detach()
    normal = (x - x.mean((0, 2, 3), keepdim=True)) / x.std((0, 2, 3), keepdim=True, correction=0)
    expected = (2 * normal - 2.5) * layer.weight[:, None, None] + layer.bias[:, None, None]
    torch.testing.assert_close(y, expected.detach(), rtol=1e-4, atol=1e-3)


def test_the_gradient_takes_the_correction_for_constant(layer):
    """As through batch normalisation whose gain is r times its own."""
    x = batch(2, 3).requires_grad_()
    at(layer, RAMPED, variance=1.0)
    scale = (x.detach().var((0, 2, 3), correction=0) + layer.eps).sqrt() / (1 + layer.eps) ** 0.5
    outward = torch.randn(6, 5, 7, 7)
    (found,) = torch.autograd.grad((layer(x) * outward).sum(), x)
    plain = nn.functional.batch_norm(x, None, None, layer.weight * scale, None, True, eps=layer.eps)
    (expected,) = torch.autograd.grad((plain * outward).sum(), x)
    torch.testing.assert_close(found, expected)


def test_running_statistics_are_the_mean_of_batches_and_then_follow_with_a_hundredth(layer):
    batches = [batch(2, 3), batch(1, -5)]
    for x in batches:
        layer(x)
    torch.testing.assert_close(layer.running_mean, torch.cat(batches).mean((0, 2, 3)))
    variances = torch.stack([x.var((0, 2, 3), correction=0) for x in batches])
    torch.testing.assert_close(layer.running_var, variances.mean(0))
    x = batches[0]
    at(layer, 200)(x)
    torch.testing.assert_close(layer.running_mean, 0.01 * x.mean((0, 2, 3)))
    torch.testing.assert_close(layer.running_var, 0.99 + 0.01 * x.var((0, 2, 3), correction=0))


def test_evaluation_leaves_the_statistics_alone(layer):
    before = {name: tensor.clone() for name, tensor in at(layer, 200, 3.0).state_dict().items()}
    layer.eval()(batch(2, 3))
    assert all(torch.equal(tensor, before[name]) for name, tensor in layer.state_dict().items())


def test_it_folds_into_a_convolution(layer):
    convolution = nn.Conv2d(3, 5, 3, bias=False)
    at(layer, RAMPED, 0.3, 2.0)
    both = nn.Sequential(convolution, layer).eval()
    folded = nn.utils.fuse_conv_bn_eval(convolution, layer)
    image = torch.randn(2, 3, 9, 9)
    torch.testing.assert_close(folded(image), both(image), rtol=1e-4, atol=1e-5)
