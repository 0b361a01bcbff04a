"""ToFNet that learns from a larger net as well as from the labels."""

from dataclasses import dataclass

import torch
from torch import Tensor

from handfast.errors import HandfastError
from handfast.losses.distillation import distillation_losses
from handfast.losses.multitask import Targets
from handfast.models.tofnet import AuxiliaryPrediction, KeypointNet, Prediction
from handfast.training.checkpoint import checkpoint_path, load_checkpoint
from handfast.training.tofnet import MultiTaskToFNet, ToFNetRecipe


@dataclass(frozen=True, kw_only=True)
class DistilledRecipe(ToFNetRecipe):
    """teacher: a packaged net or a checkpoint whose maps and visibility are learnt from. Its losses have the
    weights of those that the labels have."""

    teacher: str


class DistilledToFNet(MultiTaskToFNet):
    """Calling it also makes what the teacher says. HandfastError for a teacher of other key-points."""

    def __init__(self, recipe: DistilledRecipe) -> None:
        super().__init__(recipe)
        self.weights |= {f"teacher_{name}": self.weights[name] for name in ("keypoints", "visibility")}
        # Not a part of the module: it is neither trained nor saved.
        self._teacher = (_teacher_of(self.net, recipe.teacher),)

    def forward(self, image: Tensor) -> tuple[Prediction, AuxiliaryPrediction, Prediction]:
        (teacher,) = self._teacher
        with torch.no_grad():
            taught = teacher.to(image.device)(image)
        return *super().forward(image), taught

    def losses(
        self, predictions: tuple[Prediction, AuxiliaryPrediction, Prediction], targets: Targets
    ) -> dict[str, Tensor]:
        prediction, auxiliary, taught = predictions
        return super().losses((prediction, auxiliary), targets) | distillation_losses(
            prediction, taught, targets
        )


def _teacher_of(net: KeypointNet, name_or_path: str) -> KeypointNet:
    """Raises HandfastError unless its maps are of what ``net`` predicts, in the same kind of image."""
    teacher, card = load_checkpoint(checkpoint_path(name_or_path))
    needed = net.keypoints_per_hand, net.image_channels, net.hands
    if not isinstance(teacher, KeypointNet) or needed != (
        teacher.keypoints_per_hand,
        teacher.image_channels,
        teacher.hands,
    ):
        raise HandfastError(
            f"recipe: teacher must find {net.keypoints_per_hand} key-points of {net.hands} hands in "
            f"images of {net.image_channels} channels, got {card['name']}"
        )
    return teacher.to(memory_format=torch.channels_last)
