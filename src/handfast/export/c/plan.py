"""Where each area lies in the arena, and how finely maps are cut into strips for it to be small."""

from collections.abc import Sequence
from dataclasses import dataclass

from handfast.export.c.fusion import Conv, Plain, Stem, Step, UpsampleDepthwise
from handfast.export.c.network import MaxPool, Network
from handfast.export.c.schedule import Area, Key, Operation, Rows, Scheduler, Segment

ALIGNED = 16  # floats: 64 bytes
SLACK = 16  # floats that a vector may read past the last plane
LONGEST_VECTOR = 16  # floats
SCRATCH = ("scratch", "heatmap")
BEFORE_LAST = ("scratch", "before the last up-sampling")


@dataclass(frozen=True)
class Place:
    """``offset`` floats from the arena on; ``plane`` floats to the next channel, ``jump`` between rows."""

    offset: int
    plane: int
    jump: int


@dataclass(frozen=True)
class Plan:
    """What is run in which order, where, and how large the arena is.

    one_by_one: how many of the last steps run for each heat-map apart, into areas for one.
    """

    operations: tuple[Operation, ...]
    before_early_out: int
    areas: dict[Key, Area]
    offsets: dict[Key, int]
    floats: int
    one_by_one: int
    scheduler: Scheduler

    def place(self, rows: Rows) -> Place:
        area = self.areas[rows.area]
        plane = area.rows * area.width
        offset = self.offsets[rows.area] + rows.channel * plane + rows.first * area.width
        return Place(offset, plane, (rows.step - 1) * area.width)

    def place_of(self, name: str) -> Place:
        """A map that is kept as a whole."""
        root = self.scheduler.root(name)
        return self.place(Rows(("map", root), self.scheduler.guard(root), 1, 1, self.scheduler.channel(name)))


def plan_arena(network: Network, steps: Sequence[Step], early_out_step: int, limit_bytes: int | None) -> Plan:
    """The plan with the largest strips whose arena has at most ``limit_bytes``, or the smallest one.

    None: all layers run as a whole.
    """
    if limit_bytes is None:
        return _plan(network, steps, early_out_step, 0, 0)
    best = None
    for window_rows in (24, 16, 12, 10, 8, 7, 6, 5, 4, 3):
        for chain_rows in (8, 6, 4, 3, 2, 1):
            plan = _plan(network, steps, early_out_step, window_rows, chain_rows)
            if best is None or plan.floats < best.floats:
                best = plan
            if 4 * plan.floats <= limit_bytes:
                return plan
    return best


def _plan(
    network: Network, steps: Sequence[Step], early_out_step: int, window_rows: int, chain_rows: int
) -> Plan:
    one_by_one = _one_by_one(network, steps)
    kept = steps[: len(steps) - one_by_one]
    read_last = {network.visibility, steps[-one_by_one].source if one_by_one else network.heatmaps}
    scheduler = Scheduler(network, kept, _segments(network, kept, window_rows, chain_rows), read_last)
    schedule = scheduler.schedule(early_out_step)
    areas = dict(schedule.areas)
    end = len(schedule.operations)
    # A vector is loaded from one cell to the left on, and that cell then masked.
    for step in steps:
        if isinstance(step, UpsampleDepthwise) and (area := areas.get(("map", scheduler.root(step.source)))):
            area.margin = max(area.margin, 1)
    _, height, width = network.shapes[network.heatmaps]
    areas[SCRATCH] = Area(1, height, width, 0, [[end, end]])
    if one_by_one > 1:
        _, height, width = network.shapes[steps[-1].source]
        areas[BEFORE_LAST] = Area(1, height, width, 1, [[end, end]])
    offsets, floats = _packed(areas)
    return Plan(schedule.operations, schedule.before_early_out, areas, offsets, floats, one_by_one, scheduler)


