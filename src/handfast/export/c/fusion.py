"""Layers joined into what one kernel does in one pass."""

from dataclasses import dataclass, replace

from handfast.errors import HandfastError
from handfast.export.c.network import (
    Add,
    Concat,
    Convolution,
    GlobalMax,
    Layer,
    MaxPool,
    Network,
    Shuffle,
    Upsample,
    sources_of,
)

MOST_FILTERS = 8  # in a block, beside a few vectors of pixels


@dataclass(frozen=True, order=True)
class Block:
    """Sums that a convolution keeps in registers: of some filters of a group, on some vectors of pixels.

    filters_on_lanes: the map is one pixel, and the vectors hold the filters; a group's last block may have
    fewer.
    """

    filters: int
    vectors: int
    filters_on_lanes: bool = False

    @property
    def sums(self) -> int:
        return self.vectors if self.filters_on_lanes else self.filters * self.vectors


@dataclass(frozen=True, eq=False)
class Stem:
    """A 3x3 convolution of stride 2 on the image, its ReLU, and 2x2 pooling."""

    source: str
    target: str
    convolution: Convolution


@dataclass(frozen=True, eq=False)
class Conv:
    """A 1x1 or 3x3 convolution of stride 1.

    block: how many of a group's filters run at once, on how many vectors of pixels at most. shuffle: groups
    by which its output's channels are dealt out, 1 for none. tail: the 1x1 convolution that takes each
    group's outputs while they are in registers. residual: a map that is added to the output, tail included.
    relu: after all of it; the ReLU before a tail is the convolution's own.
    """

    source: str
    target: str
    convolution: Convolution
    block: Block
    shuffle: int = 1
    tail: Convolution | None = None
    residual: str | None = None
    relu: bool = False


@dataclass(frozen=True, eq=False)
class UpsampleDepthwise:
    """Nearest neighbour to twice the size, then a depth-wise 3x3 convolution.

    tail: a 1x1 convolution of groups of its channels to one map each, made one by one.
    """

    source: str
    target: str
    convolution: Convolution
    tail: Convolution | None = None


@dataclass(frozen=True)
class Plain:
    """A layer that stays as it is: MaxPool, GlobalMax, Concat or Add."""

    layer: MaxPool | GlobalMax | Concat | Add

    @property
    def target(self) -> str:
        return self.layer.target


Step = Stem | Conv | UpsampleDepthwise | Plain


def reads(step: Step) -> tuple[str, ...]:
    """The maps that a step reads."""
    match step:
        case Plain(layer):
            return sources_of(layer)
        case Conv(residual=str(residual)):
            return step.source, residual
        case _:
            return (step.source,)


def fuse(network: Network, name: object) -> tuple[tuple[Step, ...], int]:
    """-> the steps, and how many of them run before the early-out; convolutions in blocks of a single vector.

    Raises HandfastError that names the first layer for which there is no kernel.
    """
    return _Fusion(network, name).steps()


