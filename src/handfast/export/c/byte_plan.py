"""Which 8-bit steps run strip by strip, one into the next, and where each map lives."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

import numpy as np

from handfast.compression.quantise import Logits, QuantisedNetwork
from handfast.export.c.byte_steps import QUAD, ByteSum, Step, UpsampledSum, reads
from handfast.export.c.network import Concat, MaxPool

ALIGNED = 64
# Bytes before the first map: a masked tap may reach there.
MARGIN = 64
# Bytes that a block of vectors may read past the last map, whatever the target's vectors are.
SLACK = 384
# Cells of a strip: five vectors of sixteen lanes.
STRIP = 80


@dataclass(frozen=True, eq=False)
class Item:
    """Steps that run together, a strip of rows or cells at a time.

    window: a 1x1 convolution, of whose map only the rows live that the 3x3 convolution after it, `body`, is
    about to see. tail: a 1x1 convolution of the strip that the body has just made. Most items are a body
    alone, which runs as a whole.
    """

    body: Step
    window: ByteSum | None = None
    tail: ByteSum | None = None

    @property
    def steps(self) -> tuple[Step, ...]:
        return tuple(step for step in (self.window, self.body, self.tail) if step is not None)

    @property
    def target(self) -> str:
        return self.steps[-1].target

    @property
    def reads(self) -> tuple[str, ...]:
        """Maps that other items have made."""
        inner = {step.target for step in self.steps}
        return tuple(name for step in self.steps for name in reads(step) if name not in inner)


@dataclass(frozen=True)
class Place:
    """A map's first byte in the arena, and the bytes from a quad of channels to the next."""

    offset: int
    plane: int


@dataclass
class _Area:
    """Some planes of quads. lives: (first quad, end, first item, last item) of each map in it."""

    quads: int
    height: int
    width: int
    guard: int = 0
    lives: list[tuple[int, int, int, int]] = field(default_factory=list)

    @property
    def plane(self) -> int:
        """Bytes from a quad of channels to the next; vectors of a plane's first cells are aligned."""
        return _aligned(4 * self.width * (self.height + self.guard))

    @property
    def before(self) -> int:
        return _aligned(4 * self.guard * (self.width + 1))

    def parts(self) -> list[tuple[int, int, int, int]]:
        """Bytes from..to and items from..to. With guard rows, written all at once, a single part."""
        if self.guard:
            end = self.before + self.quads * self.plane + 4 * self.guard
            return [(0, end, min(life[2] for life in self.lives), max(life[3] for life in self.lives))]
        return [(first * self.plane, end * self.plane, *when) for first, end, *when in self.lives]

    @property
    def bytes(self) -> int:
        return max(part[1] for part in self.parts())


@dataclass(frozen=True)
class Plan:
    """items: in their order, and how many run before the early-out. places: of maps, and of what an item
    keeps for itself, by its name. guards: rows around maps, by name. heatmap: offset of room for one
    heat-map, stem: of some rows of the image."""

    items: tuple[Item, ...]
    before_early_out: int
    places: dict[str, Place]
    guards: dict[str, int]
    heatmap: int
    stem: int
    arena_bytes: int


