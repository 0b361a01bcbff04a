"""In which order the rows of the maps are made, so that few of them need be kept.

Steps run in segments. Within a segment a strip of rows goes through all of its steps before the next strip
begins, so maps that only the segment reads exist as windows of some rows. What the next strip needs of a
window, the rows above it, waits in a map of its own, the carry. A segment of one step and one strip is a
layer run as a whole.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from handfast.export.c.fusion import Conv, Plain, Stem, Step, reads
from handfast.export.c.network import Concat, MaxPool, Network

Key = tuple[str, str]  # what an area is: "map", "window" or "carry"; and of which map


@dataclass(frozen=True)
class Rows:
    """``count`` rows of an area from ``first`` on, every ``step``-th, of channels from ``channel`` on."""

    area: Key
    first: int
    count: int
    step: int = 1
    channel: int = 0


@dataclass(frozen=True)
class Run:
    """A step makes some rows. map_row: the number of the first of them in its map."""

    index: int
    source: Rows | None
    target: Rows
    residual: Rows | None
    map_row: int


@dataclass(frozen=True)
class Copy:
    """Rows of all channels move to another area."""

    source: Rows
    target: Rows


@dataclass(frozen=True)
class Clear:
    """Rows of all channels become zeros: they lie outside their map."""

    rows: Rows


Operation = Run | Copy | Clear


@dataclass(frozen=True)
class Segment:
    """Steps ``first``..``last``. strip: rows of the last step's map that are made at a time, 0 for all. comb:
    the dilation whose every d-th rows are gone through apart, 1 for none."""

    first: int
    last: int
    strip: int = 0
    comb: int = 1


@dataclass
class Area:
    """What an area of the arena holds, and while which operations it does: [first, last] each.

    margin: floats that taps reach before the first and behind the last row. behind: floats that vectors reach
    behind the last row, where the next one of a comb would be; they are not used. ahead: the first channel of
    those that are there before the others, which begin to live with operation ``others_from``.
    """

    channels: int
    rows: int
    width: int
    margin: int
    lives: list[list[int]]
    behind: int = 0
    ahead: int = 0
    others_from: int = 0


@dataclass(frozen=True)
class Schedule:
    """operations, of which the first ``before_early_out`` make the visibility; areas by key."""

    operations: tuple[Operation, ...]
    before_early_out: int
    areas: dict[Key, Area]


class Scheduler:
    """Writes down the operations of segments, and how long each area must last."""

    def __init__(
        self, network: Network, steps: Sequence[Step], segments: Sequence[Segment], kept: set[str]
    ) -> None:
        """kept: maps that are read after all of the steps."""
        self.network, self.steps, self.segments, self.kept = network, steps, segments, kept
        self.joined = _joined(network, steps)
        self.areas: dict[Key, Area] = {}
        self.operations: list[Operation] = []

    def schedule(self, early_out_step: int) -> Schedule:
        before_early_out = 0
        for segment in self.segments:
            if segment.first == early_out_step:
                before_early_out = len(self.operations)
            rows = self.network.shapes[self.steps[segment.last].target][1]
            for residue in range(min(segment.comb, rows)):
                _SegmentRun(self, segment, residue).run()
        for name in self.kept:
            self.areas["map", self.root(name)].lives[-1][1] = len(self.operations)
        return Schedule(tuple(self.operations), before_early_out or len(self.operations), self.areas)

    def root(self, name: str) -> str:
        """The map in whose area a map lies."""
        return self.root(self.joined[name][0]) if name in self.joined else name

    def channel(self, name: str) -> int:
        """A map's first channel in that area."""
        if name not in self.joined:
            return 0
        holder, channel = self.joined[name]
        return channel + self.channel(holder)

    def guard(self, root: str) -> int:
        """Rows of zeros above and below a whole map: the largest reach of a 3x3 convolution that reads it."""
        reaches = [
            reach(step)
            for segment in self.segments
            for step in self.steps[segment.first : segment.last + 1]
            if isinstance(step, Conv) and self.root(step.source) == root
        ]
        return max(reaches, default=0)

    def use(self, key: Key, begins: bool, channels: int, rows: int, width: int, margin: int) -> None:
        """The next operation reads or writes an area; it begins to live anew, or goes on."""
        now = len(self.operations)
        area = self.areas.setdefault(key, Area(channels, rows, width, margin, []))
        area.rows, area.margin = max(area.rows, rows), max(area.margin, margin)
        if begins or not area.lives:
            area.lives.append([now, now])
        area.lives[-1][1] = now


def reach(step: Step) -> int:
    """Rows above and below that a step reads of its source."""
    is_3x3 = isinstance(step, Conv) and step.convolution.kernel == 3
    return step.convolution.dilation if is_3x3 else 0


