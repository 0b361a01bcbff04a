"""ACE's three graphs compute what its parts do, frame after frame, and say what that costs."""

import json

import numpy as np
import onnx
import onnxruntime
import pytest
import torch

from handfast.errors import HandfastError
from handfast.export.ace import export_ace
from handfast.export.card import CARD_KEY
from handfast.models.ace import GATES, AceNet, Encoding, mix_features
from handfast.models.cost import network_cost
from handfast.models.dirnet import LoopNorm
from handfast.models.dirnet_encoder import DIRNetEncoder
from handfast.models.hourglass import HourglassEncoder
from handfast.models.layers import averaged_down
from handfast.runtime.ace import load_ace

COARSE, FINE, SIZE_PX = (32, 4), (64, 8), 64
GRAPHS = ("coarse", "fine", "recur")


def card_of(gate):
    return {
        "name": "ace-narrow",
        "family": "ace",
        "config": {"gate": gate},
        "skeleton": "hand21",
        "input": {"image": "colour crop", "height": SIZE_PX, "width": SIZE_PX},
        "metrics": {"clips_p_fine": 0.25},
    }


def give_statistics(net):
    norms = (torch.nn.BatchNorm2d, torch.nn.BatchNorm1d, LoopNorm)
    for norm in (module for module in net.modules() if isinstance(module, norms)):
        torch.nn.init.normal_(norm.running_mean, std=0.2)
        torch.nn.init.uniform_(norm.running_var, 0.5, 2)
        torch.nn.init.uniform_(norm.weight, 0.5, 1.5)
        torch.nn.init.normal_(norm.bias, std=0.2)


def random_net(gate):
    """In evaluation mode, with weights and statistics that change everything."""
    torch.manual_seed(0)
    net = AceNet(HourglassEncoder(*COARSE), HourglassEncoder(*FINE), gate, features=256, hidden=32)
    give_statistics(net)
    with torch.no_grad():
        for parameter in [*net.gate.parameters(), *net.lstm.parameters()]:
            parameter.mul_(3)  # so that the past matters
    return net.eval()


@pytest.fixture(scope="module", params=GATES)
def gate(request):
    return request.param


@pytest.fixture(scope="module")
def net(gate):
    return random_net(gate)


@pytest.fixture(scope="module")
def folder(net, gate, tmp_path_factory):
    folder = tmp_path_factory.mktemp("ace") / "net"
    export_ace(net, card_of(gate), folder)
    return folder


def sessions_of(folder):
    return {graph: onnxruntime.InferenceSession(folder / f"{graph}.onnx") for graph in GRAPHS}


def clip(frames):
    """Coarse patterns that move."""
    coarse = torch.rand(1, 3, 8, 8 + frames, generator=torch.Generator().manual_seed(1))
    wide = torch.nn.functional.interpolate(coarse, scale_factor=8.0, mode="bilinear")
    return torch.stack([wide[0, :, :, 5 * i : 5 * i + SIZE_PX] for i in range(frames)])


def assert_told(found, expected):
    for own, right in zip(found, expected, strict=True):
        np.testing.assert_allclose(own, right.numpy(), atol=1e-5)


