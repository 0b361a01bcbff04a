"""Costs read off graphs, hand-worked."""

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from handfast.errors import HandfastError
from handfast.evaluation.cost import LayerCost, arena_bytes, measure_cost


def model_of(nodes, weights, input_shape):
    """A graph from 'x' to 'y' with weights of zeros."""
    graph = helper.make_graph(
        nodes,
        "graph",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, input_shape)],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, None)],
        [numpy_helper.from_array(np.zeros(shape, np.float32), name) for name, shape in weights.items()],
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)])


def test_a_grouped_strided_convolution():
    node = helper.make_node("Conv", ["x", "w", "b"], ["y"], group=2, strides=[2, 2], pads=[1, 1, 1, 1])
    cost = measure_cost(model_of([node], {"w": (6, 2, 3, 3), "b": (6,)}, ["batch", 4, 8, 10]))
    assert cost.parameters == 6 * 2 * 9 + 6
    assert cost.macs == (6 * 4 * 5) * (2 * 9)  # outputs times filter
    assert cost.flops == 2 * cost.macs and cost.weight_bytes == 4 * cost.parameters


def test_a_transposed_convolution():
    node = helper.make_node("ConvTranspose", ["x", "w"], ["y"], strides=[2, 2])
    cost = measure_cost(model_of([node], {"w": (3, 5, 2, 2)}, [1, 3, 4, 6]))
    assert cost.macs == (3 * 4 * 6) * (5 * 4)


def test_matrix_products():
    gemm = helper.make_node("Gemm", ["x", "w", "b"], ["h"], transB=1)
    product = helper.make_node("MatMul", ["h", "v"], ["y"])
    cost = measure_cost(model_of([gemm, product], {"w": (8, 5), "b": (8,), "v": (8, 3)}, ["batch", 5]))
    assert cost.macs == 5 * 8 + 8 * 3
    assert cost.parameters == 5 * 8 + 8 + 8 * 3


def test_scales_of_a_resize_are_no_parameters():
    resize = helper.make_node("Resize", ["x", "", "scales"], ["h"], mode="nearest")
    node = helper.make_node("Conv", ["h", "w"], ["y"])
    model = model_of([resize, node], {"w": (1, 1, 1, 1)}, [1, 1, 4, 4])
    model.graph.initializer.append(numpy_helper.from_array(np.float32([1, 1, 2, 2]), "scales"))
    cost = measure_cost(model)
    assert cost.parameters == 1 and cost.macs == 64


def test_what_is_picked_from_a_table():
    """Three scales for each of four channels, of which an index picks one row: all of them are learned."""
    pick = helper.make_node("Gather", ["table", "row"], ["scale"], axis=0)
    model = model_of(
        [pick, helper.make_node("Mul", ["x", "scale"], ["y"])], {"table": (3, 4, 1, 1)}, [1, 4, 8, 8]
    )
    model.graph.input.append(helper.make_tensor_value_info("row", TensorProto.INT64, []))
    cost = measure_cost(model)
    assert (cost.parameters, cost.weight_bytes, cost.macs) == (12, 48, 0)


def test_a_transposed_factor():
    """x is (depth, rows): three outputs for each of four rows, each a sum of five."""
    gemm = helper.make_node("Gemm", ["x", "w"], ["y"], transA=1)
    cost = measure_cost(model_of([gemm], {"w": (5, 3)}, [5, 4]))
    assert cost.macs == 4 * 3 * 5


def stored(name, array):
    return numpy_helper.from_array(np.asarray(array), name)


def test_weights_may_come_from_constant_nodes():
    nodes = [
        helper.make_node("Constant", [], ["w"], value=stored("w", np.zeros((6, 4, 3, 3), np.float32))),
        helper.make_node("Conv", ["x", "w"], ["h"]),
        helper.make_node("Constant", [], ["b"], value=stored("b", np.zeros((6, 1, 1), np.float32))),
        helper.make_node("Add", ["h", "b"], ["y"]),
    ]
    cost = measure_cost(model_of(nodes, {}, [1, 4, 5, 5]))
    assert cost.parameters == 6 * 4 * 9 + 6 and cost.weight_bytes == 4 * cost.parameters
    assert cost.macs == 6 * 3 * 3 * 4 * 9


