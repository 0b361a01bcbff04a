"""Each way of leaving DIR-Net's loop is measured as if the net had been run so."""

from dataclasses import replace
from functools import partial

import numpy as np
import pytest
import torch

from handfast.data.colour_batches import ColourMix, open_clips_as_taken
from handfast.models import MODELS
from handfast.models.dirnet_gate import exit_by_policy, exit_by_variance, run_adaptive
from handfast.models.dirnet_heads import Estimate
from handfast.reproduce.measure_refinement import measure_refinement, run_cost
from handfast.reproduce.refinement_score import TEMPERATURES, VARIANCES, RunCost
from handfast.training.checkpoint import save_checkpoint
from handfast.training.dirnet import DIRNetRecipe
from handfast.training.loop import MODEL_FILE, model_card
from handfast.training.task import image_tensor

RECIPE = DIRNetRecipe(
    model="dirnet", skeleton="hand21", loops=2, epochs=1.0, gate_epochs=1.0, data=ColourMix(64)
)  # fmt: skip


@pytest.fixture
def test_frames(dotted_folder):
    """All twelve, in order, as one batch."""
    frames = open_clips_as_taken(dotted_folder, "test", 64)
    return frames.batch(0, len(frames))


class Knowing(torch.nn.Module):
    """Is off by 30, 20 and 10 mm in depth, and by a tenth as many pixels, after loops 0, 1 and 2. Frame i
    leaves after loop i % 3 by the gate. The variance is 4, 2 and 1."""

    def __init__(self, frames):
        super().__init__()
        self.frames = frames
        self.number = {picture.tobytes(): i for i, picture in enumerate(frames["image"])}

    def forward(self, image, loops):
        pictures = (255 * image).round().byte().permute(0, 2, 3, 1).contiguous().numpy()
        rows = [self.number[picture.tobytes()] for picture in pictures]
        joints_3d = torch.from_numpy(self.frames["joints_m"][rows])
        joints_2d = (torch.from_numpy(self.frames["keypoints_px"][rows]) + 0.5) * (2 / 64) - 1
        n, estimates = len(rows), []
        for loop in range(loops + 1):
            off = 30 - 10 * loop
            leaves = torch.tensor([9.0 if loop >= i % 3 else -9.0 for i in rows])
            estimates.append(
                Estimate(
                    pose=torch.zeros(n, 22),
                    shape=torch.zeros(n, 10),
                    joints_3d=joints_3d + torch.tensor([0, 0, off / 1000]),
                    joints_2d=joints_2d + torch.tensor([off / 10 * 2 / 64, 0]),
                    log_variance_2d=torch.full((n, 21, 2), float(np.log(4 / 2**loop)) + 1e-6),
                    log_variance_3d=torch.zeros(n, 21, 3),
                    exit_logits=torch.stack([leaves, torch.zeros(n)], dim=1),
                )
            )
        return estimates


@pytest.fixture
def measured(dotted_folder, test_frames, tmp_path, monkeypatch):
    """The scores of such a net that was trained progressively."""
    module = "handfast.reproduce.measure_refinement"
    monkeypatch.setattr(f"{module}.load_checkpoint", lambda path: (Knowing(test_frames), {}))
    monkeypatch.setattr(
        f"{module}.run_cost",
        lambda net, input_px, iterates=True: RunCost(1000 if iterates else 900, 4000, 20, 10),
    )
    (tmp_path / "loop-0").mkdir()
    (tmp_path / "loop-0" / MODEL_FILE).touch()
    return measure_refinement(RECIPE, dotted_folder, tmp_path)


def test_every_way_of_leaving_has_a_score(measured):
    assert list(measured) == [
        "no-iteration", "loop-0", "loop-1", "loop-2",
        *(f"gate-{each}" for each in TEMPERATURES), *(f"variance-{each}" for each in VARIANCES),
    ]  # fmt: skip


