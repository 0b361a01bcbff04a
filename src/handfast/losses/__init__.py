"""Pure loss functions, those of a family a file, and the weighted sum that is trained on."""

from collections.abc import Mapping

from torch import Tensor


def total_loss(losses: Mapping[str, Tensor], weights: Mapping[str, float]) -> Tensor:
    """Equation 1 of chidananda2019. A loss without a weight has weight 0: all devices must see the same
    graph."""
    return sum(weights.get(name, 0.0) * loss for name, loss in losses.items())
