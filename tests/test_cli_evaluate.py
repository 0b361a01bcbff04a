import json
import re
import sys
from importlib.resources import as_file, files

import pytest

from handfast.runtime.model import load_model


@pytest.fixture
def evaluate(handfast_command, monkeypatch):
    monkeypatch.setenv("COLUMNS", "200")
    return lambda *arguments: handfast_command("evaluate", *arguments)


def test_json_is_one_object_on_the_last_line(evaluate, tof_folder):
    code, stdout, stderr = evaluate("tofnet-tof8", "--data", tof_folder, "--frames", 4, "--json")
    assert (code, stderr) == (0, "")
    facts = json.loads(stdout.splitlines()[-1])
    assert facts["model"] == "tofnet-tof8" and facts["backend"] == load_model("tofnet-tof8").backend
    assert (facts["benchmark"], facts["size"], facts["seed"], facts["split"]) == (
        "bench-tof", "small", 1, "test",
    )  # fmt: skip
    assert facts["frames"] == 4 and len(facts["pck"]) == 20 and facts["error_px"] > 0


def test_the_table_of_key_points(evaluate, tof_folder):
    code, stdout, stderr = evaluate("tofnet-tof8", "--data", tof_folder)
    assert (code, stderr) == (0, "")
    facts = json.loads(evaluate("tofnet-tof8", "--data", tof_folder, "--json")[1])
    assert "bench-tof small, test: 5 frames" in stdout
    assert f"{facts['error_px']:.2f} px mean, {facts['error_median_px']:.2f} px median" in stdout
    assert f"{facts['wrong_side_rate']:.1%} of the hands" in stdout


def test_the_table_of_joints(evaluate, dirnet_folder, dotted_folder):
    arguments = (dirnet_folder, "--data", dotted_folder, "--split", "validation")
    code, stdout, stderr = evaluate(*arguments)
    assert (code, stderr) == (0, "")
    facts = json.loads(evaluate(*arguments, "--json")[1])
    assert f"{facts['error_mm']:.2f} mm mean, {facts['error_median_mm']:.2f} mm median" in stdout
    assert f"{facts['auc_20_50']:.3f}" in stdout and f"{facts['loops']:.2f}" in stdout


def test_a_gate_spends_as_told(evaluate, dirnet_folder, dotted_folder):
    def found(model, gate):
        code, stdout, stderr = evaluate(model, "--data", dotted_folder, "--gate", gate, "--json")
        assert (code, stderr) == (0, "")
        return json.loads(stdout)

    always, never = found("ace", "0"), found("ace", "1")
    assert (always["p_fine"], never["p_fine"]) == (1.0, 0.0) and always["gflops"] > never["gflops"]
    all_loops, none = found(dirnet_folder, "never"), found(dirnet_folder, "variance:1e9")
    assert all_loops["loops"] > none["loops"] == 0 and all_loops["gflops"] > none["gflops"]


@pytest.fixture
def labels(handfast_command, tmp_path):
    """Frames of the packaged clip with the hands that the tracker finds in it, as labels."""
    with as_file(files("handfast") / "assets" / "demo.zip") as clip:
        assert handfast_command("label", clip, "--count", 3, "--out", tmp_path / "mine")[0] == 0
    return tmp_path / "mine"


def test_labelled_images_of_ones_own(evaluate, labels, tmp_path):
    code, stdout, stderr = evaluate("tofnet-hand21", "--data", labels, "--json")
    assert (code, stderr) == (0, "")
    facts = json.loads(stdout)
    assert (facts["data"], facts["frames"], facts["hands"]) == (str(labels), 3, 6)
    of_file = evaluate(
        "tofnet-hand21", "--data", labels / "annotations/person_keypoints_default.json", "--json"
    )
    assert json.loads(of_file[1])["error_px"] == facts["error_px"]
    assert facts["missed_rate"] < 0.5 and facts["error_percent_of_hand"] < 20 and len(facts["pck"]) == 20
    stdout = evaluate("tofnet-hand21", "--data", labels, "--frames", 2)[1]
    assert re.search("images +2 *$", stdout, re.MULTILINE) and "of the hand's size, mean" in stdout
    pytest.importorskip("matplotlib")
    assert evaluate("tofnet-hand21", "--data", labels, "--plot", tmp_path / "pck.png")[0] == 0
    assert (tmp_path / "pck.png").stat().st_size > 10_000


def test_what_goes_with_benchmarks_alone(evaluate, labels, tmp_path):
    code, _, stderr = evaluate("tofnet-hand21", "--data", labels, "--split", "train")
    assert code == 2 and "--split is for benchmarks of handfast synth" in stderr
    code, _, stderr = evaluate("dense-hand21", "--data", labels)
    assert code == 2 and "model dense-hand21 needs depth and a camera" in stderr
    (tmp_path / "empty").mkdir()
    code, _, stderr = evaluate("tofnet-hand21", "--data", tmp_path / "empty")
    assert code == 2 and "makes a set of data in a new folder" in stderr


def test_what_a_model_needs_is_said_in_one_line(evaluate, tof_folder):
    code, stdout, stderr = evaluate("dense-hand21", "--data", tof_folder)
    assert (code, stdout) == (2, "")
    assert stderr == (
        f"error: {tof_folder}: model dense-hand21 sees depth crop, expected bench-depth, got bench-tof; "
        "make one with `handfast synth bench-depth`\n"
    )


def test_without_matplotlib_nothing_is_measured(evaluate, monkeypatch, tof_folder, tmp_path):
    monkeypatch.setitem(sys.modules, "matplotlib.figure", None)
    code, stdout, stderr = evaluate("tofnet-tof8", "--data", tof_folder, "--plot", tmp_path / "curves.png")
    assert (code, stdout, stderr) == (2, "", 'error: plots need matplotlib: pip install "handfast[plots]"\n')


def test_curves_are_drawn(evaluate, tof_folder, dense_onnx, depth_folder, tmp_path):
    pytest.importorskip("matplotlib")
    for name, model, data in (("px", "tofnet-tof8", tof_folder), ("mm", dense_onnx, depth_folder)):
        path = tmp_path / f"{name}.png"
        assert evaluate(model, "--data", data, "--plot", path)[::2] == (0, "")
        assert path.read_bytes().startswith(b"\x89PNG")
