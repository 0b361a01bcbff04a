"""Where each map lives: buffers shared by maps that follow one another in place, planned by lifetimes."""

from collections.abc import Sequence
from dataclasses import dataclass

from handfast.export.c.fusion import Conv, Plain, Step, UpsampleDepthwise, reads
from handfast.export.c.network import Concat, Network

ALIGNED = 16  # floats: 64 bytes
SLACK = 16  # floats that a vector may read past the last plane


@dataclass(frozen=True)
class Buffer:
    """Some planes of floats in the arena. guard: rows of zeros before and after each plane.

    offset: of the first plane in the arena, in floats; `before` floats in front of it belong to the buffer.
    """

    channels: int
    height: int
    width: int
    guard: int
    offset: int = 0

    @property
    def pixels(self) -> int:
        return self.height * self.width

    @property
    def plane(self) -> int:
        """Floats from a channel to the next."""
        return self.pixels + self.guard * self.width

    @property
    def before(self) -> int:
        """Zeros before the first plane: the guard's rows, and what a tap to the left adds."""
        return _aligned(self.guard * (self.width + 1))

    @property
    def floats(self) -> int:
        return _aligned(self.before + self.channels * self.plane + self.guard + SLACK)


@dataclass(frozen=True)
class Place:
    """A map in the arena: ``offset`` floats from its start, channels ``plane`` floats apart."""

    buffer: Buffer
    first_channel: int

    @property
    def offset(self) -> int:
        return self.buffer.offset + self.first_channel * self.buffer.plane

    @property
    def plane(self) -> int:
        return self.buffer.plane


@dataclass(frozen=True)
class Plan:
    """places: of all maps in the arena, by name. scratch: offset of one heat-map. floats: of the arena.
    fresh: the buffers whose guards are to be zeroed before a step."""

    places: dict[str, Place]
    scratch: int
    floats: int
    fresh: dict[int, tuple[Buffer, ...]]


def plan_arena(network: Network, steps: Sequence[Step]) -> Plan:
    """Lay out the maps of ``steps``; the heat-maps, made one by one, have room for one."""
    shapes = network.shapes
    joined = _joined(steps, network)
    root = {name: _root(name, joined) for step in steps for name in (step.target, *reads(step))}
    root.pop(network.image)
    one_by_one = isinstance(steps[-1], UpsampleDepthwise) and steps[-1].target == network.heatmaps
    if one_by_one:
        root.pop(network.heatmaps)

    first_channel = {name: _first_channel(name, joined) for name in root}
    buffers: dict[str, Buffer] = {}
    lives: dict[str, list[int]] = {}
    for index, step in enumerate(steps):
        for name in (step.target, *reads(step)):
            if name in root:
                key = root[name]
                guard = max(buffers[key].guard if key in buffers else 0, _guard(step, name))
                buffers[key] = Buffer(*shapes[key], guard)
                lives.setdefault(key, [index, index])[1] = index
    for output in (network.heatmaps, network.visibility):
        if output in root:
            lives[root[output]][1] = len(steps)
    scratch = "one heat-map"
    _, height, width = shapes[network.heatmaps]
    buffers[scratch] = Buffer(1 if one_by_one else 0, height, width, 0)
    lives[scratch] = [len(steps) - 1, len(steps)]

    offsets, floats = _packed({key: buffer.floats for key, buffer in buffers.items()}, lives)
    placed = {
        key: Buffer(b.channels, b.height, b.width, b.guard, offsets[key] + b.before) for key, b in buffers.items()
    }
    fresh: dict[int, tuple[Buffer, ...]] = {}
    for key, (first, _) in lives.items():
        if placed[key].guard:
            fresh[first] = (*fresh.get(first, ()), placed[key])
    places = {name: Place(placed[key], first_channel[name]) for name, key in root.items()}
    return Plan(places, placed[scratch].offset, floats, fresh)


def _joined(steps: Sequence[Step], network: Network) -> dict[str, tuple[str, int]]:
    """{map: (the map in whose buffer it lives, its first channel there)}."""
    last_read = {name: index for index, step in enumerate(steps) for name in reads(step)}
    joined: dict[str, tuple[str, int]] = {}
    for index, step in enumerate(steps):
        match step:
            case Plain(Concat(sources=sources, target=target)):
                channel = 0
                for source in sources:
                    joined[source] = (target, channel)
                    channel += network.shapes[source][0]
            case Conv(residual=str(residual)) if (
                last_read[residual] == index
                and residual != step.source
                and network.shapes[_root(residual, joined)] == network.shapes[residual]
            ):
                joined[step.target] = (residual, 0)
    return joined


def _root(name: str, joined: dict[str, tuple[str, int]]) -> str:
    return _root(joined[name][0], joined) if name in joined else name


def _first_channel(name: str, joined: dict[str, tuple[str, int]]) -> int:
    if name not in joined:
        return 0
    holder, channel = joined[name]
    return channel + _first_channel(holder, joined)


def _guard(step: Step, name: str) -> int:
    """Rows of zeros that a step needs around a map that it reads."""
    match step:
        case Conv(convolution=convolution) if name == step.source:
            return convolution.dilation if convolution.kernel == 3 else 0
        case UpsampleDepthwise() if name == step.source:
            return 1
    return 0


def _packed(sizes: dict[str, int], lives: dict[str, list[int]]) -> tuple[dict[str, int], int]:
    """-> offsets, no two of which overlap while both live, and the end of the last; the largest are first."""
    offsets: dict[str, int] = {}
    for key in sorted(sizes, key=lambda key: -sizes[key]):
        taken = sorted(
            (offsets[other], offsets[other] + sizes[other])
            for other in offsets
            if lives[other][0] <= lives[key][1] and lives[key][0] <= lives[other][1]
        )
        offset = 0
        for start, end in taken:
            if start - offset >= sizes[key]:
                break
            offset = max(offset, end)
        offsets[key] = offset
    return offsets, max(offsets[key] + sizes[key] for key in sizes)


def _aligned(floats: int) -> int:
    return -(-floats // ALIGNED) * ALIGNED
