import numpy as np
import onnx
import onnxruntime
import pytest
from onnx import numpy_helper

from handfast.bench.task import read_task
from handfast.errors import HandfastError
from handfast.runtime.model import read_model


def test_the_image_shows_a_hand_so_that_the_decoder_runs(task):
    assert task.image.shape == (120, 160) and task.image.dtype == np.uint8
    heatmaps, visibility = task.expected
    assert visibility[0, :, 0].max() > 0 and heatmaps.any()
    np.testing.assert_allclose(task.as_floats()[0, 0] * 255, task.image, rtol=1e-6)


def test_what_sees_colour_is_shown_a_hand_in_colour():
    task = read_task("tofnet-rgb")
    assert task.image.shape == (120, 160, 3) and task.expected[1][0, :, 0].max() > 0
    np.testing.assert_allclose(task.as_floats()[0].transpose(1, 2, 0) * 255, task.image, rtol=1e-6)


def test_the_plain_graph_has_no_branch_and_computes_the_same(task):
    assert "If" in {node.op_type for node in onnx.load_from_string(task.content).graph.node}
    plain = onnx.load_from_string(task.plain_onnx)
    assert "If" not in {node.op_type for node in plain.graph.node}
    session = onnxruntime.InferenceSession(task.plain_onnx, providers=["CPUExecutionProvider"])
    found = session.run(["heatmaps", "visibility"], {"image": task.as_floats()})
    for own, right in zip(found, task.expected, strict=True):
        np.testing.assert_allclose(own, right, rtol=0, atol=1e-5)


def test_a_model_that_sees_no_hand_is_refused(tmp_path):
    model = onnx.load_from_string(read_model("tofnet-tof8"))
    (layer,) = (node for node in model.graph.node if node.op_type == "Gemm")
    (bias,) = (tensor for tensor in model.graph.initializer if tensor.name == layer.input[2])
    bias.CopyFrom(numpy_helper.from_array(numpy_helper.to_array(bias) - 100, bias.name))
    onnx.save_model(model, tmp_path / "blind.onnx")
    with pytest.raises(HandfastError, match=r"blind\.onnx: it sees no hand"):
        read_task(str(tmp_path / "blind.onnx"))