class _SegmentRun:
    """One pass over a segment: all of its rows, or each comb-th of them from ``residue`` on.

    Rows are counted as the pass sees them: row r is row residue + r comb of the map.
    """

    def __init__(self, scheduler: Scheduler, segment: Segment, residue: int) -> None:
        self.parent, self.segment, self.residue = scheduler, segment, residue
        self.indices = range(segment.first, segment.last + 1)
        self.steps = [scheduler.steps[index] for index in self.indices]
        self.comb = segment.comb
        self.made = dict.fromkeys((step.target for step in self.steps), 0)
        inside = {scheduler.root(name) for name in self.made}
        later = {
            scheduler.root(name)
            for index, step in enumerate(scheduler.steps)
            if index not in self.indices
            for name in (step.target, *reads(step))
        }
        # Maps that nothing outside the segment reads or writes.
        self.windows = inside - later - {scheduler.root(name) for name in scheduler.kept}
        self.window_first: dict[str, int] = {}  # the row at which each window of this strip begins
        self.carried: dict[str, tuple[int, int]] = {}  # the first row of each carry, and how many

    def run(self) -> None:
        last = self.steps[-1]
        height = self._height(last.target)
        strip = self.segment.strip or height
        end = strip - strip * self._strips_ahead(strip)
        while self.made[last.target] < height:
            self.window_first.clear()
            wanted = self._wanted(min(end, height), height)
            for index, step in zip(self.indices, self.steps, strict=True):
                if wanted[step.target] > self.made[step.target]:
                    self._make(index, step, wanted)
                for root in [root for root in self.window_first if self._readers(root)[-1] is step]:
                    self._carry_over(root)
            end += strip

    def _strips_ahead(self, strip: int) -> int:
        """How many strips begin before the first row of the last map: they fill the windows it needs."""
        rows = strip * self._height(self.steps[0].target) // self._height(self.steps[-1].target)
        return (
            -(-max(sum(self._reach(step) for step in self.steps) - 1, 0) // rows) if self.segment.strip else 0
        )

    def _wanted(self, end: int, height: int) -> dict[str, int]:
        """How many rows of each map there must be for the first ``end`` ones of the last map."""
        heights = {name: self._height(name) for name in self.made}
        if end == height:
            return heights
        wanted = dict.fromkeys(self.made, -height)
        wanted[self.steps[-1].target] = end
        for step in reversed(self.steps):
            for name in reads(step):
                if name in wanted:
                    rows = wanted[step.target] * self._pooled(step) + self._reach(step)
                    wanted[name] = max(wanted[name], min(rows, heights[name]))
        return wanted

    def _make(self, index: int, step: Step, wanted: dict[str, int]) -> None:
        """Write down how a step makes the rows of its map that are wanted and not made."""
        first, count = self.made[step.target], wanted[step.target] - self.made[step.target]
        if not isinstance(step, Plain) or not isinstance(step.layer, Concat):
            source = residual = None
            if not isinstance(step, Stem):
                pooled = self._pooled(step)
                source = self._rows(reads(step)[0], first * pooled, count * pooled, wanted)
            if isinstance(step, Conv) and step.residual:
                residual = self._rows(step.residual, first, count, wanted)
            elif isinstance(step, Plain) and len(reads(step)) > 1:
                residual = self._rows(reads(step)[1], first, count, wanted)
            target = self._rows(step.target, first, count, wanted)
            for rows in (source, residual, target):
                if rows is not None:
                    self._touch(rows.area)
            area = self.parent.areas[target.area]
            if target.channel < area.ahead and not area.others_from:
                area.others_from = len(self.parent.operations)
            self.parent.operations.append(Run(index, source, target, residual, first))
        self.made[step.target] += count

    def _rows(self, name: str, first: int, count: int, wanted: dict[str, int]) -> Rows:
        """Where rows of a map are; an area that is not there yet begins to be."""
        root, channel = self.parent.root(name), self.parent.channel(name)
        if root in self.windows:
            if root not in self.window_first:
                self._begin_window(root, wanted)
            return Rows(("window", root), first - self.window_first[root], count, 1, channel)
        guard = self.parent.guard(root)
        if ("map", root) not in self.parent.areas:
            self._begin_map(root, guard, channel)
        area = self.parent.areas["map", root]
        area.behind = max(area.behind, (self.comb - 1) * area.width)
        return Rows(("map", root), guard + self.residue + first * self.comb, count, self.comb, channel)

    def _begin_map(self, root: str, guard: int, channel: int) -> None:
        channels, height, width = self.parent.network.shapes[root]
        key = ("map", root)
        self.parent.use(key, True, channels, height + 2 * guard, width, guard)
        self.parent.areas[key].ahead = 0 if guard else channel
        for first in (0, guard + height) if guard else ():
            self._write(Clear(Rows(key, first, guard)))

    def _begin_window(self, root: str, wanted: dict[str, int]) -> None:
        """A window on the rows that this strip reads: those carried over, zeros, and room for new ones."""
        channels, _, width = self.parent.network.shapes[root]
        height = self._height(root)
        first = self.window_first[root] = self._first_needed(root)
        end = max(
            wanted[step.target] + self._reach(step) if self._reach(step) else wanted.get(name, 0)
            for step in self.steps
            for name in reads(step)
            if self.parent.root(name) == root
        )
        end = max(end, *(wanted[name] for name in self.made if self.parent.root(name) == root))
        margin = max(step.convolution.dilation if self._reach(step) else 0 for step in self._readers(root))
        key, carry = ("window", root), ("carry", root)
        self.parent.use(key, True, channels, end - first, width, margin)
        if carry in self.parent.areas and self.carried.get(root):
            begin, count = self.carried.pop(root)
            self._touch(carry)
            self._write(Copy(Rows(carry, 0, count), Rows(key, begin - first, count)))
        if first < 0:
            self._write(Clear(Rows(key, 0, -first)))
        if end > height:
            self._write(Clear(Rows(key, height - first, end - height)))

    def _carry_over(self, root: str) -> None:
        """Save what the next strip reads of a window."""
        window_first = self.window_first.pop(root)
        begin = max(self._first_needed(root), 0)
        made = max(self.made[name] for name in self.made if self.parent.root(name) == root)
        if begin >= made or all(
            self.made[step.target] == self._height(step.target) for step in self._readers(root)
        ):
            return
        channels, _, width = self.parent.network.shapes[root]
        key, carry = ("window", root), ("carry", root)
        self.parent.use(carry, True, channels, made - begin, width, 0)
        rows = Rows(carry, 0, made - begin)
        self._write(Copy(Rows(key, begin - window_first, made - begin), rows))
        self.carried[root] = begin, made - begin

    def _first_needed(self, root: str) -> int:
        """The first row of a window that will be read again."""
        return min(
            self.made[step.target] * self._pooled(step) - self._reach(step) for step in self._readers(root)
        )

    def _readers(self, root: str) -> list[Step]:
        """The steps of the segment that read from an area, concatenations left out."""
        return [
            step
            for step in self.steps
            if not (isinstance(step, Plain) and isinstance(step.layer, Concat))
            and any(self.parent.root(name) == root for name in reads(step))
        ]

    def _touch(self, key: Key) -> None:
        self.parent.areas[key].lives[-1][1] = len(self.parent.operations)

    def _write(self, operation: Copy | Clear) -> None:
        for rows in vars(operation).values():
            self._touch(rows.area)
        self.parent.operations.append(operation)

    def _height(self, name: str) -> int:
        """Rows of a map in this pass."""
        return len(range(self.residue, self.parent.network.shapes[name][1], self.comb))

    def _reach(self, step: Step) -> int:
        return reach(step) // self.comb

    def _pooled(self, step: Step) -> int:
        return 2 if isinstance(step, Plain) and isinstance(step.layer, MaxPool) else 1


def _joined(network: Network, steps: Sequence[Step]) -> dict[str, tuple[str, int]]:
    """{map: (the map in whose area it lies, its first channel there)}.

    Maps that are concatenated are written side by side, sums in place of one of their terms, and what a 1x1
    convolution reads may lie where its last outputs come.
    """
    last_read = {name: index for index, step in enumerate(steps) for name in reads(step)}
    joined: dict[str, tuple[str, int]] = {}

    def root_of(name: str) -> str:
        return root_of(joined[name][0]) if name in joined else name

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
                and network.shapes[root_of(residual)] == network.shapes[residual]
            ):
                joined[step.target] = (residual, 0)
            case Conv(residual=None) if last_read[step.source] == index and step.source not in joined:
                channel = network.shapes[step.target][0] - network.shapes[step.source][0]
                if _may_overwrite(step, channel):
                    joined[step.source] = (step.target, channel)
    return joined


def _may_overwrite(step: Conv, channel: int) -> bool:
    """Whether a 1x1 convolution whose source begins at ``channel`` never writes what it has still to read."""
    conv = step.convolution
    is_one_block = step.block.filters >= len(conv.weight) // conv.groups
    return conv.kernel == 1 and step.shuffle == 1 and channel >= 0 and is_one_block
