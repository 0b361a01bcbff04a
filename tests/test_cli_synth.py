import json

import cv2
import numpy as np
import pytest

from handfast.data.cards import read_card


@pytest.fixture
def run(handfast_command, monkeypatch, tiny_tof):
    """The command, with a benchmark of a few frames."""
    monkeypatch.setattr("handfast.data.benchmarks.BENCHMARKS", {"bench-tof": tiny_tof})
    return handfast_command


def test_synth_makes_a_benchmark_and_sums_it_up(run, tmp_path):
    out = tmp_path / "data" / "tof"
    code, stdout, stderr = run("synth", "bench-tof", "--out", out, "--workers", 1, "--json")
    assert (code, stderr) == (0, "")
    summary = json.loads(stdout.splitlines()[-1])
    card = read_card(out)
    size = sum(path.stat().st_size for path in out.rglob("*.tar"))
    assert summary == {
        "benchmark": "bench-tof",
        "size": "small",
        "seed": card.seed,
        "out": str(out),
        "frames": 16,
        "made": 16,
        "splits": {"train": 7, "validation": 4, "test": 5},
        "shards": 7,
        "bytes": size,
    }


def test_synth_again_makes_what_is_missing(run, tmp_path):
    assert run("synth", "bench-tof", "--out", tmp_path, "--workers", 1)[0] == 0
    (tmp_path / "train" / "shard-00002.tar").unlink()
    code, stdout, _ = run("synth", "bench-tof", "--out", tmp_path, "--workers", 1)
    assert code == 0 and "16 (1 made now)" in stdout


@pytest.mark.parametrize("split", ["train", "test"])
def test_view_draws_a_sheet(run, tof_folder, tmp_path, split):
    sheet = tmp_path / "new" / "sheet.png"
    code, stdout, _ = run("view", tof_folder, "--out", sheet, "--split", split, "--count", 5, "--json")
    assert code == 0
    assert json.loads(stdout.splitlines()[-1])["frames"] == 5
    picture = cv2.imread(str(sheet))
    assert 5 * 480 < picture.shape[1] < 6 * 480 and picture.shape[0] > 360
    outline = (picture == (255, 255, 0)).all(axis=-1)
    bones = (np.ptp(picture.astype(int), axis=-1) > 100) & ~outline
    assert outline.sum() > 200 and bones.sum() > 500


BAD_INPUT = {
    "unknown benchmark": (["synth", "bench-ir", "--out", "new"], "expected one of bench-tof"),
    "unknown size": (["synth", "bench-tof", "--out", "new", "--size", "big"], "expected one of small, full"),
    "no workers": (["synth", "bench-tof", "--out", "new", "--workers", 0], "--workers: expected 1 or more"),
    "workers and ray": (
        ["synth", "bench-tof", "--out", "new", "--workers", 2, "--ray", "auto"],
        "one of them",
    ),
    "not a folder": (["synth", "bench-tof", "--out", "a_file", "--workers", 1], "a_file"),
    "nothing to view": (["view", "empty"], "card.json: missing"),
    "unknown split": (["view", "tof", "--split", "all"], "expected one of train, validation, test"),
    "no frames": (["view", "tof", "--count", 0], "--count: expected 1 or more"),
    "sheet of another kind": (["view", "nowhere", "--out", "sheet.jpg"], "sheet.jpg: expected a file name"),
    "sheet without a name": (["view", "nowhere", "--out", ""], "expected a file name that ends in .png"),
    "sheet into a file": (["view", "tof", "--out", "a_file/sheet.png"], "cannot be written"),
}


@pytest.mark.parametrize("case", BAD_INPUT)
def test_bad_input_is_one_line_and_exit_code_2(run, tof_copy, monkeypatch, case):
    arguments, expected = BAD_INPUT[case]
    folder = tof_copy.parent
    (folder / "empty").mkdir()
    (folder / "a_file").write_text("")
    before = {str(path) for path in folder.rglob("*")}
    monkeypatch.chdir(folder)
    code, stdout, stderr = run(*arguments, "--json")
    assert (code, stdout) == (2, "")
    assert stderr.startswith("error: ") and stderr.count("\n") == 1 and expected in stderr
    assert {str(path) for path in folder.rglob("*")} == before
