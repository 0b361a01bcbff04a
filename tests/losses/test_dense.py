"""Dense regression's loss against hand-worked values."""

import pytest
import torch

from handfast.losses.dense import dense_loss
from handfast.models.dense_regression import DensePrediction


def dense_maps(size, value, joints=2, crops=3):
    return DensePrediction(
        *(torch.full((crops, joints, *axes, size, size), value) for axes in ((), (), (3,)))
    )


def test_the_dense_loss_is_half_the_squared_error_of_all_maps_of_all_branches():
    """Eq. 1: of each crop, 2 joints x 5 maps of s x s cells, by two stacks of two levels."""
    branches = [dense_maps(4, 0.5), dense_maps(8, 0.5)] * 2
    targets = {4: dense_maps(4, 0.0), 8: dense_maps(8, 2.0)}
    expected = 2 * 0.5 * (2 * 5 * 16 * 0.25 + 2 * 5 * 64 * 2.25)
    assert dense_loss(branches, targets).item() == pytest.approx(expected)


def test_the_dense_gradient_of_a_cell_is_its_error_over_the_crops():
    predicted = DensePrediction(*(torch.randn_like(m).requires_grad_() for m in dense_maps(4, 0.0)))
    target = dense_maps(4, 0.25)
    dense_loss([predicted], {4: target}).backward()
    for found, wanted in zip(predicted, target, strict=True):
        torch.testing.assert_close(found.grad, (found.detach() - wanted) / 3)
