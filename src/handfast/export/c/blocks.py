"""In which blocks convolutions run, with pixels or filters on the lanes: as measured, or as a model says."""

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, fields, replace
from importlib.resources import files

from handfast.errors import HandfastError
from handfast.export.c.fusion import MOST_FILTERS, Block, Conv, Step
from handfast.export.c.network import Convolution, Network
from handfast.export.c.targets import TARGETS, Target

MEASURED = files("handfast") / "export" / "c" / "blocks.json"
MOST_VECTORS = 5  # of pixels
MOST_FILTER_VECTORS = 8
OF_A_BLOCK = 24  # instructions, beside those for each sum


@dataclass(frozen=True, order=True)
class Shape:
    """What a convolution's best block depends on.

    inputs, outputs: of a group. is_whole: all of a group's filters run at once. width: of the map, rounded up
    to a power of two. is_pixel: it is a 1x1 convolution on one pixel, whose outputs lie side by side.
    """

    kernel: int
    dilation: int
    inputs: int
    outputs: int
    is_whole: bool
    width: int
    is_pixel: bool = False


Table = Mapping[Shape, Block]


def choose_blocks(network: Network, steps: Sequence[Step], target: Target, table: Table) -> tuple[Step, ...]:
    """The steps, each convolution with its shape's block in the table, or else that of the model."""

    def choose(step: Conv) -> Block:
        _, height, width = network.shapes[step.source]
        shape = shape_of(network, step)
        return table[shape] if shape in table else modelled(shape, height * width, target)

    return tuple(replace(step, block=choose(step)) if isinstance(step, Conv) else step for step in steps)


def shape_of(network: Network, step: Conv) -> Shape:
    conv, width = step.convolution, network.shapes[step.source][2]
    inputs, outputs = conv.weight.shape[1], len(conv.weight) // conv.groups
    # A tail takes them all. And outputs may come where inputs were (schedule.py), which none may then need.
    may_overwrite = conv.kernel == 1 and step.shuffle == 1 and outputs <= MOST_FILTERS
    is_whole = step.tail is not None or may_overwrite
    is_pixel = step.shuffle == 1 and _is_line(network, conv)
    return Shape(conv.kernel, conv.dilation, inputs, outputs, is_whole, rounded(width), is_pixel)


def _is_line(network: Network, conv: Convolution) -> bool:
    """Whether a convolution is a 1x1 one on one pixel, and no 3x3 one needs zeros around such maps."""
    on_pixel = {
        layer.kernel
        for layer in network.layers
        if isinstance(layer, Convolution) and network.shapes[layer.source][1:] == (1, 1)
    }
    return network.shapes[conv.source][1:] == (1, 1) and on_pixel == {1}


def rounded(width: int) -> int:
    """Up to a power of two."""
    return 1 << (width - 1).bit_length()


def candidates(shape: Shape, target: Target) -> list[Block]:
    """Blocks whose sums, pixels and weights registers hold, of each kind but none with less than half of the
    sums of the largest."""
    kinds = _filters_on_lanes(shape, target), _pixels_on_lanes(shape, target)
    return [block for kind in kinds for block in kind if 2 * block.sums >= max(other.sums for other in kind)]


def _filters_on_lanes(shape: Shape, target: Target) -> list[Block]:
    """Blocks as even as can be. None where filters would leave most lanes empty, and none for a single lane:
    they would be the same as with pixels on it."""
    if not shape.is_pixel or target.lanes == 1 or 2 * shape.outputs < target.lanes:
        return []
    every = -(-shape.outputs // target.lanes)
    most = min(MOST_FILTER_VECTORS, target.registers - 2)  # beside a channel and weights
    vectors = {-(-every // blocks) for blocks in ((1,) if shape.is_whole else range(1, every + 1))}
    return [Block(n * target.lanes, n, True) for n in sorted(vectors, reverse=True) if n <= most]


def _pixels_on_lanes(shape: Shape, target: Target) -> list[Block]:
    """Blocks whose filters divide a group's."""
    filters = [n for n in range(1, MOST_FILTERS + 1) if shape.outputs % n == 0]
    return [
        Block(n, vectors)
        for n in (filters[-1:] if shape.is_whole else filters)
        for vectors in range(1, MOST_VECTORS + 1 if shape.width > 1 else 2)
        if vectors == 1 or (n + 1) * vectors + target.weight_registers <= target.registers
    ]


def modelled(shape: Shape, pixels: int, target: Target) -> Block:
    """The candidate of least cost; of equal ones that of most filters, then that of fewest vectors."""
    return min(
        candidates(shape, target),
        key=lambda block: (cost(block, shape, pixels, target), -block.filters, block.vectors),
    )


def cost(block: Block, shape: Shape, pixels: int, target: Target) -> int:
    """Of a group: instructions, or half cycles of a processor that loads while it multiplies."""
    taps = shape.kernel**2 * shape.inputs

    def of_run(sums: int, loads: int) -> int:
        if target.multiplies_aside:
            return taps * max(sums, loads, target.multiplies_aside)
        return taps * (sums + loads) + OF_A_BLOCK

    if block.filters_on_lanes:
        total = of_run(block.vectors, block.vectors + 1)
    else:
        total = 0
        for vectors in runs(-(-pixels // target.lanes), block.vectors):
            sums = block.filters * vectors
            masks = vectors if shape.kernel == 3 and target.is_mask_vector else 0
            spilt = max(0, sums + vectors + masks + target.weight_registers - target.registers)
            total += of_run(sums, -(-block.filters // target.weights_a_load) + vectors + 2 * spilt)
    return total * -(-shape.outputs // block.filters)


def runs(vectors: int, most: int) -> Iterator[int]:
    """How many vectors each block of a line of them has, as in conv_layers.h."""
    while vectors:
        run = vectors if vectors <= most else (vectors + 1) // 2 if vectors == most + 1 else most
        yield run
        vectors -= run


def measured(target: str) -> Table:
    """The best blocks for a target, empty for one that was not measured."""
    return read_table(MEASURED.read_bytes()).get(target, {})


def read_table(content: bytes) -> dict[str, Table]:
    """What ``write_table`` writes -> {target: its table}. Raises HandfastError for what no kernel can do."""
    try:
        listed = json.loads(content)
        return {name: dict(_entry(name, entry) for entry in listed[name]) for name in listed}
    except (ValueError, TypeError, KeyError) as error:
        raise HandfastError(
            f"{MEASURED.name}: expected a list of blocks for each target; benchmarks/blocks.py writes it"
        ) from error


def _entry(name: str, entry: Mapping[str, int]) -> tuple[Shape, Block]:
    shape = Shape(**{field.name: entry[field.name] for field in fields(Shape)})
    block = Block(**{field.name: entry[field.name] for field in fields(Block)})
    are_whole = all(isinstance(value, int) for value in entry.values())
    if not are_whole or name not in TARGETS or block not in candidates(shape, TARGETS[name]):
        raise HandfastError(
            f"{MEASURED.name}: {name}: {entry}: no such target or block; benchmarks/blocks.py writes it"
        )
    return shape, block


def write_table(tables: Mapping[str, Iterable[tuple[Shape, Block]]]) -> bytes:
    """What ``read_table`` reads, an entry a line."""
    targets = (
        f'"{name}": [\n' + ",\n".join(json.dumps(asdict(s) | asdict(b)) for s, b in sorted(table)) + "\n]"
        for name, table in tables.items()
    )
    return ("{\n" + ",\n".join(targets) + "\n}\n").encode()
