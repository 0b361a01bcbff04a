"""What one pass takes along, and what it must leave."""

from itertools import pairwise

import numpy as np
import pytest

from handfast.errors import HandfastError
from handfast.export.c.fusion import Conv, Plain, Stem, UpsampleDepthwise, fuse, reads
from handfast.export.c.network import Add, Convolution, Shuffle, read_network
from handfast.packaged import IN_GREY
from handfast.runtime.model import read_model


@pytest.mark.parametrize("name", IN_GREY)
def test_all_layers_of_the_packaged_networks_are_in_one_step_each(name):
    network = read_network(read_model(name), name)
    steps, before_early_out = fuse(network, name)
    convolutions = [step.convolution for step in steps if not isinstance(step, Plain)]
    convolutions += [step.tail for step in steps if isinstance(step, Conv | UpsampleDepthwise) and step.tail]
    expected = [layer for layer in network.layers if isinstance(layer, Convolution)]
    assert sorted(c.name for c in convolutions) == sorted(c.name for c in expected)
    shuffles = sum(isinstance(step, Conv) and step.shuffle > 1 for step in steps)
    assert shuffles == sum(isinstance(layer, Shuffle) for layer in network.layers)
    made = {network.image}
    for index, step in enumerate(steps):
        assert made.issuperset(reads(step))
        made.add(step.target)
        if index == before_early_out - 1:
            assert network.visibility in made
    assert network.heatmaps in made
    assert isinstance(steps[0], Stem)


@pytest.mark.parametrize("name", IN_GREY)
def test_residual_units_of_the_packaged_networks_are_two_passes(name):
    network = read_network(read_model(name), name)
    steps, _ = fuse(network, name)
    assert not any(isinstance(step, Plain) and isinstance(step.layer, Add) for step in steps)
    seconds = [step for step in steps if isinstance(step, Conv) and step.residual]
    assert len(seconds) == sum(isinstance(layer, Add) for layer in network.layers)
    for first, second in pairwise(steps):
        if second in seconds and second.convolution.kernel == 3:
            assert second.tail and second.relu and second.convolution.relu
            assert first.source == second.residual and first.target == second.source


def convolutions_of(nets, layers):
    """(kernel, shuffle, has a tail, has a residual, relu) of the convolutions from the stem to the heads."""
    net = nets.Builder(20, 68)
    x = net.stem(4)
    y = layers(net, x)
    before = len([node for node in net.nodes if node.op_type == "Conv"])
    # Two readers of y, so that what follows does not take it along.
    network = read_network(net.model(net.conv(y, 4, 3), y), "net")
    steps, _ = fuse(network, "net")
    names = {c.name for c in [layer for layer in network.layers if isinstance(layer, Convolution)][1:before]}
    return [
        (s.convolution.kernel, s.shuffle, s.tail is not None, s.residual is not None, s.relu)
        for s in steps
        if isinstance(s, Conv) and s.convolution.name in names
    ]


def test_a_residual_unit_is_two_passes(nets):
    assert convolutions_of(nets, lambda net, x: net.unit(x, 2, 3, middle=2)) == [
        (1, 2, False, False, True),
        (3, 1, True, True, True),
    ]


def test_a_1x1_takes_a_sum_along(nets):
    assert convolutions_of(nets, lambda net, x: net.add(net.conv(x, 4), x)) == [(1, 1, False, True, False)]


def test_a_relu_before_a_sum_keeps_it_apart(nets):
    assert convolutions_of(nets, lambda net, x: net.add(net.conv(x, 4, relu=True), x)) == [
        (1, 1, False, False, True)
    ]


def test_a_sum_with_what_comes_later_is_the_later_one_s(nets):
    def layers(net, x):
        first, second = net.conv(x, 4, 3), net.conv(x, 4)
        return net.add(first, second, relu=True)

    assert convolutions_of(nets, layers) == [(3, 1, False, False, False), (1, 1, False, True, True)]


def test_a_sum_of_a_map_with_itself_stays_a_sum(nets):
    def layers(net, x):
        y = net.conv(x, 4)
        return net.add(y, y)

    assert convolutions_of(nets, layers) == [(1, 1, False, False, False)]


def test_a_tail_needs_the_same_groups(nets):
    assert convolutions_of(nets, lambda net, x: net.conv(net.conv(x, 4, 3, groups=2), 4)) == [
        (3, 1, False, False, False),
        (1, 1, False, False, False),
    ]


def test_a_tail_takes_no_more_filters_than_the_registers_hold(nets):
    most, more = (convolutions_of(nets, lambda net, x, n=n: net.conv(net.conv(x, n, 3), 4)) for n in (8, 9))
    assert most == [(3, 1, True, False, False)]
    assert more == [(3, 1, False, False, False), (1, 1, False, False, False)]


