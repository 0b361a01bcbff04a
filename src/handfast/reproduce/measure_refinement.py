"""What DIR-Net does on the people that nobody has trained on, with every way of leaving its loop."""

from pathlib import Path

import numpy as np
import torch

from handfast.data.colour_batches import ColourBatches, open_clips_as_taken
from handfast.models.dirnet import DIRNet, LoopNorm, run_macs
from handfast.models.dirnet_gate import exit_loop, mean_variance
from handfast.models.dirnet_heads import Estimate
from handfast.reproduce.refinement_score import (
    TEMPERATURES,
    VARIANCES,
    RefinementScore,
    RunCost,
    score_run,
)
from handfast.sensors.colour_crop import pixels_of
from handfast.training.checkpoint import load_checkpoint
from handfast.training.dirnet import DIRNetRecipe
from handfast.training.loop import MODEL_FILE
from handfast.training.task import image_tensor

BATCH = 40


def measure_refinement(recipe: DIRNetRecipe, data: Path, run_dir: Path) -> dict[str, RefinementScore]:
    """Score the nets that a recipe's runs left in a folder on the split test of bench-rgb.

    By way of running: "no-iteration", the net before it learnt to refine, where there is one; "loop-0" to
    "loop-5", as often as there are; "gate-1.0" and so on, by temperature, of a gate that has learnt;
    "variance-1.0" and so on, by threshold. Raises HandfastError for a shard that is not as it was made.
    """
    test = open_clips_as_taken(data, "test", recipe.data.input_px)
    scores = {}
    first = run_dir / "loop-0" / MODEL_FILE
    if first.exists():
        net, _ = load_checkpoint(first)
        scores["no-iteration"] = _Estimates(net, 0, test).score(np.zeros(len(test), int))
    net, _ = load_checkpoint(run_dir / MODEL_FILE)
    estimates = _Estimates(net, recipe.loops, test)
    exits = {f"loop-{loop}": np.full(len(test), loop) for loop in range(recipe.loops + 1)}
    if recipe.gate_epochs:
        exits |= {f"gate-{each}": estimates.exits_by_gate(each) for each in TEMPERATURES}
    exits |= {f"variance-{each}": estimates.exits_by_variance(each) for each in VARIANCES}
    return scores | {way: estimates.score(loops) for way, loops in exits.items()}


class _Estimates:
    """All that a net says of all frames after each of its loops: ways of leaving them are then a choice."""

    def __init__(self, net: DIRNet, loops: int, frames: ColourBatches) -> None:
        self.input_px = frames.mix.input_px
        self.cost = run_cost(net, self.input_px, iterates=loops > 0)
        self.first_person = frames.frames.of_part("first-person")
        of_batches, errors_mm, errors_px, hidden = [], [], [], []
        size = np.gcd(len(frames), BATCH)
        for step in range(len(frames) // size):
            batch = frames.batch(step, size)
            with torch.inference_mode():
                estimates = net(image_tensor(batch["image"]), loops)
            of_batches.append(_decisions(estimates))
            found_px = [pixels_of(e.joints_2d.numpy(), self.input_px) for e in estimates]
            errors_px.append(_distances(found_px, batch["keypoints_px"]))
            errors_mm.append(1000 * _distances([e.joints_3d.numpy() for e in estimates], batch["joints_m"]))
            hidden.append(1 - batch["visible"].mean(axis=1))
        # (n, L, 21) each, and (n, L) of the gate's logits and of the variances
        self.errors_mm, self.errors_px = np.concatenate(errors_mm), np.concatenate(errors_px)
        self.hidden = np.concatenate(hidden)
        self.logits, self.variances = map(torch.cat, zip(*of_batches, strict=True))

    def exits_by_gate(self, temperature: float) -> np.ndarray:
        """(n,): the loop after which the learned gate leaves."""
        return exit_loop((self.logits / temperature).softmax(dim=2)[..., 0]).numpy()

    def exits_by_variance(self, threshold: float) -> np.ndarray:
        """(n,): the loop after which the mean variance is low enough."""
        return exit_loop((self.variances <= threshold).float()).numpy()

    def score(self, loops: np.ndarray) -> RefinementScore:
        """Of leaving each frame after so many loops."""
        chosen = np.arange(len(loops)), loops
        return score_run(
            self.errors_mm[chosen],
            self.errors_px[chosen],
            loops,
            self.hidden,
            self.first_person,
            self.input_px,
            self.cost,
        )


def run_cost(net: DIRNet, input_px: int, iterates: bool = True) -> RunCost:
    """What a net costs on a crop, as it trains. iterates: False leaves
    out the parameters that only loops and gate need."""
    unused = [] if iterates else [*net.feedback.parameters(), *net.gate.parameters()]
    parameters = sum(p.numel() for p in net.parameters()) - sum(p.numel() for p in unused)
    if not iterates:  # the normalisations of loops that are never run
        norms = [module for module in net.modules() if isinstance(module, LoopNorm)]
        parameters -= sum(2 * (len(norm.weight) - 1) * norm.weight.shape[1] for norm in norms)
    return RunCost(parameters, 4 * parameters, *run_macs(net, input_px))


def _decisions(estimates: list[Estimate]) -> tuple[torch.Tensor, torch.Tensor]:
    """The gate's logits (b, L, 2) and the variances (b, L) after each loop."""
    return (
        torch.stack([estimate.exit_logits for estimate in estimates], dim=1),
        torch.stack([mean_variance(estimate) for estimate in estimates], dim=1),
    )


def _distances(found: list[np.ndarray], truth: np.ndarray) -> np.ndarray:
    """Of points (b, 21, D) after each of L loops: (b, L, 21)."""
    return np.linalg.norm(np.stack(found, axis=1) - truth[:, None], axis=-1)
