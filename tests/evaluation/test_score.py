import gzip
import json
import sys
from pathlib import Path

import cv2
import numpy as np
import pytest

from handfast import cli
from handfast.evaluation.score import CONVENTIONS

PUBLISHED = Path(__file__).parents[2].parent / "shared" / "published"
OFF_MM = np.array([3, 0, 4])  # a distance of 5
KEYS = {"mean_mm", "median_mm", "frames", "joints", "auc_20_50", "auc_0_50", "per_joint_mm"}


def run(capfd, monkeypatch, *arguments: object) -> tuple[int, str, str]:
    """Exit code, stdout and stderr of ``handfast score``, run in this process."""
    monkeypatch.setattr(sys, "argv", ["handfast", "score", *map(str, arguments)])
    code = 0
    try:
        cli.main()
    except SystemExit as done:
        code = done.code or 0
    return code, *capfd.readouterr()


def score_json(capfd, monkeypatch, *arguments: object) -> dict:
    code, stdout, stderr = run(capfd, monkeypatch, *arguments, "--json")
    assert (code, stderr) == (0, "")
    return json.loads(stdout.splitlines()[-1])


def write_text(path, points):
    lines = "".join(" ".join(f"{number:.6f}" for number in row.ravel()) + "\n" for row in points)
    (gzip.open if path.suffix == ".gz" else open)(path, "wb").write(lines.encode())


@pytest.fixture
def points():
    """Five frames of 21 joints, in mm."""
    return np.random.default_rng(0).normal(0, 40, (5, 21, 3)).round(3) + np.array([0, 0, 600])


@pytest.fixture
def folder(tmp_path, monkeypatch, points):
    """Truth, and predictions 5 mm off: good ones, and with one fault each."""
    monkeypatch.chdir(tmp_path)
    write_text(Path("truth.txt"), points)
    good = points + OFF_MM
    np.save("good.npy", good)
    write_text(Path("good.txt"), good)
    lines = Path("good.txt").read_text().splitlines()
    for name, third in {
        "short": lines[2].rsplit(" ", 1)[0],
        "hole": "",
        "nan": lines[2].replace(lines[2].split()[7], "nan"),
        "words": lines[2].replace(lines[2].split()[7], "left"),
    }.items():
        Path(f"{name}.txt").write_text("\n".join([*lines[:2], third, *lines[3:]]))
    write_text(Path("three.txt"), good[:3])
    write_text(Path("six.txt"), np.concatenate([good, good[:1]]))
    np.save("six.npy", np.concatenate([good, good[:1]]))
    Path("empty.txt").touch()
    write_text(Path("cut.txt.gz"), good)
    Path("cut.txt.gz").write_bytes(Path("cut.txt.gz").read_bytes()[:-20])
    Path("noise.txt.gz").write_bytes(b"no gzip")
    Path("noise.npy").write_bytes(b"no array")
    Path("noise.npz").write_bytes(b"PK\x03\x04 no archive")
    np.save("flat.npy", good.reshape(5, 63))
    np.save("text.npy", good.astype(str))
    np.save("objects.npy", np.array([{}], dtype=object))
    broken = good.copy()
    broken[[0, 4], 3] = np.inf
    np.save("infinite.npy", broken)
    np.savez("two.npz", good=good, better=good)
    return tmp_path


@pytest.mark.parametrize("name", ["plain.txt", "packed.txt.gz", "array.npy", "archive.npz"])
def test_every_kind_of_file_gives_the_same_numbers(tmp_path, capfd, monkeypatch, points, name):
    truth, path = tmp_path / "truth.txt", tmp_path / name
    write_text(truth, points)
    good = points + OFF_MM
    if path.suffix == ".npy":
        np.save(path, good.astype(np.float32))
    elif path.suffix == ".npz":
        np.savez_compressed(path, anything=good)
    else:
        write_text(path, good)
    result = score_json(capfd, monkeypatch, path, truth, "--dataset", "stb")
    assert result.keys() == KEYS
    assert result["frames"] == 5 and result["joints"] == 21
    assert result["mean_mm"] == pytest.approx(5, abs=1e-4) and result["median_mm"] == pytest.approx(
        5, abs=1e-4
    )
    assert result["auc_20_50"] == 1 and result["auc_0_50"] == pytest.approx(0.9, abs=0.006)
    assert result["per_joint_mm"] == pytest.approx([5] * 21, abs=1e-4)


