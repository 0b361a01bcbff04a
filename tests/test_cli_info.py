"""The command that says what a model costs and sees."""

import json
import shutil
from types import SimpleNamespace

import pytest

from handfast.evaluation.cost import Cost, LayerCost

CARD = SimpleNamespace(
    name="tofnet-tof8",
    family="tofnet",
    parameters=41_000,
    macs=9_000_000,
    flops=18_000_000,
    early_out_macs=8_000_000,
    early_out_flops=16_000_000,
    loops=None,
    loop_macs=None,
    loop_flops=None,
    exit_rule=None,
    hand=None,
    trained_on="noise",
    licence="Apache-2.0",
    metrics={"mean_px": 3.5},
    gate=None,
    threshold=None,
    fine_macs=None,
    fine_flops=None,
    state_bytes=None,
    state_frames=None,
    weight_bytes=164_000,
    input={"width": 160},
    receptive_field_px={"heatmaps": [377, 377], "visibility": [160, 120]},
)


def test_info(handfast_command, monkeypatch):
    asked = []

    def read_card(name):
        asked.append(name)
        return CARD

    monkeypatch.setattr("handfast.runtime.model.read_card", read_card)
    code, stdout, _ = handfast_command("info", "tofnet-tof8", "--json")
    assert code == 0
    facts = {name: value for name, value in vars(CARD).items() if name not in ("name", "family")}
    assert json.loads(stdout.splitlines()[-1]) == {"model": "tofnet-tof8", **facts}
    code, stdout, _ = handfast_command("info")
    assert code == 0
    for expected in ("41,000", "18,000,000", "16,000,000", "heatmaps [377, 377]", "visibility [160, 120]"):
        assert expected in stdout
    assert asked == ["tofnet-tof8", "tofnet-hand21"]


@pytest.mark.parametrize("name", ["dirnet", "ace"])
def test_several_graphs_need_the_memory_of_the_largest(handfast_command, name):
    _, stdout, _ = handfast_command("info", name, "--json")
    arena_bytes = json.loads(stdout)["arena_bytes"]
    assert 4 * 128 * 128 * 3 < arena_bytes <= 4 * 2**20


def test_info_of_a_card_from_before_the_early_out(handfast_command, monkeypatch):
    """What it does not state is left out, and null in JSON."""
    later = dict.fromkeys(("early_out_macs", "early_out_flops", "receptive_field_px"))
    card = SimpleNamespace(**vars(CARD) | later)
    monkeypatch.setattr("handfast.runtime.model.read_card", lambda name: card)
    _, stdout, _ = handfast_command("info")
    assert "18,000,000" in stdout and "early_out" not in stdout and "None" not in stdout
    _, stdout, _ = handfast_command("info", "--json")
    assert later.items() <= json.loads(stdout).items()


def test_info_lists_the_layers_and_those_of_a_branch_under_its_title(handfast_command, monkeypatch):
    cost = Cost(
        (
            LayerCost("tier1.0.0", "Conv", (1, 16, 60, 80), 160, 691_200, 640),
            LayerCost("Relu", "Relu", (1, 16, 60, 80), 0, 0, 0),
            LayerCost("to_maps", "Conv", (1, 42, 30, 40), 2_730, 3_225_600, 10_920, "then"),
        )
    )
    monkeypatch.setattr("handfast.evaluation.cost.cost_of_file", lambda content: cost)
    _, stdout, _ = handfast_command("info", "--layers")
    first, title, second = stdout.splitlines()[-3:]
    assert first.split() == "tier1.0.0 Conv 16 x 60 x 80 160 691,200".split()
    assert title.strip() == "where a hand may be"
    assert second.split() == "to_maps Conv 42 x 30 x 40 2,730 3,225,600".split()
    _, stdout, _ = handfast_command("info", "--layers", "--json")
    layers = json.loads(stdout)["layers"]
    assert [(layer["name"], layer["branch"]) for layer in layers] == [("tier1.0.0", ""), ("to_maps", "then")]


def test_info_lists_the_layers_of_a_folder_file_by_file(handfast_command, dirnet_folder):
    _, stdout, _ = handfast_command("info", dirnet_folder, "--layers")
    titles = [line.strip() for line in stdout.splitlines() if line.strip().endswith(".onnx")]
    assert titles == ["extract.onnx", "refine.onnx", "attend.onnx", "pose.onnx"]


def test_info_of_a_broken_model(handfast_command, tmp_path):
    (tmp_path / "noise.onnx").write_bytes(bytes(range(256)))
    code, stdout, stderr = handfast_command("info", tmp_path / "noise.onnx")
    assert (code, stdout, stderr.count("\n")) == (2, "", 1)


def test_info_of_a_folder_with_a_graph_cut_in_half(handfast_command, dirnet_folder, tmp_path):
    shutil.copytree(dirnet_folder, tmp_path / "cut")
    pose = tmp_path / "cut" / "pose.onnx"
    pose.write_bytes(pose.read_bytes()[: pose.stat().st_size // 2])
    code, stdout, stderr = handfast_command("info", tmp_path / "cut", "--json")
    assert (code, stdout, stderr.count("\n")) == (2, "", 1)
    assert "pose.onnx" in stderr


@pytest.mark.parametrize(
    ("model", "parameters", "gmacs"),
    [
        ("dense-2stack", 5_827_804, 4.87),
        ("dense-1stack", 2_923_902, 2.45),
        ("dense-1stack-l3", 2_870_142, 0.69),
    ],
)
def test_info_of_a_network_yet_to_be_trained(handfast_command, model, parameters, gmacs):
    code, stdout, _ = handfast_command("info", model, "--joints", 14, "--json")
    assert code == 0
    facts = json.loads(stdout.splitlines()[-1])
    assert (facts["model"], facts["joints"], facts["parameters"]) == (model, 14, parameters)
    assert round(facts["macs"] / 1e9, 2) == gmacs and facts["flops"] == 2 * facts["macs"]


def test_info_of_joints_that_no_such_network_has(handfast_command):
    for arguments in (("tofnet-tof8",), ("dense-1stack", "--layers")):
        code, stdout, stderr = handfast_command("info", *arguments, "--joints", 14)
        assert (code, stdout, stderr.count("\n")) == (2, "", 1)
        assert "--joints" in stderr


@pytest.mark.parametrize("name", ["run/model.safetensors", "dense.xml"])
def test_info_says_what_it_reads(handfast_command, name):
    code, _, stderr = handfast_command("info", name)
    assert code == 2 and "info reads packaged models, .onnx files and exported folders" in stderr
