"""What a net costs, read off the ONNX graph that ships: papers count FLOPs differently, graphs do not."""

import math
from dataclasses import dataclass

import onnx
from onnx import ModelProto, NodeProto, numpy_helper

from handfast.errors import HandfastError


@dataclass(frozen=True)
class Cost:
    """One run on one image. macs: multiply-accumulates of convolutions and matrix products, nothing else."""

    parameters: int
    macs: int
    weight_bytes: int

    @property
    def flops(self) -> int:
        return 2 * self.macs


def measure_cost(model: ModelProto) -> Cost:
    """The cost of a model of one input, whose free dimensions, such as the batch, count as one.

    Raises HandfastError if shapes remain unknown.
    """
    single = ModelProto()
    single.CopyFrom(model)
    for value in (*single.graph.input, *single.graph.output):
        for dimension in value.type.tensor_type.shape.dim:
            if not dimension.HasField("dim_value"):
                dimension.dim_value = 1
    del single.graph.value_info[:]
    graph = onnx.shape_inference.infer_shapes(single, data_prop=True).graph
    shapes = {
        value.name: [dimension.dim_value for dimension in value.type.tensor_type.shape.dim]
        for value in (*graph.input, *graph.value_info, *graph.output)
        if all(dimension.dim_value > 0 for dimension in value.type.tensor_type.shape.dim)
    }
    weights = {tensor.name: numpy_helper.to_array(tensor) for tensor in graph.initializer}
    shapes |= {name: list(array.shape) for name, array in weights.items()}

    # Reshape and Resize take sizes and scales where others take weights.
    used = {name for node in graph.node if node.op_type not in ("Reshape", "Resize") for name in node.input}
    learned = [array for name, array in weights.items() if name in used]
    return Cost(
        parameters=sum(array.size for array in learned),
        macs=sum(_macs(node, shapes) for node in graph.node),
        weight_bytes=sum(array.nbytes for array in learned),
    )


def _macs(node: NodeProto, shapes: dict[str, list[int]]) -> int:
    if node.op_type not in ("Conv", "ConvTranspose", "Gemm", "MatMul"):
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
    return math.prod(output) * first[-1]
