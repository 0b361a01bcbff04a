"""What a net costs, read off the ONNX graph that ships: papers count FLOPs differently, graphs do not."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import onnx
from onnx import ModelProto, NodeProto, numpy_helper

from handfast.errors import HandfastError


@dataclass(frozen=True)
class LayerCost:
    """One operator of a graph on one image. macs: multiply-accumulates of convolutions and matrix products,
    nothing else. parameters: those that no layer before it has used."""

    name: str
    operator: str
    output_shape: tuple[int, ...]
    parameters: int
    macs: int
    weight_bytes: int


@dataclass(frozen=True)
class Cost:
    """One run on one image: the sum of its layers."""

    layers: tuple[LayerCost, ...]

    @property
    def parameters(self) -> int:
        return sum(layer.parameters for layer in self.layers)

    @property
    def macs(self) -> int:
        return sum(layer.macs for layer in self.layers)

    @property
    def flops(self) -> int:
        return 2 * self.macs

    @property
    def weight_bytes(self) -> int:
        return sum(layer.weight_bytes for layer in self.layers)


def cost_of_file(content: bytes) -> Cost:
    """The cost of an ONNX file."""
    return measure_cost(onnx.load_from_string(content))


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
    layers = []
    for node in graph.node:
        # Reshape and Resize take sizes and scales where others take weights.
        reads = () if node.op_type in ("Reshape", "Resize") else node.input
        learned = [weights.pop(name) for name in dict.fromkeys(reads) if name in weights]
        layers.append(
            LayerCost(
                name=_short(node.name or node.output[0]),
                operator=node.op_type,
                output_shape=tuple(shapes.get(node.output[0], ())),
                parameters=sum(array.size for array in learned),
                macs=_macs(node, shapes),
                weight_bytes=sum(array.nbytes for array in learned),
            )
        )
    return Cost(tuple(layers))


def mean_macs(parts: Mapping[str, Cost], runs: Mapping[str, Sequence[int]]) -> float:
    """Multiply-accumulates a frame of an adaptive model: the average over the frames that it saw.

    parts: the cost of each of its graphs. runs: how often each graph ran in each frame. Raises HandfastError
    when a graph's runs are missing or the graphs saw different numbers of frames.
    """
    frames = {len(counts) for counts in runs.values()}
    if parts.keys() != runs.keys() or len(frames) != 1 or 0 in frames:
        raise HandfastError(
            f"expected the runs of {', '.join(sorted(parts))} in each of some frames, got "
            + (
                ", ".join(f"{name} in {len(counts)} frames" for name, counts in sorted(runs.items()))
                or "none"
            )
        )
    return sum(parts[name].macs * sum(counts) for name, counts in runs.items()) / frames.pop()


def _short(name: str) -> str:
    """'/tier2/tier2.0/first/first.0/Conv' -> 'tier2.0/first.0': a module's path says each step twice."""
    parts = name.strip("/").split("/")
    parts = parts[:-1] or parts
    return "/".join(
        part for part, after in zip(parts, [*parts[1:], ""], strict=True) if not after.startswith(f"{part}.")
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