@pytest.mark.parametrize(
    "dataset, focal_px, centre_px",
    [
        ("nyu", (588.03, 587.07), (320, 240)),
        ("icvl", (240.99, 240.96), (160, 120)),
        ("msra15", (241.42, 241.42), (160, 120)),
    ],
)
def test_pixels_and_depth_are_taken_back_to_millimetres(
    tmp_path, capfd, monkeypatch, dataset, focal_px, centre_px
):
    def uvd(xyz_mm):
        return np.concatenate([xyz_mm[..., :2] / xyz_mm[..., 2:] * focal_px + centre_px, xyz_mm[..., 2:]], -1)

    joints = CONVENTIONS[dataset].joints
    truth_mm = np.random.default_rng(1).normal(0, 40, (3, joints, 3)) + np.array([0, 0, 700])
    off = np.array([(0.0, 0.0, 10.0), (6.0, 8.0, 0.0), (0.0, 0.0, 0.0)])
    write_text(tmp_path / "truth.txt", uvd(truth_mm))
    np.save(tmp_path / "predicted.npy", uvd(truth_mm + off[:, None]))
    result = score_json(
        capfd, monkeypatch, tmp_path / "predicted.npy", tmp_path / "truth.txt", "--dataset", dataset
    )
    assert result["mean_mm"] == pytest.approx(20 / 3, abs=1e-4)
    assert result["median_mm"] == pytest.approx(10, abs=1e-4)
    assert result["joints"] == joints


def test_several_methods_are_listed_by_name(folder, capfd, monkeypatch, points):
    Path("other").mkdir()
    write_text(Path("better.txt.gz"), points + OFF_MM / 5)
    result = score_json(capfd, monkeypatch, "good.npy", "better.txt.gz", "truth.txt", "--dataset", "stb")
    assert result.keys() == {"methods"}
    assert [(method["name"], round(method["mean_mm"], 3)) for method in result["methods"]] == [
        ("good", 5.0),
        ("better", 1.0),
    ]
    assert result["methods"][0].keys() == {"name", *KEYS}
    np.save("other/good.npy", points)
    result = score_json(capfd, monkeypatch, "good.npy", "other/good.npy", "truth.txt", "--dataset", "stb")
    assert [method["name"] for method in result["methods"]] == ["good.npy", str(Path("other/good.npy"))]


def test_the_table_shows_what_the_json_says(folder, capfd, monkeypatch):
    code, stdout, stderr = run(capfd, monkeypatch, "good.npy", "truth.txt", "--dataset", "fpha")
    assert (code, stderr) == (0, "")
    assert "fpha: 5 frames, 21 joints" in stdout
    assert stdout.splitlines()[-1].split()[:4] == ["good", "5.000", "5.000", "1.000"]


BAD_INPUT = {
    "missing predictions": ("nowhere.txt truth.txt", "nowhere.txt: cannot be read: No such file"),
    "missing array": ("nowhere.npy truth.txt", "nowhere.npy: cannot be read: No such file"),
    "missing truth": ("good.npy nowhere.txt", "nowhere.txt: cannot be read: No such file"),
    "folder": (". truth.txt", "cannot be read"),
    "short line": ("short.txt truth.txt", "short.txt: line 3: expected 63 numbers (21 joints x 3), got 62"),
    "empty line": ("hole.txt truth.txt", "hole.txt: line 3: expected 63 numbers (21 joints x 3), got 0"),
    "NaN": ("nan.txt truth.txt", "nan.txt: line 3: NaN"),
    "NaN in the truth": ("good.npy nan.txt", "nan.txt: line 3: NaN"),
    "NaN in the second method": ("good.npy nan.txt truth.txt", "nan.txt: line 3: NaN"),
    "infinite": ("infinite.npy truth.txt", "infinite.npy: row 0, 4: NaN or infinite"),
    "words": ("words.txt truth.txt", "words.txt: line 3: expected 63 numbers, could not convert"),
    "too few lines": (
        "three.txt truth.txt",
        "three.txt: 3 frames, but truth.txt has 5: no partner for truth.txt, line 4, 5",
    ),
    "too many lines": (
        "six.txt truth.txt",
        "six.txt: 6 frames, but truth.txt has 5: no partner for six.txt, line 6",
    ),
    "too many rows": (
        "six.npy truth.txt",
        "six.npy: 6 frames, but truth.txt has 5: no partner for six.npy, row 5",
    ),
    "nothing": ("empty.txt truth.txt", "empty.txt: expected a frame a line, found none"),
    "cut-off gzip": ("cut.txt.gz truth.txt", "cut.txt.gz: cannot be read"),
    "no gzip": ("noise.txt.gz truth.txt", "noise.txt.gz: cannot be read"),
    "no array": ("noise.npy truth.txt", "noise.npy: cannot be read"),
    "no archive": ("noise.npz truth.txt", "noise.npz: cannot be read"),
    "flat array": (
        "flat.npy truth.txt",
        "flat.npy: expected numbers of the shape (N, 21, 3), got float64 (5, 63)",
    ),
    "array of text": ("text.npy truth.txt", "text.npy: expected numbers"),
    "pickled objects": ("objects.npy truth.txt", "objects.npy: cannot be read"),
    "two arrays": ("two.npz truth.txt", "two.npz: expected one array, under any name; found good, better"),
    "unknown data set": (
        "good.npy truth.txt --dataset nyu3",
        "'nyu3': expected one of nyu, icvl, msra15, stb,",
    ),
    "joints of another set": ("good.txt truth.txt --dataset nyu", "line 1, 2, 3, 4, 5: expected 42 numbers"),
    "unknown picture": ("good.npy truth.txt --plot curves.bmp", "curves.bmp: expected a picture"),
    "picture nowhere": ("good.npy truth.txt --plot new/curves.png", "curves.png: cannot be written"),
}


