"""How large the arena is, and what decides it. What lies in it is in test_schedule.py."""

import pytest

from handfast.export.c.emit import ARENA_LIMIT_BYTES
from handfast.export.c.fusion import fuse
from handfast.export.c.network import read_network
from handfast.export.c.plan import ALIGNED, LONGEST_VECTOR, SLACK, Place, plan_arena
from handfast.export.c.schedule import Rows
from handfast.packaged import IN_GREY
from handfast.runtime.model import read_model


def planned(content, limit_bytes=None):
    """-> network, steps and plan."""
    network = read_network(content, "net")
    steps, early_out_step = fuse(network, "net")
    return network, steps, plan_arena(network, steps, early_out_step, limit_bytes)


def test_the_arena_of_the_packaged_network_is_small():
    _, _, plan = planned(read_model("tofnet-tof8"), ARENA_LIMIT_BYTES)
    assert 4 * plan.floats <= 107_968


@pytest.mark.parametrize("name", IN_GREY)
def test_strips_take_no_more_memory_and_more_operations(name):
    whole, strips = (planned(read_model(name), limit)[2] for limit in (None, 0))
    assert strips.floats <= whole.floats
    assert len(strips.operations) > len(whole.operations)


def test_a_limit_is_kept_where_it_can_be_and_the_least_is_taken_where_not():
    content = read_model("tofnet-tof8")
    least = 4 * planned(content, 0)[2].floats
    for limit in (300_000, 150_000, least):
        assert least <= 4 * planned(content, limit)[2].floats <= limit
    assert 4 * planned(content, least - 1)[2].floats == least


@pytest.mark.parametrize("name", IN_GREY)
@pytest.mark.parametrize("limit", [None, ARENA_LIMIT_BYTES])
def test_areas_begin_where_vectors_do_and_end_within_the_arena(name, limit):
    _, _, plan = planned(read_model(name), limit)
    for key, area in plan.areas.items():
        assert plan.offsets[key] % ALIGNED == 0
        assert area.margin <= plan.offsets[key]
        end = plan.offsets[key] + area.channels * area.rows * area.width
        assert end + max(SLACK, LONGEST_VECTOR) <= plan.floats


@pytest.mark.parametrize(("decoder", "expected"), [("convolution", 0), ("one", 1), ("two", 2)])
def test_heat_maps_are_made_one_by_one_where_each_has_channels_of_its_own(nets, decoder, expected):
    net = nets.Builder(20, 68)
    x = net.stem(4)
    maps = net.conv(x, 4)
    if decoder != "convolution":
        maps = net.upsample(maps, relu=decoder == "two")
    if decoder == "two":
        maps = net.upsample(net.conv(maps, 2, groups=2))
    _, _, plan = planned(net.model(maps, x))
    assert plan.one_by_one == expected


def test_a_map_s_place_is_behind_its_guard_and_the_channels_before_it(nets):
    net = nets.Builder(20, 68)
    x = net.stem(4)
    joined = net.concat(net.conv(x, 3, relu=True), net.conv(x, 5, 3, relu=True))
    y = net.conv(joined, 4, 3, dilation=2)
    network, _, plan = planned(net.model(y, joined))
    second = network.layers[[layer.target for layer in network.layers].index(joined)].sources[1]
    start, plane = plan.offsets["map", joined], (5 + 2 * 2) * 17  # rows of 17, two of zeros above and below
    assert plan.place_of(joined) == Place(start + 2 * 17, plane, 0)
    assert plan.place_of(second) == Place(start + 3 * plane + 2 * 17, plane, 0)


def test_rows_apart_lie_apart():
    _, _, plan = planned(read_model("tofnet-tof8"))
    key, area = next(item for item in plan.areas.items() if item[0][0] == "map")
    place = plan.place(Rows(key, first=4, count=2, step=3, channel=1))
    plane = area.rows * area.width
    assert place == Place(plan.offsets[key] + plane + 4 * area.width, plane, 2 * area.width)
