"""Rows are trained once, whatever cuts them off, and measured as they were trained."""

import json
from dataclasses import replace

import pytest

from handfast.errors import HandfastError
from handfast.reproduce.chidananda2019 import TABLE1, TABLE2
from handfast.reproduce.rows import (
    Folders,
    make_data,
    recipe_of,
    seconds_trained,
    train_on,
    varied,
)
from handfast.reproduce.tables import read_result, result_path
from handfast.training.tofnet import ToFNetRecipe


@pytest.fixture
def folders(tof_folder, tiny_tof, tmp_path, monkeypatch):
    monkeypatch.setattr("handfast.reproduce.rows.BENCHMARKS", {"bench-tof": tiny_tof})
    return Folders(data=tof_folder, runs=tmp_path / "runs", results=tmp_path / "results")


def results_in(folders):
    return {path.stem: read_result(path, TABLE1) for path in folders.results.rglob("*.json")}


def test_each_row_leaves_a_result(folders, make, fake_trainer):
    trainer = fake_trainer()
    make(trainer, TABLE1, "none", "all")
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


def test_finished_rows_are_skipped_and_interrupted_ones_go_on(folders, make, fake_trainer):
    killed = fake_trainer(killed_in=2)
    with pytest.raises(KeyboardInterrupt):
        make(killed, TABLE1, "none", "all")
    assert results_in(folders).keys() == {"none-seed0"}
    again = fake_trainer()
    assert make(again, TABLE1, "none", "all")[0] == "none, seed 0: finished"
    assert again.run_dirs == [killed.run_dirs[1]]  # the folder that holds its state
    assert results_in(folders).keys() == {"none-seed0", "all-seed0"}
    idle = fake_trainer()
    make(idle, TABLE1, "none", "all")
    assert idle.recipes == []


def test_tables_share_a_run(make, fake_trainer):
    make(fake_trainer(), TABLE1, "all")
    trainer = fake_trainer()
    make(trainer, TABLE2, "ours")
    assert trainer.recipes == []


def test_a_recipe_that_has_changed_is_trained_again_in_a_new_folder(folders, make, fake_trainer, monkeypatch):
    first, second = fake_trainer(), fake_trainer()
    make(first, TABLE1, "all")
    monkeypatch.setattr(
        "handfast.reproduce.rows.load_recipe",
        lambda name: ToFNetRecipe(model="tofnet-tof8", skeleton="tof8", epochs=3.0),
    )
    make(second, TABLE1, "all")
    assert second.run_dirs != first.run_dirs
    assert results_in(folders)["all-seed0"].recipe["epochs"] == 1.5


def test_first_seeds_of_all_rows_come_first(make, fake_trainer, monkeypatch):
    monkeypatch.setenv("LOCAL_RANK", "1")  # trains only
    trainer = fake_trainer()
    make(trainer, TABLE1, "no-seg", "all", seeds=())
    assert [run_dir.name.rsplit("-", 2)[0] for run_dir in trainer.run_dirs] == [
        "no-seg-seed0", "all-seed0", "all-seed1", "all-seed2",
    ]  # fmt: skip
    assert [recipe.seed for recipe in trainer.recipes] == [0, 0, 1, 2]


def test_a_process_that_helps_another_leaves_no_result(folders, make, fake_trainer, monkeypatch):
    monkeypatch.setenv("LOCAL_RANK", "1")
    trainer = fake_trainer()
    make(trainer, TABLE1, "none", "all")
    assert len(trainer.recipes) == 2 and results_in(folders) == {}


def test_the_loop_itself(folders, make, monkeypatch):
    """A row trained for a step on both pictures, by the trainer that is used."""
    monkeypatch.setattr("handfast.data.batches.VALIDATION_BATCH", 2)
    monkeypatch.setattr("handfast.data.batches.VALIDATION_BATCHES", 1)
    brief = replace(recipe_of(TABLE1.rows["all"], "full", 0), epochs=0.5, batch_size=4)
    monkeypatch.setattr("handfast.reproduce.rows.load_recipe", lambda name: brief)
    make(train_on, TABLE1, "depth-all", "all")
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


def test_results_go_where_the_table_looks(folders, make, fake_trainer):
    make(fake_trainer(), TABLE1, "all")
    assert result_path(folders.results, "chidananda2019", "small", "all", 0).is_file()
