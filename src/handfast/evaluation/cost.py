"""What a net costs, read off the ONNX graph that ships: papers count FLOPs differently, graphs do not."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import accumulate

import numpy as np
import onnx
from onnx import GraphProto, ModelProto, NodeProto, numpy_helper

from handfast.errors import HandfastError

# Which inputs of an operator are learned, if the graph holds them: sizes, limits and the running statistics
# of a normalisation are not.
_LEARNED = (
    dict.fromkeys(("Gemm", "MatMul", "PRelu", "Add", "Mul", "Sub", "Div"), slice(None))
    | dict.fromkeys(("Conv", "ConvTranspose"), slice(1, 3))
    | {"Gather": slice(1)}
    | dict.fromkeys((f"{kind}Normalization" for kind in ("Batch", "Instance", "Layer", "Group")), slice(1, 3))
)
_PRODUCTS = ("Conv", "ConvTranspose", "Gemm", "MatMul")
# What multiplies, or holds weights, in ways that are not counted here.
_NOT_COUNTED = {
    "ConvInteger", "DeformConv", "DequantizeLinear", "Einsum", "GRU", "If", "LSTM", "Loop", "MatMulInteger",
    "QLinearConv", "QLinearMatMul", "RNN", "Scan",
}  # fmt: skip


@dataclass(frozen=True)
class LayerCost:
    """One operator of a graph on one image. macs: multiply-accumulates of convolutions and matrix products,
    nothing else. parameters: learned numbers that no layer before it has used. branch: "then" or "else" of an
    If, or "" for what always runs."""

    name: str
    operator: str
    output_shape: tuple[int, ...]
    parameters: int
    macs: int
    weight_bytes: int
    branch: str = ""


@dataclass(frozen=True)
class Cost:
    """One run on one image: the sum of its layers, but of an If those of one branch.

    macs, flops: of the then-branch, as where a hand can be seen; early_out_macs, early_out_flops: of the
    else-branch. Parameters and bytes are those of the file.
    """

    layers: tuple[LayerCost, ...]

    @property
    def parameters(self) -> int:
        return sum(layer.parameters for layer in self.layers)

    @property
    def macs(self) -> int:
        return sum(layer.macs for layer in self.layers if layer.branch != "else")

    @property
    def flops(self) -> int:
        return 2 * self.macs

    @property
    def early_out_macs(self) -> int:
        return sum(layer.macs for layer in self.layers if layer.branch != "then")

    @property
    def early_out_flops(self) -> int:
        return 2 * self.early_out_macs

    @property
    def weight_bytes(self) -> int:
        return sum(layer.weight_bytes for layer in self.layers)


def cost_of_file(content: bytes) -> Cost:
    """The cost of an ONNX file."""
    return measure_cost(onnx.load_from_string(content))


def measure_cost(model: ModelProto) -> Cost:
    """The cost of a model of one input, whose free dimensions, such as the batch, count as one.

    Raises HandfastError if shapes remain unknown, and for operators whose cost is not known here.
    """
    graph = with_shapes(model)
    outside, weights = tensor_shapes(graph), {}
    layers = []
    for branch, part in _parts(graph):
        shapes = outside | tensor_shapes(part)
        weights |= _stored_arrays(part)
        for node in part.node:
            if node.op_type == "If" and not branch:
                continue  # its branches are parts of their own
            reads = dict.fromkeys(node.input[_LEARNED.get(node.op_type, slice(0))])
            learned = [weights.pop(name) for name in reads if _is_learned(weights.get(name))]
            layers.append(
                LayerCost(
                    name=_short(node.name or node.output[0]),
                    operator=node.op_type,
                    output_shape=tuple(shapes.get(node.output[0], ())),
                    parameters=sum(array.size for array in learned),
                    macs=_macs(node, shapes),
                    weight_bytes=sum(array.nbytes for array in learned),
                    branch=branch,
                )
            )
    return Cost(tuple(layers))


def arena_bytes(content: bytes) -> int:
    """The memory that an ONNX file's graph needs for what it computes, if each tensor is kept from the node
    that makes it, in the file's order, to the last one that reads it: float32, one image, the larger of two
    branches. Engines may need more. Raises HandfastError if shapes remain unknown."""
    graph = with_shapes(onnx.load_from_string(content))
    outside = tensor_shapes(graph)
    return max(_most_alive(part, outside | tensor_shapes(part)) for _, part in _parts(graph))


def _most_alive(graph: GraphProto, shapes: Mapping[str, Sequence[int]]) -> int:
    held = _stored_arrays(graph)
    made = {name: -1 for value in graph.input if (name := value.name) not in held}
    made |= {name: i for i, node in enumerate(graph.node) for name in node.output if name not in held}
    last_read = {name: i for i, node in enumerate(graph.node) for name in node.input}
    last_read |= {value.name: len(graph.node) for value in graph.output}
    changes = [0] * (len(graph.node) + 2)  # the first is the inputs'
    for name, i in made.items():
        if name not in shapes:
            raise HandfastError(
                f"tensor {name}: its shape is unknown; export with fixed sizes but for the batch"
            )
        size = 4 * math.prod(shapes[name])
        changes[i + 1] += size
        changes[min(last_read.get(name, i) + 2, len(changes) - 1)] -= size
    return max(accumulate(changes[:-1]))


def with_shapes(model: ModelProto) -> GraphProto:
    """A copy of a model's graph, and of the branches of its Ifs, with the shapes that can be inferred.

    Free dimensions, such as the batch, count as one.
    """
    single = ModelProto()
    single.CopyFrom(model)
    for _, part in _parts(single.graph):
        for value in (*part.input, *part.output):
            for dimension in value.type.tensor_type.shape.dim:
                if not dimension.HasField("dim_value"):
                    dimension.dim_value = 1
        del part.value_info[:]
    return onnx.shape_inference.infer_shapes(single, data_prop=True).graph


def tensor_shapes(graph: GraphProto) -> dict[str, list[int]]:
    """The sizes of what a graph holds and computes, as far as ``with_shapes`` found them."""
    shapes = {
        value.name: [dimension.dim_value for dimension in value.type.tensor_type.shape.dim]
        for value in (*graph.input, *graph.value_info, *graph.output)
        if all(dimension.dim_value > 0 for dimension in value.type.tensor_type.shape.dim)
    }
    return shapes | {name: list(array.shape) for name, array in _stored_arrays(graph).items()}


def _parts(graph: GraphProto) -> list[tuple[str, GraphProto]]:
    """The graph itself as "", and each branch of its Ifs as "then" or "else". Ifs inside these stay."""
    branches = [
        (attribute.name.removesuffix("_branch"), attribute.g)
        for node in graph.node
        if node.op_type == "If"
        for attribute in node.attribute
    ]
    return [("", graph), *branches]


def _short(name: str) -> str:
    """'/tier2/tier2.0/first/first.0/Conv' -> 'tier2.0/first.0': a module's path says each step twice."""
    parts = name.strip("/").split("/")
    parts = parts[:-1] or parts
    return "/".join(
        part for part, after in zip(parts, [*parts[1:], ""], strict=True) if not after.startswith(f"{part}.")
    )


