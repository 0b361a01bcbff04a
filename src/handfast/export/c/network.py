"""A network as the C emitter sees it: a list of layers on maps of one image, read from an ONNX file.

Branches are gone: ``Network.decoder_start`` says where the layers begin that the early-out leaves out.
"""

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import onnx
from onnx import GraphProto, ModelProto, NodeProto, helper, numpy_helper

from handfast.errors import HandfastError
from handfast.evaluation.cost import tensor_shapes, with_shapes

Shape = tuple[int, int, int]  # channels, height, width


@dataclass(frozen=True, eq=False)
class Convolution:
    """Zero-padded convolution. weight (out, in / groups, k, k), bias (out,) float32; pad is on all sides."""

    name: str
    source: str
    target: str
    weight: np.ndarray
    bias: np.ndarray
    groups: int
    stride: int
    dilation: int
    pad: int
    relu: bool = False

    @property
    def kernel(self) -> int:
        return self.weight.shape[-1]


@dataclass(frozen=True)
class Add:
    """Two maps of one shape, then perhaps a ReLU."""

    name: str
    sources: tuple[str, str]
    target: str
    relu: bool = False


@dataclass(frozen=True)
class Concat:
    """The channels of several maps, one after the other."""

    name: str
    sources: tuple[str, ...]
    target: str


@dataclass(frozen=True)
class Shuffle:
    """Channel g n + i becomes i groups + g, with n channels a group (``models.layers.ChannelShuffle``)."""

    name: str
    source: str
    target: str
    groups: int


@dataclass(frozen=True)
class MaxPool:
    """The largest of each 2 x 2 cells; an odd last row or column is dropped."""

    name: str
    source: str
    target: str


@dataclass(frozen=True)
class Upsample:
    """Twice the rows and columns, nearest neighbour."""

    name: str
    source: str
    target: str


@dataclass(frozen=True)
class GlobalMax:
    """The largest of each channel, a map of one cell."""

    name: str
    source: str
    target: str


Layer = Convolution | Add | Concat | Shuffle | MaxPool | Upsample | GlobalMax


def sources_of(layer: Layer) -> tuple[str, ...]:
    """The names of the maps that a layer reads."""
    return layer.sources if isinstance(layer, Add | Concat) else (layer.source,)


@dataclass(frozen=True, eq=False)
class Network:
    """Layers in the order in which they run, each after all that it reads.

    shapes: of every map by name. image, heatmaps, visibility: the names of the input (1, H, W), in colour
    (3, H, W), 0..1, and of the outputs, logits: (2 K, h, w) and (2 (1 + K), 1, 1), the left hand's channels
    before the right's.
    Layers from ``decoder_start`` on serve the heat-maps alone; they need not run where no hand's presence
    logit, the first of its 1 + K, is above ``early_out_logit``. None: they always run.
    """

    layers: tuple[Layer, ...]
    shapes: dict[str, Shape]
    image: str
    heatmaps: str
    visibility: str
    decoder_start: int
    early_out_logit: float | None

    @property
    def keypoints_per_hand(self) -> int:
        return self.shapes[self.heatmaps][0] // 2

    @property
    def weight_bytes(self) -> int:
        """Of weights and biases."""
        convolutions = [layer for layer in self.layers if isinstance(layer, Convolution)]
        return sum(layer.weight.nbytes + layer.bias.nbytes for layer in convolutions)


def read_network(content: bytes, name: str | Path) -> Network:
    """The layers of an ONNX file's content that ``export_onnx`` has made. ``name`` is for messages.

    Raises HandfastError that names the first layer that is not known here.
    """
    try:
        model = onnx.load_from_string(content)
    except Exception as error:  # protobuf's own error, which onnx does not export
        raise HandfastError(f"model {name}: not a whole ONNX file; export it again") from error
    graph, threshold = _without_branches(model, name)
    return _Reader(graph, name).network(threshold)


def _without_branches(model: ModelProto, name: str | Path) -> tuple[GraphProto, float | None]:
    """The graph with the decoder's branch (``export.early_out``) in the place of its If, and the If's
    threshold."""
    flat = ModelProto()
    flat.CopyFrom(model)
    graph = flat.graph
    ifs = [node for node in graph.node if node.op_type == "If"]
    if not ifs:
        return with_shapes(flat), None
    threshold = next((t for t in graph.initializer if t.name == "early_out_logit"), None)
    if len(ifs) > 1 or threshold is None:
        raise HandfastError(f"model {name}: layer {ifs[-1].name}: an If that is not the early-out")
    (branch,) = ifs
    then = next(attribute.g for attribute in branch.attribute if attribute.name == "then_branch")
    # The question is computed from the output that the layers before it have made.
    kept = needed_for(graph, [output.name for output in graph.output if output.name != branch.output[0]])
    nodes = [node for node in graph.node if kept.intersection(node.output)]
    inner = {node.output[0] for node in graph.node} - kept
    decoder = [node for node in then.node if not inner.intersection(node.input)]
    decoder[-1].output[0] = branch.output[0]
    del graph.node[:]
    graph.node.extend([*nodes, *decoder])
    graph.initializer.extend(then.initializer)
    return with_shapes(flat), float(numpy_helper.to_array(threshold))


