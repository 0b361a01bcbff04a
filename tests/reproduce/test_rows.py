"""Rows are trained once, whatever cuts them off, and measured as they were trained."""

import json
from dataclasses import replace

import pytest

from handfast.errors import HandfastError
from handfast.models import MODELS
from handfast.reproduce.chidananda2019 import TABLE1, TABLE2
from handfast.reproduce.rows import (
    Folders,
    make_data,
    recipe_of,
    reproduce,
    seconds_trained,
    train_on,
    varied,
)
from handfast.reproduce.tables import read_result, result_path
from handfast.training.checkpoint import save_checkpoint
from handfast.training.loop import MODEL_FILE, model_card
from handfast.training.tofnet import ToFNetRecipe


@pytest.fixture
def folders(tof_folder, tiny_tof, tmp_path, monkeypatch):
    monkeypatch.setattr("handfast.reproduce.rows.BENCHMARKS", {"bench-tof": tiny_tof})
    return Folders(data=tof_folder, runs=tmp_path / "runs", results=tmp_path / "results")


class FakeTrainer:
    """Leaves a net with its first weights; killed in the run number ``killed_in``."""

    def __init__(self, killed_in=None):
        self.killed_in, self.runs = killed_in, []

    def __call__(self, recipe, data, run_dir, devices):
        self.runs.append((recipe, run_dir))
        if len(self.runs) == self.killed_in:
            raise KeyboardInterrupt
        run_dir.mkdir(parents=True)
        save_checkpoint(run_dir / MODEL_FILE, MODELS[recipe.model](), model_card(recipe, "fake", 40, {}))
        lines = [{"step": step, "time_s": 2.0 * step} for step in (1, 20, 40)]
        (run_dir / "metrics.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))


def make(folders, trainer, table=TABLE1, rows=("none", "all"), seeds=(0,)):
    said = []
    chosen = {name: table.rows[name] for name in rows}
    try:
        reproduce(table, chosen, seeds, "small", folders, 1, said.append, trainer)
    except KeyboardInterrupt:
        said.append("killed")
    return said


def results_in(folders):
    return {path.stem: read_result(path, TABLE1) for path in folders.results.rglob("*.json")}


def test_each_row_leaves_a_result(folders):
    trainer = FakeTrainer()
    make(folders, trainer)
    results = results_in(folders)
    assert results.keys() == {"none-seed0", "all-seed0"}
    result = results["all-seed0"]
    recipe = recipe_of(TABLE1.rows["all"], "small", 0)
    assert result.recipe_hash == recipe.hash
    assert (result.run, result.scale, result.seed) == ("all", "small", 0)
    assert result.recipe["losses"]["segmentation"] == 50.0 and result.recipe["epochs"] == 10.0
    assert result.samples_seen == 40 * recipe.batch_size
    assert result.seconds == 78.0
    assert result.score.frames == 5 and result.score.wrong_side_rate is not None
    assert results["none-seed0"].score.wrong_side_rate is None  # it was never taught who is there
    assert result.parameters < 41_500 and result.flops == 2 * result.macs < 35e6
    assert result.data["benchmark"] == "bench-tof" and len(result.data["card_sha256"]) == 64
    assert result.hardware["cpu"] and result.hardware["threads"] >= 1


def test_finished_rows_are_skipped_and_interrupted_ones_go_on(folders):
    killed = FakeTrainer(killed_in=2)
    assert make(folders, killed)[-1] == "killed"
    assert results_in(folders).keys() == {"none-seed0"}
    again = FakeTrainer()
    assert make(folders, again)[0] == "none, seed 0: finished"
    assert [run_dir for _, run_dir in again.runs] == [killed.runs[1][1]]  # the folder that holds its state
    assert results_in(folders).keys() == {"none-seed0", "all-seed0"}
    idle = FakeTrainer()
    make(folders, idle)
    assert idle.runs == []


def test_tables_share_a_run(folders):
    make(folders, FakeTrainer(), TABLE1, ["all"])
    trainer = FakeTrainer()
    make(folders, trainer, TABLE2, ["ours"])
    assert trainer.runs == []


def test_a_recipe_that_has_changed_is_trained_again_in_a_new_folder(folders, monkeypatch):
    first, second = FakeTrainer(), FakeTrainer()
    make(folders, first, rows=["all"])
    monkeypatch.setattr(
        "handfast.reproduce.rows.load_recipe",
        lambda name: ToFNetRecipe(model="tofnet-tof8", skeleton="tof8", epochs=3.0),
    )
    make(folders, second, rows=["all"])
    assert second.runs[0][1] != first.runs[0][1]
    assert results_in(folders)["all-seed0"].recipe["epochs"] == 1.5


def test_first_seeds_of_all_rows_come_first(folders, monkeypatch):
    monkeypatch.setenv("LOCAL_RANK", "1")  # trains only
    trainer = FakeTrainer()
    make(folders, trainer, rows=["no-seg", "all"], seeds=())
    assert [run_dir.name.rsplit("-", 2)[0] for _, run_dir in trainer.runs] == [
        "no-seg-seed0", "all-seed0", "all-seed1", "all-seed2",
    ]  # fmt: skip
    assert [recipe.seed for recipe, _ in trainer.runs] == [0, 0, 1, 2]


def test_a_process_that_helps_another_leaves_no_result(folders, monkeypatch):
    monkeypatch.setenv("LOCAL_RANK", "1")
    trainer = FakeTrainer()
    make(folders, trainer)
    assert len(trainer.runs) == 2 and results_in(folders) == {}


def test_the_loop_itself(folders, monkeypatch):
    """A row trained for a step on both pictures, by the trainer that is used."""
    monkeypatch.setattr("handfast.data.batches.VALIDATION_BATCH", 2)
    monkeypatch.setattr("handfast.data.batches.VALIDATION_BATCHES", 1)
    brief = replace(recipe_of(TABLE1.rows["all"], "full", 0), epochs=0.5, batch_size=4)
    monkeypatch.setattr("handfast.reproduce.rows.load_recipe", lambda name: brief)
    make(folders, train_on, rows=["depth-all", "all"])
    results = results_in(folders)
    assert results.keys() == {"depth-all-seed0", "all-seed0"}
    assert all(result.samples_seen == 4 for result in results.values())
    depth, amplitude = (results[name].score.error_px for name in ("depth-all-seed0", "all-seed0"))
    assert depth != amplitude


def test_data_are_made_where_they_lack(folders, tmp_path):
    said = []
    make_data("bench-tof", "small", tmp_path / "data", said.append)
    assert len(said) == 7 and said[-1].endswith("bench-tof small, shard 7 of 7")
    make_data("bench-tof", "small", tmp_path / "data", said.append)
    assert len(said) == 7


def test_other_data_are_refused(folders):
    with pytest.raises(HandfastError, match="expected bench-tof full, got bench-tof small; choose another"):
        make_data("bench-tof", "full", folders.data, print)


def test_changes_reach_into_tables():
    recipe = ToFNetRecipe(model="tofnet-tof8", skeleton="tof8", steps=3)
    other = varied(recipe, {"batch_size": 4, "losses": {"key_pose": 0.0}, "data": {"picture": "depth"}})
    assert other == replace(
        recipe,
        batch_size=4,
        losses=replace(recipe.losses, key_pose=0.0),
        data=replace(recipe.data, picture="depth"),
    )


@pytest.mark.parametrize(
    ("times_s", "expected_s"),
    [
        ([5.0], 0.0),
        ([0.0, 2.0, 4.0, 6.0], 6.0),
        ([0.0, 2.0, 4.0, 5000.0, 5002.0], 6.0),  # interrupted
        ([0.0, 200.0, 400.0, 1000.0], 1000.0),  # slow, with a validation in between
    ],
)
def test_seconds_of_a_run_leave_interruptions_out(tmp_path, times_s, expected_s):
    log = tmp_path / "metrics.jsonl"
    log.write_text("".join(json.dumps({"step": i, "time_s": t}) + "\n" for i, t in enumerate(times_s)))
    assert seconds_trained(log) == expected_s


def test_results_go_where_the_table_looks(folders):
    make(folders, FakeTrainer(), rows=["all"])
    assert result_path(folders.results, "chidananda2019", "small", "all", 0).is_file()
