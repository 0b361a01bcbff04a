"""The loss of dense regression (pruned_hourglass2019, equation 1)."""

from collections.abc import Mapping, Sequence

from torch import Tensor

from handfast.models.dense_regression import DensePrediction


def dense_loss(branches: Sequence[DensePrediction], targets: Mapping[int, DensePrediction]) -> Tensor:
    """Equation 1 of pruned_hourglass2019, halved and averaged over the b crops: the squared error, summed
    over all cells of the three kinds of maps of every stack's levels.

    targets: what the maps should be, by the s of s x s cells. Cells without a hand count as all others do.
    """
    squared = [
        (predicted.float() - target).square().sum()
        for branch in branches
        for predicted, target in zip(branch, targets[branch.heatmaps_2d.shape[-1]], strict=True)
    ]
    return sum(squared) / (2 * len(branches[0].heatmaps_2d))
