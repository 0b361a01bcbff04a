"""ToFNet that learns from a larger net as well as from the labels."""

from dataclasses import dataclass

from torch import Tensor, nn

from handfast.errors import HandfastError
from handfast.losses.distillation import distillation_losses
from handfast.losses.multitask import Targets
from handfast.models.tofnet import AuxiliaryPrediction, KeypointNet, Prediction
from handfast.training.teacher import load_teacher
from handfast.training.tofnet import MultiTaskToFNet, ToFNetRecipe


@dataclass(frozen=True, kw_only=True)
class DistilledRecipe(ToFNetRecipe):
    """teacher: a packaged net or a checkpoint whose maps and visibility are learnt from. Its losses have the
    weights of those that the labels have."""

    teacher: str

    def __post_init__(self) -> None:
        super().__post_init__()
        if not self.teacher:
            raise HandfastError(
                "recipe: teacher must be a packaged net or a checkpoint; leave it out for none"
            )


class DistilledToFNet(MultiTaskToFNet):
    """Calling it also makes what the teacher says. HandfastError for a teacher of other key-points."""

    def __init__(self, recipe: DistilledRecipe) -> None:
        super().__init__(recipe)
        self.weights |= {f"teacher_{name}": self.weights[name] for name in ("keypoints", "visibility")}
        image = recipe.interface()["input"]["image"]

        def fits(net: nn.Module, card: dict) -> bool:
            seen = card["skeleton"], card["input"]["image"]
            return isinstance(net, KeypointNet) and seen == (recipe.skeleton, image)

        expected = f"find {len(self.skeleton)} key-points ({recipe.skeleton}) in images of {image}"
        self.teacher = load_teacher(recipe.teacher, fits, expected)

    def forward(self, image: Tensor) -> tuple[Prediction, AuxiliaryPrediction, Prediction]:
        return *super().forward(image), self.teacher(image)

    def losses(
        self, predictions: tuple[Prediction, AuxiliaryPrediction, Prediction], targets: Targets
    ) -> dict[str, Tensor]:
        prediction, auxiliary, taught = predictions
        return super().losses((prediction, auxiliary), targets) | distillation_losses(
            prediction, taught, targets
        )
