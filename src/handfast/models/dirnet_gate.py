"""When DIR-Net stops (yang2021, section 4).

A gate says of each sample how probable it is to leave the loop after an estimate. The loop is left once it is
at least as probable as not that the loop has been left: at the median of where random exits would take place.
To take each gate's likelier action would be the same at any temperature; the median depends on it. A gate
that says 0 or 1 decides by itself: by a threshold of variance, or by chance.

Gates are the functions here with their settings bound: ``partial(exit_by_variance, threshold=2.0)``. With
``run_adaptive`` they are the reference that tests hold the loop in ``runtime/dirnet.py`` against.
"""

from collections.abc import Callable

import torch
from torch import Tensor

from handfast.models.dirnet import DIRNet
from handfast.models.dirnet_heads import Estimate

Gate = Callable[[Estimate], Tensor]


def mean_variance(estimate: Estimate) -> Tensor:
    """(b,): the mean of sigma^2 of the 2D coordinates, hundredths of the crop squared: one unit, learnt
    from every photo."""
    return estimate.log_variance_2d.float().exp().mean(dim=(1, 2))


def exit_by_variance(estimate: Estimate, threshold: float) -> Tensor:
    """1 where the mean variance is no more than tau_var (section 4.1), else 0."""
    return (mean_variance(estimate) <= threshold).float()


def exit_by_policy(estimate: Estimate, temperature: float) -> Tensor:
    """The learned gate's probability of leaving the loop, at tau_gate (section 4.2)."""
    return (estimate.exit_logits.float() / temperature).softmax(dim=1)[:, 0]


def exit_loop(probabilities: Tensor) -> Tensor:
    """What a gate says after each loop (b, L) -> the loop (b,) at which each sample is left: the last one if
    the gate lets it go on to the end."""
    going = (1 - probabilities).cumprod(dim=1)
    return (going[:, :-1] > 0.5).sum(dim=1)


@torch.no_grad()
def run_adaptive(net: DIRNet, image: Tensor, gate: Gate) -> tuple[Estimate, Tensor]:
    """Run each sample of image (b, 3, S, S) for as many loops as the gate wants, and no further.

    -> the last estimate of each, and the loops that it took (b,) int64, 0 to ``max_loops``. Samples that have
    left are taken out of the batch. For a net in evaluation mode.
    """
    features = attended = net.extract(image)
    rows = torch.arange(len(image), device=image.device)
    going = torch.ones(len(image), device=image.device)
    finished = []
    for loop in range(net.max_loops + 1):
        estimate, encoded = net.refine(attended, loop)
        going = going * (1 - gate(estimate))
        stays = (going > 0.5) & (loop < net.max_loops)
        finished.append((rows[~stays], loop, [tensor[~stays] for tensor in estimate]))
        if not stays.any():
            break
        rows, going, features = rows[stays], going[stays], features[stays]
        attended = net.attend(features, encoded[stays])
    order = torch.cat([left for left, _, _ in finished]).argsort()
    loops = torch.cat([torch.full_like(left, loop) for left, loop, _ in finished])
    tensors = (torch.cat(parts) for parts in zip(*(fields for _, _, fields in finished), strict=True))
    return Estimate(*(tensor[order] for tensor in tensors)), loops[order]
