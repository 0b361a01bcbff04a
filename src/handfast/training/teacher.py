"""A network whose predictions another one learns from, beside the labels (knowledge distillation)."""

from collections.abc import Callable

import torch
from torch import Tensor, nn

from handfast.errors import HandfastError
from handfast.training.checkpoint import checkpoint_path, checksum, load_checkpoint


class Teacher:
    """Calling it makes its predictions. It neither learns nor is it saved with who learns from it.

    identity: of its tensors; a run that goes on must have the same teacher.
    """

    def __init__(self, net: nn.Module) -> None:
        self.net = net.eval().to(memory_format=torch.channels_last)
        self.identity = checksum(net.state_dict())

    @torch.no_grad()
    def __call__(self, image: Tensor) -> object:
        return self.net.to(image.device)(image)


def load_teacher(name_or_path: str, fits: Callable[[nn.Module, dict], bool], expected: str) -> Teacher:
    """A packaged net or a checkpoint. fits: whether a net, with its card, can teach. expected: what can, for
    the message. Raises HandfastError if it does not fit, and as ``load_checkpoint`` does."""
    net, card = load_checkpoint(checkpoint_path(name_or_path))
    if not fits(net, card):
        raise HandfastError(f"recipe: teacher must {expected}, got {card['name']}")
    return Teacher(net)
