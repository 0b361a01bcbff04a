"""How dense regression is trained: its recipe, what a step runs, and its validation."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

import numpy as np
import torch
from torch import Tensor, nn

from handfast.codecs.dense import DenseMaps, decode_joints, encode_joints
from handfast.data.depth_batches import DepthMix
from handfast.data.depth_datasets import DEPTH_DATASETS
from handfast.errors import HandfastError
from handfast.evaluation.metrics import found_errors
from handfast.geometry import Camera
from handfast.losses.dense import dense_loss
from handfast.models import MODELS
from handfast.models.dense_regression import DensePrediction, DenseRegression, map_size
from handfast.sensors.depth_crop import CROP_PX, DepthCrop
from handfast.skeleton import SKELETONS
from handfast.training.recipe import Recipe, check_choice
from handfast.training.task import Batch, Task
from handfast.training.teacher import load_teacher


@dataclass(frozen=True, kw_only=True)
class DenseRecipe(Recipe):
    """teacher: the checkpoint of a net whose maps are learnt from as well as the labels', "" for none; its
    highest level teaches ours (knowledge distillation, section 4.4). input_px: how wide crops are, 128, or 64
    for every other pixel, maps half as large and a quarter of the cost. data: what batches are made of."""

    teacher: str = ""
    input_px: int = CROP_PX
    data: DepthMix = field(default_factory=DepthMix)

    def __post_init__(self) -> None:
        super().__post_init__()
        check_choice("input_px", self.input_px, (CROP_PX, CROP_PX // 2))

    def interface(self) -> dict:
        return {"input": {"image": "depth crop", "height": self.input_px, "width": self.input_px}}

    def joints_mm(self, batch: Batch) -> np.ndarray:
        """The labels (b, J, 3) of what the net predicts, of batches of bench-depth."""
        return SKELETONS[self.skeleton].select(batch["joints_mm"])


@dataclass(frozen=True, kw_only=True)
class DataSetRecipe(DenseRecipe):
    """Of a public data set. dataset: which, a name in DEPTH_DATASETS; skeleton: its own."""

    dataset: str

    def __post_init__(self) -> None:
        super().__post_init__()
        check_choice("dataset", self.dataset, DEPTH_DATASETS)
        labelled = DEPTH_DATASETS[self.dataset].skeleton.name
        if self.skeleton != labelled:
            raise HandfastError(f"recipe: {self.dataset} has labels of {labelled}, got {self.skeleton!r}")

    def joints_mm(self, batch: Batch) -> np.ndarray:
        return batch["joints_mm"]


class DenseTask(Task):
    """``net`` is what ships. Calling it makes the maps of all branches, and the teacher's."""

    def __init__(self, recipe: DenseRecipe) -> None:
        super().__init__()
        self.weights = {"maps": 1.0} | ({"teacher": 1.0} if recipe.teacher else {})
        self.net: DenseRegression = MODELS[recipe.model]()
        self.recipe = recipe
        joints = len(SKELETONS[recipe.skeleton])
        if joints != self.net.joints:
            raise HandfastError(
                f"recipe: {recipe.model} predicts {self.net.joints} joints, skeleton {recipe.skeleton} has "
                f"{joints}; choose a matching pair"
            )
        if recipe.teacher:
            self.teacher = load_teacher(
                recipe.teacher,
                self._can_teach,
                f"be dense regression of {joints} joints, in crops of {recipe.input_px} px, whose "
                f"highest level is {self.net.levels[-1]}",
            )

    def _can_teach(self, net: nn.Module, card: dict) -> bool:
        fits = isinstance(net, DenseRegression) and _maps_of(net) == _maps_of(self.net)
        return fits and card["input"]["width"] == self.recipe.input_px

    @property
    def shared_weight(self) -> Tensor:
        return self.net.stem[-1].body[-1][0].weight

    def forward(self, depth: Tensor) -> tuple[list[DensePrediction], DensePrediction | None]:
        return self.net.branches(depth), self.teacher and self.teacher(depth)

    def losses(
        self,
        predictions: tuple[list[DensePrediction], DensePrediction | None],
        targets: dict[int, DensePrediction],
    ) -> dict[str, Tensor]:
        branches, taught = predictions
        losses = {"maps": dense_loss(branches, targets)}
        if taught is not None:
            highest = branches[-1]
            losses["teacher"] = dense_loss([highest], {highest.heatmaps_2d.shape[-1]: taught})
        return losses

    def tensors(self, batch: Batch) -> tuple[Tensor, dict[int, DensePrediction]]:
        """As of ``DepthBatches.batch`` -> (b, 1, input_px, input_px) and the maps of each of the net's
        sizes."""
        input_px, joints_mm, crops = self.recipe.input_px, self.recipe.joints_mm(batch), crops_of(batch)
        targets = {}
        for level in self.net.levels:
            size = map_size(level) * input_px // CROP_PX
            maps = [encode_joints(joints, crop, size) for joints, crop in zip(joints_mm, crops, strict=True)]
            stacked = (torch.from_numpy(np.stack(kind)) for kind in zip(*maps, strict=True))
            targets[size] = DensePrediction(*stacked)
        return depth_tensor(batch, input_px), targets

    def validate(self, net: DenseRegression, batches: Iterable[Batch]) -> dict[str, float]:
        """The mean error of the joints at each level, in mm."""
        errors: dict[int, list[float]] = {}
        for batch in batches:
            of_levels = errors_mm(net, batch, self.recipe.joints_mm(batch), self.recipe.input_px)
            for level, error_mm in zip(net.levels, of_levels, strict=True):
                errors.setdefault(level, []).append(error_mm)
        return {f"error_mm_l{level}": float(np.mean(of_level)) for level, of_level in errors.items()}


def crops_of(batch: Batch) -> list[DepthCrop]:
    """The crops that a batch is made of."""
    return [
        DepthCrop(depth, Camera(*intrinsics, CROP_PX, CROP_PX), centre_mm)
        for depth, intrinsics, centre_mm in zip(
            batch["depth"], batch["intrinsics"], batch["centre_mm"], strict=True
        )
    ]


def _maps_of(net: DenseRegression) -> tuple[int, int]:
    """How many joints and which level its last maps are of."""
    return net.joints, net.levels[-1]


def depth_tensor(batch: Batch, input_px: int) -> Tensor:
    """Every pixel of a batch's crops, or as many as a net takes: (b, 1, input_px, input_px)."""
    step = CROP_PX // input_px
    return torch.from_numpy(batch["depth"])[:, None, ::step, ::step].contiguous()


@torch.inference_mode()
def errors_mm(
    net: DenseRegression, batch: Batch, joints_mm: np.ndarray, input_px: int = CROP_PX
) -> Sequence[float]:
    """The mean distance of each level of the last stack to joints (b, J, 3). One that is not found counts as
    the middle."""
    depth = depth_tensor(batch, input_px).to(next(net.parameters()).device)
    branches = net.branches(depth)[-len(net.levels) :]
    crops, found = crops_of(batch), []
    for branch in branches:
        maps = DenseMaps(*(kind.float().cpu().numpy() for kind in branch))
        decoded_mm, _ = decode_joints(maps, crops)
        found.append(float(found_errors(decoded_mm, joints_mm, batch["centre_mm"][:, None]).mean()))
    return found
