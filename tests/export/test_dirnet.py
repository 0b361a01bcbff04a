"""DIR-Net's graphs compute what the net does, in every loop, and say what that costs."""

import json
from itertools import pairwise

import numpy as np
import onnx
import onnxruntime
import pytest
import torch

from handfast.errors import HandfastError
from handfast.export.card import CARD_KEY
from handfast.export.dirnet import MANO_LICENCE, POSED, REFINED, export_dirnet
from handfast.hand_model.mano import ManoAsset
from handfast.hand_model.torch_mano import Mano
from handfast.models.dirnet import DIRNet, LoopNorm
from handfast.training.checkpoint import load_checkpoint

LOOPS = 3
CARD = {"name": "dirnet", "family": "dirnet", "skeleton": "hand21", "licence": "Apache-2.0", "loops": LOOPS}
GRAPHS = ("extract", "refine", "attend", "pose")


def card_for(size_px):
    return CARD | {"input": {"image": "colour crop", "height": size_px, "width": size_px}}


def random_net(**options):
    """In evaluation mode, small, with weights and statistics that change everything."""
    torch.manual_seed(0)
    net = DIRNet(8, 32, LOOPS, **options)
    for norm in (module for module in net.modules() if isinstance(module, LoopNorm)):
        torch.nn.init.normal_(norm.running_mean, std=0.3)
        torch.nn.init.uniform_(norm.running_var, 0.5, 2)
        torch.nn.init.uniform_(norm.weight, -1.5, 1.5)
        torch.nn.init.normal_(norm.bias, std=0.3)
    torch.nn.init.uniform_(net.extractor.stem[0][1].running_var, 0.5, 2)
    torch.nn.init.normal_(net.extractor.stem[0][1].running_mean, std=0.3)
    torch.nn.init.normal_(net.pose_predictor.parameters_of_hand.weight, std=0.1)
    torch.nn.init.normal_(net.uncertainty.second.weight, std=0.5)
    torch.nn.init.normal_(net.gate[-1].weight, std=0.5)
    return net.eval()


def sessions_of(folder):
    return {graph: onnxruntime.InferenceSession(folder / f"{graph}.onnx") for graph in GRAPHS}


def run_graphs(folder, image, loops):
    """What ``refine`` and ``pose`` say after each loop, by name."""
    sessions = sessions_of(folder)
    takes = [value.name for value in sessions["attend"].get_inputs()]
    (features,) = sessions["extract"].run(None, {"image": image})
    attended, found = features, []
    for loop in range(loops + 1):
        outputs = sessions["refine"].run(None, {"features": attended, "loop": np.array(loop)})
        *doubts, pooled, encoded = outputs
        posed = sessions["pose"].run(None, {"pooled": pooled})
        found.append(dict(zip([*REFINED, *POSED], [*doubts, *posed], strict=True)))
        given = {"features": features, "encoded": encoded}
        (attended,) = sessions["attend"].run(None, {name: given[name] for name in takes})
    return found


def assert_computes_the_same(net, folder, size_px):
    """To a ten thousandth of a pixel, and of the same share of a metre; all loops being different."""
    image = torch.rand(1, 3, size_px, size_px, generator=torch.Generator().manual_seed(1))
    found = run_graphs(folder, image.numpy(), net.max_loops)
    with torch.no_grad():
        expected = net(image)
    for ours, theirs in zip(found, expected, strict=True):
        assert np.isfinite(ours["joints_2d"]).all()
        for name in [*REFINED, *POSED]:
            want = getattr(theirs, name).numpy()
            atol = 1e-4 * 2 / size_px * max(1, np.abs(want).max())
            np.testing.assert_allclose(ours[name], want, rtol=0, atol=atol, err_msg=name)
    for before, after in pairwise(found):
        assert np.abs(after["joints_2d"] - before["joints_2d"]).max() > 0.01


