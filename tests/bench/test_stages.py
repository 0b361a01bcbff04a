"""The stages of dense regression: what is cut out, decoded and run is what it should be."""

import copy
from importlib.resources import as_file, files

import numpy as np
import pytest
import torch

from handfast.bench import stages
from handfast.bench.stages import example_frame, fold_normalisation, measure_stages
from handfast.codecs.dense import decode_joints
from handfast.errors import HandfastError
from handfast.runtime.dense import load_dense
from handfast.sensors.depth_crop import VALID_ABOVE
from handfast.skeleton import NYU14
from handfast.training.checkpoint import checkpoint_path, load_checkpoint


def unwatched(items, what, total):
    return items


@pytest.fixture(scope="module")
def frame():
    return example_frame()


@pytest.fixture
def one_frame(frame, monkeypatch):
    """Made once for all tests."""
    monkeypatch.setattr(stages, "example_frame", lambda: frame)


def test_the_frame_shows_a_hand_that_true_maps_lead_to(frame):
    crop = stages._cut_out(frame)
    assert (crop.depth > VALID_ABOVE).mean() > 0.05
    joints_mm = NYU14.select(frame.joints_mm)
    decoded_mm, scores = decode_joints(stages._true_maps(joints_mm, crop, 32), [crop])
    assert np.nanmedian(np.linalg.norm(decoded_mm[0] - joints_mm, axis=-1)) < 0.5
    assert np.isfinite(decoded_mm).all(axis=-1).mean() > 0.8 and scores.max() > 0.5


def test_a_net_with_folded_normalisations_computes_the_same(dense_checkpoint):
    net, _ = load_checkpoint(dense_checkpoint("dense-lean-l3"))
    folded = copy.deepcopy(net)
    fold_normalisation(folded)
    assert not any(isinstance(module, torch.nn.BatchNorm2d) for module in folded.modules())
    depth = torch.rand(1, 1, 128, 128) - 0.5
    with torch.inference_mode():
        for found, expected in zip(folded(depth), net(depth), strict=True):
            torch.testing.assert_close(found, expected, rtol=0, atol=1e-4 * expected.abs().max().item())


@pytest.mark.usefixtures("one_frame")
def test_a_bare_name_has_random_weights_for_any_number_of_joints():
    (row,) = measure_stages("dense-hand21-l3", ["onnxruntime"], 1, 0.01, unwatched)
    assert row.problem is None and row.total_ms == row.preprocess_ms + row.network_ms + row.decode_ms


@pytest.mark.usefixtures("one_frame")
def test_checkpoints_of_other_families_are_refused():
    with as_file(files("handfast") / "assets" / "tofnet-tof8.safetensors") as checkpoint:
        with pytest.raises(HandfastError, match="tofnet-tof8 is timed once it is exported"):
            measure_stages(str(checkpoint), ["torch"], 1, 0.01, unwatched)


@pytest.mark.usefixtures("one_frame")
def test_what_computes_something_else_gets_no_time(dense_checkpoint, monkeypatch):
    monkeypatch.setattr(stages, "fold_normalisation", lambda net: net.stem[0][0].weight.data.mul_(1.1))
    checkpoint = str(dense_checkpoint("dense-lean-l3"))
    (row,) = measure_stages(checkpoint, ["torch"], 1, 0.01, unwatched)
    assert row.installed and row.total_ms is None and "its heatmaps_2d are" in row.problem


@pytest.mark.usefixtures("one_frame")
def test_openvinos_file_runs_there_alone(dense_onnx, tmp_path):
    pytest.importorskip("openvino")
    from handfast.export.openvino import export_openvino

    export_openvino(dense_onnx.read_bytes(), tmp_path / "net.xml", "fp32")
    backends = ["torch", "onnxruntime", "openvino"]
    torch_row, onnx_row, own = measure_stages(str(tmp_path / "net.xml"), backends, 1, 0.01, unwatched)
    assert own.problem is None and own.fps > 0
    assert "checkpoints" in torch_row.problem and onnx_row.problem.endswith("runs in OpenVINO alone")


def test_a_packaged_network_is_timed_as_it_is_packaged(tmp_path):
    net, path = stages._network("dense-hand21", tmp_path)
    trained, card = load_checkpoint(checkpoint_path("dense-hand21"))
    assert all(torch.equal(tensor, net.state_dict()[name]) for name, tensor in trained.state_dict().items())
    assert load_dense(path).card.input == card["input"]
