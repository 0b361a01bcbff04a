"""OpenVINO's format: the same network in floats of 32 or 16 bits, with its card."""

import json
import sys

import numpy as np
import onnx
import pytest

from handfast.errors import HandfastError
from handfast.export.card import CARD_KEY
from handfast.export.openvino import export_openvino
from handfast.runtime.dense import load_dense
from handfast.runtime.model import read_model


def crops(n):
    depth = np.random.default_rng(n).random((n, 1, 128, 128), np.float32) * 1.5 - 0.5
    depth[..., :40, :] = -1
    return depth


@pytest.mark.parametrize(("precision", "bytes_each", "tolerance"), [("fp32", 4, 1e-4), ("fp16", 2, 5e-2)])
def test_both_precisions_compute_the_same_for_any_number_of_crops(
    dense_onnx, tmp_path, precision, bytes_each, tolerance
):
    openvino = pytest.importorskip("openvino")
    path = tmp_path / "new" / "net.xml"
    card = export_openvino(dense_onnx.read_bytes(), path, precision)
    weights = path.with_suffix(".bin")
    assert {file.name for file in path.parent.iterdir()} == {"net.xml", "net.bin"}
    assert card["weight_bytes"] == weights.stat().st_size
    assert 1 <= card["weight_bytes"] / (bytes_each * card["parameters"]) < 1.01

    compiled = openvino.compile_model(path, "CPU", {"INFERENCE_PRECISION_HINT": "f32"})
    depth = crops(3)
    for name, expected in load_dense(dense_onnx).engine(depth)._asdict().items():
        difference = compiled(depth)[name] - expected
        assert np.sqrt(np.mean(difference**2)) < tolerance * expected.std()


def test_the_card_goes_along(dense_onnx, tmp_path):
    openvino = pytest.importorskip("openvino")
    export_openvino(dense_onnx.read_bytes(), tmp_path / "net.xml", "fp16")
    kept = json.loads(openvino.Core().read_model(tmp_path / "net.xml").get_rt_info(CARD_KEY).value)
    of_onnx = json.loads({e.key: e.value for e in onnx.load(dense_onnx).metadata_props}[CARD_KEY])
    assert kept["precision"] == "fp16"
    assert {name for name, value in of_onnx.items() if kept[name] != value} == {"weight_bytes"}


def test_without_openvino_it_says_what_to_install(dense_onnx, tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "openvino", None)
    with pytest.raises(HandfastError, match=r"openvino is not installed: pip install 'handfast\[openvino"):
        export_openvino(dense_onnx.read_bytes(), tmp_path / "net.xml", "fp32")
    assert not list(tmp_path.iterdir())


def test_8_bits_without_nncf_it_says_what_to_install(dense_onnx, tmp_path, monkeypatch):
    pytest.importorskip("openvino")
    monkeypatch.setitem(sys.modules, "nncf", None)
    with pytest.raises(HandfastError, match=r"nncf is not installed: pip install 'handfast\[openvino"):
        export_openvino(dense_onnx.read_bytes(), tmp_path / "net.xml", "int8", tmp_path)
    assert not list(tmp_path.iterdir())


def test_8_bits_are_for_dense_regression(tmp_path):
    with pytest.raises(HandfastError, match="expected dense regression, got tofnet-tof8"):
        export_openvino(read_model("tofnet-tof8"), tmp_path / "net.xml", "int8", tmp_path)
