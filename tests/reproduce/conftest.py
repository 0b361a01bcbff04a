"""Results as runs leave them, without the runs; runs without the training."""

import json

import pytest

from handfast.evaluation.keypoints import KeypointScore
from handfast.models import MODELS
from handfast.reproduce.dense_score import DenseScore
from handfast.reproduce.refinement_score import TEMPERATURES, VARIANCES, RefinementScore
from handfast.reproduce.rows import reproduce
from handfast.reproduce.tables import Result, result_path, write_result
from handfast.training.checkpoint import save_checkpoint
from handfast.training.log import LOG_FILE
from handfast.training.loop import MODEL_FILE, model_card
from handfast.training.runs import runs_of


def score_of(error_px, **changes):
    values = {
        "frames": 10,
        "hands": 12,
        "error_px": error_px,
        "error_median_px": error_px / 2,
        "error_hidden_px": 3 * error_px,
        "error_all_px": 2 * error_px,
        "error_percent_of_diagonal": error_px / 2,
        "error_percent_of_hand": 2.0 * error_px,
        "error_by_keypoint_px": {"thumb_tip": error_px, "index_tip": None},
        "pck": [min(1.0, threshold / (2 * error_px)) for threshold in range(1, 21)],
        "pck_auc": 0.5,
        "wrong_side_rate": 0.25,
        "missed_rate": 0.125,
        "ghost_rate": None,
        "joint_error_mm": 20.0,
        "surface_error_mm": 15.0,
        "label_joint_error_mm": 10.0,
        "lifted_share": 0.9,
    }
    return KeypointScore(**values | changes)


@pytest.fixture
def make_result():
    def make_result(run, seed, error_px, **changes):
        values = {
            "run": run,
            "scale": "small",
            "seed": seed,
            "recipe_hash": f"{run}{seed}",
            "recipe": {"seed": seed, "epochs": 10.0, "losses": {"keypoints": 1.0}},
            "data": {"benchmark": "bench-tof", "size": "small", "seed": 1, "card_sha256": "abc"},
            "score": score_of(error_px),
            "parameters": 1000,
            "macs": 500,
            "flops": 1000,
            "weight_bytes": 4000,
            "samples_seen": 320,
            "seconds": 60.0 + seed,
            "hardware": {"cpu": "a cpu"},
            "handfast": "1.2.3",
            "torch": "4.5.6",
        }
        return Result(**values | changes)

    return make_result


@pytest.fixture
def results(tmp_path, make_result):
    """Of table1: none with three seeds, all with two, no-seg with one. Of table2 also mobilenetv2."""
    folder = tmp_path / "results"
    errors_px = {"none": (6.0, 6.1, 6.2), "all": (5.4, 5.5), "no-seg": (5.5,), "mobilenetv2": (5.3,)}
    for run, of_seeds in errors_px.items():
        flops = 40_000 if run == "mobilenetv2" else 1000
        for seed, error_px in enumerate(of_seeds):
            result = make_result(run, seed, error_px, flops=flops)
            write_result(result_path(folder, "chidananda2019", "small", run, seed), result)
    return folder


@pytest.fixture
def make_dense_score():
    def make_dense_score(error_mm, **changes):
        values = {
            "frames": 10,
            "error_mm": error_mm,
            "error_median_mm": error_mm / 2,
            "error_by_joint_mm": {"palm": error_mm},
            "frames_within": [min(1.0, threshold / (4 * error_mm)) for threshold in range(1, 81)],
            "input_px": 64,
            "parameters": 1000,
            "macs": 2_000_000_000,
            "gmacs": 2.0,
            "flops": 4_000_000_000,
            "weight_bytes": 4000,
            "ms": 20.0,
            "engine": "openvino",
            "loss": [[20, 900.0], [40, 10 * error_mm]],
            "validation_mm": [[20, 3 * error_mm], [30, 1.04 * error_mm], [40, error_mm]],
        }
        return DenseScore(**values | changes)

    return make_dense_score


@pytest.fixture
def dense_results(tmp_path, make_result, make_dense_score):
    """Of table3: the runs from scratch, without deep supervision, and with it, of that levels 4 and 3."""
    folder = tmp_path / "dense"
    scores = {
        "1-stack-scratch": {"l4": make_dense_score(14.0)},
        "1-stack-retrained": {
            "l4": make_dense_score(13.0, validation_mm=[[20, 39.0], [35, 26.0], [50, 13.0]])
        },
        "1-stack-ds": {
            "l4": make_dense_score(12.5),
            "l3": make_dense_score(13.5, macs=700_000_000, gmacs=0.7, parameters=900, ms=8.0),
        },
    }
    for run, score in scores.items():
        path = result_path(folder, "pruned2019", "small", run, 0)
        write_result(path, make_result(run, 0, 1.0, score=score))
    return folder


