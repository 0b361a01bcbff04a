"""Task weights that keep the tasks' gradients in balance: GradNorm (Chen et al. 2017, arXiv 1711.02257),
named by chidananda2019, section 4, as what could replace equation 1's fixed weights."""

from collections.abc import Callable, Mapping

import torch
from torch import Tensor

ASYMMETRY = 1.5  # alpha: how much more the tasks that learn slowly weigh
LEARNING_RATE = 0.025
LEAST_WEIGHT = 1e-3


class GradNorm:
    """The weights of the tasks in ``weights`` that are not 0; their sum stays what it was."""

    def __init__(self, weights: Mapping[str, float]) -> None:
        self.weights = {name: weight for name, weight in weights.items() if weight > 0}
        self.first_losses: dict[str, float] = {}
        self._sum = sum(self.weights.values())

    def update(
        self, losses: Mapping[str, Tensor], shared: Tensor, backward: Callable[..., None] = Tensor.backward
    ) -> None:
        """Algorithm 1: after a forward pass, one step on the weights.

        losses: unweighted, by task. shared: the parameters of the last layer that all tasks use; their
        gradient is cleared. backward: as ``Tensor.backward``, if another one must be called.

        L_grad = sum_i |G_i - mean(G) r_i^alpha| with G_i the norm of w_i L_i's gradient on ``shared`` and r_i
        how little the task has been learnt, L_i / L_i(0) over the tasks' mean. Its gradient by w_i is
        G_i / w_i times the sign. Weights move by ratios, or one of 50 would move as little as one of 1.
        """
        names = list(self.weights)
        norms = []
        for name in names:
            shared.grad = None
            backward(losses[name], retain_graph=True, inputs=[shared])
            norms.append(shared.grad.float().norm())
        shared.grad = None
        values = torch.stack([losses[name].detach().float() for name in names])
        # A task whose first batch has no label starts when it meets one.
        for name, value in zip(names, values.tolist(), strict=True):
            if value > 0:
                self.first_losses.setdefault(name, value)
        first = values.new_tensor([self.first_losses.get(name, 1.0) for name in names])
        weights = values.new_tensor([self.weights[name] for name in names])
        left = values / first
        rate = left / left.mean().clamp(min=1e-9)
        weighted = weights * torch.stack(norms)
        excess = torch.sign(weighted - weighted.mean() * rate**ASYMMETRY)
        moved = (weights * torch.exp(-LEARNING_RATE * excess)).clamp(min=LEAST_WEIGHT)
        moved *= self._sum / moved.sum()
        self.weights = dict(zip(names, moved.tolist(), strict=True))

    @property
    def state(self) -> dict[str, dict[str, float]]:
        """What ``restore`` needs, as JSON-able values."""
        return {"weights": self.weights, "first_losses": self.first_losses}

    def restore(self, state: Mapping[str, dict[str, float]]) -> None:
        self.weights, self.first_losses = state["weights"], state["first_losses"]
