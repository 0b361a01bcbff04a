"""How DIR-Net is trained: its recipe, the runs that this comes to, what a step runs, and validation."""

from collections.abc import Iterable
from dataclasses import dataclass, field, fields
from functools import cached_property
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

from handfast.data.colour_batches import ColourMix
from handfast.errors import HandfastError
from handfast.evaluation.metrics import mean_error, pck_auc
from handfast.hand_model.mano import load_mano
from handfast.hand_model.torch_mano import Mano
from handfast.losses.refinement import (
    PoseTargets,
    RefinementWeights,
    exit_rewards,
    gate_loss,
    refinement_losses,
    sample_losses,
)
from handfast.models import MODELS
from handfast.models.dirnet import DIRNet, run_macs
from handfast.models.dirnet_heads import Estimate
from handfast.sensors.colour_crop import pixels_of
from handfast.skeleton import HAND21
from handfast.training.recipe import Recipe, check_choice, check_not_negative
from handfast.training.task import Batch, Task, image_tensor

TRAINS = ("all", "refiner", "gate")
REDUCTION = 0.1  # of the learning rate, from one run to the next (algorithm 1)


@dataclass(frozen=True, kw_only=True)
class DIRNetRecipe(Recipe):
    """loops: l_max, how many refinements are trained. progressive: as algorithm 1 has it, ``epochs`` without
    a loop and then ``loop_epochs`` with one more at a time; else as many epochs with all loops at once (end
    to end). gate_epochs: for the exit gate, which comes last. guess_weight: of joints in space that are a
    guess, as those of photos. gate_scale: lambda of Eq. 11, how many GFLOP a loss of 1 is worth. mano: the
    user's MANO file, which takes the open hand's place, "" for none. losses: their weights. data: what
    batches are made of.
    """

    loops: int = 5
    progressive: bool = True
    loop_epochs: float = 20.0
    gate_epochs: float = 5.0
    guess_weight: float = 0.3
    gate_scale: float = 1.0
    mano: str = ""
    losses: RefinementWeights = field(default_factory=RefinementWeights)
    data: ColourMix = field(default_factory=ColourMix)

    def __post_init__(self) -> None:
        super().__post_init__()
        check_choice("skeleton", self.skeleton, ("hand21",))
        check_not_negative(self, "loop_epochs", "gate_epochs", "guess_weight", "gate_scale")
        most = MODELS[self.model].keywords["max_loops"]
        if not 0 <= self.loops <= most:
            raise HandfastError(f"recipe: loops must be in 0..{most} for {self.model}, got {self.loops}")
        if self.progressive and self.loops and not self.loop_epochs:
            raise HandfastError(
                "recipe: progressive training has a run for each loop; loop_epochs must be > 0"
            )
        if self.steps:
            raise HandfastError("recipe: how long DIR-Net's runs are is told in epochs, not in steps")

    def interface(self) -> dict:
        size_px = self.data.input_px
        return {
            "input": {"image": "colour crop", "height": size_px, "width": size_px},
            "loops": self.loops,
            "hand": "mano" if self.mano else "open",
        }


@dataclass(frozen=True, kw_only=True)
class DIRNetRun(DIRNetRecipe):
    """One of the runs that a recipe comes to, with ``loops`` of its own. trains: "all" of the network but its
    gate; "refiner", all but the feature extractor as well; or the "gate" alone. share: of the learning rate
    for all but the attention-map generator: for what earlier runs have trained and, as algorithm 1 has it,
    for the normalisation of a new loop as well, which hardly leaves its start at 1e-5 of it in loop 5."""

    trains: str
    share: float = 1.0

    def __post_init__(self) -> None:
        super().__post_init__()
        check_choice("trains", self.trains, TRAINS)

    def interface(self) -> dict:
        exit_rule = {"name": "gate" if self.trains == "gate" else "never"}
        return super().interface() | {"exit_rule": exit_rule}


def dirnet_runs(recipe: DIRNetRecipe) -> dict[str, DIRNetRun]:
    """The runs of a recipe by name, in order; each goes on from the one before it, which its ``init_from``
    names. Raises HandfastError for a MANO file that is none."""
    if recipe.mano:
        load_mano(Path(recipe.mano))
    values = {each.name: getattr(recipe, each.name) for each in fields(recipe)}

    def run(**changes: object) -> DIRNetRun:
        return DIRNetRun(**(values | changes))

    if recipe.progressive:
        runs = {"loop-0": run(loops=0, trains="all")}
        for loop in range(1, recipe.loops + 1):
            runs[f"loop-{loop}"] = run(
                loops=loop,
                trains="refiner",
                epochs=recipe.loop_epochs,
                share=REDUCTION**loop,
                init_from=f"loop-{loop - 1}",
            )
    else:
        epochs = recipe.epochs + recipe.loops * recipe.loop_epochs
        runs = {"end-to-end": run(trains="all", epochs=epochs)}
    if recipe.gate_epochs and recipe.loops:
        last = next(reversed(runs))
        runs["gate"] = run(trains="gate", epochs=recipe.gate_epochs, init_from=last)
    return runs


