import json
import re
from functools import partial
from importlib.resources import files

import cv2
import numpy as np
import pytest
from scipy.io import loadmat

from handfast.data.datasets import DATASETS
from handfast.data.datasets.coco import write_coco
from handfast.structures import Frame, HandLabel, HandSample


@pytest.fixture
def folder(tmp_path):
    """A COCO data set of five depth images."""
    depth = np.tile(np.arange(400, 560, dtype=np.uint16), (120, 1))
    rng = np.random.default_rng(0)
    hands = [HandLabel("left", rng.uniform(20, 100, (21, 2)).astype(np.float32)) for _ in range(5)]
    write_coco(tmp_path / "mine", [HandSample(Frame(0, 0.0, depth=depth), (hand,)) for hand in hands])
    return tmp_path / "mine"


@pytest.fixture
def data(handfast_command, monkeypatch):
    """``handfast data``, on a wide terminal."""
    monkeypatch.setenv("COLUMNS", "200")
    return partial(handfast_command, "data")


def image(folder, number):
    return folder / "images" / "default" / f"{number:06d}.png"


def test_list_names_every_data_set_and_its_licence(data):
    code, stdout, stderr = data("list")
    assert (code, stderr) == (0, "")
    for name, dataset in DATASETS.items():
        assert name in stdout and dataset.licence.split()[0] in stdout
    listed = json.loads(data("list", "--json")[1])
    assert listed["interhand"]["splits"]["test"] == 849160
    assert set(listed) == set(DATASETS)


def test_a_complete_folder(folder, tmp_path, data):
    code, stdout, stderr = data("check", "coco", folder, "--out", tmp_path / "sheet.png")
    assert (code, stderr) == (0, "")
    assert "5 of 5" in stdout and stdout.endswith("COCO key-points: complete\n")
    sheet = cv2.imread(str(tmp_path / "sheet.png"))
    assert sheet.shape[1] > 4 * sheet.shape[0] / 2
    assert not list(tmp_path.glob(".*"))


def test_an_incomplete_folder_says_what_is_wrong_with_which_sample(folder, data):
    image(folder, 1).unlink()
    image(folder, 3).write_bytes(b"no image")
    code, stdout, _ = data("check", "coco", folder)
    assert code == 1
    assert "3 of 5" in stdout and stdout.endswith("incomplete\n")
    assert "all: 000003.png: " in stdout and "not a readable picture" in stdout
    code, stdout, _ = data("check", "coco", folder, "--json")
    facts = json.loads(stdout.splitlines()[-1])
    assert (code, facts["complete"], facts["usable"]) == (1, False, True)
    (split,) = facts["splits"]
    assert (split["split"], split["samples"], split["expected"], split["read"]) == ("all", 5, None, 5)
    assert [entry["sample"] for entry in split["unreadable"]] == ["000001.png", "000003.png"]


def test_fewer_samples_than_the_original_are_incomplete(folder, data, monkeypatch):
    whole = DATASETS["coco"]
    counted = type(whole)(whole.title, whole.homepage, whole.licence, {"all": 1000}, whole.open)
    monkeypatch.setitem(DATASETS, "coco", counted)
    code, stdout, _ = data("check", "coco", folder)
    assert code == 1 and "1,000" in stdout and "5 of 5" in stdout


def test_an_unusable_folder(folder, tmp_path, data):
    (folder / "annotations" / "person_keypoints_default.json").write_text("{")
    code, stdout, _ = data("check", "coco", folder, "--out", tmp_path / "sheet.png")
    assert code == 2
    assert "person_keypoints_default.json: expected JSON" in stdout and stdout.endswith("cannot be used\n")
    assert not (tmp_path / "sheet.png").exists()


def test_wrong_names_and_places_are_refused(folder, tmp_path, data):
    code, _, stderr = data("check", "kitti", folder)
    assert code == 2 and all(name in stderr for name in DATASETS) and "'kitti'" in stderr
    code, _, stderr = data("check", "coco", tmp_path / "nowhere")
    assert code == 2 and "nowhere: no such folder" in stderr


@pytest.mark.parametrize("out", ["", ".", "sheet.jpg", "sheet", "mine"])
def test_a_sheet_of_another_kind_is_refused_before_anything_is_read(folder, data, monkeypatch, out):
    monkeypatch.chdir(folder.parent)
    code, stdout, stderr = data("check", "coco", "nowhere", "--out", out)
    assert (code, stdout) == (2, "")
    assert "expected a file name that ends in .png" in stderr and stderr.count("\n") == 1
    assert list(folder.parent.iterdir()) == [folder]


def test_a_sheet_that_cannot_be_written_leaves_nothing(folder, tmp_path, data):
    (tmp_path / "folder.png").mkdir()
    for out in (tmp_path / "folder.png", tmp_path / "mine" / "annotations" / f"{'x' * 250}.png"):
        before = sorted(tmp_path.rglob("*"))
        code, _, stderr = data("check", "coco", folder, "--out", out)
        assert code == 2 and "cannot be written" in stderr and stderr.count("\n") == 1
        assert sorted(tmp_path.rglob("*")) == before


