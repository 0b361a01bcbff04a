"""What the loop asks of a family of networks."""

from abc import ABC, abstractmethod
from collections.abc import Iterable, Mapping, Sequence
from typing import Protocol

import numpy as np
import torch
from torch import Tensor, nn

from handfast.errors import HandfastError
from handfast.training.teacher import Teacher

Batch = dict[str, np.ndarray]


class Task(nn.Module, ABC):
    """A network as it is trained, with whatever only training needs; calling it makes the predictions.

    net: what ships. weights: of the losses, by name. teacher: whose predictions are learnt from as well.
    """

    net: nn.Module
    weights: Mapping[str, float]
    teacher: Teacher | None = None

    @abstractmethod
    def tensors(self, batch: Batch) -> tuple[Tensor, object]:
        """A batch of labels -> the input of a call, and the targets, on the CPU."""

    @abstractmethod
    def losses(self, predictions: object, targets: object) -> dict[str, Tensor]:
        """Each loss by its name, unweighted."""

    @abstractmethod
    def validate(self, net: nn.Module, batches: Iterable[Batch]) -> dict[str, float]:
        """How well a network like ``net``, in evaluation mode, does on labelled batches."""

    @property
    def shared_weight(self) -> Tensor:
        """The parameters of the last layer that all losses depend on, which GradNorm looks at. Raises
        HandfastError where there is none."""
        raise HandfastError(f"{type(self).__name__}: its losses share no last layer; use fixed weights")

    def parameter_groups(self) -> list[dict]:
        """What is trained: groups of parameters as the optimizer takes them, each with a ``share`` of the
        learning rate."""
        return [{"params": list(self.parameters()), "share": 1.0}]


class TrainingData(Protocol):
    """Labelled images, see the task's ``tensors`` for what a batch holds.

    name: identifies the data in the model's card. validation: held-out batches by kind, may be empty.
    Its length is that of an epoch, in frames.
    """

    name: str
    validation: Mapping[str, Sequence[Batch]]

    def __len__(self) -> int: ...

    def origin(self, step: int, batch_size: int) -> str:
        """Which files the batch of a step was made from."""
        ...

    def batch(self, step: int, batch_size: int) -> Batch:
        """The batch of a step, the same whenever it is asked for."""
        ...


def image_tensor(image: np.ndarray) -> Tensor:
    """Pictures (..., H, W, c) uint8 -> (..., c, H, W) float32, 0..1."""
    return torch.from_numpy(image).movedim(-1, -3).float().div_(255)