@torch.no_grad()
def test_every_graph_equals_its_part_over_a_clip(net, folder, gate):
    """To 1e-4 cm, what the LSTM remembers being its own; the gate must say different things, or the rest says
    little."""
    sessions = sessions_of(folder)
    state, found = (
        net.initial_state(1),
        {name: np.zeros((1, 32), np.float32) for name in ("h", "c", "h1", "h2")},
    )
    said = []
    for i, image in enumerate(clip(8)):
        coarse, fine = net.coarse(image[None]), net.fine(image[None])
        g_fine = net.gate(state, coarse.features)
        crop = averaged_down(image[None], net.coarse.input_px).numpy()
        history = {name: found[name] for name in ("h", "h1", "h2")}
        told = sessions["coarse"].run(None, {"image": crop, **history})
        assert_told(told, (g_fine, coarse.features))
        said.append(told[0][0])
        taken = {value.name for value in sessions["fine"].get_inputs()}
        of_gate = {"g_fine": told[0], "coarse": told[1]} if gate != "neural-temporal" else {}
        assert taken == {"image", *of_gate}
        features = mix_features(g_fine, coarse.features, fine.features) if of_gate else fine.features
        told_fine = sessions["fine"].run(None, {"image": image[None].numpy(), **of_gate})
        assert_told(told_fine, (features,))
        features = (coarse.features.numpy(), told_fine[0])[i % 2]
        joints_cm, h, c = sessions["recur"].run(
            None, {"features": features, "h": found["h"], "c": found["c"]}
        )
        expected_cm, state = net.lstm(torch.from_numpy(features), state)
        np.testing.assert_allclose(joints_cm, expected_cm.numpy(), atol=1e-4)
        found = {"h": h, "c": c, "h1": found["h"], "h2": found["h1"]}
    assert np.ptp(said) > 0.01 and np.abs(joints_cm).max() > 0.1


@torch.no_grad()
def test_encoders_with_and_without_heatmaps_give_features_alone(tmp_path):
    torch.manual_seed(0)
    net = AceNet(HourglassEncoder(*COARSE), DIRNetEncoder(SIZE_PX, 2, 4), "gaussian", hidden=32).eval()
    give_statistics(net)
    export_ace(net, card_of("gaussian"), tmp_path / "net")
    sessions = sessions_of(tmp_path / "net")
    outputs = {name: [out.name for out in sessions[name].get_outputs()] for name in ("coarse", "fine")}
    assert outputs == {"coarse": ["g_fine", "features"], "fine": ["features"]}
    image = clip(1)
    given = {
        "image": image.numpy(),
        "coarse": np.zeros((1, 256), np.float32),
        "g_fine": np.ones(1, np.float32),
    }
    (features,) = sessions["fine"].run(None, given)
    np.testing.assert_allclose(features, net.fine(image).features.numpy(), atol=1e-5)


def test_all_loops_of_an_encoder_are_one_set_of_weights(tmp_path):
    """Three looks cost as much memory as one does, but for the attention between them."""
    sizes = []
    for loops in (1, 2, 3):
        encoders = HourglassEncoder(*COARSE), DIRNetEncoder(SIZE_PX, loops, 4)
        export_ace(AceNet(*encoders, "gaussian").eval(), card_of("gaussian"), tmp_path / str(loops))
        weights = onnx.load(tmp_path / str(loops) / "fine.onnx").graph.initializer
        sizes.append(sum(int(np.prod(each.dims)) for each in weights))
    assert sizes[0] == sizes[1] == sizes[2] > 10_000


class Foreign(torch.nn.Module):
    """Nothing of ours but what ``Encoder`` asks for."""

    input_px, joints, feature_size = SIZE_PX, 21, 256

    def __init__(self):
        super().__init__()
        self.see = torch.nn.Sequential(torch.nn.Conv2d(3, 8, 5, stride=4), torch.nn.ReLU())
        self.tell = torch.nn.Linear(8, 256)
        self.place = torch.nn.Linear(256, 63)

    def forward(self, image):
        features = 0.3 * self.tell(self.see(image).mean((2, 3))).tanh()
        return Encoding(None, self.place(features).unflatten(1, (21, 3)), features)


@torch.no_grad()
def test_another_encoder_is_exported_and_runs(tmp_path):
    torch.manual_seed(0)
    net = AceNet(Foreign(), HourglassEncoder(*FINE), "gaussian", hidden=32).eval()
    card = card_of("gaussian") | {"licence": "none", "trained_on": "nothing"}
    export_ace(net, card, tmp_path / "net")
    model, state = load_ace(tmp_path / "net", threshold=0.4), None
    torch_state = net.initial_state(1)
    for image in clip(4):
        picture = (255 * image).byte()
        estimate, state = model.step(picture.permute(1, 2, 0).numpy(), state)
        joints_cm, torch_state, used_fine = net.step(picture[None] / 255, torch_state, 0.4)
        np.testing.assert_allclose(100 * estimate.joints_m, joints_cm[0].numpy(), atol=1e-3)
        assert estimate.used_fine == used_fine.item()


