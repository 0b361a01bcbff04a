"""What is exported is the net, whole and alone, within the paper's budget."""

import json
from importlib.resources import as_file, files

import numpy as np
import onnx
import onnxruntime
import pytest
import torch
from torch.utils.flop_counter import FlopCounterMode

from handfast.export.card import CARD_KEY
from handfast.export.onnx import export_onnx
from handfast.models import MODELS
from handfast.models.cost import network_cost
from handfast.training.checkpoint import load_checkpoint

PARAMETERS_MAX = {"tofnet-tof8": 41_499, "tofnet-hand21": 99_999}  # table 2: 0.041 M
FLOPS_MAX = {"tofnet-tof8": 35e6, "tofnet-hand21": 80e6}
KEYPOINTS = {"tofnet-tof8": 8, "tofnet-hand21": 21}


@pytest.fixture(scope="module", params=tuple(KEYPOINTS))
def exported(request, tmp_path_factory):
    """(name, net, path, card) of a trained net, exported as a plain graph."""
    with as_file(files("handfast") / "assets" / f"{request.param}.safetensors") as checkpoint:
        net, card = load_checkpoint(checkpoint)
    path = tmp_path_factory.mktemp("export") / "net.onnx"
    return request.param, net, path, export_onnx(net, card, path, early_out_logit=None)


def test_onnx_runtime_equals_torch_for_any_batch(exported):
    _, net, path, _ = exported
    session = onnxruntime.InferenceSession(path)
    images = np.random.default_rng(1).random((3, 1, 120, 160), np.float32)
    with torch.inference_mode():
        expected = net(torch.from_numpy(images))
    for got, want in zip(session.run(None, {"image": images}), expected, strict=True):
        scale = want.abs().max().item()
        np.testing.assert_allclose(got / scale, want.numpy() / scale, atol=1e-4)
    singles = [session.run(None, {"image": image[None]}) for image in images]
    for got, want in zip(singles[2], session.run(None, {"image": images}), strict=True):
        np.testing.assert_allclose(got[0], want[2], atol=1e-4 * np.abs(want).max())


def test_signature(exported):
    name, _, path, _ = exported
    session = onnxruntime.InferenceSession(path)
    keypoints = KEYPOINTS[name]
    assert [(i.name, i.shape, i.type) for i in session.get_inputs()] == [
        ("image", ["batch", 1, 120, 160], "tensor(float)")
    ]
    assert [(o.name, o.shape) for o in session.get_outputs()] == [
        ("heatmaps", ["batch", 2, keypoints, 60, 80]),
        ("visibility", ["batch", 2, 1 + keypoints]),
    ]


def test_the_budget_is_kept_and_the_card_states_it(exported):
    name, _, _, card = exported
    assert card["parameters"] <= PARAMETERS_MAX[name]
    assert card["flops"] <= FLOPS_MAX[name]
    assert card["flops"] == 2 * card["macs"] and card["weight_bytes"] == 4 * card["parameters"]
    # It always decodes.
    assert card["early_out_logit"] is None
    assert (card["early_out_macs"], card["early_out_flops"]) == (card["macs"], card["flops"])


def test_macs_are_those_that_torch_counts(exported):
    _, net, _, card = exported
    with FlopCounterMode(display=False) as counter, torch.inference_mode():
        net(torch.zeros(1, 1, 120, 160))
    assert card["flops"] == counter.get_total_flops()


def test_parameters_are_those_of_the_folded_net(exported):
    """Folding turns each convolution's normalisation, two numbers a channel, into one bias a channel."""
    _, net, _, card = exported
    normalised = sum(m.num_features for m in net.modules() if isinstance(m, torch.nn.BatchNorm2d))
    assert card["parameters"] == sum(p.numel() for p in net.parameters()) - normalised


def test_the_graph_holds_plain_operators_only(exported):
    _, _, path, _ = exported
    operators = {node.op_type for node in onnx.load(path).graph.node}
    assert operators <= {
        "Add", "Concat", "Constant", "Conv", "Flatten", "Gemm", "MaxPool", "ReduceMax", "Relu", "Reshape",
        "Resize", "Transpose",
    }  # fmt: skip