def test_only_what_is_learned_is_a_parameter():
    """Limits, sizes, factors of a formula and running statistics are not."""
    nodes = [
        helper.make_node("Slice", ["x", "zeros", "ends"], ["s"]),
        helper.make_node("Pad", ["s", "pads", "nothing"], ["p"]),
        helper.make_node("Clip", ["p", "nothing", "six"], ["c"]),
        helper.make_node("Mul", ["c", "half"], ["m"]),
        helper.make_node("BatchNormalization", ["m", "scale", "shift", "mean", "variance"], ["n"]),
        helper.make_node("PRelu", ["n", "slope"], ["r"]),
        helper.make_node("ReduceMean", ["r"], ["a"], axes=[2, 3]),
        helper.make_node("Expand", ["a", "size"], ["e"]),
        helper.make_node("Add", ["size", "size"], ["unused"]),
        helper.make_node("Mul", ["e", "gain"], ["y"]),
    ]
    weights = dict.fromkeys(("scale", "shift", "mean", "variance"), (4,)) | {"slope": (4, 1, 1)}
    weights |= {"gain": (4, 1, 1), "nothing": (), "six": (), "half": ()}
    model = model_of(nodes, weights, [1, 4, 8, 8])
    sizes = {"zeros": [0, 0, 0, 0], "ends": [1, 4, 6, 6], "pads": [0] * 8, "size": [1, 4, 2, 2]}
    model.graph.initializer.extend(stored(name, np.int64(size)) for name, size in sizes.items())
    cost = measure_cost(model)
    learned = [(layer.operator, layer.parameters) for layer in cost.layers if layer.parameters]
    assert learned == [("BatchNormalization", 8), ("PRelu", 4), ("Mul", 4)]
    assert cost.macs == 0


@pytest.mark.parametrize("operator", ["Einsum", "MatMulInteger", "DequantizeLinear", "LSTM"])
def test_operators_whose_cost_is_not_known_are_refused(operator):
    attributes = {"equation": "ij,jk->ik"} if operator == "Einsum" else {}
    node = helper.make_node(operator, ["x", "w"], ["y"], **attributes)
    with pytest.raises(HandfastError, match=f"the cost of {operator} is not known"):
        measure_cost(model_of([node], {"w": (3, 2)}, [4, 3]))


def branch_of(nodes, weights):
    """A graph without inputs, as a branch of an If."""
    graph = model_of(nodes, weights, []).graph
    del graph.input[:]
    return graph


def question(then_branch, else_branch, output):
    """Nodes that compute ``output`` in one of two branches."""
    return [
        helper.make_node("Constant", [], [f"is_{output}"], value=stored("is", np.array(True))),
        helper.make_node("If", [f"is_{output}"], [output], then_branch=then_branch, else_branch=else_branch),
    ]


def test_of_two_branches_one_is_counted():
    """(2, 5, 5) pixels, first to 4 channels for all, then to 6 where there is something, or else to 1."""
    then_branch = branch_of(
        [
            helper.make_node("Conv", ["h", "v"], ["a"], name="/decoder/Conv"),
            helper.make_node("Conv", ["a", "outer"], ["y"], name="/last/Conv"),
        ],
        {"v": (6, 4, 3, 3)},
    )
    # Branches may use a name each for something of their own.
    else_branch = branch_of(
        [helper.make_node("Conv", ["h", "v"], ["y"], name="/cheap/Conv")], {"v": (1, 4, 1, 1)}
    )
    nodes = [
        helper.make_node("Conv", ["x", "w"], ["h"], name="/encoder/Conv"),
        *question(then_branch, else_branch, "z"),
        helper.make_node("Relu", ["z"], ["y"]),
    ]
    cost = measure_cost(model_of(nodes, {"w": (4, 2, 1, 1), "outer": (6, 6, 1, 1)}, ["batch", 2, 5, 5]))
    encoder, decoder, last, cheap = 25 * 4 * 2, 9 * 6 * 4 * 9, 9 * 6 * 6, 25 * 4
    assert [(x.name, x.branch, x.macs) for x in cost.layers if x.macs] == [
        ("encoder", "", encoder),
        ("cheap", "else", cheap),
        ("decoder", "then", decoder),
        ("last", "then", last),
    ]
    assert cost.macs == encoder + decoder + last and cost.flops == 2 * cost.macs
    assert cost.early_out_macs == encoder + cheap and cost.early_out_flops == 2 * cost.early_out_macs
    assert cost.parameters == 4 * 2 + 6 * 4 * 9 + 6 * 6 + 4 and cost.weight_bytes == 4 * cost.parameters


