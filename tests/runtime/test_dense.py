"""From crops to joints, the same in each engine; and what is no such network is refused."""

import json
import sys
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import onnx
import pytest
import torch
from onnx import helper

from handfast.codecs.dense import DenseMaps, decode_joints
from handfast.errors import HandfastError
from handfast.export.card import CARD_KEY
from handfast.export.onnx import export_onnx
from handfast.geometry import Camera
from handfast.runtime.dense import load_dense
from handfast.runtime.model import load_model, read_card
from handfast.sensors.depth_crop import DepthCrop
from handfast.training.checkpoint import load_checkpoint


def crop_of(seed, hand=True):
    depth = np.random.default_rng(seed).random((128, 128), np.float32) * 1.5 - 0.5
    depth[:40] = -1
    if not hand:
        depth[:] = -1
    return DepthCrop(depth, Camera(500, 500, 64, 64, 128, 128), np.array([10.0, 20.0, 600.0]))


@pytest.fixture(scope="module")
def net(dense_checkpoint):
    return load_checkpoint(dense_checkpoint("dense-lean-l3"))[0]


@pytest.fixture(params=["onnxruntime", "openvino"])
def backend(request):
    pytest.importorskip(request.param)
    return request.param


@pytest.fixture
def no_openvino(monkeypatch):
    monkeypatch.setitem(sys.modules, "openvino", None)  # importing it now raises ImportError


def test_joints_are_those_of_the_net(net, dense_onnx, backend):
    crops = [crop_of(seed) for seed in range(3)]
    with torch.inference_mode():
        maps = net(torch.from_numpy(np.stack([crop.depth for crop in crops])[:, None]))
    expected_mm, expected_scores = decode_joints(DenseMaps(*(kind.numpy() for kind in maps)), crops)
    model = load_dense(dense_onnx, backend)
    joints_mm, scores = model.joints(crops)
    assert (model.backend, model.skeleton.name, model.card.name) == (backend, "nyu14", "dense-lean-l3")
    assert joints_mm.shape == (3, 14, 3) and scores.shape == (3, 14)
    assert joints_mm.dtype == scores.dtype == np.float32
    assert (np.isfinite(expected_mm).all(axis=-1)).mean() > 0.5  # or the rest says nothing
    np.testing.assert_allclose(joints_mm, expected_mm, atol=0.05)
    np.testing.assert_allclose(scores, expected_scores, atol=1e-3)


def test_one_crop_is_told_what_it_is_told_among_others(dense_onnx, backend):
    model = load_dense(dense_onnx, backend)
    crops = [crop_of(seed) for seed in range(2)]
    for together, alone in zip(model.joints(crops), model.joints(crops[1:]), strict=True):
        np.testing.assert_allclose(together[1], alone[0], atol=0.05)


def test_threads_share_a_model(dense_onnx, backend):
    model, crops = load_dense(dense_onnx, backend), [crop_of(seed) for seed in range(12)]
    with ThreadPoolExecutor(4) as pool:
        together = list(pool.map(lambda crop: model.joints([crop])[0], crops))
    for joints_mm, crop in zip(together, crops, strict=True):
        np.testing.assert_array_equal(joints_mm, model.joints([crop])[0])


def test_nothing_is_known_where_there_is_no_hand(dense_onnx, backend):
    joints_mm, scores = load_dense(dense_onnx, backend).joints([crop_of(0, hand=False)])
    assert np.isnan(joints_mm).all() and not scores.any()


def test_a_net_on_coarser_crops_sees_every_second_pixel(dense_checkpoint, tmp_path):
    net, card = load_checkpoint(dense_checkpoint("dense-lean-l3"))
    export_onnx(net, card | {"input": {"height": 64, "width": 64}}, tmp_path / "net.onnx")
    crop = crop_of(0)
    model = load_dense(tmp_path / "net.onnx")
    assert np.array_equal(model.batch([crop])[0, 0], crop.depth[::2, ::2])
    assert model.joints([crop])[0].shape == (1, 14, 3)