def frozen_parts(run: DIRNetRun) -> tuple[str, ...]:
    """The parts of the network that a run leaves as they are, or does not use."""
    parts = ("extractor", "refiner", "feedback", "pose_predictor", "uncertainty")
    if run.trains == "gate":
        return parts
    unused = ("gate",) if run.loops else ("gate", "feedback")
    return (*unused, "extractor") if run.trains == "refiner" else unused


class DIRNetTask(Task):
    """``net`` is what ships. Calling it makes the estimates of all loops."""

    def __init__(self, recipe: DIRNetRun) -> None:
        super().__init__()
        hand = Mano(load_mano(Path(recipe.mano))) if recipe.mano else None
        self.net: DIRNet = MODELS[recipe.model](hand=hand)
        self.recipe = recipe
        self.weights = {"gate": 1.0} if recipe.trains == "gate" else dict(vars(recipe.losses))
        self.frozen = frozen_parts(recipe)
        for name in self.frozen:
            self.net.get_submodule(name).requires_grad_(False)
        self.train()

    @cached_property
    def gflops_per_loop(self) -> float:
        return 2e-9 * run_macs(self.net, self.recipe.data.input_px)[1]

    def train(self, mode: bool = True) -> "DIRNetTask":
        """What is frozen keeps its statistics as well."""
        super().train(mode)
        for name in self.frozen:
            self.net.get_submodule(name).eval()
        return self

    def parameter_groups(self) -> list[dict]:
        generator = [p for p in self.net.feedback.parameters() if p.requires_grad]
        own = set(map(id, generator))
        others = [p for p in self.net.parameters() if p.requires_grad and id(p) not in own]
        groups = [{"params": others, "share": self.recipe.share}, {"params": generator, "share": 1.0}]
        return [group for group in groups if group["params"]]

    def forward(self, image: Tensor) -> list[Estimate]:
        return self.net(image, self.recipe.loops)

    def losses(self, predictions: list[Estimate], targets: PoseTargets) -> dict[str, Tensor]:
        if self.recipe.trains == "gate":
            losses = torch.stack([sample_losses(estimate, targets) for estimate in predictions], dim=1)
            rewards = exit_rewards(losses.detach(), self.gflops_per_loop, self.recipe.gate_scale)
            logits = torch.stack([estimate.exit_logits for estimate in predictions], dim=1)
            # Exits are drawn where the loop saves the generator's state: a resumed run draws the same.
            return {"gate": gate_loss(logits.cpu(), rewards.cpu(), torch.default_generator)}
        hand = self.net.pose_predictor.hand
        return refinement_losses(predictions, targets, hand.mean_pose, hand.pose_limits)

    def tensors(self, batch: Batch) -> tuple[Tensor, PoseTargets]:
        """As of ``ColourBatches.batch`` -> (b, 3, S, S) float32, 0..1, and the labels."""
        size_px = batch["image"].shape[1]
        guess_weight = np.where(batch["rendered"], 1, self.recipe.guess_weight)
        weight_3d = np.repeat((batch["has_3d"] * guess_weight)[:, None], len(HAND21), axis=1)
        arrays = PoseTargets(
            joints_2d=(batch["keypoints_px"] + 0.5) * (2 / size_px) - 1,
            joints_3d=batch["joints_m"],
            weight_2d=np.ones(weight_3d.shape),
            weight_3d=weight_3d,
        )
        return image_tensor(batch["image"]), PoseTargets(
            *(torch.from_numpy(array).float() for array in arrays)
        )

    def validate(self, net: nn.Module, batches: Iterable[Batch]) -> dict[str, float]:
        """Of the last loop: mean 2D error in px, mean 3D error and its AUC over 0 to 50 mm, wrist-relative;
        the mean 3D error of the first estimate. Those in 3D of hands that have such labels, if any has."""
        errors_px, errors_mm, first_mm = [], [], []
        for batch in batches:
            found = estimate_joints(net, batch["image"], self.recipe.loops)
            errors_px.append(np.linalg.norm(found[-1][0] - batch["keypoints_px"], axis=-1))
            for errors, (_, joints_m) in ((errors_mm, found[-1]), (first_mm, found[0])):
                distances_mm = 1000 * np.linalg.norm(joints_m - batch["joints_m"], axis=-1)
                errors.append(distances_mm[batch["has_3d"]])
        metrics = {"error_px": mean_error(np.concatenate(errors_px))}
        last_mm = np.concatenate(errors_mm)
        if len(last_mm):
            metrics["error_mm"] = mean_error(last_mm)
            metrics["auc"] = pck_auc(last_mm, 0, 50)
            metrics["error_mm_loop0"] = mean_error(np.concatenate(first_mm))
        return metrics


@torch.inference_mode()
def estimate_joints(net: DIRNet, image: np.ndarray, loops: int) -> list[tuple[np.ndarray, np.ndarray]]:
    """(b, S, S, 3) uint8 -> after each loop key-points (b, 21, 2) px and joints (b, 21, 3) m."""
    device = next(net.parameters()).device
    size_px = image.shape[1]
    return [
        (pixels_of(estimate.joints_2d.cpu().numpy(), size_px), estimate.joints_3d.cpu().numpy())
        for estimate in net(image_tensor(image).to(device), loops)
    ]