def test_without_branches_all_always_runs():
    cost = measure_cost(
        model_of([helper.make_node("Conv", ["x", "w"], ["y"])], {"w": (2, 1, 1, 1)}, [1, 1, 4, 4])
    )
    assert cost.early_out_macs == cost.macs == 32


def test_branches_of_branches_are_refused():
    product = branch_of([helper.make_node("MatMul", ["x", "w"], ["y"])], {"w": (3, 2)})
    inner = branch_of(question(product, product, "y"), {})
    with pytest.raises(HandfastError, match="the cost of If is not known"):
        measure_cost(model_of(question(inner, product, "y"), {}, [4, 3]))


def test_unknown_sizes_are_refused_and_not_counted_as_nothing():
    nodes = [
        helper.make_node("NonZero", ["x"], ["indices"]),  # as many columns as there are values
        helper.make_node("Cast", ["indices"], ["h"], to=TensorProto.FLOAT),
        helper.make_node("MatMul", ["w", "h"], ["y"]),
    ]
    with pytest.raises(HandfastError, match="'h'"):
        measure_cost(model_of(nodes, {"w": (3, 2)}, [4, 4]))


def test_the_model_is_left_as_it_was():
    node = helper.make_node("Conv", ["x", "w"], ["y"])
    model = model_of([node], {"w": (1, 1, 1, 1)}, ["batch", 1, 4, 4])
    before = onnx.ModelProto()
    before.CopyFrom(model)
    measure_cost(model)
    assert model == before


def test_layers_come_in_order_and_shared_weights_count_once():
    nodes = [
        helper.make_node("Conv", ["x", "w"], ["h"], name="first"),
        helper.make_node("Relu", ["h"], ["r"], name="silence"),
        helper.make_node("Conv", ["r", "w"], ["y"], name="second"),
    ]
    cost = measure_cost(model_of(nodes, {"w": (2, 2, 1, 1)}, ["batch", 2, 5, 4]))
    assert cost.layers == (
        LayerCost("first", "Conv", (1, 2, 5, 4), 4, 80, 16),
        LayerCost("silence", "Relu", (1, 2, 5, 4), 0, 0, 0),
        LayerCost("second", "Conv", (1, 2, 5, 4), 0, 80, 0),
    )
    assert (cost.parameters, cost.macs, cost.flops, cost.weight_bytes) == (4, 160, 320, 16)


def test_memory_is_that_of_the_tensors_alive_at_once():
    """By hand: x 8 and a 16 while a is made, then a and b 2, then a, b and c 16, then c and y."""
    nodes = [
        helper.make_node("Concat", ["x", "x"], ["a"], axis=1),
        helper.make_node("ReduceMean", ["a"], ["b"], axes=[1, 2]),
        helper.make_node("Mul", ["a", "b"], ["c"]),
        helper.make_node("Relu", ["c"], ["y"]),
    ]
    content = model_of(nodes, {}, ["batch", 1, 4, 2]).SerializeToString()
    assert arena_bytes(content) == 4 * (16 + 2 + 16)


def test_what_is_never_read_is_freed_and_weights_are_no_arena():
    nodes = [
        helper.make_node("Split", ["x"], ["unused", "a"], axis=1),
        helper.make_node("Mul", ["a", "w"], ["y"]),
    ]
    content = model_of(nodes, {"w": (1, 1, 1)}, [1, 6, 1]).SerializeToString()
    assert arena_bytes(content) == 4 * (6 + 3 + 3)
