"""A quantised network as the steps for which there are 8-bit kernels."""

from dataclasses import dataclass

import numpy as np

from handfast.compression.quantise import Logits, QuantisedNetwork, Requantisation, Sum, Term
from handfast.errors import HandfastError
from handfast.export.c.network import Concat, GlobalMax, MaxPool, Shuffle, Upsample, sources_of

QUAD = 4  # channels, side by side in memory


@dataclass(frozen=True, eq=False)
class Rows:
    """A term as a matrix: weight (out, in, k, k) int8 over all channels of its source."""

    source: str
    weight: np.ndarray
    dilation: int


@dataclass(frozen=True, eq=False)
class Summed:
    """What steps with weights have in common. order: which of the sum's channels each of the target's is."""

    name: str
    target: str
    bias: np.ndarray
    output: Requantisation | Logits


@dataclass(frozen=True, eq=False)
class StemPool(Summed):
    """A 3x3 convolution of stride 2 on the image, (out, 3, 3), then 2x2 pooling."""

    source: str
    weight: np.ndarray


@dataclass(frozen=True, eq=False)
class ByteSum(Summed):
    """A 3x3 convolution, or none, and 1x1 convolutions."""

    three: Rows | None
    points: tuple[Rows, ...]


@dataclass(frozen=True, eq=False)
class UpsampledSum(Summed):
    """A depth-wise 3x3 convolution of an up-sampled map, weight (out, 3, 3) on the map before it, and 1x1
    convolutions of maps as large as the output."""

    source: str
    weight: np.ndarray
    zero: int
    points: tuple[Rows, ...]


@dataclass(frozen=True, eq=False)
class PointLogits(Summed):
    """A 1x1 convolution whose outputs are logits, weight (out, in)."""

    source: str
    weight: np.ndarray


Step = StemPool | ByteSum | UpsampledSum | PointLogits | MaxPool | GlobalMax | Concat


def reads(step: Step) -> tuple[str, ...]:
    """The maps that a step reads."""
    match step:
        case ByteSum(three=three, points=points):
            return (*([three.source] if three else []), *(point.source for point in points))
        case UpsampledSum(source=source, points=points):
            return source, *(point.source for point in points)
        case Concat():
            return step.sources
        case _:
            return (step.source,)


def byte_steps(network: QuantisedNetwork, name: object) -> tuple[tuple[Step, ...], int]:
    """-> the steps, and how many of them run before the early-out.

    Raises HandfastError that names the first layer for which there is no kernel.
    """
    return _Builder(network, name).steps()


class _Builder:
    def __init__(self, network: QuantisedNetwork, name: object) -> None:
        self.network, self.name = network, name
        self.made_by = {layer.target: layer for layer in network.layers}
        self.readers: dict[str, list] = {}
        for layer in network.layers:
            for source in _sources(layer):
                self.readers.setdefault(source, []).append(layer)
        self.taken: set[str] = set()  # layers that are part of a step before them

    def steps(self) -> tuple[tuple[Step, ...], int]:
        steps: list[Step] = []
        before_early_out = None
        for index, layer in enumerate(self.network.layers):
            if index == self.network.decoder_start:
                before_early_out = len(steps)
            if layer.name in self.taken or isinstance(layer, Upsample):
                continue
            step = self._sum(layer) if isinstance(layer, Sum) else self._plain(layer)
            if step is None:
                raise HandfastError(
                    f"model {self.name}: layer {layer.name}: there is no 8-bit C kernel for it where it "
                    "stands; export it without --int8"
                )
            steps.append(step)
        return tuple(steps), len(steps) if before_early_out is None else before_early_out

    def _plain(self, layer: MaxPool | GlobalMax | Concat | Shuffle) -> Step | None:
        if isinstance(layer, Concat):
            whole = all(self.network.shapes[name][0] % QUAD == 0 for name in layer.sources)
            once = all(len(self.readers[name]) >= 1 for name in layer.sources)
            return layer if whole and once else None
        return layer if isinstance(layer, MaxPool | GlobalMax) else None

    def _sum(self, layer: Sum) -> Step | None:
        if layer.terms[0].source == self.network.image:
            return self._stem(layer)
        target, order = self._shuffled(layer)
        bias, output = layer.bias[order], layer.output
        if isinstance(output, Requantisation):
            output = Requantisation(output.shift, output.multiplier[order])
        large = [term for term in layer.terms if term.kernel > 1]
        points = tuple(self._rows(term, order) for term in layer.terms if term.kernel == 1)
        fits = all(t.stride == 1 and t.pad == t.dilation * (t.kernel // 2) for t in layer.terms)
        if large and large[0].zero and not isinstance(self.made_by.get(large[0].source), Upsample):
            return None  # a padding other than zeros
        if not fits or len(large) > 1 or len(points) > 2 or any(term.kernel != 3 for term in large):
            return None
        if any(isinstance(self.made_by.get(point.source), Upsample) for point in points):
            return None
        if large and isinstance(up := self.made_by.get(large[0].source), Upsample):
            (term,) = large
            if term.dilation != 1 or not term.groups == len(term.weight) == self.network.shapes[up.source][0]:
                return None
            weight = term.weight[order, 0]
            return UpsampledSum(layer.name, target, bias, output, up.source, weight, term.zero, points)
        if isinstance(output, Logits):
            return self._logits(layer)
        three = self._rows(large[0], order) if large else None
        return ByteSum(layer.name, target, bias, output, three, points)

    def _logits(self, layer: Sum) -> PointLogits | None:
        (term, *others) = layer.terms
        if others or term.kernel != 1:
            return None
        weight = self._rows(term, np.arange(len(layer.bias))).weight[:, :, 0, 0]
        return PointLogits(layer.name, layer.target, layer.bias, layer.output, term.source, weight)

    def _stem(self, layer: Sum) -> StemPool | None:
        (term, *others) = layer.terms
        pool = self._only_reader(layer.target)
        if (
            others
            or (term.kernel, term.stride, term.dilation, term.pad, term.weight.shape[1]) != (3, 2, 1, 1, 1)
            or not isinstance(pool, MaxPool)
        ):
            return None
        self.taken.add(pool.name)
        return StemPool(layer.name, pool.target, layer.bias, layer.output, term.source, term.weight[:, 0])

    def _shuffled(self, layer: Sum) -> tuple[str, np.ndarray]:
        order = np.arange(len(layer.bias))
        follower = self._only_reader(layer.target)
        if not isinstance(follower, Shuffle):
            return layer.target, order
        self.taken.add(follower.name)
        return follower.target, order.reshape(follower.groups, -1).T.ravel()

    def _rows(self, term: Term, order: np.ndarray) -> Rows:
        out, per_group = term.weight.shape[:2]
        channels = self.network.shapes[term.source][0]
        weight = np.zeros((out, channels, *term.weight.shape[2:]), np.int8)
        for row in range(out):
            first = row // (out // term.groups) * per_group
            weight[row, first : first + per_group] = term.weight[row]
        return Rows(term.source, weight[order], term.dilation)

    def _only_reader(self, target: str):
        readers = self.readers.get(target, [])
        is_output = target in (self.network.heatmaps, self.network.visibility)
        return readers[0] if len(readers) == 1 and not is_output else None


def _sources(layer) -> tuple[str, ...]:
    return tuple(term.source for term in layer.terms) if isinstance(layer, Sum) else sources_of(layer)
