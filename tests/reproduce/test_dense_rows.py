"""Rows of dense regression: what they need comes first, each level has its score."""

from dataclasses import replace

import numpy as np
import pytest

from handfast.reproduce import measure_dense
from handfast.reproduce.pruned2019 import TABLE1, TABLE2, TABLE3, TABLE6
from handfast.reproduce.rows import Folders, recipe_of, train_on
from handfast.reproduce.tables import read_result, read_results
from handfast.training.checkpoint import read_tensors
from handfast.training.families import load_recipe
from handfast.training.loop import MODEL_FILE


@pytest.fixture
def folders(depth_folder, tiny_depth, tmp_path, monkeypatch):
    monkeypatch.setattr("handfast.reproduce.rows.BENCHMARKS", {"bench-depth": tiny_depth})
    monkeypatch.setattr(measure_dense, "ROUNDS", 1)
    monkeypatch.setattr(measure_dense, "TURN_S", 0.001)
    return Folders(data=depth_folder, runs=tmp_path / "runs", results=tmp_path / "results")


def test_a_row_alone_brings_what_it_needs_and_every_level_of_its_run(folders, make, fake_trainer):
    trainer = fake_trainer()
    said = make(trainer, TABLE1, "1-stack-l3")
    assert [recipe.model for recipe in trainer.recipes] == ["dense-2stack", "dense-1stack-supervised"]
    (start,) = (folders.runs / "pruned2019" / "small").glob("2-stack-seed0-*/model.safetensors")
    assert [recipe.init_from for recipe in trainer.recipes] == ["", str(start.resolve())]
    assert said[0] == "2-stack, seed 0: training, 1 of 2"

    found = read_results(folders.results, TABLE1, "small")
    assert list(found) == ["2-stack", "1-stack-l4", "1-stack-l3", "1-stack-l2", "1-stack-l1"]
    (result,) = found["1-stack-l1"]
    assert result.recipe_hash == recipe_of(TABLE1.rows["1-stack-l3"], "small", 0).hash
    levels = [result.score[f"l{level}"] for level in (4, 3, 2, 1)]
    assert [score.parameters for score in levels] == [2_923_902, 2_870_142, 2_816_382, 2_762_622]
    assert [round(score.gmacs, 2) for score in levels] == [2.45, 0.69, 0.25, 0.14]
    assert found["2-stack"][0].score["l4"].parameters == 5_827_804
    assert all((score.frames, score.input_px, score.engine) == (5, 64, score.engine) for score in levels)
    assert [score.validation_mm[-1][1] for score in levels] == [56.0, 57.0, 58.0, 59.0]
    assert all(score.error_mm > 20 and score.ms > 0 for score in levels)

    assert make(trainer, TABLE1, "1-stack-l4", "1-stack-l2") == ["1-stack-ds, seed 0: finished"]
    assert make(trainer, TABLE3, "1-stack-retrained-ds") == ["1-stack-ds, seed 0: finished"]


def test_what_is_needed_is_not_measured_twice(folders, make, fake_trainer, make_dense_score, monkeypatch):
    monkeypatch.setattr("handfast.reproduce.rows.measure_levels", lambda *_: {"l4": make_dense_score(9.0)})
    make(fake_trainer(), TABLE1, "2-stack")
    (path,) = folders.results.rglob("2-stack-seed0.json")
    before = path.stat().st_mtime_ns
    trainer = fake_trainer()
    make(trainer, TABLE2, "2-stack", "1-stack-distilled")
    assert [recipe.model for recipe in trainer.recipes] == ["dense-2stack", "dense-1stack"]
    assert trainer.recipes[1].teacher.endswith(MODEL_FILE) and path.stat().st_mtime_ns == before


def test_the_loop_itself(folders, make, monkeypatch):
    """The pruned stack starts from the tensors that the two had, and both are trained on coarser crops."""
    monkeypatch.setattr("handfast.data.depth_batches.VALIDATION_BATCH", 2)
    monkeypatch.setattr("handfast.data.depth_batches.VALIDATION_BATCHES", 1)
    brief = replace(load_recipe("pruned2019"), batch_size=2, precision="32-true", learning_rate=1e-9)
    monkeypatch.setattr("handfast.reproduce.rows.load_recipe", lambda name: brief)
    for row in (TABLE1.rows["2-stack"], TABLE1.rows["1-stack"]):
        monkeypatch.setitem(row.small, "epochs", 0.25)
        monkeypatch.setitem(row.small, "batch_size", 2)
    make(train_on, TABLE1, "1-stack")
    tensors = {
        run: read_tensors(next(folders.runs.rglob(f"{run}-seed0-*/{MODEL_FILE}")))[0]
        for run in ("2-stack", "1-stack-retrained")
    }
    name = "stacks.0.heads.4.merged.body.1.0.weight"
    two, one = (tensors[run][name].numpy() for run in tensors)
    assert np.abs(two - one).max() < 1e-6 < np.abs(two).max()
    result = read_result(next(folders.results.rglob("1-stack-retrained-seed0.json")), TABLE1)
    assert result.samples_seen == 2 and result.score["l4"].input_px == 64


def test_times_need_no_training(folders, make, fake_trainer):
    trainer = fake_trainer()
    make(trainer, TABLE6, "torch", "onnxruntime")
    found = read_results(folders.results, TABLE6, "small")
    assert trainer.recipes == [] and {"torch", "onnxruntime"} <= set(found)
    (result,) = found["torch"]
    assert result.parameters == 2_870_142 and result.score["torch"].gmacs == pytest.approx(0.69, abs=0.01)
    assert result.score["torch"].fps == pytest.approx(1000 / result.score["torch"].ms, rel=1e-3)
    assert {"pre-processing", "network", "decoding"} <= result.score.keys()
    assert make(trainer, TABLE6, "torch") == ["stages-dense-1stack-l3: finished"]