@pytest.fixture
def make_refinement_score():
    def make_refinement_score(error_mm, loops, **changes):
        """Of a frame's errors the quantiles are a tenth to twice the mean."""
        macs = 20_000_000 + round(7_000_000 * loops)
        values = {
            "frames": 100,
            "auc": 1 - error_mm / 50,
            "auc_third_person": 1 - error_mm / 40,
            "auc_first_person": 1 - error_mm / 60,
            "error_mm": error_mm,
            "error_px": error_mm / 4,
            "input_px": 112,
            "loss_quantiles": [share * error_mm for share in (0.1, 0.6, 0.9, 1.3, 2.0)],
            "loops": float(loops),
            "loops_by_hidden": [float(loops)] * 4,
            "parameters": 467_000,
            "macs": macs,
            "flops": 2 * macs,
            "gmacs": macs / 1e9,
            "gflops": 2 * macs / 1e9,
            "weight_bytes": 4 * 467_000,
        }
        return RefinementScore(**values | changes)

    return make_refinement_score


@pytest.fixture
def refinement_results(tmp_path, make_result, make_refinement_score):
    """Of DIR-Net all that tables 1 to 3 and figures 7 and 8 show of progressive and end-to-end training, and
    what does without attention maps."""
    score = make_refinement_score

    def loops(first_mm, gain_mm):
        return {f"loop-{loop}": score(first_mm - gain_mm * loop, loop) for loop in range(6)}

    progressive = loops(20.0, 0.5) | {"no-iteration": score(20.5, 0, parameters=405_000)}
    for temperature in TEMPERATURES:
        taken = 4 / (1 + temperature)
        progressive[f"gate-{temperature}"] = score(
            17.4 + temperature / 5, taken, loops_by_hidden=[taken - 0.6, taken - 0.2, None, taken + 1]
        )
    for variance in VARIANCES:
        progressive[f"variance-{variance}"] = score(17.5 + variance / 5, 5 / (1 + variance))
    scores = {
        "progressive": progressive,
        "end-to-end": loops(21.0, 0.3),
        "without-amg": loops(20.0, 0.4),
    }
    folder = tmp_path / "refinement"
    for run, of_run in scores.items():
        path = result_path(folder, "yang2021", "small", run, 0)
        write_result(path, make_result(run, 0, 1.0, score=of_run, parameters=467_000))
    return folder


class FakeTrainer:
    """Leaves a net with its first weights for each run of a recipe, and a log of 40 steps in 78 s; killed in
    the recipe number ``killed_in``."""

    def __init__(self, killed_in=None):
        self.killed_in, self.recipes, self.run_dirs = killed_in, [], []

    def __call__(self, recipe, data, run_dir, devices):
        self.recipes.append(recipe)
        self.run_dirs.append(run_dir)
        if len(self.recipes) == self.killed_in:
            raise KeyboardInterrupt
        builder = MODELS[recipe.model]
        net, levels = builder(), builder.keywords.get("levels", ())
        lines = [
            {"step": step, "time_s": 2.0 * step, "train/maps": 9.0}
            | {f"validation/crops_error_mm_l{level}": 100.0 - step - level for level in levels}
            for step in (1, 40)
        ]
        for name, run in runs_of(recipe).items():
            (run_dir / name).mkdir(parents=True, exist_ok=True)
            for folder in (run_dir / name, run_dir):  # the last run's is the recipe's
                save_checkpoint(folder / MODEL_FILE, net, model_card(run, "fake", 40, {}))
            (run_dir / name / LOG_FILE).write_text("".join(json.dumps(line) + "\n" for line in lines))


@pytest.fixture
def fake_trainer():
    """The class."""
    return FakeTrainer


@pytest.fixture
def make(folders):
    """A function that makes rows of a table at scale small in the test's ``folders``: what it says."""

    def make(trainer, table, *rows, seeds=(0,)):
        said = []
        chosen = {row: table.rows[row] for row in rows}
        reproduce(table, chosen, seeds, "small", folders, 1, said.append, trainer)
        return said

    return make