def quads_of(channels: int) -> int:
    return -(-channels // QUAD)


def strip_rows(width: int) -> int:
    """Rows of a strip."""
    return max(1, STRIP // width)


def plan_bytes(network: QuantisedNetwork, steps: Sequence[Step], before_early_out: int) -> Plan:
    """Lay out all maps but the heat-maps, which are made one by one in a room of their own."""
    parts = steps[:before_early_out], steps[before_early_out:]
    items = tuple(item for part in parts for item in _items(network, part, steps))
    early = sum(item.steps[-1] in steps[:before_early_out] for item in items)
    joined = _joined(network, items)
    areas: dict[str, _Area] = {}

    def live(name: str, first: int, last: int) -> None:
        root, quad = _root(name, joined)
        area = areas.setdefault(root, _Area(quads_of(network.shapes[root][0]), *network.shapes[root][1:]))
        area.lives.append((quad, quad + quads_of(network.shapes[name][0]), first, last))

    last_read = _last_reads(items)
    guards: dict[str, int] = {}
    for index, item in enumerate(items):
        name = item.target
        if name not in (network.heatmaps, network.visibility):
            live(name, index, last_read.get(name, index))
    for item in items:
        for step in item.steps:
            if (name := guarded(step)) in last_read:
                rows = step.three.dilation if isinstance(step, ByteSum) else 1
                guards[name] = max(guards.get(name, 0), rows)
                area = areas[_root(name, joined)[0]]
                area.guard = max(area.guard, rows)
    _, height, width = network.shapes[network.heatmaps]
    areas["one heat-map"] = _Area(1, height, width, 0, [(0, 1, len(items) - 1, len(items))])
    areas["rows of the image"] = _Area(1, 5, network.shapes[network.image][2] // 4 + 20, 0, [(0, 1, 0, 0)])
    for index, item in enumerate(items):
        for name, area in _own_areas(network, item).items():
            area.lives.append((0, area.quads, index, index))
            areas[name] = area
    shrunk = {
        _root(item.target, joined)[0]: _root(item.body.source, joined)[0]
        for item in items
        if isinstance(item.body, MaxPool)
    }
    plans = (_allocate(areas, shrunk, order) for order in _orders(areas))
    offsets = min(plans, key=lambda offsets: _end(areas, offsets))
    places = {}
    for name in {*areas, *joined, *last_read} - {network.image}:
        root, quad = _root(name, joined)
        area = areas[root]
        places[name] = Place(offsets[root] + area.before + quad * area.plane, area.plane)
    return Plan(
        items,
        early,
        places,
        guards,
        offsets["one heat-map"],
        offsets["rows of the image"],
        _aligned(_end(areas, offsets) + SLACK),
    )


def _items(network: QuantisedNetwork, steps: Sequence[Step], everything: Sequence[Step]) -> list[Item]:
    readers: dict[str, int] = {}
    for step in everything:
        for name in reads(step):
            readers[name] = readers.get(name, 0) + 1

    def follows(step: Step, target: str) -> bool:
        """Whether a step is a 1x1 convolution, and the only one to read what the step before it has made."""
        return _is_pointwise(step) and target in reads(step) and readers[target] == 1

    items, index = [], 0
    while index < len(steps):
        first, *rest = steps[index : index + 3]
        if _is_windowed(network, first, rest) and readers[first.target] == 1:
            tail = rest[1] if len(rest) > 1 and follows(rest[1], rest[0].target) else None
            items.append(Item(rest[0], first, tail))
        elif _is_strip(first) and rest and follows(rest[0], first.target):
            items.append(Item(first, None, rest[0]))
        else:
            items.append(Item(first))
        index += len(items[-1].steps)
    return items


def _is_pointwise(step: Step) -> bool:
    return isinstance(step, ByteSum) and step.three is None


def _is_strip(step: Step) -> bool:
    return isinstance(step, ByteSum | UpsampledSum) and not isinstance(step.output, Logits)


def _is_windowed(network: QuantisedNetwork, step: Step, rest: Sequence[Step]) -> bool:
    """Whether a 1x1 convolution is followed by a 3x3 one that sees only a few rows of its map at a time."""
    if not rest or not _is_pointwise(step):
        return False
    following = rest[0]
    if not isinstance(following, ByteSum) or following.three is None or following.three.source != step.target:
        return False
    _, height, width = network.shapes[step.target]
    return 2 * (strip_rows(width) + 2 * following.three.dilation) <= height


def _last_reads(items: Sequence[Item]) -> dict[str, int]:
    return {name: index for index, item in enumerate(items) for name in item.reads}


def _joined(network: QuantisedNetwork, items: Sequence[Item]) -> dict[str, tuple[str, int]]:
    """{map: (the map in whose area it lives, its first quad there)}."""
    joined: dict[str, tuple[str, int]] = {}
    for item in items:
        if isinstance(item.body, Concat):
            quad = 0
            for source in item.body.sources:
                joined[source] = item.body.target, quad
                quad += quads_of(network.shapes[source][0])
    last_read = _last_reads(items)
    born = {item.target: index for index, item in enumerate(items)}
    for index, item in enumerate(items):
        source = _overwritten(item)
        if source is None:
            continue
        (held, _), (holder, quad) = _root(item.target, joined), _root(source, joined)
        # All that lives with the source has to be of no more use, and what takes its place has to fit.
        neighbours = [name for name in last_read if _root(name, joined)[0] == holder]
        if (
            held != holder
            and min(born[name] for name in born if _root(name, joined)[0] == held) == index
            and max(last_read[name] for name in neighbours) == index
            and quads_of(network.shapes[held][0]) + quad <= quads_of(network.shapes[holder][0])
            and network.shapes[held][1:] == network.shapes[holder][1:]
        ):
            joined[held] = holder, quad
    return joined


def _overwritten(item: Item) -> str | None:
    """A map that an item's result may take the place of, cell by cell, as the item goes along."""
    inner = {step.target for step in item.steps}
    last = item.steps[-1]
    outer = [p for p in last.points if p.source not in inner] if isinstance(last, ByteSum) else []
    cell_by_cell = [p.source for p in outer if _is_diagonal(p.weight[:, :, 0, 0])]
    if item.window is not None:
        # The window has seen rows before they are overwritten.
        ahead = [p.source for p in item.window.points]
        return ahead[0] if ahead + cell_by_cell[: len(outer)] == [ahead[0]] * (1 + len(outer)) else None
    if not isinstance(last, ByteSum) or last.three is not None:
        return None
    return next((name for name in cell_by_cell if item.reads.count(name) == 1), None)


def _is_diagonal(weight: np.ndarray) -> bool:
    return weight.shape[0] == weight.shape[1] and np.array_equal(weight, np.diag(np.diag(weight)))


def _root(name: str, joined: dict[str, tuple[str, int]]) -> tuple[str, int]:
    quad = 0
    while name in joined:
        name, first = joined[name]
        quad += first
    return name, quad


def guarded(step: Step) -> str | None:
    """The map that a step needs with rows of its zero around it."""
    match step:
        case ByteSum(three=three) if three is not None:
            return three.source
        case UpsampledSum(source=source):
            return source
    return None


def _own_areas(network: QuantisedNetwork, item: Item) -> dict[str, _Area]:
    """Strips and windows that only an item itself needs."""
    areas = {}
    if item.window is not None:
        channels, _, width = network.shapes[item.window.target]
        dilation = item.body.three.dilation
        areas[item.window.target] = _Area(quads_of(channels), strip_rows(width) + 2 * dilation, width)
    if item.tail is not None:
        channels, _, width = network.shapes[item.body.target]
        rows = 2 if isinstance(item.body, UpsampledSum) else max(1, strip_rows(width))
        areas[item.body.target] = _Area(quads_of(channels), rows, width)
    return areas


def _orders(areas: dict[str, _Area]) -> list[list[str]]:
    """In which to give areas their places: the largest first, or with one of the largest a bit later."""
    by_size = sorted(areas, key=lambda name: -areas[name].bytes)
    orders = [by_size]
    for taken in range(min(8, len(by_size))):
        rest = by_size[:taken] + by_size[taken + 1 :]
        orders += [[*rest[:at], by_size[taken], *rest[at:]] for at in range(taken + 1, 14)]
    return orders


def _end(areas: dict[str, _Area], offsets: dict[str, int]) -> int:
    return max(offsets[name] + areas[name].bytes for name in areas)


def _allocate(areas: dict[str, _Area], shrunk: dict[str, str], order: Sequence[str]) -> dict[str, int]:
    """Offsets such that no two parts overlap while both live, each as low as can be in its turn.

    shrunk: {area: another, from which its map is made, plane by plane and no plane larger than before}. It
    may begin where the other does if that is of no more use.
    """
    offsets: dict[str, int] = {}
    for name in order:
        if name in offsets:
            continue
        offsets[name] = next(_free(areas, offsets, name, None))
        for smaller, larger in shrunk.items():
            if larger == name and smaller not in offsets and _takes_over(areas[smaller], areas[larger]):
                same = [at for at in _free(areas, offsets, smaller, larger) if at == offsets[larger]]
                offsets |= dict.fromkeys([smaller][: len(same)], offsets[larger])
    return offsets


def _free(
    areas: dict[str, _Area], offsets: dict[str, int], name: str, may_overlap: str | None
) -> Iterator[int]:
    """Offsets for an area that keep it apart from those that have theirs, the lowest first."""
    rivals = [
        (offsets[other] + start, offsets[other] + end, mine)
        for other in offsets
        if other != may_overlap
        for start, end, first, last in areas[other].parts()
        for mine in areas[name].parts()
        if first <= mine[3] and mine[2] <= last
    ]
    behind = {_aligned(end - mine[0]) for _, end, mine in rivals if end >= mine[0]}
    for offset in sorted({MARGIN, *behind, *([offsets[may_overlap]] if may_overlap else [])}):
        if all(offset + mine[1] <= start or end <= offset + mine[0] for start, end, mine in rivals):
            yield offset


def _takes_over(smaller: _Area, larger: _Area) -> bool:
    born, died = min(life[2] for life in smaller.lives), max(life[3] for life in larger.lives)
    return born == died and not smaller.guard and not larger.guard


def _aligned(count: int) -> int:
    return -(-count // ALIGNED) * ALIGNED