def _one_by_one(network: Network, steps: Sequence[Step]) -> int:
    """How many of the last steps make each heat-map from channels of its own."""
    if not isinstance(steps[-1], UpsampleDepthwise) or steps[-1].target != network.heatmaps:
        return 0
    before = steps[-2]
    return (
        2
        if isinstance(before, UpsampleDepthwise) and before.tail and before.target == steps[-1].source
        else 1
    )


def _segments(network: Network, steps: Sequence[Step], window_rows: int, chain_rows: int) -> list[Segment]:
    """Strips from the stem to the first pooling after it; combs and strips for residual pairs."""
    segments: list[Segment] = []
    index = 0
    pools = (i for i, step in enumerate(steps) if isinstance(step, Plain) and isinstance(step.layer, MaxPool))
    pool = next(pools, 0)
    if chain_rows and pool and isinstance(steps[0], Stem):
        segments.append(Segment(0, pool, chain_rows))
        index = pool + 1
    while index < len(steps):
        if window_rows and _is_pair(steps[index : index + 2], network):
            dilation = steps[index + 1].convolution.dilation
            rows = -(-network.shapes[steps[index].target][1] // dilation)
            strip = 0 if rows + 2 <= window_rows else window_rows - 2
            segments.append(Segment(index, index + 1, strip, dilation))
            index += 2
        else:
            segments.append(Segment(index, index))
            index += 1
    return segments


def _is_pair(steps: Sequence[Step], network: Network) -> bool:
    """A 1x1 convolution and the 3x3 one after it, whose sum with what the first reads takes its place.

    Their rows are at least as long as a vector, so that it holds the ends of no more than two.
    """
    if len(steps) < 2 or not all(isinstance(step, Conv) for step in steps):
        return False
    first, second = steps
    kernels = first.convolution.kernel, second.convolution.kernel
    is_long = network.shapes[first.source][2] >= LONGEST_VECTOR
    return is_long and kernels == (1, 3) and second.source == first.target and second.residual == first.source


def _packed(areas: dict[Key, Area]) -> tuple[dict[Key, int], int]:
    """-> where each area begins, no two of which overlap while both live, and the floats of the arena."""
    parts = {key: _parts(area) for key, area in areas.items()}
    offsets: dict[Key, int] = {}
    for key in sorted(parts, key=lambda key: -parts[key][-1][1]):
        rivals = [
            (offsets[other] + start, offsets[other] + end, lives, mine)
            for other in offsets
            for start, end, lives in parts[other]
            for mine in parts[key]
            if _meet(lives, mine[2])
        ]
        # As low as can be: at the start, or right behind something that is in the way of one of its parts.
        candidates = sorted({0, *(end - mine[0] for _, end, _, mine in rivals if end >= mine[0])})
        offsets[key] = next(
            offset
            for offset in candidates
            if all(offset + mine[1] <= start or end <= offset + mine[0] for start, end, _, mine in rivals)
        )
    floats = max(offsets[key] + parts[key][-1][1] + _aligned(areas[key].behind) for key in parts)
    return {key: offset + _margin(areas[key]) for key, offset in offsets.items()}, floats


def _parts(area: Area) -> list[tuple[int, int, list[list[int]]]]:
    """An area's floats from..to, and when they live; the channels that are there ahead of others apart."""
    size = _margin(area) + _aligned(area.channels * area.rows * area.width + area.margin + SLACK)
    if not area.others_from:
        return [(0, size, area.lives)]
    # Aligned downwards, so that all areas begin at multiples of 64 bytes.
    middle = area.ahead * area.rows * area.width // ALIGNED * ALIGNED
    (_, last) = area.lives[-1]
    return [(0, middle, [[area.others_from, last]]), (middle, size, area.lives)]


def _meet(lives: list[list[int]], others: list[list[int]]) -> bool:
    return any(a <= d and c <= b for a, b in lives for c, d in others)


def _margin(area: Area) -> int:
    """Floats before the first plane: a masked tap reaches them."""
    return _aligned(area.margin)


def _aligned(floats: int) -> int:
    return -(-floats // ALIGNED) * ALIGNED