def test_exporting_leaves_the_net_as_it_was(tmp_path):
    net = random_net("gaussian")
    before = {name: tensor.clone() for name, tensor in net.state_dict().items()}
    export_ace(net, card_of("gaussian"), tmp_path / "net")
    assert before.keys() == net.state_dict().keys()
    assert all(torch.equal(tensor, before[name]) for name, tensor in net.state_dict().items())


def test_nothing_is_left_to_normalise_and_no_joints_of_single_frames(folder):
    for name in GRAPHS:
        graph = onnx.load(folder / f"{name}.onnx").graph
        assert "BatchNormalization" not in {node.op_type for node in graph.node}
        assert not any("to_joints" in tensor.name for tensor in graph.initializer)


def test_costs_are_those_of_what_runs(net, folder, gate):
    """Of what torch counts, less the joints of single frames; parameters less what folding makes one of."""
    head = 256 * 63
    coarse, fine = (network_cost(lambda s=s: HourglassEncoder(*s), 1, 3, SIZE_PX, SIZE_PX)[1] - head
                    for s in (COARSE, FINE))  # fmt: skip
    decides = {
        "gaussian": 3 * 32 * 256 + 3 * 256 * 256, "neural": 3 * 32 + 256, "neural-temporal": 3 * 32,
    }[gate]  # fmt: skip
    recurs = (256 + 32) * 4 * 32 + 32 * 63
    card = card_in(folder / "recur.onnx")
    assert card["macs"] == coarse + decides + recurs
    assert card["fine_macs"] == fine
    assert (card["flops"], card["fine_flops"]) == (2 * card["macs"], 2 * card["fine_macs"])
    assert card["state_bytes"] == 4 * 4 * 32
    folded = sum(m.weight.numel() for m in net.modules() if isinstance(m, torch.nn.BatchNorm2d))
    folded += 2 * (256 + head + 63) + 4 * 32  # of features, of joints, and one of the LSTM's two biases
    assert card["parameters"] == sum(p.numel() for p in net.parameters()) - folded
    assert card["weight_bytes"] == 4 * card["parameters"]


def card_in(path):
    return json.loads({entry.key: entry.value for entry in onnx.load(path).metadata_props}[CARD_KEY])


def test_all_carry_the_card(folder, gate):
    first, *others = (card_in(folder / f"{graph}.onnx") for graph in GRAPHS)
    assert others == [first] * 2
    assert card_of(gate).items() <= first.items()
    assert (first["gate"], first["threshold"]) == (gate, 0.5)


def test_a_threshold_in_the_card_is_kept(tmp_path):
    card = export_ace(random_net("neural"), card_of("neural") | {"threshold": 0.3}, tmp_path / "net")
    assert card["threshold"] == 0.3


def test_all_or_none(tmp_path, monkeypatch):
    net = random_net("neural")
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "notes.txt").write_text("mine")
    with pytest.raises(HandfastError, match="full: expected a new or an empty folder"):
        export_ace(net, card_of("neural"), tmp_path / "full")
    write = type(tmp_path).write_bytes

    def full(self, content):
        if self.name == "recur.onnx":
            raise OSError(28, "No space left on device")
        return write(self, content)

    monkeypatch.setattr("pathlib.Path.write_bytes", full)
    with pytest.raises(HandfastError, match=r"net: cannot be written \(No space left"):
        export_ace(net, card_of("neural"), tmp_path / "net")
    assert [path.name for path in tmp_path.iterdir()] == ["full"]