def needed_for(graph: GraphProto, outputs: Iterable[str]) -> set[str]:
    """The names of all that outputs are computed from, their own included."""
    needed = set(outputs)
    for node in reversed(graph.node):
        if needed.intersection(node.output):
            needed.update(node.input)
    return needed


class _Reader:
    """Turns nodes into layers, one after the other."""

    def __init__(self, graph: GraphProto, name: str | Path) -> None:
        self.graph, self.name = graph, name
        self.arrays = {tensor.name: numpy_helper.to_array(tensor) for tensor in graph.initializer}
        self.arrays |= {
            node.output[0]: numpy_helper.to_array(attribute.t)
            for node in graph.node
            if node.op_type == "Constant"
            for attribute in node.attribute
            if attribute.name == "value"
        }
        for node in graph.node:
            if node.op_type == "Identity" and node.input[0] in self.arrays:  # arrays that are equal
                self.arrays[node.output[0]] = self.arrays[node.input[0]]
        self.sizes = tensor_shapes(graph)
        self.readers = Counter(name for node in graph.node for name in node.input)
        self.readers.update(output.name for output in graph.output)
        self.same: dict[str, str] = {}  # names of one and the same map
        self.layers: list[Layer] = []

    def network(self, early_out_logit: float | None) -> Network:
        nodes = [node for node in self.graph.node if node.output[0] not in self.arrays]
        while nodes:
            shuffle = self._shuffle(nodes[:3])
            if shuffle:
                self.layers.append(shuffle)
                nodes = nodes[3:]
            else:
                self._read(nodes.pop(0))
        outputs = {output.name: self._map(output.name) for output in self.graph.output}
        if outputs.keys() != {"heatmaps", "visibility"}:
            raise HandfastError(
                f"model {self.name}: expected the outputs heatmaps and visibility, got {', '.join(outputs)}"
            )
        if len(self.graph.input) != 1:
            names = ", ".join(given.name for given in self.graph.input) or "none"
            raise HandfastError(f"model {self.name}: expected one input, an image, got {names}")
        image = self.graph.input[0].name
        first = self._in_order(outputs["heatmaps"], outputs["visibility"])
        shapes = {
            self._map(name): self._shape(name) for name in [image, *(layer.target for layer in self.layers)]
        }
        return Network(
            tuple(self.layers),
            shapes,
            image,
            outputs["heatmaps"],
            outputs["visibility"],
            first,
            early_out_logit,
        )

    def _in_order(self, heatmaps: str, visibility: str) -> int:
        """Moves the layers that visibility does not need to the end, without those that no output needs; ->
        where they begin."""
        needed = self._needed({visibility})
        either = self._needed({heatmaps, visibility})
        self.layers = [layer for layer in self.layers if layer.target in either]
        self.layers.sort(key=lambda layer: layer.target not in needed)  # a stable sort
        return sum(layer.target in needed for layer in self.layers)

    def _needed(self, outputs: set[str]) -> set[str]:
        """The maps that outputs are made from, themselves among them."""
        needed = set(outputs)
        for layer in reversed(self.layers):
            if layer.target in needed:
                needed.update(sources_of(layer))
        return needed

    def _read(self, node: NodeProto) -> None:
        attributes = {attribute.name: helper.get_attribute_value(attribute) for attribute in node.attribute}
        target, sources = node.output[0], [self._map(name) for name in node.input]
        label = node.name or target
        match node.op_type:
            case "Conv":
                self.layers.append(self._convolution(node, attributes, label))
            case "Gemm" if self._is_plain_gemm(node, attributes):
                weight = self.arrays[node.input[1]]
                self.layers.append(
                    Convolution(
                        label,
                        sources[0],
                        target,
                        weight[:, :, None, None],
                        self.arrays[node.input[2]],
                        1,
                        1,
                        1,
                        0,
                    )
                )
            case "Relu" if (maker := self._maker(sources[0])) is not None and self.readers[
                node.input[0]
            ] == 1:
                # In place of the layer whose map no one else reads as it was.
                self.layers[maker] = replace(self.layers[maker], relu=True)
                self.same[target] = sources[0]
            case "Add" if self._shape(node.input[0]) == self._shape(node.input[1]):
                self.layers.append(Add(label, (sources[0], sources[1]), target))
            case "Concat" if attributes["axis"] == 1:
                self.layers.append(Concat(label, tuple(sources), target))
            case "MaxPool" if _is_halving(attributes):
                self.layers.append(MaxPool(label, sources[0], target))
            case "Resize" if self._is_doubling(node, attributes):
                self.layers.append(Upsample(label, sources[0], target))
            case "ReduceMax" if list(attributes.get("axes", ())) == [2, 3]:
                self.layers.append(GlobalMax(label, sources[0], target))
            case "Flatten" | "Reshape" if self._keeps_channels(node):
                self.same[target] = sources[0]
            case _:
                raise HandfastError(
                    f"model {self.name}: layer {label}: {node.op_type} as it is used there has no C kernel; "
                    "run the model with onnxruntime"
                )

    def _convolution(self, node: NodeProto, attributes: dict, label: str) -> Convolution:
        weight = self.arrays[node.input[1]]
        bias = self.arrays[node.input[2]] if len(node.input) > 2 else np.zeros(len(weight), np.float32)
        square = [
            set(attributes.get(name, [default]))
            for name, default in (("strides", 1), ("dilations", 1), ("pads", 0), ("kernel_shape", 1))
        ]
        if weight.ndim != 4 or any(len(values) > 1 for values in square) or "auto_pad" in attributes:
            raise HandfastError(
                f"model {self.name}: layer {label}: expected a square convolution, alike on all sides"
            )
        (stride,), (dilation,), (pad,), _ = square
        return Convolution(
            label,
            self._map(node.input[0]),
            node.output[0],
            weight,
            bias,
            attributes.get("group", 1),
            stride,
            dilation,
            pad,
        )

    def _shuffle(self, nodes: list[NodeProto]) -> Shuffle | None:
        """Reshape, Transpose, Reshape, which is how a channel shuffle is written in ONNX."""
        if [node.op_type for node in nodes] != ["Reshape", "Transpose", "Reshape"]:
            return None
        first, transpose, last = nodes
        split, before, after = (
            self.sizes.get(name) for name in (first.output[0], first.input[0], last.output[0])
        )
        permutation = list(transpose.attribute[0].ints)
        if split is None or permutation != [0, 2, 1, 3, 4] or before != after:
            return None
        return Shuffle(first.name, self._map(first.input[0]), last.output[0], split[1])

    def _is_plain_gemm(self, node: NodeProto, attributes: dict) -> bool:
        plain = attributes.get("alpha", 1.0) == attributes.get("beta", 1.0) == 1.0
        return (
            plain
            and attributes.get("transB", 0) == 1
            and node.input[1] in self.arrays
            and len(node.input) == 3
        )

    def _is_doubling(self, node: NodeProto, attributes: dict) -> bool:
        before, after = self._shape(node.input[0]), self._shape(node.output[0])
        return (
            attributes.get("mode") == b"nearest"
            and attributes.get("coordinate_transformation_mode") == b"asymmetric"
            and attributes.get("nearest_mode") == b"floor"
            and after == (before[0], 2 * before[1], 2 * before[2])
        )

    def _keeps_channels(self, node: NodeProto) -> bool:
        """Whether all but the split of the channels stays: (1, 2 K, h, w) as (1, 2, K, h, w)."""
        before, after = self.sizes[node.input[0]], self.sizes[node.output[0]]
        is_split = before[2:] == after[3:] and len(after) == len(before) + 1
        return is_split or np.prod(before[2:]) == 1

    def _maker(self, target: str) -> int | None:
        """Which of the layers makes a map, if it is one that a ReLU can be part of."""
        makers = (
            index
            for index, layer in enumerate(self.layers)
            if layer.target == target and isinstance(layer, Convolution | Add)
        )
        return next(makers, None)

    def _map(self, name: str) -> str:
        return self.same.get(name, name)

    def _shape(self, name: str) -> Shape:
        _, channels, *cells = [*self.sizes[name], 1, 1][:4]
        return channels, cells[0], cells[1]


def _is_halving(attributes: dict) -> bool:
    expected = {"kernel_shape": [2, 2], "strides": [2, 2]}
    plain = {"pads": [0, 0, 0, 0], "dilations": [1, 1], "ceil_mode": 0, "auto_pad": b"NOTSET"}
    return all(list(attributes.get(name, ())) == value for name, value in expected.items()) and all(
        attributes.get(name, value) == value for name, value in plain.items()
    )
