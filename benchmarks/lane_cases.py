"""Convolutions in the two schedules that lanes.py compares: in which blocks, and their arrays."""

from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np

from handfast.export.c import blocks
from handfast.export.c.emit import KERNEL_HEADERS, KERNELS, vector_files
from handfast.export.c.fusion import Block, Conv, fuse
from handfast.export.c.network import read_network
from handfast.export.c.packing import edge_table
from handfast.export.c.targets import TARGETS
from handfast.runtime.model import read_model

SOURCE = Path(__file__).with_name("lanes.c")
FEWEST_LANES = 0.75  # in use, of the most that can be
LOADED_AT_ONCE = 256  # floats behind a map that vectors may reach
MOST_PIXELS, MOST_FILTER_VECTORS = 8, 6  # of a block, in repeat.h


@dataclass(frozen=True, order=True)
class Shape:
    """A convolution of stride 1; inputs and outputs: of a group, width and height: of the map. is_whole: as
    built all of a group's filters run at once."""

    kernel: int
    groups: int
    inputs: int
    outputs: int
    width: int
    height: int
    dilation: int = 1
    is_whole: bool = False

    @property
    def flops(self) -> int:
        return 2 * self.kernel**2 * self.groups * self.inputs * self.outputs * self.width * self.height

    @property
    def margin(self) -> int:
        return self.kernel // 2 * self.dilation

    def __str__(self) -> str:
        dilated = f" dilated {self.dilation}" if self.dilation > 1 else ""
        return (
            f"{self.kernel}x{self.kernel}{dilated}, {self.groups} x {self.inputs} -> {self.outputs}, "
            f"{self.width} x {self.height}"
        )