def test_a_map_with_two_readers_is_written(nets):
    def tail(net, x):
        y = net.conv(x, 4, 3, relu=True)
        return net.concat(net.conv(y, 4), net.conv(y, 2))

    def summed(net, x):
        y = net.conv(x, 4)
        return net.concat(net.add(y, x), net.conv(y, 3))

    assert not any(has_tail for _, _, has_tail, _, _ in convolutions_of(nets, tail))
    assert not any(has_residual for _, _, _, has_residual, _ in convolutions_of(nets, summed))


def test_an_output_is_written_whoever_reads_it(nets):
    net = nets.Builder(20, 68)
    x = net.stem(4)
    maps = net.conv(x, 4, 3)
    steps, _ = fuse(read_network(net.model(maps, net.conv(maps, 4)), "net"), "net")
    assert maps in {step.target for step in steps}


@pytest.mark.parametrize(
    ("filters", "groups", "block"), [(7, 1, 7), (9, 1, 3), (11, 1, 1), (24, 2, 6), (32, 2, 8)]
)
def test_filters_of_a_block_divide_a_group_s(nets, filters, groups, block):
    net = nets.Builder(20, 68)
    x = net.stem(4)
    y = net.conv(x, filters, groups=groups)
    steps, _ = fuse(read_network(net.model(net.conv(y, 4, 3), y), "net"), "net")
    assert next(step for step in steps if step.target == y).block.filters == block


def test_maps_are_made_one_by_one_only_by_a_channel_wise_decoder(nets):
    def tails(groups):
        net = nets.Builder(20, 68)
        x = net.stem(4)
        maps = net.upsample(net.conv(net.upsample(x, relu=True), 2, groups=groups))
        steps, _ = fuse(read_network(net.model(maps, x), "net"), "net")
        return [step.tail is not None for step in steps if isinstance(step, UpsampleDepthwise)]

    assert tails(groups=2) == [True, False]
    assert tails(groups=1) == [False, False]


def kernel_of_five(net, x):
    return net.conv(x, 4, 5)


def stride_behind_the_stem(net, x):
    return net.conv(x, 4, 3, stride=2)


def shuffle_of_a_3x3(net, x):
    return net.shuffle(net.conv(x, 4, 3, groups=2), 2)


def shuffle_of_a_pool(net, x):
    return net.shuffle(net.pool(x), 2)


def shuffle_by_other_groups(net, x):
    return net.shuffle(net.conv(x, 8, groups=2), 4)


def upsampling_alone(net, x):
    larger = net.node(
        "Resize", [x, "", net.constant(np.float32([1, 1, 2, 2]))], (4, 10, 34),
        mode="nearest", coordinate_transformation_mode="asymmetric", nearest_mode="floor",
    )  # fmt: skip
    return net.conv(larger, 4)


def image_joined_again(net, x):
    return net.concat(net.pool(net.pool("image")), x)


HAVE_NO_KERNEL = (
    kernel_of_five, stride_behind_the_stem, shuffle_of_a_3x3, shuffle_of_a_pool, shuffle_by_other_groups,
    upsampling_alone, image_joined_again,
)  # fmt: skip


@pytest.mark.parametrize("layers", HAVE_NO_KERNEL, ids=lambda layers: layers.__name__)
def test_a_layer_without_a_kernel_is_refused_by_name(nets, layers):
    net = nets.Builder(20, 68)
    x = net.stem(4)
    known = {node.name for node in net.nodes}
    y = layers(net, x)
    new = "|".join(node.name for node in net.nodes if node.name not in known)
    content = net.model(net.conv(y, 4), x)
    with pytest.raises(HandfastError, match=rf"model net: layer ({new}): "):
        fuse(read_network(content, "net"), "net")


@pytest.mark.parametrize("size", [(18, 68), (20, 70)])
def test_images_whose_sides_are_no_multiples_of_four_are_refused(nets, size):
    net = nets.Builder(*size)
    x = net.stem(4)
    with pytest.raises(HandfastError, match="model net: layer conv0: "):
        fuse(read_network(net.model(net.conv(x, 4), x), "net"), "net")


@pytest.mark.parametrize("channels", [2, 4])
def test_images_that_are_neither_grey_nor_in_colour_are_refused(nets, channels):
    net = nets.Builder(20, 68, channels=channels)
    x = net.stem(4)
    with pytest.raises(HandfastError, match="model net: layer conv0: "):
        fuse(read_network(net.model(net.conv(x, 4), x), "net"), "net")


def test_an_image_that_more_than_the_stem_reads_is_refused(nets):
    net = nets.Builder(20, 68)
    x = net.conv("image", 4, 3, relu=True)
    with pytest.raises(HandfastError, match="model net: layer conv0: "):
        fuse(read_network(net.model(x, x), "net"), "net")