@pytest.mark.parametrize("loop_point", [1, 2, 3, 4])
@pytest.mark.parametrize(("attention", "size_px"), [(True, 112), (False, 64)])
def test_onnx_runtime_equals_torch_in_every_loop(tmp_path, loop_point, attention, size_px):
    net = random_net(loop_point=loop_point, attention=attention)
    export_dirnet(net, card_for(size_px), tmp_path / "net")
    assert_computes_the_same(net, tmp_path / "net", size_px)


def test_exporting_leaves_the_net_as_it_was(tmp_path):
    net = random_net()
    before = {name: tensor.clone() for name, tensor in net.state_dict().items()}
    export_dirnet(net, card_for(64), tmp_path / "net")
    assert before.keys() == net.state_dict().keys()
    assert all(torch.equal(tensor, before[name]) for name, tensor in net.state_dict().items())


def test_a_net_trained_for_fewer_loops_has_tables_of_these(tmp_path):
    net = random_net()
    more = export_dirnet(net, card_for(64), tmp_path / "more")
    less = export_dirnet(net, card_for(64) | {"loops": 1}, tmp_path / "less")
    channels = sum(m.weight.shape[1] for m in net.refiner.modules() if isinstance(m, LoopNorm))
    assert more["parameters"] - less["parameters"] == 2 * 2 * channels
    assert more["weight_bytes"] - less["weight_bytes"] == 4 * 2 * 2 * channels
    net.max_loops = 1
    assert_computes_the_same(net, tmp_path / "less", 64)


def test_inputs_and_outputs(dirnet_folder):
    signatures = {
        graph: (
            [(value.name, value.shape, value.type) for value in session.get_inputs()],
            [(value.name, value.shape) for value in session.get_outputs()],
        )
        for graph, session in sessions_of(dirnet_folder).items()
    }
    features, encoded = [1, 32, 8, 8], [1, 128, 2, 2]
    assert signatures == {
        "extract": ([("image", [1, 3, 64, 64], "tensor(float)")], [("features", features)]),
        "refine": (
            [("features", features, "tensor(float)"), ("loop", [], "tensor(int64)")],
            [
                ("log_variance_2d", [1, 21, 2]),
                ("log_variance_3d", [1, 21, 3]),
                ("exit_logits", [1, 2]),
                ("pooled", [1, 128]),
                ("encoded", encoded),
            ],
        ),
        "attend": (
            [("features", features, "tensor(float)"), ("encoded", encoded, "tensor(float)")],
            [("attended", features)],
        ),
        "pose": (
            [("pooled", [1, 128], "tensor(float)")],
            [("joints_3d", [1, 21, 3]), ("joints_2d", [1, 21, 2])],
        ),
    }


def test_weights_are_there_once_and_nothing_is_left_to_normalise_before_the_loop(dirnet_folder):
    graphs = {graph: onnx.load(dirnet_folder / f"{graph}.onnx").graph for graph in GRAPHS}
    assert sum(file.stat().st_size for file in dirnet_folder.iterdir()) < 2e6  # of 460 K floats
    for graph in ("extract", "attend"):
        assert "BatchNormalization" not in {node.op_type for node in graphs[graph].node}


def test_costs_are_those_of_the_net(dirnet_checkpoint, dirnet_folder):
    """At 64 px, of what torch counts, but with the pose of the last loop alone; parameters less what folding
    makes one number of."""
    net, before = load_checkpoint(dirnet_checkpoint)

    def macs(run, *inputs):
        with torch.utils.flop_counter.FlopCounterMode(display=False) as counter, torch.inference_mode():
            run(*inputs)
        return counter.get_total_flops() // 2

    image = torch.zeros(1, 3, 64, 64)
    once, twice = (macs(net, image, loops) for loops in (0, 1))
    pose = macs(net.pose_predictor, torch.zeros(1, net.pose_predictor.hidden.in_features))

    metadata = {entry.key: entry.value for entry in onnx.load(dirnet_folder / "attend.onnx").metadata_props}
    card = json.loads(metadata[CARD_KEY])
    assert (card["macs"], card["loop_macs"]) == (once, twice - once - pose)
    assert (card["flops"], card["loop_flops"]) == (2 * card["macs"], 2 * card["loop_macs"])
    norms = [module for module in net.refiner.modules() if isinstance(module, LoopNorm)]
    unused = sum(2 * (len(norm.weight) - LOOPS - 1) * norm.weight.shape[1] for norm in norms)
    of_extractor = [m for m in net.extractor.modules() if isinstance(m, LoopNorm | torch.nn.BatchNorm2d)]
    folded = sum(module.weight.numel() for module in of_extractor)
    assert card["parameters"] == sum(p.numel() for p in net.parameters()) - unused - folded
    # The hand model's few numbers are in the file as well.
    assert 0 < card["weight_bytes"] - 4 * card["parameters"] < 0.01 * card["weight_bytes"]
    assert before.items() <= card.items()