def test_errors_and_compute_of_fixed_loops(measured):
    found = [measured[f"loop-{loop}"] for loop in range(3)]
    assert [score.error_mm for score in found] == pytest.approx([30, 20, 10], abs=1e-3)
    assert [score.error_px for score in found] == pytest.approx([3, 2, 1], abs=1e-3)
    assert [(score.loops, score.macs, score.parameters) for score in found] == [
        (0, 20, 1000), (1, 30, 1000), (2, 40, 1000),
    ]  # fmt: skip
    never = measured["no-iteration"]
    assert (never.frames, never.macs, never.parameters) == (12, 20, 900)


def test_the_gate_is_measured_as_it_leaves(measured):
    gated = measured["gate-1.0"]
    assert (gated.loops, gated.macs) == (1.0, 30) and gated.error_mm == pytest.approx(20, abs=1e-3)
    assert gated.loss_quantiles == pytest.approx([10, 10, 20, 30, 30], abs=1e-3)
    assert gated.loops_by_hidden == [1.0, None, None, None]  # no dot is hidden


def test_thresholds_of_variance_are_measured_as_they_leave(measured):
    loops = {each: measured[f"variance-{each}"].loops for each in VARIANCES}
    assert loops == {0.25: 2, 0.5: 2, 1.0: 2, 2.0: 2, 4.0: 1, 8.0: 0, 16.0: 0}


def test_views_are_told_apart_by_the_side(measured, dotted_folder):
    """Left hands are seen in third person, right ones by who has them."""
    is_left = open_clips_as_taken(dotted_folder, "test", 64).frames.is_left
    loop_1 = measured["loop-1"]
    assert (loop_1.auc_third_person is not None) == is_left.any()
    assert (loop_1.auc_first_person is not None) == (~is_left).any()


@pytest.fixture
def trained(tmp_path):
    """A folder with a net whose heads say something, and its recipe."""

    def trained(**changes):
        recipe = replace(RECIPE, **changes)
        torch.manual_seed(0)
        net = MODELS[recipe.model]()
        for head in (net.uncertainty.second, net.gate[-1]):
            torch.nn.init.normal_(head.weight, std=1.0)
        save_checkpoint(tmp_path / MODEL_FILE, net, model_card(recipe, "noise", 0, {}))
        return tmp_path, recipe, net.eval()

    return trained


def test_what_is_chosen_afterwards_is_what_a_run_would_have_left_with(trained, test_frames, dotted_folder):
    run_dir, recipe, net = trained(loops=5)
    scores = measure_refinement(recipe, dotted_folder, run_dir)
    assert "no-iteration" not in scores  # it was not trained progressively
    used = set()
    for name, gate in {
        "gate-0.5": partial(exit_by_policy, temperature=0.5),
        "gate-4.0": partial(exit_by_policy, temperature=4.0),
        "variance-1.0": partial(exit_by_variance, threshold=1.0),
    }.items():
        estimate, loops = run_adaptive(net, image_tensor(test_frames["image"]), gate)
        errors_mm = 1000 * np.linalg.norm(estimate.joints_3d.numpy() - test_frames["joints_m"], axis=-1)
        assert scores[name].loops == pytest.approx(loops.float().mean().item(), abs=1e-6)
        assert scores[name].error_mm == pytest.approx(errors_mm.mean(), abs=1e-2)
        used |= set(loops.tolist())
    assert len(used) > 1


def test_a_gate_that_never_learnt_has_no_score(trained, dotted_folder):
    run_dir, recipe, _ = trained(gate_epochs=0.0)
    scores = measure_refinement(recipe, dotted_folder, run_dir)
    assert not any(name.startswith("gate") for name in scores) and "variance-1.0" in scores


def test_what_only_loops_need_is_not_counted_without_them():
    net = MODELS["dirnet"]()
    whole, once = run_cost(net, 64), run_cost(net, 64, iterates=False)
    unused = [net.feedback, net.gate]
    spared = sum(p.numel() for part in unused for p in part.parameters())
    # Five more pairs of weights for each normalised channel: 4 of 64 and 3 of 128 in the last two phases.
    norms = 5 * 2 * (3 * 64 + 3 * 128)
    assert whole.parameters == sum(p.numel() for p in net.parameters())
    assert whole.parameters - once.parameters == spared + norms
    assert (whole.macs, whole.loop_macs) == (once.macs, once.loop_macs)