@pytest.mark.parametrize("case", BAD_INPUT)
def test_bad_input_is_one_line_and_exit_code_2(folder, capfd, monkeypatch, case):
    arguments, expected = BAD_INPUT[case]
    before = sorted(folder.rglob("*"))
    code, stdout, stderr = run(capfd, monkeypatch, "--json", "--dataset", "stb", *arguments.split())
    assert (code, stdout) == (2, "")
    assert stderr.startswith("error: ") and stderr.count("\n") == 1
    assert expected in stderr
    assert sorted(folder.rglob("*")) == before


def test_both_files_are_needed(folder, capfd, monkeypatch):
    code, _, stderr = run(capfd, monkeypatch, "truth.txt", "--dataset", "stb")
    assert code == 2 and "GROUNDTRUTH" in stderr


def test_the_plot_shows_a_curve_a_method(folder, capfd, monkeypatch, points):
    pytest.importorskip("matplotlib")
    write_text(Path("worse.txt"), points + 6 * OFF_MM)
    options = ["--dataset", "stb"]
    before = set(folder.iterdir())
    assert (
        run(capfd, monkeypatch, "good.npy", "worse.txt", "truth.txt", *options, "--plot", "two.png")[0] == 0
    )
    assert run(capfd, monkeypatch, "good.npy", "truth.txt", *options, "--plot", "one.png")[0] == 0
    assert set(folder.iterdir()) - before == {folder / "one.png", folder / "two.png"}

    def pixels_near(name, bgr):
        return (np.abs(cv2.imread(name).astype(int) - bgr).max(axis=-1) < 10).sum()

    blue, vermilion = (178, 114, 0), (0, 94, 213)
    for name in ("one.png", "two.png"):
        assert pixels_near(name, blue) > 500
    assert pixels_near("two.png", vermilion) > 500
    assert pixels_near("one.png", vermilion) == 0


def test_vector_pictures(folder, capfd, monkeypatch):
    pytest.importorskip("matplotlib")
    for name, magic in {"curves.pdf": b"%PDF", "curves.svg": b"<?xml"}.items():
        assert run(capfd, monkeypatch, "good.npy", "truth.txt", "--dataset", "stb", "--plot", name)[0] == 0
        assert Path(name).read_bytes().startswith(magic)


def test_without_matplotlib_the_plot_says_what_to_install(folder, capfd, monkeypatch):
    monkeypatch.setitem(sys.modules, "matplotlib.figure", None)  # importing it now raises ImportError
    files = ["good.npy", "truth.txt", "--dataset", "stb"]
    code, stdout, stderr = run(capfd, monkeypatch, *files, "--plot", "curves.png")
    assert (code, stdout) == (2, "")
    assert 'pip install "handfast[plots]"' in stderr
    assert run(capfd, monkeypatch, *files)[0] == 0


@pytest.mark.skipif(not PUBLISHED.is_dir(), reason="the published predictions are not part of the project")
@pytest.mark.parametrize(
    "dataset, method, frames, joints, mean_mm",
    [
        ("nyu", "CVPR18_NYU_denseReg", 8252, 14, 10.214),
        ("icvl", "CVPR18_ICVL_denseReg", 1596, 16, 7.239),
        ("nyu", "NEUCOM18_NYU_Pose_REN", 8252, 14, 11.811),
        ("icvl", "NEUCOM18_ICVL_Pose_REN", 1596, 16, 6.791),
    ],
)
def test_published_errors_are_reproduced(capfd, monkeypatch, dataset, method, frames, joints, mean_mm):
    folder = PUBLISHED / dataset
    result = score_json(
        capfd, monkeypatch, folder / f"{method}.txt.gz", folder / "groundtruth.txt.gz", "--dataset", dataset
    )
    assert (result["frames"], result["joints"]) == (frames, joints)
    assert round(result["mean_mm"], 3) == mean_mm
    assert np.mean(result["per_joint_mm"]) == pytest.approx(result["mean_mm"], abs=1e-5)