def brief(recipe, model, folder):
    """A packaged recipe, cut down to two steps of a small net on small crops."""
    text = (files("handfast") / "recipes" / f"{recipe}.toml").read_text()
    for line, changed in {
        r"model = .*": f'model = "{model}"',
        r"epochs = .*": 'steps = 2\ninput_px = 64\nprecision = "32-true"',
        r"batch_size = .*": "batch_size = 2",
    }.items():
        text, count = re.subn(f"(?m)^{line}$", changed, text)
        assert count == 1
    path = folder / f"{recipe}.toml"
    path.write_text(text)
    return path


def test_from_nyu_to_a_score(handfast_command, nyu_folder, tmp_path, monkeypatch):
    """Train, prune, export, write what is found, score it."""
    monkeypatch.chdir(tmp_path)
    recipe = brief("pruned2019-nyu", "dense-lean-supervised", tmp_path)
    for command in (
        ("train", recipe, "--data", nyu_folder, "--run", "run"),
        ("prune", "run/model.safetensors", "--level", "3", "--out", "l3.safetensors"),
        ("export", "l3.safetensors", "--out", "l3.onnx"),
    ):
        code, _, stderr = handfast_command(*command)
        assert code == 0, stderr
    predict = ("data", "predict", "nyu", nyu_folder, "--model", "l3.onnx", "--out", "found.txt")
    code, stdout, stderr = handfast_command(*predict, "--labels", "labels.txt", "--json")
    assert (code, stderr) == (0, "")
    facts = json.loads(stdout.splitlines()[-1])
    assert (facts["frames"], facts["without_hand"]) == (2, [])
    assert_labels_are_the_published_ones(nyu_folder)
    code, stdout, _ = handfast_command("score", "found.txt", "labels.txt", "--dataset", "nyu", "--json")
    score = json.loads(stdout.splitlines()[-1])
    assert (code, score["frames"], score["joints"]) == (0, 2, 14)
    assert 0 < score["mean_mm"] < 300


def assert_labels_are_the_published_ones(nyu_folder):
    """Those of the data set's own projection, in the order in which the literature has them."""
    evaluated = [0, 3, 6, 9, 12, 15, 18, 21, 24, 25, 27, 30, 31, 32]
    uvd = loadmat(nyu_folder / "test" / "joint_data.mat")["joint_uvd"][0][:, evaluated]
    np.testing.assert_allclose(np.loadtxt("labels.txt").reshape(-1, 14, 3), uvd, atol=0.01)


def test_from_icvl_to_a_score(handfast_command, icvl_folder, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    recipe = brief("pruned2019-icvl", "dense-icvl16-1stack-l3", tmp_path)
    for command in (
        ("train", recipe, "--data", icvl_folder, "--run", "run"),
        ("export", "run/model.safetensors", "--out", "net.onnx"),
        ("data", "predict", "icvl", icvl_folder, "--model", "net.onnx", "--out", "found.txt",
         "--labels", "labels.txt"),
    ):  # fmt: skip
        code, stdout, stderr = handfast_command(*command)
        assert code == 0, stderr
    assert "frames" in stdout and "none" in stdout
    table = (icvl_folder / "Testing" / "test_seq_1.txt").read_text().split("\n")[0]
    published = np.array(table.split()[1:], float)
    np.testing.assert_allclose(np.loadtxt("labels.txt")[0], published, atol=0.01)
    code, stdout, _ = handfast_command("score", "found.txt", "labels.txt", "--dataset", "icvl", "--json")
    score = json.loads(stdout.splitlines()[-1])
    assert (code, score["frames"], score["joints"]) == (0, 3, 16)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("stb", "here", "--out", "found.txt"), "'stb': expected one of nyu, icvl"),
        (("nyu", "nowhere", "--out", "found.txt"), "nowhere: no such folder"),
        (("nyu", "here", "--out", "found.txt"), "joint_data.mat: missing"),
        (("nyu", "here", "--out", "found.npy"), "found.npy: expected a file name that ends in .txt"),
        (
            ("nyu", "here", "--out", "found.txt", "--labels", "x.png"),
            "x.png: expected a file name that ends in",
        ),
        (("nyu", "here", "--out", "a.txt", "--labels", "here/../a.txt"), "a.txt is --out too"),
    ],
)
def test_predicting_says_what_is_wrong(data, tmp_path, monkeypatch, arguments, message):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "here").mkdir()
    code, stdout, stderr = data("predict", *arguments, "--model", "net.onnx")
    assert (code, stdout) == (2, "")
    assert message in stderr and stderr.count("\n") == 1
    assert [path.name for path in tmp_path.iterdir()] == ["here"]


def test_a_model_of_other_joints_is_refused(data, dense_onnx, icvl_folder, tmp_path):
    code, _, stderr = data(
        "predict", "icvl", icvl_folder, "--model", dense_onnx, "--out", tmp_path / "found.txt"
    )
    assert code == 2 and "expected the 16 joints of icvl16" in stderr
    assert not list(tmp_path.iterdir())
