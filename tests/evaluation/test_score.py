import gzip
import json
import os
import sys
import warnings
import zipfile
from pathlib import Path

import cv2
import numpy as np
import pytest

from handfast import cli
from handfast.data.datasets import DATASETS
from handfast.evaluation.curves import draw_curves, plot_curves
from handfast.evaluation.score import CONVENTIONS, read_points_mm, write_points_mm

# Where the variable says that the published files are, it is an error if they are not.
PUBLISHED = os.environ.get("HANDFAST_PUBLISHED")
BESIDE = Path(__file__).parents[2].parent / "shared" / "published"
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


def text_of(points, name: str) -> bytes:
    separator = {"commas.csv": ",", "comma_space.csv": ", "}.get(name, " ")
    lines = "".join(separator.join(f"{number:.6f}" for number in row.ravel()) + "\r\n" for row in points)
    content = lines.encode("utf-8-sig" if name == "marked.txt" else "utf-8")
    return gzip.compress(content) if name.lower().endswith(".gz") else content


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
    np.save("flat.npy", good.reshape(5, 63)[:, :62])
    np.save("text.npy", good.astype(str))
    np.save("objects.npy", np.array([{}], dtype=object))
    broken = good.copy()
    broken[[0, 4], 3] = np.inf
    np.save("infinite.npy", broken)
    np.savez("two.npz", good=good, better=good)
    write_broken_archives_and_headers(good)
    Path("noise.txt").write_bytes(np.random.default_rng(0).integers(128, 255, 200_000, np.uint8).tobytes())
    Path("folder.png").mkdir()
    return tmp_path


def write_broken_archives_and_headers(good):
    with zipfile.ZipFile("text.npz", "w") as archive:
        archive.writestr("readme.txt", "no array")
    np.savez("whole.npz", good=good)
    # At the same place in the header before the member and, two bytes on, in the list at the end.
    for name, place, value in (("encrypted", 6, 1), ("compressed", 8, 99)):
        content = bytearray(Path("whole.npz").read_bytes())
        content[place] = content[content.index(b"PK\1\2") + place + 2] = value
        Path(f"{name}.npz").write_bytes(content)
    header = Path("good.npy").read_bytes()[:128]
    Path("header.npy").write_bytes(header.replace(b"(5, 21, 3)", b"(5, 21, 3 "))
    Path("huge.npy").write_bytes(header.replace(b"(5, 21, 3), }    ", b"(5%s, 21, 3), }" % (b"0" * 13))[:128])


@pytest.mark.parametrize(
    "name",
    [
        "plain.txt",
        "packed.txt.gz",
        "PACKED.TXT.GZ",
        "commas.csv",
        "comma_space.csv",
        "marked.txt",
        "array.npy",
        "ARRAY.NPY",
        "rows.npy",
        "archive.npz",
        "ARCHIVE.NPZ",
    ],
)
def test_every_kind_of_file_gives_the_same_numbers(tmp_path, capfd, monkeypatch, points, name):
    truth, path = tmp_path / "truth.txt", tmp_path / name
    write_text(truth, points)
    good = points + OFF_MM
    with open(path, "wb") as file:
        if path.suffix.lower() == ".npy":
            np.save(file, (good.reshape(5, 63) if name == "rows.npy" else good).astype(np.float32))
        elif path.suffix.lower() == ".npz":
            np.savez_compressed(file, anything=good)
        else:
            file.write(text_of(good, name))
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


