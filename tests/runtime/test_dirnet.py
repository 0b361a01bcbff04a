"""The loop is left where the net's own gates say, and nothing is run after that."""

import json
import shutil
import sys
from dataclasses import replace
from functools import partial

import numpy as np
import onnx
import pytest
import torch
from onnx import helper

from handfast.errors import HandfastError
from handfast.export.card import CARD_KEY
from handfast.models.dirnet_gate import exit_by_policy, exit_by_variance, mean_variance, run_adaptive
from handfast.runtime.dense import load_dense
from handfast.runtime.dirnet import ExitRule, load_dirnet
from handfast.runtime.graphs import as_channels
from handfast.runtime.model import GRAPHS, load_model, read_card
from handfast.training.checkpoint import load_checkpoint

SIZE_PX, LOOPS = 64, 3


def crops(n):
    """Coarse random patterns (n, 64, 64, 3)."""
    coarse = np.random.default_rng(3).integers(0, 256, (n, 8, 8, 3), dtype=np.uint8)
    return coarse.repeat(SIZE_PX // 8, axis=1).repeat(SIZE_PX // 8, axis=2)


@pytest.fixture(scope="module")
def net(dirnet_checkpoint):
    net, card = load_checkpoint(dirnet_checkpoint)
    net.max_loops = card["loops"]
    return net


@pytest.fixture(params=["onnxruntime", "openvino"])
def backend(request):
    pytest.importorskip(request.param)
    return request.param


@pytest.fixture
def no_openvino(monkeypatch):
    monkeypatch.setitem(sys.modules, "openvino", None)  # importing it now raises ImportError


def batch_of(images):
    return torch.from_numpy(np.concatenate([as_channels(image, SIZE_PX) for image in images]))


def gate_and_rule(net, images, name):
    """The same decision for a batch in torch and at run time, such that crops leave at different times."""
    with torch.no_grad():
        variances = torch.stack([mean_variance(estimate) for estimate in net(images, LOOPS)])
    # Between two of the crops' least.
    low, high = variances.min(0).values.sort().values[len(images) // 2 - 1 :][:2]
    threshold = float(low + high) / 2
    return {
        "gate": (partial(exit_by_policy, temperature=2.0), ExitRule("gate", temperature=2.0)),
        "variance": (
            partial(exit_by_variance, threshold=threshold),
            ExitRule("variance", variance=threshold),
        ),
        "never": (partial(exit_by_variance, threshold=-1.0), ExitRule("never")),
    }[name]


@pytest.mark.parametrize("name", ["gate", "variance", "never"])
def test_it_leaves_where_the_nets_own_gates_do_and_says_the_same(net, dirnet_folder, backend, name):
    images = crops(12)
    gate, rule = gate_and_rule(net, batch_of(images), name)
    estimate, loops = run_adaptive(net, batch_of(images), gate)
    assert (len(set(loops.tolist())) > 1) == (name != "never")  # or the rest says little
    model = load_dirnet(dirnet_folder, rule, backend)
    assert model.backend == backend and model.skeleton.name == "hand21"
    hands = [model.refine(image) for image in images]
    assert [hand.loops for hand in hands] == loops.tolist()
    pixels = (1 + estimate.joints_2d.numpy()) / 2 * SIZE_PX - 0.5
    deviation_px = estimate.log_variance_2d.exp().mean(2).sqrt().numpy() / 100 * SIZE_PX
    deviation_m = estimate.log_variance_3d.exp().mean(2).sqrt().numpy() / 100
    for i, hand in enumerate(hands):
        np.testing.assert_allclose(hand.keypoints_px, pixels[i], atol=1e-3)
        np.testing.assert_allclose(hand.joints_m, estimate.joints_3d[i].numpy(), atol=1e-6)
        np.testing.assert_allclose(hand.deviation_px, deviation_px[i], rtol=1e-3)
        np.testing.assert_allclose(hand.deviation_m, deviation_m[i], rtol=1e-3)


def counting(model):
    """The model, and a list of the graphs that it runs."""
    ran = []

    def noting(graph, engine):
        return lambda inputs: ran.append(graph) or engine(inputs)

    return replace(model, engines={g: noting(g, e) for g, e in model.engines.items()}), ran


def test_what_is_not_needed_is_not_run(net, dirnet_folder):
    images = crops(12)
    _, rule = gate_and_rule(net, batch_of(images), "variance")
    model, ran = counting(load_dirnet(dirnet_folder, rule))
    seen = set()
    for image in images:
        ran.clear()
        loops = model.refine(image).loops
        assert ran == ["extract", "refine", *["attend", "refine"] * loops, "pose"]
        seen.add(loops)
    assert {0, LOOPS} <= seen


def test_fewer_loops_than_there_are(dirnet_folder):
    model, ran = counting(replace(load_dirnet(dirnet_folder, ExitRule("never")), max_loops=1))
    assert model.refine(crops(1)[0]).loops == 1 and ran.count("refine") == 2 and ran.count("attend") == 1


def test_an_answer_stays_when_the_next_crop_comes(dirnet_folder, backend):
    model = load_dirnet(dirnet_folder, backend=backend)
    first = model.refine(crops(1)[0])
    before = first.joints_m.copy(), first.keypoints_px.copy()
    model.refine(255 - crops(1)[0])
    assert np.array_equal(first.joints_m, before[0]) and np.array_equal(first.keypoints_px, before[1])


def test_hotter_gates_leave_sooner(dirnet_folder):
    model = load_dirnet(dirnet_folder)
    means = [
        np.mean([replace(model, rule=ExitRule("gate", t)).refine(image).loops for image in crops(12)])
        for t in (0.5, 3, 1000)
    ]
    # At last it leaves at once with a probability of one half; the first two depend on who is sure.
    assert means[1] <= means[0] and means[2] <= 1


@pytest.mark.parametrize(
    ("settings", "complaint"),
    [
        ({"name": "chance"}, "expected one of gate, variance, never, got 'chance'"),
        ({"variance": 0.0}, "variance must be above 0, got 0"),
        ({"temperature": -1.0}, "temperature must be above 0, got -1.0"),
        ({"variance": float("nan")}, "variance must be above 0, got nan"),
    ],
)
def test_rules_that_mean_nothing_are_refused(settings, complaint):
    with pytest.raises(HandfastError, match=complaint):
        ExitRule(**settings)


def test_the_rule_is_the_cards_unless_told_otherwise(copy_with_cards):
    folder = copy_with_cards(lambda card: card | {"exit_rule": {"name": "gate", "temperature": 3.0}})
    assert load_dirnet(folder).rule == ExitRule("gate", temperature=3.0)
    assert load_dirnet(folder, ExitRule("never")).rule == ExitRule("never")


@pytest.mark.usefixtures("no_openvino")
def test_without_openvino_onnx_runtime_stands_in_and_says_so(dirnet_folder, caplog):
    model = load_dirnet(dirnet_folder, backend="openvino")
    assert model.backend == "onnxruntime" and np.isfinite(model.refine(crops(1)[0]).joints_m).all()
    (record,) = caplog.records
    assert "openvino: not installed (pip install openvino); running with onnxruntime" in record.getMessage()


def test_a_folder_has_a_card(dirnet_folder):
    card = read_card(dirnet_folder)
    assert (card.name, card.family, card.loops, card.hand) == ("dirnet", "dirnet", LOOPS, "open")
    assert read_card(str(dirnet_folder)) == card


def test_a_packaged_one_goes_by_its_name(dirnet_folder, tmp_path, monkeypatch):
    shutil.copytree(dirnet_folder, tmp_path / "assets" / "dirnet")
    monkeypatch.setattr("handfast.runtime.model.files", lambda package: tmp_path)
    monkeypatch.setattr("handfast.runtime.model.PACKAGED", ("dirnet",))
    assert load_dirnet("dirnet").card == read_card("dirnet") == read_card(dirnet_folder)


@pytest.fixture
def copy_with_cards(dirnet_folder, tmp_path):
    """A function that makes a copy of the folder, the card changed by a function in some of the graphs."""

    def copy_with_cards(change, graphs=GRAPHS["dirnet"]):
        folder = shutil.copytree(dirnet_folder, tmp_path / "copy")
        for graph in graphs:
            model = onnx.load(folder / f"{graph}.onnx")
            card = json.loads({entry.key: entry.value for entry in model.metadata_props}[CARD_KEY])
            del model.metadata_props[:]
            helper.set_model_props(model, {CARD_KEY: json.dumps(change(card))})
            onnx.save(model, folder / f"{graph}.onnx")
        return folder

    return copy_with_cards


@pytest.mark.parametrize(
    ("change", "graphs", "complaint"),
    [
        (
            {"family": "ace"},
            GRAPHS["dirnet"],
            "expected a folder of DIR-Net, got dirnet",
        ),
        ({"trained_on": "other crops"}, ("attend",), "its files are of different networks; export it again"),
        ({"exit_rule": {"tau": 1}}, GRAPHS["dirnet"], "its handfast card is not whole"),
        ({"exit_rule": {"name": "chance"}}, GRAPHS["dirnet"], "exit rule: expected one of"),
    ],
)
def test_folders_that_do_not_hold_together_are_refused(copy_with_cards, change, graphs, complaint):
    folder = copy_with_cards(lambda card: card | change, graphs)
    with pytest.raises(HandfastError, match=complaint):
        load_dirnet(folder)


def test_half_a_folder_is_refused(dirnet_folder, tmp_path):
    folder = shutil.copytree(dirnet_folder, tmp_path / "copy")
    content = (folder / "refine.onnx").read_bytes()
    (folder / "refine.onnx").write_bytes(content[:100_000])
    with pytest.raises(HandfastError, match="not a whole ONNX file"):
        load_dirnet(folder)
    (folder / "refine.onnx").unlink()
    for load in (load_dirnet, read_card):
        with pytest.raises(HandfastError, match=r"there is no refine\.onnx; export it again"):
            load(folder)


def test_what_is_no_dirnet_is_refused(dirnet_folder, tmp_path):
    with pytest.raises(HandfastError, match="tofnet-tof8: expected a folder of DIR-Net, got tofnet-tof8"):
        load_dirnet("tofnet-tof8")
    with pytest.raises(HandfastError, match=r"extract\.onnx: expected a folder of DIR-Net, got dirnet"):
        load_dirnet(dirnet_folder / "extract.onnx")
    with pytest.raises(HandfastError, match="model 'nowhere': expected tofnet-hand21"):
        load_dirnet("nowhere")
    with pytest.raises(HandfastError, match="backend 'c': expected onnxruntime, openvino"):
        load_dirnet(dirnet_folder, backend="c")


def test_other_loaders_refuse_its_graphs(dirnet_folder):
    with pytest.raises(HandfastError, match="expected a net on whole images, got DIR-Net"):
        load_model(dirnet_folder / "extract.onnx")
    for name in ("dirnet", dirnet_folder):
        with pytest.raises(HandfastError, match="expected a net on whole images, got DIR-Net"):
            load_model(name)
    with pytest.raises(HandfastError, match="expected dense regression, got dirnet"):
        load_dense(dirnet_folder / "extract.onnx")