def test_the_file_carries_its_card(exported):
    name, _, path, card = exported
    metadata = {entry.key: entry.value for entry in onnx.load(path).metadata_props}
    assert json.loads(metadata[CARD_KEY]) == card and card["name"] == name
    assert list(path.parent.iterdir()) == [path]


def crops(n):
    """Hands before nothing."""
    depth = np.random.default_rng(n).random((n, 1, 128, 128), np.float32) * 1.5 - 0.5
    depth[..., :40] = -1
    return depth


def test_dense_regression_takes_any_number_of_crops(dense_checkpoint, dense_onnx):
    net, _ = load_checkpoint(dense_checkpoint("dense-lean-l3"))
    session = onnxruntime.InferenceSession(dense_onnx)
    assert [(i.name, i.shape) for i in session.get_inputs()] == [("depth", ["batch", 1, 128, 128])]
    assert [(o.name, o.shape) for o in session.get_outputs()] == [
        ("heatmaps_2d", ["batch", 14, 16, 16]),
        ("heatmaps_3d", ["batch", 14, 16, 16]),
        ("unit_vectors", ["batch", 14, 3, 16, 16]),
    ]
    depth = crops(3)
    with torch.inference_mode():
        expected = net(torch.from_numpy(depth))
    for got, want in zip(session.run(None, {"depth": depth}), expected, strict=True):
        np.testing.assert_allclose(got, want.numpy(), atol=1e-4 * want.abs().max().item())


def test_the_card_of_dense_regression(dense_checkpoint, dense_onnx):
    net, before = load_checkpoint(dense_checkpoint("dense-lean-l3"))
    metadata = {entry.key: entry.value for entry in onnx.load(dense_onnx).metadata_props}
    card = json.loads(metadata[CARD_KEY])
    assert (card["family"], card["skeleton"], card["input"]) == ("dense", "nyu14", before["input"])
    normalised = sum(m.num_features for m in net.modules() if isinstance(m, torch.nn.BatchNorm2d))
    parameters, macs = network_cost(MODELS["dense-lean-l3"], 1, 1, 128, 128)
    assert (card["parameters"], card["macs"]) == (parameters - normalised, macs)
    assert card["flops"] == 2 * macs and card["weight_bytes"] == 4 * card["parameters"]
    assert card.keys() == before.keys() | {"parameters", "macs", "flops", "weight_bytes"}
    assert "BatchNormalization" not in {node.op_type for node in onnx.load(dense_onnx).graph.node}


def test_a_net_on_coarser_crops_says_so(dense_checkpoint, tmp_path):
    net, card = load_checkpoint(dense_checkpoint("dense-lean-l3"))
    export_onnx(net, card | {"input": {"height": 64, "width": 64}}, tmp_path / "net.onnx")
    session = onnxruntime.InferenceSession(tmp_path / "net.onnx")
    assert session.get_inputs()[0].shape == ["batch", 1, 64, 64]
    assert session.get_outputs()[0].shape == ["batch", 14, 8, 8]


def test_a_net_for_colour_takes_three_channels(tmp_path):
    torch.manual_seed(0)
    net = MODELS["tofnet-rgb"]()
    with torch.no_grad():
        net(torch.rand(8, 3, 120, 160))  # leaves its statistics
    net.eval()
    card = export_onnx(net, {"name": "tofnet-rgb"}, tmp_path / "net.onnx", early_out_logit=-100.0)
    session = onnxruntime.InferenceSession(tmp_path / "net.onnx")
    images = np.random.default_rng(1).random((2, 3, 120, 160), np.float32)
    with torch.inference_mode():
        expected = net(torch.from_numpy(images))
    for got, want in zip(session.run(None, {"image": images}), expected, strict=True):
        np.testing.assert_allclose(got, want.numpy(), atol=1e-4 * np.abs(want.numpy()).max())
    assert card["parameters"] < 100_000 and card["flops"] < 85e6
