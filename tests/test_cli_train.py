"""The commands that train: thin, with one line for what is wrong."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

import handfast
from handfast.evaluation.keypoints import KeypointScore
from handfast.reproduce.chidananda2019 import TABLE1, TABLE2
from handfast.reproduce.tables import Result, result_path, write_result
from handfast.training.loop import MODEL_FILE

RECIPE = 'model = "tofnet-tof8"\nskeleton = "tof8"\nsteps = 2\nbatch_size = 2\nprecision = "32-true"\n'


@pytest.fixture
def run(handfast_command, monkeypatch, tmp_path):
    """The command, run in an empty folder."""
    monkeypatch.chdir(tmp_path)
    return handfast_command


def run_without_torch(folder, *arguments):
    """The same in a process in which the training libraries cannot be imported."""
    program = (
        "import sys\n"
        "sys.modules.update(dict.fromkeys(('torch', 'lightning_fabric', 'onnx')))\n"
        "from handfast.cli import main\n"
        "main()\n"
    )
    command = [sys.executable, "-c", program, *arguments]
    environment = os.environ | {"PYTHONPATH": str(Path(handfast.__file__).parents[1])}
    done = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, check=False)
    return done.returncode, done.stdout, done.stderr


@pytest.fixture
def results(tmp_path):
    """One row of table1, where the command looks for it."""
    score = dict.fromkeys(KeypointScore.__dataclass_fields__) | {"error_px": 5.5, "pck": [0.5] * 20}
    facts = dict.fromkeys(Result.__dataclass_fields__) | {
        "recipe": {}, "data": {"card_sha256": "abc"}, "score": KeypointScore(**score), "seconds": 1.0,
        "seed": 0,
    }  # fmt: skip
    for row in ("all", "none"):
        path = result_path(tmp_path / "docs" / "results", "chidananda2019", "small", row, 0)
        write_result(path, Result(**facts))


def test_train_leaves_a_checkpoint_and_goes_on(run, tof_folder, tmp_path, monkeypatch):
    monkeypatch.setattr("handfast.data.batches.VALIDATION_BATCH", 2)
    monkeypatch.setattr("handfast.data.batches.VALIDATION_BATCHES", 1)
    (tmp_path / "mine.toml").write_text(RECIPE)
    arguments = ("train", "mine.toml", "--data", tof_folder, "--run", tmp_path / "run", "--json")
    code, stdout, stderr = run(*arguments)
    assert code == 0, stderr
    facts = json.loads(stdout.splitlines()[-1])
    assert facts["checkpoint"] == str(tmp_path / "run" / MODEL_FILE)
    assert (tmp_path / "run" / MODEL_FILE).is_file() and "frames_error_mean_px" in facts
    assert json.loads(run(*arguments)[1].splitlines()[-1]) == facts


def test_reproduce_from_results_needs_no_training_library(results, tmp_path):
    from_results = ("reproduce", "chidananda2019/table1", "--from-results")
    code, stdout, stderr = run_without_torch(tmp_path, *from_results, "--json")
    assert (code, stderr) == (0, "")
    facts = json.loads(stdout)
    assert [(row["row"], row["error_px"], row["seeds"]) for row in facts["rows"]] == [
        ("none", 5.5, 1),
        ("all", 5.5, 1),
    ]
    assert facts["scale"] == "small" and facts["claims"][0]["verdict"] == "fails"
    code, stdout, _ = run_without_torch(tmp_path, *from_results, "--rows", "all,no-ds")
    assert code == 0 and "fails: all losses together" in stdout and "\nno-seg " not in stdout


@pytest.mark.parametrize(
    "arguments",
    [
        ("train", "chidananda2019", "--data", "data", "--run", "run"),
        ("reproduce", "chidananda2019/table1"),
    ],
)
def test_without_torch_the_others_say_what_to_install(tmp_path, arguments):
    code, stdout, stderr = run_without_torch(tmp_path, *arguments)
    assert (code, stdout) == (2, "")
    assert stderr.endswith("pip install 'handfast[train]'\n") and stderr.count("\n") == 1
    assert list(tmp_path.iterdir()) == []


def test_reproduce_trains_what_is_missing_and_then_shows_the_table(run, results, monkeypatch):
    calls = []

    def make(table, rows, seeds, scale, folders, devices, say):
        calls.append((table.path, list(rows), seeds, scale, str(folders.data), str(folders.runs), devices))
        say("trained")

    monkeypatch.setattr("handfast.reproduce.rows.reproduce", make)
    code, stdout, stderr = run(
        "reproduce", "chidananda2019/table1", "--rows", "all", "--seeds", "0,2", "--json"
    )
    assert (code, stderr) == (0, "trained\n")
    assert [row["row"] for row in json.loads(stdout)["rows"]] == ["all"]
    run("reproduce", "chidananda2019/table2", "--scale", "full", "--data", "tof", "--devices", "2")
    assert calls == [
        ("chidananda2019/table1", ["all"], (0, 2), "small", "runs/bench-tof-small", "runs", 1),
        ("chidananda2019/table2", list(TABLE2.rows), (), "full", "tof", "runs", 2),
    ]


UNDRAWABLE = {
    "a table without a figure": ("pruned2019/table5", "times.png", "--plot: pruned2019/table5 has no figure"),
    "another ending": ("chidananda2019/table1", "pck.jpg", "pck.jpg: expected a file name that ends in .png"),
    "no matplotlib": ("chidananda2019/table1", "pck.png", 'pip install "handfast[plots]"'),
}


@pytest.mark.parametrize("case", UNDRAWABLE)
def test_what_cannot_be_drawn_is_refused_before_anything_is_trained(run, tmp_path, monkeypatch, case):
    def train(*arguments, **options):
        raise AssertionError("trained")

    monkeypatch.setattr("handfast.reproduce.rows.reproduce", train)
    if case == "no matplotlib":
        monkeypatch.setitem(sys.modules, "matplotlib.figure", None)  # importing it now raises ImportError
    table, path, expected = UNDRAWABLE[case]
    code, stdout, stderr = run("reproduce", table, "--plot", path)
    assert (code, stdout, stderr.count("\n")) == (2, "", 1) and expected in stderr
    assert list(tmp_path.iterdir()) == []


def test_tables_are_listed(run):
    code, stdout, _ = run("reproduce", "--list", "--json")
    assert code == 0 and json.loads(stdout)["chidananda2019/table1"] == list(TABLE1.rows)
    assert "chidananda2019/table2" in run("reproduce", "--list")[1]


BAD_INPUT = {
    "unknown recipe": (
        ("train", "no-such", "--data", "d", "--run", "r"),
        "bench-tof8, chidananda2019, ",
    ),
    "no data": (("train", "chidananda2019", "--data", "d", "--run", "r"), "card.json: missing"),
    "no such data set": (
        ("train", "pruned2019-nyu", "--data", "d", "--run", "r"),
        "d: no such folder; give the one that holds NYU hand pose",
    ),
    "no devices": (("train", "tof8", "--data", "d", "--run", "r", "--devices", "0"), "--devices: expected 1"),
    "no table": (("reproduce",), "expected a table, one of chidananda2019/table1, chidananda2019/table2"),
    "unknown table": (("reproduce", "chidananda2019"), "expected one of chidananda2019/table1"),
    "unknown row": (("reproduce", "chidananda2019/table2", "--rows", "ours,all"), "'all': chidananda2019"),
    "unknown scale": (("reproduce", "chidananda2019/table1", "--scale", "big"), "one of small, full"),
    "wrong seeds": (("reproduce", "chidananda2019/table1", "--seeds", "a"), "such as 0,1,2, got 'a'"),
    "negative seed": (("reproduce", "chidananda2019/table1", "--seeds=0,-1"), "from 0 on"),
    "no results": (("reproduce", "chidananda2019/table1", "--from-results"), "--results"),
}  # fmt: skip


@pytest.mark.parametrize("case", BAD_INPUT)
def test_bad_input_is_one_line_and_exit_code_2(run, tmp_path, case):
    arguments, expected = BAD_INPUT[case]
    code, stdout, stderr = run(*arguments, "--json")
    assert (code, stdout) == (2, "")
    assert stderr.startswith("error: ") and stderr.count("\n") == 1 and expected in stderr
    assert list(tmp_path.iterdir()) == []