def _stored_arrays(graph: GraphProto) -> dict[str, np.ndarray]:
    """What the graph holds by itself: its initializers, and constants among its nodes."""
    constants = {
        node.output[0]: attribute.t
        for node in graph.node
        if node.op_type == "Constant"
        for attribute in node.attribute
        if attribute.name == "value"
    }
    tensors = constants | {tensor.name: tensor for tensor in graph.initializer}
    return {name: numpy_helper.to_array(tensor) for name, tensor in tensors.items()}


def _is_learned(array: np.ndarray | None) -> bool:
    """A single number belongs to a formula."""
    return array is not None and array.dtype.kind == "f" and array.ndim > 0


def _macs(node: NodeProto, shapes: dict[str, list[int]]) -> int:
    if node.op_type in _NOT_COUNTED:
        raise HandfastError(
            f"node {node.name}: the cost of {node.op_type} is not known; export it as convolutions or matrix "
            "products of floats"
        )
    if node.op_type not in _PRODUCTS:
        return 0
    try:
        first, second, output = (shapes[name] for name in (*node.input[:2], node.output[0]))
    except KeyError as error:
        raise HandfastError(
            f"node {node.name}: the shape of {error} is unknown; export with fixed sizes but for the batch"
        ) from error
    if node.op_type == "Conv":  # each output is a sum over one filter
        return math.prod(output) * math.prod(second[1:])
    if node.op_type == "ConvTranspose":  # each input feeds one filter
        return math.prod(first) * math.prod(second[1:])
    is_transposed = any(attribute.name == "transA" and attribute.i for attribute in node.attribute)
    return math.prod(output) * first[0 if is_transposed else -1]