@pytest.mark.parametrize("dataset", ["nyu", "icvl", "bench-depth"])
def test_saved_points_are_read_back(tmp_path, dataset):
    convention = CONVENTIONS[dataset]
    points_mm = np.random.default_rng(1).normal(0, 40, (3, convention.joints, 3)) + np.array([0, 0, 700])
    write_points_mm(tmp_path / "new" / "points.txt", points_mm, convention)
    np.testing.assert_allclose(
        read_points_mm(tmp_path / "new" / "points.txt", convention), points_mm, atol=0.003
    )


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
    "words": (
        "words.txt truth.txt",
        "words.txt: line 3: expected 63 numbers separated by spaces or commas: could not convert string",
    ),
    "noise": ("noise.txt truth.txt", "noise.txt: line 1: expected 63 numbers separated by spaces or commas"),
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
        "flat.npy: expected numbers of the shape (N, 21, 3), got float64 (5, 62)",
    ),
    "array of text": ("text.npy truth.txt", "text.npy: expected numbers"),
    "pickled objects": ("objects.npy truth.txt", "objects.npy: cannot be read"),
    "two arrays": ("two.npz truth.txt", "two.npz: expected one array, under any name; found good, better"),
    "text in an archive": ("text.npz truth.txt", "text.npz: expected an array, found a file of another kind"),
    "encrypted archive": ("encrypted.npz truth.txt", "encrypted.npz: cannot be read"),
    "unknown compression": ("compressed.npz truth.txt", "compressed.npz: cannot be read"),
    "damaged header": ("header.npy truth.txt", "header.npy: cannot be read"),
    "huge array": ("huge.npy truth.txt", "huge.npy: cannot be read: Unable to allocate"),
    "a method twice": (
        "good.npy six.npy ./good.npy truth.txt",
        "good.npy: expected each file of predictions once",
    ),
    "unknown data set": (
        "good.npy truth.txt --dataset nyu3",
        "'nyu3': expected one of nyu, icvl, msra15, stb,",
    ),
    "joints of another set": ("good.txt truth.txt --dataset nyu", "line 1, 2, 3, 4, 5: expected 42 numbers"),
    "unknown picture": ("good.npy truth.txt --plot curves.bmp", "curves.bmp: expected a file name that ends"),
    "picture below a file": (
        "good.npy truth.txt --plot truth.txt/x.png",
        "truth.txt/x.png: cannot be written",
    ),
    "picture over a folder": ("good.npy truth.txt --plot folder.png", "folder.png: cannot be written"),
    "long name": (
        f"good.npy truth.txt --plot {'x' * 250}.png",
        "xxx.png: cannot be written (File name too long",
    ),
}


@pytest.mark.parametrize("case", BAD_INPUT)
def test_bad_input_is_one_line_and_exit_code_2(folder, capfd, monkeypatch, case):
    arguments, expected = BAD_INPUT[case]
    before = sorted(folder.rglob("*"))
    code, stdout, stderr = run(capfd, monkeypatch, "--json", "--dataset", "stb", *arguments.split())
    assert (code, stdout) == (2, "")
    assert stderr.startswith("error: ") and stderr.count("\n") == 1 and len(stderr) < 500
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


def test_the_curves_are_those_of_the_errors():
    pytest.importorskip("matplotlib")
    errors = np.array([[10.0, 30.0], [20.0, 20.0], [0.0, 100.0]])  # worst joints 30, 20, 100
    figure = draw_curves({"method": errors, "perfect": np.zeros((3, 2))}, "title")
    by_frame, by_joint = figure.axes
    steps = {
        by_frame: (80, [(0, 0), (20, 1 / 3), (30, 2 / 3)]),
        by_joint: (50, [(0, 1 / 6), (10, 2 / 6), (20, 4 / 6), (30, 5 / 6)]),
    }
    for axes, (to_mm, jumps) in steps.items():
        curve, perfect = axes.get_lines()
        thresholds = np.asarray(curve.get_xdata())
        assert (thresholds[0], thresholds[-1]) == (0, to_mm) and len(thresholds) > 4 * to_mm - 1
        expected = sum(
            (thresholds >= at) * 100 * (share - before)
            for (at, share), (_, before) in zip(jumps, [(0, 0), *jumps[:-1]], strict=True)
        )
        np.testing.assert_allclose(curve.get_ydata(), expected, atol=1e-9)
        np.testing.assert_allclose(perfect.get_ydata(), 100)


def test_any_name_of_a_file_names_its_curve(tmp_path):
    pytest.importorskip("matplotlib")
    names = [r"a$\foo$", "_under", "$", "漢字", "a_b^c", "{}%"]
    errors = dict.fromkeys(names, np.full((2, 21), 5.0))
    (legend,) = draw_curves(errors, "title").legends
    assert [text.get_text().rsplit(":", 1)[0].strip() for text in legend.get_texts()] == names
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        for ending in ("png", "pdf", "svg"):
            plot_curves(errors, tmp_path / f"curves.{ending}", "title")
    assert len(list(tmp_path.iterdir())) == 3


@pytest.mark.parametrize("name", CONVENTIONS)
def test_the_joints_are_those_of_the_data_set(name):
    assert name in DATASETS
    assert CONVENTIONS[name].joints == {"nyu": 14, "icvl": 16, "bench-depth": 14}.get(name, 21)


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


@pytest.mark.skipif(
    PUBLISHED is None and not BESIDE.is_dir(),
    reason="published predictions are not part of the project: set HANDFAST_PUBLISHED to their folder",
)
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
    folder = (BESIDE if PUBLISHED is None else Path(PUBLISHED)) / dataset
    result = score_json(
        capfd, monkeypatch, folder / f"{method}.txt.gz", folder / "groundtruth.txt.gz", "--dataset", dataset
    )
    assert (result["frames"], result["joints"]) == (frames, joints)
    assert round(result["mean_mm"], 3) == mean_mm
    assert np.mean(result["per_joint_mm"]) == pytest.approx(result["mean_mm"], abs=1e-5)
