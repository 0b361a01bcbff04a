"""How much of the image one value of a net's output can depend on, read off the ONNX graph."""

import numpy as np
from onnx import ModelProto, NodeProto, helper

from handfast.errors import HandfastError
from handfast.evaluation.cost import tensor_shapes, with_shapes

_SLIDING = {"Conv", "MaxPool", "AveragePool"}
_CELL_BY_CELL = {"Add", "BatchNormalization", "Clip", "Concat", "Identity", "Relu"}
# Reshape and Transpose mix all cells unless they leave the last two axes as they are.
_WHOLE = {"Flatten", "Gemm", "ReduceMax", "Reshape", "Transpose"}

# The first and the last rows and columns (2, cells) of a tensor that each cell of the output sees.
_Seen = tuple[np.ndarray, np.ndarray]


def receptive_field_px(model: ModelProto, output: str) -> tuple[int, int]:
    """(width, height) in pixels of the image that one cell of ``output`` (..., h, w) depends on.

    Up-sampling makes cells unequal: that of the one that sees most. Where paths join, what any of them sees.
    It is not cut at the image's border and may be larger than the image; but what is made of a whole map, as
    by a global maximum, sees the image and no more.

    Raises HandfastError for operators that are not known here.
    """
    graph = with_shapes(model)
    shapes = tensor_shapes(graph)
    (image,) = graph.input
    size = np.array(shapes[image.name][-2:])
    # As many cells as the image has pixels are enough to have all phases of up-sampling among them.
    cells = np.tile(np.arange(float(size.max())), (2, 1))
    seen = {output: (cells, cells)}
    for node in reversed(graph.node):
        if node.input and node.output[0] in seen:
            before = _seen_before(node, seen[node.output[0]], shapes)
            for name in node.input:
                first, last = seen.get(name, before)
                seen[name] = np.minimum(first, before[0]), np.maximum(last, before[1])
    first, last = seen[image.name]
    extent = (last - first + 1).max(axis=1)
    height, width = np.where(np.isfinite(extent), extent, size).astype(int).tolist()
    return width, height


def _seen_before(node: NodeProto, seen: _Seen, shapes: dict[str, list[int]]) -> _Seen:
    """What is seen of a node's inputs where this is seen of its output."""
    first, last = seen
    attributes = {attribute.name: helper.get_attribute_value(attribute) for attribute in node.attribute}
    shape_in, shape_out = (shapes[name] for name in (node.input[0], node.output[0]))
    if node.op_type in _SLIDING:
        stride, dilation, padding = (
            np.reshape(attributes.get(name, default)[:2], (2, 1))
            for name, default in (("strides", [1, 1]), ("dilations", [1, 1]), ("pads", [0, 0]))
        )
        span = dilation * (np.reshape(attributes["kernel_shape"], (2, 1)) - 1)
        return stride * first - padding, stride * last - padding + span
    if node.op_type == "Resize" and attributes["mode"] == b"nearest":
        scale = np.reshape(np.divide(shape_out[-2:], shape_in[-2:]), (2, 1))
        return np.floor(first / scale), np.floor(last / scale)
    is_reshaped_before = node.op_type == "Reshape" and shape_in[-2:] == shape_out[-2:]
    last_axes = [len(shape_in) - 2, len(shape_in) - 1]
    is_transposed_before = node.op_type == "Transpose" and attributes["perm"][-2:] == last_axes
    if node.op_type in _CELL_BY_CELL or is_reshaped_before or is_transposed_before:
        return seen
    if node.op_type in _WHOLE:
        return np.full_like(first, -np.inf), np.full_like(last, np.inf)
    raise HandfastError(
        f"node {node.name}: the receptive field of {node.op_type} is not known; export it as convolutions, "
        "pooling and nearest up-sampling"
    )