def test_all_carry_the_card(dirnet_folder):
    cards = [onnx.load(dirnet_folder / f"{graph}.onnx").metadata_props for graph in GRAPHS]
    first, *others = ([(entry.key, entry.value) for entry in card] for card in cards)
    assert others == 3 * [first]
    card = json.loads(dict(first)[CARD_KEY])
    assert (card["loops"], card["exit_rule"], card["hand"]) == (LOOPS, {"name": "never"}, "open")


def test_a_rule_that_was_learnt_is_kept(tmp_path):
    learnt = {"name": "gate", "temperature": 2.0}
    card = export_dirnet(random_net(), card_for(64) | {"exit_rule": learnt}, tmp_path / "net")
    assert card["exit_rule"] == learnt


def test_a_mano_hand_goes_along_under_its_own_licence(tmp_path):
    rng = np.random.default_rng(0)
    shapes = {
        "v_template": (778, 3), "shapedirs": (778, 3, 10), "posedirs": (778, 3, 135),
        "J_regressor": (16, 778), "weights": (778, 16), "hands_mean": (45,),
    }  # fmt: skip
    arrays = {name: 0.02 * rng.standard_normal(shape).astype(np.float32) for name, shape in shapes.items()}
    parents = np.array([-1, 0, 1, 2, 0, 4, 5, 0, 7, 8, 0, 10, 11, 0, 13, 14])
    net = random_net(hand=Mano(ManoAsset(**arrays, parents=parents)))
    card = export_dirnet(net, card_for(64) | {"hand": "mano"}, tmp_path / "net")
    assert card["licence"] == MANO_LICENCE
    assert_computes_the_same(net, tmp_path / "net", 64)


def test_an_empty_folder_is_filled_and_no_other_touched(tmp_path):
    net = random_net()
    (tmp_path / "empty").mkdir()
    export_dirnet(net, card_for(64), tmp_path / "empty")
    names = {f"{graph}.onnx" for graph in GRAPHS}
    assert {path.name for path in (tmp_path / "empty").iterdir()} == names
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "notes.txt").write_text("mine")
    with pytest.raises(HandfastError, match="full: expected a new or an empty folder"):
        export_dirnet(net, card_for(64), tmp_path / "full")
    (tmp_path / "file").write_text("mine")
    with pytest.raises(HandfastError, match="file: cannot be written"):
        export_dirnet(net, card_for(64), tmp_path / "file")
    assert {path.name for path in tmp_path.iterdir()} == {"empty", "full", "file"}
    assert [path.name for path in (tmp_path / "full").iterdir()] == ["notes.txt"]


def test_what_breaks_off_leaves_nothing(tmp_path, monkeypatch):
    def full(self, content):
        if self.name == "attend.onnx":
            raise OSError(28, "No space left on device")
        return len(content)

    monkeypatch.setattr("pathlib.Path.write_bytes", full)
    with pytest.raises(HandfastError, match=r"net: cannot be written \(No space left"):
        export_dirnet(random_net(), card_for(64), tmp_path / "net")
    assert not list(tmp_path.iterdir())
