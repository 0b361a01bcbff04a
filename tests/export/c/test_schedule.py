"""Plans, replayed on an arena of tags: each row that a kernel reads holds what its map has there."""

from itertools import product

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from handfast.export.c.blocks import choose_blocks
from handfast.export.c.fusion import Conv, Plain, Stem, UpsampleDepthwise, fuse
from handfast.export.c.network import Concat, GlobalMax, MaxPool, read_network
from handfast.export.c.plan import BEFORE_LAST, SCRATCH, plan_arena
from handfast.export.c.schedule import Clear, Copy, Rows, Run
from handfast.export.c.targets import TARGETS
from handfast.packaged import IN_GREY
from handfast.runtime.model import read_model

NOISE, ZERO = -2, -1


class Replay:
    """An arena whose floats are tags, one for each channel and row of each map.

    tags: of every map, (channels, height). written: how often each map's rows have been made.
    """

    def __init__(self, network, steps, plan):
        self.network, self.steps, self.plan = network, steps, plan
        self.arena = np.full(plan.floats, NOISE)
        self.tags, self.written = {}, {}
        for step in steps:
            channels, height, _ = network.shapes[step.target]
            if isinstance(step, Plain) and isinstance(step.layer, Concat):
                self.tags[step.target] = None  # those of its sources, once they are there
            else:
                first = 1000 * 1000 * len(self.tags)
                self.tags[step.target] = first + np.arange(channels * height).reshape(channels, height)
                self.written[step.target] = np.zeros((channels, height), int)
        for step in steps:
            if self.tags[step.target] is None:
                self.tags[step.target] = np.concatenate([self.tags[name] for name in step.layer.sources])

    def run(self):
        """All operations. The visibility is read where the early-out asks for it, heat-maps at the end."""
        for n, operation in enumerate(self.plan.operations):
            if n == self.plan.before_early_out:
                self.check_whole(self.network.visibility)
            match operation:
                case Copy(source, target):
                    channels = np.arange(self.plan.areas[source.area].channels)
                    for row in range(source.count):
                        self.row(target, channels, row)[:] = self.row(source, channels, row)
                case Clear(rows):
                    channels = np.arange(self.plan.areas[rows.area].channels)
                    for row in range(rows.count):
                        self.row(rows, channels, row)[:] = ZERO
                case Run(index=index):
                    self.make(operation, self.steps[index])
        if self.plan.before_early_out == len(self.plan.operations):
            self.check_whole(self.network.visibility)
        for scratch in {SCRATCH, BEFORE_LAST} & self.plan.areas.keys():
            area = self.plan.areas[scratch]
            for row in range(area.rows):
                self.row(Rows(scratch, 0, area.rows), np.arange(1), row)[:] = NOISE
        last = self.plan.one_by_one
        self.check_whole(self.steps[-last].source if last else self.network.heatmaps)
        for step in self.steps[: len(self.steps) - last]:
            assert (self.written.get(step.target, np.ones(1)) == 1).all(), step.target

    def row(self, rows, channels, row, tap=0):
        """A view (channels, width) of the arena. channels: evenly spaced; tap: rows below, of the area's."""
        place, width = self.plan.place(rows), self.plan.areas[rows.area].width
        start = place.offset + channels[0] * place.plane + (row * rows.step + tap) * width
        stride = (channels[1] - channels[0]) * place.plane if len(channels) > 1 else 0
        assert start >= 0 and start + (len(channels) - 1) * stride + width <= self.plan.floats
        item = self.arena.itemsize
        return np.lib.stride_tricks.as_strided(
            self.arena[start:], (len(channels), width), (stride * item, item)
        )

    def row_of(self, name, rows, channel, row):
        """Which row of a map is there."""
        found = np.flatnonzero(self.tags[name][channel] == self.row(rows, np.array([channel]), row)[0, 0])
        assert len(found) == 1, f"{rows}: not of {name}"
        return found[0]

    def check(self, name, rows, channels, row, y, tap=0):
        """That a row of an area is row ``y`` of a map, zeros outside it."""
        inside = 0 <= y < self.tags[name].shape[1]
        expected = self.tags[name][channels, y] if inside else np.full(len(channels), ZERO)
        assert (self.row(rows, channels, row, tap) == expected[:, None]).all(), (
            f"{rows}: not row {y} of {name}"
        )

    def put(self, step, rows, channels, row, y):
        self.row(rows, channels, row)[:] = self.tags[step.target][channels, y][:, None]
        self.written[step.target][channels, y] += 1

    def check_whole(self, name):
        channels, height, width = self.network.shapes[name]
        place = self.plan.place_of(name)
        for channel in range(channels):
            start = place.offset + channel * place.plane
            rows = self.arena[start : start + height * width].reshape(height, width)
            assert (rows == self.tags[name][channel][:, None]).all(), f"{name} is not whole"

    def make(self, run, step):
        channels = np.arange(self.network.shapes[step.target][0])
        match step:
            case Stem():
                for row in range(run.target.count):
                    self.put(step, run.target, channels, row, run.map_row + row)
            case Conv():
                self.convolve(run, step)
            case UpsampleDepthwise(source=source):
                for channel in channels:
                    one, height = np.array([channel]), self.network.shapes[source][1]
                    for row in range(height):
                        self.check(source, run.source, one, row, row)
                    for row in range(2 * height):
                        self.put(step, run.target, one, row, row)
            case Plain(MaxPool(source=source)):
                for row in range(run.target.count):
                    y = self.row_of(source, run.source, 0, 2 * row)
                    assert y % 2 == 0
                    for below in range(2):
                        self.check(source, run.source, channels, 2 * row + below, y + below)
                    self.put(step, run.target, channels, row, y // 2)
            case Plain(GlobalMax(source=source)):
                for row in range(self.network.shapes[source][1]):
                    self.check(source, run.source, channels, row, row)
                self.put(step, run.target, channels, 0, 0)
            case Plain(layer):
                for row in range(run.target.count):
                    y = self.row_of(layer.sources[0], run.source, 0, row)
                    self.check(layer.sources[0], run.source, channels, row, y)
                    self.check(layer.sources[1], run.residual, channels, row, y)
                    self.put(step, run.target, channels, row, y)

    def convolve(self, run, step):
        """As the kernels do: group by group, block by block of filters, and the rows of each."""
        conv = step.convolution
        per_group, inputs = len(conv.weight) // conv.groups, conv.weight.shape[1]
        taps = (-1, 0, 1) if conv.kernel == 3 else (0,)
        below = 1 if self.plan.place(run.target).jump else conv.dilation
        for group, first in product(range(conv.groups), range(0, per_group, step.block.filters)):
            filters = np.arange(first, min(first + step.block.filters, per_group))
            read = group * inputs + np.arange(inputs)
            if step.tail:
                tails = len(step.tail.weight) // conv.groups
                made = group * tails + np.arange(tails)
            elif step.shuffle > 1:
                made = group + filters * step.shuffle
            else:
                made = group * per_group + filters
            for row in range(run.target.count):
                y = self.row_of(step.source, run.source, read[0], row)
                for tap in taps:
                    self.check(step.source, run.source, read, row, y + tap * conv.dilation, tap * below)
                if step.residual:
                    self.check(step.residual, run.residual, made, row, y)
                self.put(step, run.target, made, row, y)


def replay(content, limit):
    """Plan and replay. limit: of the arena, as a part of that of whole layers; None for these."""
    network = read_network(content, "net")
    steps, early_out_step = fuse(network, "net")
    steps = choose_blocks(network, steps, TARGETS["avx2"], {})
    plan = plan_arena(network, steps, early_out_step, None)
    if limit is not None:
        plan = plan_arena(network, steps, early_out_step, int(limit * 4 * plan.floats))
    Replay(network, steps, plan).run()
    return network, steps, plan


@st.composite
def networks(draw, builder):
    """The content of a network of random layers, many of which strips and combs may be made of."""
    net = builder(4 * draw(st.integers(1, 14)), 4 * draw(st.integers(1, 24)), seed=0)
    x = net.stem(draw(st.integers(1, 6)))
    kinds = ("unit", "again", "self", "1x1", "3x3", "shuffle", "join", "pool", "sum", "up")
    for kind in draw(st.lists(st.sampled_from(kinds), max_size=7)):
        channels, *size = net.shapes[x]
        groups = draw(st.sampled_from([n for n in range(1, channels + 1) if channels % n == 0]))
        filters, dilation = groups * draw(st.integers(1, 4)), draw(st.integers(1, 9))
        match kind:
            case "unit":
                x = net.unit(x, groups, dilation, middle=draw(st.integers(1, 3)))
            case "again":
                x = net.add(net.conv(net.unit(x, groups, dilation), 3, 3), net.conv(x, 3, 3))
            case "self":
                x = net.add(x, net.conv(x, channels, groups=groups), relu=True)
            case "1x1":
                x = net.conv(x, filters, groups=groups, relu=True)
            case "3x3":
                x = net.conv(x, filters, 3, groups, dilation, relu=True)
            case "shuffle" if groups > 1:
                x = net.shuffle(net.conv(x, filters, groups=groups, relu=True), groups)
            case "join":
                x = net.concat(net.conv(x, filters, 3, groups, dilation), x, net.conv(x, 2))
            case "sum":
                x = net.add(net.conv(x, 3, 3), net.conv(x, 3, 3, dilation=dilation), relu=True)
            case "pool" if min(size) > 1:
                x = net.pool(x)
            case "up" if max(size) < 24:
                x = net.upsample(x)
    maps = net.conv(x, 4)
    for decoder in range(draw(st.integers(0, 2))):
        maps = net.upsample(net.conv(net.upsample(maps, relu=True), 2, groups=2) if decoder else maps)
    return net.model(maps, x, early_out_logit=draw(st.sampled_from([None, 0.0])))


@settings(max_examples=80, derandomize=True, suppress_health_check=list(HealthCheck))
@given(st.data(), st.sampled_from([None, 0.8, 0.6, 0.4, 0]))
def test_every_row_is_there_when_it_is_read(nets, data, limit):
    replay(data.draw(networks(nets.Builder)), limit)


@pytest.mark.parametrize("name", IN_GREY)
@pytest.mark.parametrize("limit", [None, 0.7, 0])
def test_plans_of_the_packaged_networks(name, limit):
    replay(read_model(name), limit)


def test_a_residual_that_is_read_again_is_not_replaced(nets):
    net = nets.Builder(20, 68)
    x = net.stem(4)
    y = net.add(net.conv(net.unit(x, 2, 1), 3, 3), net.conv(x, 3, 3))
    replay(net.model(net.conv(y, 4), y), None)


def test_a_tight_limit_makes_strips_and_combs():
    network, steps, plan = replay(read_model("tofnet-tof8"), 0)
    rows = {index: [] for index in range(len(steps))}
    for operation in plan.operations:
        if isinstance(operation, Run):
            rows[operation.index].append(operation.target)
    assert isinstance(steps[0], Stem) and len(rows[0]) > 1
    assert max(part.count for part in rows[0]) < network.shapes[steps[0].target][1]
    dilated = [
        index
        for index, step in enumerate(steps)
        if isinstance(step, Conv) and step.residual and step.convolution.dilation > 1
    ]
    assert dilated and all(rows[i][0].step == steps[i].convolution.dilation for i in dilated)


def test_no_strips_without_a_limit():
    _, steps, plan = replay(read_model("tofnet-tof8"), None)
    made = [operation.index for operation in plan.operations if isinstance(operation, Run)]
    joins = [i for i, step in enumerate(steps) if isinstance(step, Plain) and isinstance(step.layer, Concat)]
    assert made == [i for i in range(len(steps) - plan.one_by_one) if i not in joins]


def test_a_replay_notices_two_maps_in_one_place():
    network = read_network(read_model("tofnet-tof8"), "net")
    steps, early_out_step = fuse(network, "net")
    plan = plan_arena(network, steps, early_out_step, 110_000)
    first, second, *_ = (area for area in plan.areas if area[0] == "window")
    plan.offsets[second] = plan.offsets[first]
    with pytest.raises(AssertionError, match=r"not row|not of"):
        Replay(network, steps, plan).run()