@pytest.mark.usefixtures("no_openvino")
def test_without_openvino_onnx_runtime_stands_in_and_says_so(dense_onnx, caplog):
    model = load_dense(dense_onnx, "openvino")
    assert model.backend == "onnxruntime" and np.isfinite(model.joints([crop_of(0)])[1]).all()
    (record,) = caplog.records
    assert "openvino: not installed (pip install openvino); running with onnxruntime" in record.getMessage()


@pytest.fixture
def openvino_file(dense_onnx, tmp_path):
    """What ``handfast export --to openvino`` writes."""
    pytest.importorskip("openvino")
    from handfast.export.openvino import export_openvino

    export_openvino(dense_onnx.read_bytes(), tmp_path / "net.xml", "fp32")
    return tmp_path / "net.xml"


def test_openvinos_own_file_runs_in_openvino_whatever_was_asked_for(openvino_file, dense_onnx):
    model = load_dense(openvino_file)
    assert (model.backend, model.card.name) == ("openvino", "dense-lean-l3")
    for found, expected in zip(
        model.joints([crop_of(0)]), load_dense(dense_onnx).joints([crop_of(0)]), strict=True
    ):
        np.testing.assert_allclose(found, expected, atol=0.05)


def test_half_a_file_of_openvinos_is_refused(openvino_file, tmp_path):
    weights = openvino_file.with_suffix(".bin")
    weights.write_bytes(weights.read_bytes()[:1000])
    with pytest.raises(HandfastError, match=r"net\.xml: not a whole OpenVINO network with its \.bin"):
        load_dense(openvino_file)
    weights.unlink()
    with pytest.raises(HandfastError, match="not a whole"):
        load_dense(openvino_file)
    openvino_file.write_text("<net/>")
    with pytest.raises(HandfastError, match="not a whole"):
        load_dense(openvino_file)
    with pytest.raises(HandfastError, match="there is no such file"):
        load_dense(tmp_path / "other.xml")


def test_openvinos_file_without_a_card_is_refused(dense_onnx, tmp_path):
    openvino = pytest.importorskip("openvino")
    openvino.save_model(openvino.Core().read_model(dense_onnx), tmp_path / "net.xml")
    with pytest.raises(HandfastError, match="without a handfast card"):
        load_dense(tmp_path / "net.xml")


@pytest.mark.usefixtures("no_openvino")
def test_openvinos_file_needs_openvino(tmp_path):
    (tmp_path / "net.xml").write_text("<net/>")
    with pytest.raises(HandfastError, match="it needs OpenVINO: pip install openvino"):
        load_dense(tmp_path / "net.xml")


def test_each_loader_refuses_the_others_networks(dense_onnx):
    with pytest.raises(HandfastError, match="expected a net on whole images, got dense regression"):
        load_model(dense_onnx)
    with pytest.raises(HandfastError, match="model tofnet-tof8: expected dense regression, got"):
        load_dense("tofnet-tof8")
    assert read_card(dense_onnx).family == "dense" and read_card("tofnet-tof8").family == "tofnet"


def test_a_file_of_another_family_is_refused(dense_onnx, tmp_path):
    model = onnx.load(dense_onnx)
    card = json.loads({entry.key: entry.value for entry in model.metadata_props}[CARD_KEY])
    del model.metadata_props[:]
    helper.set_model_props(model, {CARD_KEY: json.dumps(card | {"family": "ace"})})
    onnx.save(model, tmp_path / "net.onnx")
    with pytest.raises(HandfastError, match="expected dense regression, got dense-lean-l3"):
        load_dense(tmp_path / "net.onnx")


def test_an_unknown_back_end_is_refused(dense_onnx):
    with pytest.raises(HandfastError, match="backend 'cuda': expected onnxruntime, openvino"):
        load_dense(dense_onnx, "cuda")


def test_a_file_cut_in_half_is_refused(dense_onnx, tmp_path):
    (tmp_path / "net.onnx").write_bytes(dense_onnx.read_bytes()[:100_000])
    with pytest.raises(HandfastError, match=r"net\.onnx: not a whole ONNX file"):
        load_dense(tmp_path / "net.onnx")
