"""Rows of ACE: encoders come first and once, each threshold has its score."""

import pytest
import torch

from handfast.reproduce.fan2020 import FIGURE5, TABLE1, TABLE3, TABLE4, TABLE5
from handfast.reproduce.rows import Folders, train_on
from handfast.reproduce.tables import read_result, read_results
from handfast.training.checkpoint import read_tensors
from handfast.training.loop import MODEL_FILE

pytestmark = pytest.mark.usefixtures("one_thread")


@pytest.fixture
def folders(dotted_folder, tmp_path):
    return Folders(data=dotted_folder, runs=tmp_path / "runs", results=tmp_path / "results")


def test_a_row_alone_brings_its_encoders_and_shares_them(folders, make, fake_trainer):
    trainer = fake_trainer()
    make(trainer, TABLE1, "adaptive")
    assert [recipe.model for recipe in trainer.recipes] == [
        "hourglass-coarse-half", "hourglass-fine-half", "ace-hourglass-half",
    ]  # fmt: skip
    small = folders.runs / "fan2020" / "small"
    for role in ("coarse", "fine"):
        (start,) = small.glob(f"{role}-seed0-*/{MODEL_FILE}")
        assert getattr(trainer.recipes[-1], role) == str(start.resolve())

    found = read_results(folders.results, TABLE1, "small")
    assert list(found) == ["coarse", "fine", "adaptive"]
    assert [of[0].samples_seen for of in found.values()] == [40 * 16, 40 * 16, 40 * 4]
    (result,) = found["adaptive"]
    score = result.score["lambda-0.5"]
    assert (score.frames, score.input_px, result.macs) == (12, 128, score.macs)
    assert found["coarse"][0].score["without-gate"].gflops == pytest.approx(0.067, abs=0.001)
    assert found["fine"][0].score["without-gate"].p_fine == 1

    # Other rows and tables have the same run.
    assert make(trainer, TABLE4, "gamma-0.05") == ["ace-0.05, seed 0: finished"]
    assert {"slowest", "least-hidden"} & set(read_results(folders.results, FIGURE5, "small"))
    before = {path: path.stat().st_mtime_ns for path in folders.results.rglob("*.json")}
    make(trainer, TABLE5, "lambda-0.9")
    assert trainer.recipes[-1].fine_rate == 0.1
    assert all(path.stat().st_mtime_ns == then for path, then in before.items())
    of_thresholds = read_results(folders.results, TABLE5, "small")
    assert list(of_thresholds) == list(TABLE5.rows)
    assert len({of[0].recipe_hash for of in of_thresholds.values()}) == 1
    rates = [of[0].score[name].p_fine for name, of in of_thresholds.items()]
    assert rates == sorted(rates, reverse=True)
    assert list(read_results(folders.results, TABLE3, "small")) == ["gaussian"]


def test_the_loop_itself(folders, make, monkeypatch):
    """Coarse images teach an encoder, and clips what comes behind it."""
    monkeypatch.setattr("handfast.data.colour_batches.VALIDATION_BATCH", 4)
    for module in ("colour_batches", "colour_clips"):
        monkeypatch.setattr(f"handfast.data.{module}.VALIDATION_BATCHES", 1)
    for row in (TABLE1.rows["coarse"], TABLE1.rows["vanilla-lstm-coarse"]):
        brief = {
            "epochs": 0.25,
            "batch_size": 2,
            "learning_rate": 1e-9,
            "precision": "32-true",
            "encoders": {"epochs": 0.1, "batch_size": 4},
            "data": {"frames": 3, "look": {"input_px": 128}},
        }
        for name, value in brief.items():
            monkeypatch.setitem(row.small, name, value)
    make(train_on, TABLE1, "vanilla-lstm-coarse")
    tensors = {
        run: read_tensors(next(folders.runs.rglob(f"{run}-seed0-*/{MODEL_FILE}")))[0]
        for run in ("coarse", "lstm-coarse")
    }
    name = "to_joints.weight"
    torch.testing.assert_close(tensors["lstm-coarse"][f"encoders.0.{name}"], tensors["coarse"][name])
    results = {
        run: read_result(next(folders.results.rglob(f"{run}-seed0.json")), TABLE1)
        for run in ("coarse", "lstm-coarse")
    }
    assert results["coarse"].samples_seen == 2 * 4  # a tenth of 48 frames
    assert results["lstm-coarse"].samples_seen == 2 * 2  # a quarter of 16 clips
    assert all(result.score["without-gate"].frames == 12 for result in results.values())