class _Fusion:
    def __init__(self, network: Network, name: object) -> None:
        self.network, self.name = network, name
        self.readers: dict[str, list[Layer]] = {}
        for layer in network.layers:
            for source in sources_of(layer):
                self.readers.setdefault(source, []).append(layer)
        self.made = {network.image}  # maps that the steps so far write, or take along

    def steps(self) -> tuple[tuple[Step, ...], int]:
        steps: list[Step] = []
        before_early_out = None
        for index, layer in enumerate(self.network.layers):
            if index == self.network.decoder_start:
                before_early_out = len(steps)
            if layer.target not in self.made:
                steps.append(self._step(layer))
                self.made.add(steps[-1].target)
        return tuple(steps), len(steps) if before_early_out is None else before_early_out

    def _step(self, layer: Layer) -> Step:
        match layer:
            case Convolution():
                step = self._convolution(layer)
            case Upsample():
                step = self._upsampling(layer)
            case Concat():
                step = Plain(layer) if self._may_be_joined(layer) else None
            case Shuffle():
                step = None
            case _:
                step = Plain(layer)
        reads_image = step is not None and self.network.image in reads(step)
        if step is None or reads_image != isinstance(step, Stem):
            raise HandfastError(
                f"model {self.name}: layer {layer.name}: there is no C kernel for it where it stands; "
                "run the model with onnxruntime"
            )
        return step

    def _may_be_joined(self, layer: Concat) -> bool:
        """Whether each of the maps can be written in its place: it has no place in another one."""
        joined = [
            source for join in self.network.layers if isinstance(join, Concat) for source in join.sources
        ]
        return all(joined.count(source) == 1 for source in layer.sources)

    def _convolution(self, layer: Convolution) -> Step | None:
        if layer.stride == 2:
            return self._stem(layer)
        if (layer.stride, layer.kernel, layer.pad) not in ((1, 1, 0), (1, 3, layer.dilation)):
            return None
        outputs = len(layer.weight) // layer.groups
        filters = max(n for n in range(1, MOST_FILTERS + 1) if outputs % n == 0)
        step = Conv(layer.source, layer.target, layer, Block(filters, 1), relu=layer.relu)
        follower = self._only_reader(layer.target)
        if isinstance(follower, Shuffle):
            if layer.kernel != 1 or follower.groups != layer.groups:
                return None
            return self._with(step, follower, shuffle=follower.groups)
        if layer.kernel == 3 and self._is_tail(follower, layer):
            step = self._with(step, follower, tail=follower, relu=follower.relu)
            follower = self._only_reader(follower.target)
        last = step.tail or layer
        if isinstance(follower, Add) and not last.relu and (step.tail or layer.kernel == 1):
            residuals = [source for source in follower.sources if source != last.target]
            if len(residuals) == 1 and residuals[0] in self.made:
                step = self._with(step, follower, residual=residuals[0], relu=follower.relu)
        return step

    def _stem(self, layer: Convolution) -> Step | None:
        pool = self._only_reader(layer.target)
        channels, height, width = self.network.shapes[layer.source]
        if (
            (layer.kernel, layer.pad, layer.dilation, layer.groups, layer.relu) != (3, 1, 1, 1, True)
            or channels not in (1, 3)
            or not isinstance(pool, MaxPool)
            or layer.source != self.network.image
            or height % 4
            or width % 4
        ):
            return None
        self.made.add(layer.target)
        return Stem(layer.source, pool.target, layer)

    def _upsampling(self, layer: Upsample) -> Step | None:
        follower = self._only_reader(layer.target)
        channels = self.network.shapes[layer.source][0]
        if (
            isinstance(follower, Convolution)
            and (follower.kernel, follower.pad, follower.dilation, follower.stride) == (3, 1, 1, 1)
            and follower.groups == channels == len(follower.weight)
        ):
            self.made.add(layer.target)
            tail = self._only_reader(follower.target)
            if self._makes_heatmaps_sources(tail):
                self.made.add(follower.target)
                return UpsampleDepthwise(layer.source, tail.target, follower, tail)
            return UpsampleDepthwise(layer.source, follower.target, follower)
        return None

    def _makes_heatmaps_sources(self, tail: Layer | None) -> bool:
        """Whether a layer makes each map that is then up-sampled to a heat-map from channels of its own."""
        return (
            isinstance(tail, Convolution)
            and (tail.kernel, tail.stride, tail.relu) == (1, 1, False)
            and tail.groups == len(tail.weight)
            and isinstance(self._only_reader(tail.target), Upsample)
            and self._only_reader(self._only_reader(tail.target).target) is self.network.layers[-1]
        )

    def _is_tail(self, follower: Layer | None, layer: Convolution) -> bool:
        return (
            isinstance(follower, Convolution)
            and (follower.kernel, follower.stride, follower.groups) == (1, 1, layer.groups)
            and len(layer.weight) // layer.groups <= MOST_FILTERS
        )

    def _with(self, step: Conv, taken: Layer, **changes: object) -> Conv:
        """The step with one more layer in it."""
        self.made.add(step.target)
        return replace(step, target=taken.target, **changes)

    def _only_reader(self, target: str) -> Layer | None:
        following = self.readers.get(target, [])
        is_output = target in (self.network.heatmaps, self.network.visibility)
        return following[0] if len(following) == 1 and not is_output else None
