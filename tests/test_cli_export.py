"""The command that exports: thin, with one line for what is wrong, and nothing written then."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import onnx
import pytest
from onnx import helper

import handfast
from handfast.models import MODELS
from handfast.runtime.ace import load_ace
from handfast.runtime.dense import load_dense
from handfast.runtime.dirnet import load_dirnet
from handfast.runtime.model import load_model, read_graphs, read_model
from handfast.training.checkpoint import save_checkpoint
from handfast.training.loop import MODEL_FILE, model_card
from handfast.training.tofnet import ToFNetRecipe


@pytest.fixture
def run(handfast_command, monkeypatch, tmp_path):
    """The command, run in an empty folder; the object that it prints, as --json is asked for."""
    monkeypatch.chdir(tmp_path)

    def run(*arguments):
        code, stdout, stderr = handfast_command("export", *arguments, "--json")
        assert (code, stderr) == (0, "")
        return json.loads(stdout.splitlines()[-1])

    return run


@pytest.fixture
def checkpoint(tmp_path):
    recipe = ToFNetRecipe(model="tofnet-tof8", skeleton="tof8", steps=1)
    save_checkpoint(tmp_path / MODEL_FILE, MODELS["tofnet-tof8"](), model_card(recipe, "nothing", 0, {}))
    return tmp_path / MODEL_FILE


@pytest.mark.parametrize(("option", "operators"), [((), {"If"}), (("--plain",), set())])
def test_a_checkpoint_becomes_a_network_that_runs(run, checkpoint, tmp_path, option, operators):
    facts = run(checkpoint, "--out", "new/net.onnx", *option)
    model = load_model(tmp_path / "new" / "net.onnx")
    assert (model.card.parameters, model.card.flops) == (facts["parameters"], facts["flops"])
    nodes = {node.op_type for node in onnx.load(tmp_path / "new" / "net.onnx").graph.node}
    assert nodes & {"If"} == operators


def test_a_packaged_model_is_written_as_it_is(run, tmp_path):
    facts = run("tofnet-tof8", "--out", "net.onnx")
    assert facts["name"] == "tofnet-tof8" and facts["weight_bytes"] == 4 * facts["parameters"]
    assert (tmp_path / "net.onnx").read_bytes() == read_model("tofnet-tof8")


@pytest.mark.parametrize("name", ["dirnet", "ace"])
def test_so_is_one_of_several_graphs(run, tmp_path, name):
    facts = run(name, "--out", "net")
    assert facts["name"] == name and read_graphs("net") == read_graphs(name)


def make(folder, *arguments):
    if shutil.which("make") is None or shutil.which("cc") is None:
        pytest.skip("no make or no C compiler is installed")
    return subprocess.run(
        ["make", "-s", "-C", folder, *arguments], capture_output=True, text=True, check=False
    )


def test_the_c_of_a_packaged_model_passes_its_test(run, tmp_path):
    facts = run("tofnet-tof8", "--to", "c", "--out", "new/tof8")
    folder = tmp_path / "new" / "tof8"
    assert {path.name: path.stat().st_size for path in folder.iterdir()} == facts["files"]
    assert {"tofnet_tof8.h", "tofnet_tof8.c", "tofnet_tof8_weights.h", "Makefile"} <= facts["files"].keys()
    assert f"ARENA_BYTES {facts['arena_bytes']}\n" in (folder / "tofnet_tof8.h").read_text()
    assert (
        facts["target"] == "generic" and facts["weight_bytes"] == load_model("tofnet-tof8").card.weight_bytes
    )

    done = make(folder, "test", "CFLAGS=-std=c99 -pedantic -Wall -Wextra -Werror -ffp-contract=off -O1")
    assert done.returncode == 0, done.stderr
    assert done.stdout.endswith("found 3, expected 3\nPASS\n")

    golden = (folder / "golden.h").read_text()
    (folder / "golden.h").write_text(golden.replace("GOLDEN_FOUND 3", "GOLDEN_FOUND 2"))
    done = make(folder, "test")
    assert done.returncode != 0 and "found 3, expected 2\nFAIL\n" in done.stdout


def test_a_key_point_elsewhere_fails_the_test(run, tmp_path):
    run("tofnet-tof8", "--to", "c", "--out", "c")
    header = tmp_path / "c" / "golden.h"
    before, points = header.read_text().split("golden_keypoints[] = {\n")
    first, rest = points.split(",", 1)
    header.write_text(f"{before}golden_keypoints[] = {{\n{first} + 0.002f,{rest}")
    done = make(tmp_path / "c", "test")
    assert done.returncode != 0 and done.stdout.splitlines()[-1] == "FAIL"


def test_8_bit_c_passes_its_test(run, tmp_path):
    facts = run("tofnet-tof8", "--to", "c", "--int8", "--out", "c")
    assert facts["numbers"] == "int8" and facts["arena_bytes"] <= 48 * 1024
    assert facts["weight_bytes"] < load_model("tofnet-tof8").card.weight_bytes / 3
    done = make(
        tmp_path / "c", "test", "CFLAGS=-std=c99 -pedantic -Wall -Wextra -Werror -ffp-contract=off -O1"
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.endswith("found 3, expected 3\nPASS\n")
    assert "GOLDEN_TOLERANCE 0.0001f" in (tmp_path / "c" / "golden.h").read_text()


def test_c_by_another_name(run, handfast_command, tmp_path):
    facts = run("tofnet-tof8", "--to", "c", "--name", "left-eye", "--out", tmp_path / "eye")
    assert facts["name"] == "left-eye"
    header = (tmp_path / "eye" / "left_eye.h").read_text()
    assert "int left_eye_run(const uint8_t *image" in header
    for name in ("", "8eyes", "two eyes", "../eye"):
        arguments = ["export", "tofnet-tof8", "--to", "c", "--name", name, "--out", tmp_path / "no"]
        code, _, stderr = handfast_command(*arguments)
        assert code == 2 and "--name: expected letters" in stderr
    code, _, stderr = handfast_command("export", "tofnet-tof8", "--name", "x", "--out", tmp_path / "x.onnx")
    assert code == 2 and "--name is for --to c" in stderr
    assert [path.name for path in tmp_path.iterdir()] == ["eye"]


def test_an_unknown_target_is_refused_before_anything_is_calibrated(handfast_command, monkeypatch, tmp_path):
    def calibrate(width, height):
        raise AssertionError("calibrated")

    monkeypatch.setattr("handfast.export.c.folder.calibration_images", calibrate)
    monkeypatch.chdir(tmp_path)
    options = ("--to", "c", "--int8", "--target", "z80", "--out", "c")
    code, stdout, stderr = handfast_command("export", "tofnet-tof8", *options)
    assert (code, stdout, stderr.count("\n")) == (2, "", 1) and "target 'z80': expected generic," in stderr


def test_8_bit_c_for_avx512_is_compiled_for_its_dot_products(run, tmp_path):
    run("tofnet-tof8", "--to", "c", "--int8", "--target", "avx512", "--out", "c")
    assert "-mavx512vnni" in (tmp_path / "c" / "Makefile").read_text()


@pytest.mark.parametrize("option", [(), ("--plain",)])
def test_a_checkpoint_becomes_c(run, checkpoint, tmp_path, option):
    facts = run(checkpoint, "--to", "c", "--target", "avx2", *option, "--out", "c")
    assert (facts["name"], facts["target"]) == ("tofnet-tof8", "avx2")
    assert "-mavx2" in (tmp_path / "c" / "Makefile").read_text()
    assert ("-FLT_MAX" in (tmp_path / "c" / "tofnet_tof8.c").read_text()) == ("--plain" in option)


def test_a_checkpoint_of_dense_regression_becomes_a_network_that_runs(run, dense_checkpoint, tmp_path):
    facts = run(dense_checkpoint("dense-lean-l3"), "--out", "net.onnx")
    card = load_dense(tmp_path / "net.onnx").card
    assert (card.name, card.parameters, card.flops) == ("dense-lean-l3", facts["parameters"], facts["flops"])
    assert facts["early_out_flops"] is None


@pytest.mark.parametrize(
    ("options", "complaint"),
    [
        (("--to", "c"), "--to c: expected a net on whole images"),
        (("--plain",), "--plain: dense-lean-l3 has no"),
    ],
)
def test_what_cannot_be_made_of_dense_regression(
    handfast_command, dense_checkpoint, tmp_path, options, complaint
):
    out = tmp_path / "net.onnx"
    code, _, stderr = handfast_command("export", dense_checkpoint("dense-lean-l3"), "--out", out, *options)
    assert code == 2 and stderr.startswith(f"error: {complaint}") and stderr.count("\n") == 1
    assert not out.exists()


def test_a_checkpoint_of_dirnet_becomes_a_folder_that_runs_and_says_what_it_costs(
    run, handfast_command, dirnet_checkpoint, tmp_path
):
    facts = run(dirnet_checkpoint, "--out", "new/net")
    card = load_dirnet(tmp_path / "new" / "net").card
    costs = ("parameters", "macs", "flops", "loop_macs", "loop_flops", "weight_bytes", "loops")
    assert all(facts[what] == getattr(card, what) for what in costs)
    code, stdout, stderr = handfast_command("info", "new/net", "--layers", "--json")
    assert (code, stderr) == (0, "")
    told = json.loads(stdout.splitlines()[-1])
    assert all(told[what] == facts[what] for what in costs)
    assert (told["model"], told["hand"], told["exit_rule"]) == ("dirnet", "open", {"name": "never"})
    once = sum(layer["macs"] for layer in told["layers"])
    assert card.macs + card.loop_macs > once > card.macs  # the refiner's layers are listed once
    code, stdout, _ = handfast_command("info", "new/net")
    assert code == 0 and f"{card.loop_flops:,}" in stdout


DIRNET_BAD_INPUT = {
    "for OpenVINO": (("--to", "openvino", "--out", "net"), "run with --backend openvino"),
    "as the packaged one": (("--out", "dirnet"), "--out: dirnet is the name of a packaged network"),
    "as C": (("--to", "c", "--out", "net"), "--to c: expected a net on whole images, got dirnet"),
    "plain": (("--plain", "--out", "net"), "--plain: dirnet has no branches"),
    "into a file": (("--out", "net.onnx"), "--out: expected a folder for the files of dirnet"),
    "into a full folder": (("--out", "full"), "full: expected a new or an empty folder"),
    "with a hand that it does not move": (
        ("--mano", "m.pkl", "--out", "net"),
        "dirnet moves no MANO hand; leave --mano out",
    ),
}


@pytest.mark.parametrize("case", DIRNET_BAD_INPUT)
def test_what_cannot_be_made_of_dirnet(handfast_command, monkeypatch, dirnet_checkpoint, tmp_path, case):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "notes.txt").write_text("mine")
    arguments, expected = DIRNET_BAD_INPUT[case]
    code, stdout, stderr = handfast_command("export", dirnet_checkpoint, *arguments)
    assert (code, stdout) == (2, "")
    assert stderr.startswith("error: ") and stderr.count("\n") == 1 and expected in stderr
    assert [path.name for path in tmp_path.iterdir()] == ["full"]


def test_a_checkpoint_of_ace_becomes_a_folder_that_runs_and_says_what_it_costs(
    run, handfast_command, ace_checkpoint, tmp_path
):
    facts = run(ace_checkpoint, "--out", "new/net")
    card = load_ace(tmp_path / "new" / "net").card
    costs = ("parameters", "macs", "flops", "fine_macs", "fine_flops", "state_bytes", "weight_bytes")
    assert all(facts[what] == getattr(card, what) for what in costs)
    assert (facts["gate"], facts["threshold"], card.input["width"]) == ("gaussian", 0.5, 128)
    code, stdout, stderr = handfast_command("info", "new/net", "--layers", "--json")
    assert (code, stderr) == (0, "")
    told = json.loads(stdout.splitlines()[-1])
    assert all(told[what] == facts[what] for what in (*costs, "gate", "threshold"))
    assert sum(layer["macs"] for layer in told["layers"]) == card.macs + card.fine_macs
    code, stdout, _ = handfast_command("info", "new/net")
    assert code == 0 and f"{card.fine_flops:,}" in stdout and "threshold" in stdout
    code, stdout, _ = handfast_command("export", ace_checkpoint, "--out", "new/again")
    assert code == 0 and f"{card.state_bytes:,}" in stdout


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        (("--to", "c", "--out", "net"), "--to c: expected a net on whole images, got ace-hourglass-half"),
        (("--out", "net.onnx"), "--out: expected a folder for the files of ace-hourglass-half"),
        (("--mano", "m.pkl", "--out", "net"), "ace-hourglass-half moves no MANO hand; leave --mano out"),
    ],
)
def test_what_cannot_be_made_of_ace(
    handfast_command, monkeypatch, ace_checkpoint, tmp_path, arguments, complaint
):
    monkeypatch.chdir(tmp_path)
    code, stdout, stderr = handfast_command("export", ace_checkpoint, *arguments)
    assert (code, stdout, stderr.count("\n")) == (2, "", 1) and complaint in stderr
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("name", "complaint"),
    [
        ("hourglass-coarse-half", "hourglass-coarse-half is there to train and to compare with"),
        ("ace-coarse", "ace-coarse: expected a net with a gate, such as ace; it is a part of one"),
    ],
)
def test_the_parts_of_ace_are_not_exported_by_themselves(handfast_command, tmp_path, name, complaint):
    card = {"name": name, "family": name.split("-")[0], "skeleton": "hand21"}
    save_checkpoint(tmp_path / MODEL_FILE, MODELS[name](), card)
    code, stdout, stderr = handfast_command("export", tmp_path / MODEL_FILE, "--out", tmp_path / "net")
    assert (code, stdout) == (2, "") and complaint in stderr


def test_half_a_folder_has_no_card(handfast_command, dirnet_folder, tmp_path):
    folder = shutil.copytree(dirnet_folder, tmp_path / "half")
    (folder / "attend.onnx").unlink()
    code, stdout, stderr = handfast_command("info", folder, "--json")
    assert (code, stdout, stderr.count("\n")) == (2, "", 1)
    assert "there is no attend.onnx; export it again" in stderr


def test_a_network_becomes_one_for_openvino(run, dense_onnx, tmp_path):
    pytest.importorskip("openvino")
    facts = run(dense_onnx, "--to", "openvino", "--precision", "fp16", "--out", "new/net.xml")
    assert load_dense(tmp_path / "new" / "net.xml").card.weight_bytes == facts["weight_bytes"]
    assert (facts["precision"], facts["name"]) == ("fp16", "dense-lean-l3")
    assert run("tofnet-tof8", "--to", "openvino", "--out", "tof8.xml")["precision"] == "fp32"


def test_facts_are_printed(handfast_command, monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    code, stdout, stderr = handfast_command("export", "tofnet-tof8", "--to", "c", "--out", "c")
    assert (code, stderr) == (0, "")
    lines = dict(line.split(maxsplit=1) for line in stdout.splitlines())
    assert lines["target"].strip() == "generic" and "arena_bytes" in lines
    assert lines["tofnet_tof8.h"].strip().endswith(" bytes")


def foreign_model(folder):
    """A packaged network with a layer in it that has no kernel: the path of its file."""
    model = onnx.load_from_string(read_model("tofnet-tof8"))
    relu = next(node for node in model.graph.node if node.op_type == "Relu")
    relu.CopyFrom(helper.make_node("Sigmoid", list(relu.input), list(relu.output), name="the_odd_one"))
    onnx.save(model, folder / "foreign.onnx")
    return "foreign.onnx"


BAD_INPUT = {
    "no checkpoint": (("no.safetensors", "--out", "net.onnx"), "no.safetensors: expected a whole"),
    "another ending": (("tofnet-tof8", "--out", "net.pt"), "ends in .onnx"),
    "unknown model": (("tofnet", "--out", "net.onnx"), "expected tofnet-hand21, tofnet-tof8"),
    "unknown model as C": (("tofnet", "--to", "c", "--out", "c"), "expected tofnet-hand21, tofnet-tof8"),
    "unknown format": (
        ("tofnet-tof8", "--to", "tflite", "--out", "c"),
        "--to: expected onnx, c, openvino, got 'tflite'",
    ),
    "unknown target": (
        ("tofnet-tof8", "--to", "c", "--target", "z80", "--out", "c"),
        "'z80': expected generic,",
    ),
    "a target of no use": (("tofnet-tof8", "--target", "neon", "--out", "a.onnx"), "--target is for --to c"),
    "8 bits of no use": (("tofnet-tof8", "--int8", "--out", "a.onnx"), "--int8 is for --to c"),
    "another ending for OpenVINO": (("tofnet-tof8", "--to", "openvino", "--out", "a.onnx"), "ends in .xml"),
    "8 bits of C in OpenVINO": (
        ("tofnet-tof8", "--to", "openvino", "--int8", "--out", "a.xml"),
        "there is --precision int8",
    ),
    "a precision of no use": (
        ("tofnet-tof8", "--precision", "fp16", "--out", "a.onnx"),
        "--precision is for --to openvino",
    ),
    "unknown precision": (
        ("tofnet-tof8", "--to", "openvino", "--precision", "int4", "--out", "a.xml"),
        "--precision: expected fp32, fp16, int8, got 'int4'",
    ),
    "8 bits without data": (
        ("tofnet-tof8", "--to", "openvino", "--precision", "int8", "--out", "a.xml"),
        "--precision int8 and --data go together",
    ),
    "8 bits of another family": (
        ("tofnet-tof8", "--to", "openvino", "--precision", "int8", "--data", "d", "--out", "a.xml"),
        "expected dense regression, got tofnet-tof8",
    ),
    "plain of a network": (("tofnet-tof8", "--plain", "--out", "a.onnx"), "the .safetensors file of a run"),
    "MANO of a network": (("tofnet-tof8", "--mano", "m.pkl", "--out", "a.onnx"), "--mano: expected the"),
    "no kernel": (
        ("foreign.onnx", "--to", "c", "--out", "c"),
        "layer the_odd_one: Sigmoid as it is used there",
    ),
}


@pytest.mark.parametrize("case", BAD_INPUT)
def test_bad_input_is_one_line_and_exit_code_2(handfast_command, monkeypatch, tmp_path, case):
    monkeypatch.chdir(tmp_path)
    foreign_model(tmp_path)
    arguments, expected = BAD_INPUT[case]
    code, stdout, stderr = handfast_command("export", *arguments, "--json")
    assert (code, stdout) == (2, "")
    assert stderr.startswith("error: ") and stderr.count("\n") == 1 and expected in stderr
    assert [path.name for path in tmp_path.iterdir()] == ["foreign.onnx"]


@pytest.mark.parametrize(
    ("arguments", "missing"),
    [
        (("model.safetensors", "--out", "net.onnx"), ("torch", "onnx")),
        (("tofnet-tof8", "--to", "c", "--out", "c"), ("onnx",)),
        (("tofnet-tof8", "--to", "c", "--out", "c"), ()),
    ],
)
def test_torch_is_needed_for_checkpoints_and_onnx_for_c(tmp_path, arguments, missing):
    program = (
        "import sys\n"
        f"sys.modules.update(dict.fromkeys(('torch', 'lightning_fabric', *{missing!r})))\n"
        "from handfast.cli import main\n"
        "main()\n"
    )
    command = [sys.executable, "-c", program, "export", *arguments]
    environment = os.environ | {"PYTHONPATH": str(Path(handfast.__file__).parents[1])}
    done = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, check=False)
    if missing:
        assert (done.returncode, done.stdout, list(tmp_path.iterdir())) == (2, "", [])
        assert done.stderr.endswith("pip install 'handfast[train]'\n") and done.stderr.count("\n") == 1
    else:
        assert (done.returncode, done.stderr) == (0, "") and (tmp_path / "c" / "tofnet_tof8.c").is_file()
