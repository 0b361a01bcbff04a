"""Receptive fields worked by hand, and those of the nets against PyTorch's gradients."""

import numpy as np
import onnx
import pytest
import torch
from onnx import TensorProto, helper, numpy_helper
from torch import nn

from handfast.errors import HandfastError
from handfast.export.onnx import export_onnx
from handfast.export.receptive_field import receptive_field_px
from handfast.models import MODELS


def field_of(*nodes, input_shape=(1, 1, 48, 64)):
    """The receptive field of 'y' in a graph from 'x', whose convolutions have 3x3 weights 'w'."""
    graph = helper.make_graph(
        nodes,
        "graph",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, input_shape)],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, None)],
        [
            numpy_helper.from_array(np.zeros((1, 1, 3, 3), np.float32), "w"),
            numpy_helper.from_array(np.float32([1, 1, 2, 2]), "twofold"),
        ],
    )
    return receptive_field_px(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)]), "y")


def convolution(x, y, stride=1, dilation=1):
    attributes = {"strides": [stride] * 2, "dilations": [dilation] * 2, "pads": [dilation] * 4}
    return helper.make_node("Conv", [x, "w"], [y], kernel_shape=[3, 3], **attributes)


def pooling(x, y, kernel=(2, 2)):
    return helper.make_node("MaxPool", [x], [y], kernel_shape=kernel, strides=kernel)


def upsampling(x, y):
    how = {"mode": "nearest", "coordinate_transformation_mode": "asymmetric", "nearest_mode": "floor"}
    return helper.make_node("Resize", [x, "", "twofold"], [y], **how)


def test_convolutions_add_up():
    # 3 cells of stride 2 are 5 pixels apart at most, each a sum of 1 + 2 x 3.
    assert field_of(convolution("x", "a", dilation=3), convolution("a", "y")) == (9, 9)
    assert field_of(convolution("x", "a", stride=2), convolution("a", "y")) == (7, 7)


def test_width_and_height_are_told_apart():
    assert field_of(pooling("x", "y", kernel=(2, 4))) == (4, 2)


def test_the_cell_that_sees_most_counts_after_up_sampling():
    """Of two neighbours that are copies of one cell, a window of three reaches into the next cell."""
    assert field_of(pooling("x", "a"), upsampling("a", "y")) == (2, 2)
    assert field_of(pooling("x", "a"), upsampling("a", "b"), convolution("b", "y")) == (4, 4)


def test_where_paths_join_what_either_sees_counts():
    joined = helper.make_node("Add", ["a", "b"], ["y"])
    assert field_of(convolution("x", "a"), convolution("x", "b", dilation=2), joined) == (5, 5)
    # The pool's cells begin at even pixels, so that of an odd pixel reaches one further to the left.
    assert field_of(convolution("x", "a"), pooling("x", "p"), upsampling("p", "b"), joined) == (3, 3)


def test_a_global_maximum_sees_the_image():
    assert field_of(convolution("x", "a"), helper.make_node("ReduceMax", ["a"], ["y"], axes=[2, 3])) == (
        64,
        48,
    )


def test_unknown_operators_are_refused():
    with pytest.raises(HandfastError, match="the receptive field of Softmax is not known"):
        field_of(helper.make_node("Softmax", ["x"], ["y"]))


def open_net(name):
    """A net of float64 through which the gradient of each cell reaches all that the cell depends on: nothing
    is negative, so that all ReLUs are open, and means, which look at all cells, stand for maxima."""
    net = MODELS[name]().double().eval()
    for parameter in net.parameters():
        nn.init.constant_(parameter, 0.1)
    net.tier1[1], net.tier3[0] = nn.AvgPool2d(2), nn.AvgPool2d(2)
    return net


@pytest.mark.parametrize("name", ["tofnet-tof8", "tofnet-hand21"])
def test_fields_are_where_the_gradient_is(name, tmp_path):
    export_onnx(MODELS[name]().eval(), {"name": name}, tmp_path / "net.onnx", None)
    model = onnx.load(tmp_path / "net.onnx")
    net = open_net(name)

    # In an image that is larger than the field, all sorts of cells: four have the same place in an eighth.
    image = torch.ones(1, 1, 400, 416, dtype=torch.float64, requires_grad=True)
    heatmaps = net(image).heatmaps
    extents = []
    for cell in range(4):
        (gradient,) = torch.autograd.grad(
            heatmaps[0, 0, 0, 100 + cell, 104 + cell], image, retain_graph=cell < 3
        )
        rows, columns = (gradient[0, 0].any(dim=axis).nonzero() for axis in (1, 0))
        extents.append([(x[-1] - x[0] + 1).item() for x in (columns, rows)])
    assert receptive_field_px(model, "heatmaps") == tuple(np.max(extents, axis=0))
    assert len({tuple(extent) for extent in extents}) > 1

    image = torch.ones(1, 1, 120, 160, dtype=torch.float64, requires_grad=True)
    (gradient,) = torch.autograd.grad(net(image).visibility.sum(), image)
    assert receptive_field_px(model, "visibility") == (160, 120) and gradient.all()