WIDE = tuple(
    Shape(kernel, 64 // filters, filters, filters, 20, 15) for kernel in (1, 3) for filters in (16, 32, 64)
)


@dataclass(frozen=True)
class PixelsOnLanes:
    """A block has ``filters`` on ``vectors`` vectors of pixels.

    is_shared: the kernel is compiled for any layer, not for this one alone. Compilers do either with a
    network's layers, and either may be the faster.
    """

    filters: int
    vectors: int
    is_shared: bool


@dataclass(frozen=True)
class FiltersOnLanes:
    """groups_aside: groups that share the lanes. A block has ``vectors`` of filters for ``pixels``."""

    groups_aside: int
    vectors: int
    pixels: int


Schedule = PixelsOnLanes | FiltersOnLanes


@dataclass(frozen=True, eq=False)
class Data:
    """A layer's numbers: map (channels, height, width), weight (outputs, inputs of a group, k, k), bias, and
    what comes out, (outputs, height, width) float64."""

    map: np.ndarray
    weight: np.ndarray
    bias: np.ndarray
    expected: np.ndarray


@dataclass(frozen=True, eq=False)
class Case:
    """A shape in a schedule: the text of shape.h, its arrays, and how to read the output."""

    header: str
    map: np.ndarray
    weights: np.ndarray
    out_floats: int
    read: Callable[[np.ndarray], np.ndarray]


def shapes_of(model: str) -> Counter[Shape]:
    """The convolutions of stride 1 that have kernels of their own, and how often each is there."""
    network = read_network(read_model(model), model)
    return Counter(
        Shape(
            step.convolution.kernel,
            step.convolution.groups,
            step.convolution.weight.shape[1],
            len(step.convolution.weight) // step.convolution.groups,
            *network.shapes[step.source][:0:-1],
            step.convolution.dilation,
            blocks.shape_of(network, step).is_whole,
        )
        for step in fuse(network, model)[0]
        if isinstance(step, Conv)
    )


def make_data(shape: Shape) -> Data:
    """Random numbers, always the same, and their convolution."""
    rng = np.random.default_rng(0)
    channels, outputs = shape.groups * shape.inputs, shape.groups * shape.outputs
    values = rng.standard_normal((channels, shape.height, shape.width), np.float32)
    weight = rng.standard_normal((outputs, shape.inputs, shape.kernel, shape.kernel), np.float32)
    bias = rng.standard_normal(outputs, np.float32)
    padded = np.pad(values.astype(np.float64), ((0, 0), *[(shape.margin, shape.margin)] * 2))
    taps = [
        padded[:, y * shape.dilation :, x * shape.dilation :][:, : shape.height, : shape.width]
        for y in range(shape.kernel)
        for x in range(shape.kernel)
    ]
    seen = np.stack(taps).reshape(shape.kernel**2, shape.groups, shape.inputs, -1)
    grouped = weight.reshape(shape.groups, shape.outputs, shape.inputs, -1).astype(np.float64)
    sums = np.einsum("goit,tgip->gop", grouped, seen).reshape(outputs, shape.height, shape.width)
    return Data(values, weight, bias, np.maximum(sums + bias[:, None, None], 0))


@dataclass(frozen=True)
class Candidates:
    """What is built, other blocks of the same schedule, and blocks of the other one."""

    built: tuple[PixelsOnLanes, ...]
    pixels: tuple[PixelsOnLanes, ...]
    filters: tuple[FiltersOnLanes, ...]


def candidates(shape: Shape, name: str) -> Candidates:
    target, pixels = TARGETS[name], shape.width * shape.height
    built = _built(shape, name)
    free = _key(shape, is_whole=False)
    others = sorted(
        (block for block in blocks.candidates(free, target) if block != built),
        key=lambda block: blocks.cost(block, free, pixels, target),
    )
    return Candidates(
        tuple(PixelsOnLanes(built.filters, built.vectors, is_shared) for is_shared in (False, True)),
        tuple(
            PixelsOnLanes(block.filters, block.vectors, is_shared)
            for block in others[:2]
            for is_shared in (False, True)
        ),
        tuple(filters_on_lanes(shape, name)),
    )


def _built(shape: Shape, name: str) -> Block:
    key, table = _key(shape, shape.is_whole), blocks.measured(name)
    return table.get(key) or blocks.modelled(key, shape.width * shape.height, TARGETS[name])


def _key(shape: Shape, is_whole: bool) -> blocks.Shape:
    """Of one pixel too as if it were of more, where what is built has pixels on the lanes."""
    width = blocks.rounded(shape.width)
    return blocks.Shape(shape.kernel, shape.dilation, shape.inputs, shape.outputs, is_whole, width)


def filters_on_lanes(shape: Shape, target: str) -> Iterator[FiltersOnLanes]:
    """For each number of groups that leaves few lanes empty, the block that loads least."""
    lanes = TARGETS[target].lanes
    asides = [n for n in (1, 2, 4, 8, 16) if shape.groups % n == 0 and lanes % n == 0]
    if target == "mve" and 2 in asides:  # it has no instruction that repeats two lanes
        asides.remove(2)
    filter_vectors = {aside: -(-shape.outputs * aside // lanes) for aside in asides}
    used = {aside: shape.outputs * aside / filter_vectors[aside] for aside in asides}
    row = shape.width * (shape.height if shape.kernel == 1 else 1)
    for aside in (n for n in asides if used[n] >= FEWEST_LANES * max(used.values())):
        is_by_lane = target == "neon" and aside == 1 and shape.inputs % lanes == 0
        loads = {}
        for vectors in (n for n in range(1, MOST_FILTER_VECTORS + 1) if filter_vectors[aside] % n == 0):
            room = TARGETS[target].registers - vectors - (not is_by_lane)
            most = max(1, min(MOST_PIXELS, room // (vectors + is_by_lane)))
            pixels = -(-row // -(-row // most))  # a few less where rows are then divided evenly
            block = FiltersOnLanes(aside, vectors, pixels)
            loads[block] = 1 / pixels + (0.25 if is_by_lane else 1) / vectors
        yield min(loads, key=loads.get)


def make_case(shape: Shape, schedule: Schedule, data: Data, target: str) -> Case:
    arrange = _pixels_on_lanes if isinstance(schedule, PixelsOnLanes) else _filters_on_lanes
    constants, more, values, weights, out_floats, read = arrange(schedule, shape, data, target)
    constants = {name.upper(): value for name, value in asdict(shape).items()} | constants
    defines = (
        f"#define {name} {value}\n" for name, value in (constants | {"OUT_FLOATS": out_floats}).items()
    )
    values = np.concatenate([values.ravel(), np.zeros(LOADED_AT_ONCE)]).astype(np.float32)
    return Case("".join(defines) + more, values, weights.astype(np.float32), out_floats, read)


def _pixels_on_lanes(schedule: PixelsOnLanes, shape: Shape, data: Data, target: str) -> tuple:
    guard = shape.margin * shape.width  # rows of zeros above and below each plane
    rows = np.pad(data.map, ((0, 0), (shape.margin, shape.margin), (0, 0)))
    constants = {
        "FILTERS": schedule.filters,
        "MOST": schedule.vectors,
        "IN_PLANE": rows[0].size,
        "IN_FIRST": shape.margin + guard,
    } | ({"SHARED": 1} if schedule.is_shared else {})
    tables = {
        "left": edge_table(shape.width, shape.dilation, True),
        "right": edge_table(shape.width, shape.dilation, False),
    }
    text = "".join(
        f"static const uint32_t {side}[] = {{{', '.join(map(str, table))}}};\n"
        for side, table in tables.items()
    )
    values = np.concatenate([np.zeros(shape.margin, np.float32), rows.ravel()])
    # As pack_conv does it: [block]: biases, then [column][channel][row][filter].
    bias = data.bias.reshape(-1, schedule.filters)
    weight = data.weight.reshape(-1, schedule.filters, *data.weight.shape[1:]).transpose(0, 4, 2, 3, 1)
    weights = np.concatenate([bias, weight.reshape(len(bias), -1)], axis=1).ravel()
    return constants, text, values, weights, data.expected.size, lambda out: out.reshape(data.expected.shape)


def _filters_on_lanes(schedule: FiltersOnLanes, shape: Shape, data: Data, target: str) -> tuple:
    lanes, aside = TARGETS[target].lanes, schedule.groups_aside
    bundles, k = shape.groups // aside, shape.kernel
    filter_vectors = -(-shape.outputs * aside // lanes)
    blocks, empty = filter_vectors // schedule.vectors, filter_vectors * lanes - shape.outputs * aside
    padded = np.pad(data.map, ((0, 0), *[(shape.margin, shape.margin)] * 2))
    # [bundle][group][channel][row][column] -> [bundle][row][column][channel][group]
    values = padded.reshape(bundles, aside, shape.inputs, *padded.shape[1:]).transpose(0, 3, 4, 2, 1)
    # [bundle][group][filter][channel][row][column] -> [bundle][column][row][channel][filter and group]
    weight = data.weight.reshape(bundles, aside, shape.outputs, shape.inputs, k, k)
    weight = weight.transpose(0, 5, 4, 3, 2, 1).reshape(bundles, k * k * shape.inputs, -1)
    bias = data.bias.reshape(bundles, aside, shape.outputs).transpose(0, 2, 1).reshape(bundles, 1, -1)
    packed = np.pad(np.concatenate([bias, weight], axis=1), ((0, 0), (0, 0), (0, empty)))
    packed = packed.reshape(bundles, -1, blocks, schedule.vectors * lanes).transpose(0, 2, 1, 3)

    def read(out: np.ndarray) -> np.ndarray:
        pixels = out.reshape(bundles, shape.height, shape.width, -1)[..., : shape.outputs * aside]
        split = pixels.reshape(*pixels.shape[:3], shape.outputs, aside)
        return split.transpose(0, 4, 3, 1, 2).reshape(data.expected.shape)

    constants = {"GROUPS_ASIDE": aside, "VECTORS": schedule.vectors, "PIXELS": schedule.pixels}
    out_floats = bundles * shape.height * shape.width * filter_vectors * lanes
    return constants, "", values, packed.ravel(), out_floats, read


def texts_of(case: Case, target: str) -> dict[str, str]:
    vectors = TARGETS[target].header
    return {
        SOURCE.name: SOURCE.read_text(encoding="utf-8"),
        "shape.h": case.header,
        "vector.h": f'#include "{vectors}"\n',
        **vector_files(vectors),
        **{file: (KERNELS / file).read_text() for file in KERNEL_HEADERS},
    }
