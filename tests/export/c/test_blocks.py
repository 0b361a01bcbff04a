"""Which block each convolution gets, and that none of them changes what comes out."""

import json
import re
from dataclasses import replace

import pytest

from handfast.errors import HandfastError
from handfast.export.c.blocks import (
    MEASURED,
    Shape,
    candidates,
    choose_blocks,
    cost,
    measured,
    modelled,
    read_table,
    runs,
    shape_of,
    write_table,
)
from handfast.export.c.emit import emit
from handfast.export.c.fusion import Block, Conv, fuse
from handfast.export.c.network import read_network
from handfast.export.c.targets import TARGETS
from handfast.packaged import IN_GREY
from handfast.runtime.model import read_model

SHAPE = Shape(kernel=1, dilation=1, inputs=8, outputs=8, is_whole=False, width=32)
PIXEL = Shape(kernel=1, dilation=1, inputs=64, outputs=44, is_whole=False, width=1, is_pixel=True)


def convolutions_of(content, name="net"):
    """-> network, its steps, {step's index: shape}."""
    network = read_network(content, name)
    steps, _ = fuse(network, name)
    return network, steps, {i: shape_of(network, s) for i, s in enumerate(steps) if isinstance(s, Conv)}


@pytest.fixture(scope="module")
def content(nets):
    """A network with convolutions of every kind: with a tail, with a shuffle, of more blocks, of a pixel."""
    net = nets.Builder(20, 68)
    x = net.unit(net.conv(net.stem(4), 16, relu=True), 2, 2, middle=8)
    x = net.conv(net.conv(x, 12, 3, groups=2), 8, 3)
    return net.model(net.conv(x, 4), x)


def test_a_shape_says_what_the_convolution_is_like(content):
    _, _, shapes = convolutions_of(content)
    assert list(shapes.values()) == [
        Shape(1, 1, 4, 16, False, 32),  # maps of 17 x 5
        Shape(1, 1, 8, 8, False, 32),
        Shape(3, 2, 8, 8, True, 32),  # its tail takes all
        Shape(3, 1, 8, 6, False, 32),
        Shape(3, 1, 12, 8, False, 32),
        Shape(1, 1, 8, 5, True, 1, True),  # of the visibility
        Shape(1, 1, 5, 6, True, 1, True),
        Shape(1, 1, 8, 4, True, 32),  # what it makes may lie where it reads
    ]


def test_outputs_of_a_pixel_that_lie_apart_are_no_line(nets):
    net = nets.Builder(4, 4)
    x = net.shuffle(net.conv(net.stem(4), 8, groups=2), 2)
    dealt = net.model(net.conv(x, 4), x)
    assert [s.is_pixel for s in convolutions_of(dealt)[2].values()] == [False, True, True, True]
    net = nets.Builder(4, 4)
    x = net.conv(net.stem(4), 8, 3)  # reads zeros around its pixel
    assert not any(s.is_pixel for s in convolutions_of(net.model(net.conv(x, 4), x))[2].values())


@pytest.mark.parametrize("target", TARGETS)
def test_candidates_fit_the_convolution_and_the_registers(target):
    for outputs in range(1, 40):
        for is_whole in (False, True)[: 1 + (outputs <= 8)]:
            shape = replace(SHAPE, outputs=outputs, is_whole=is_whole)
            blocks = candidates(shape, TARGETS[target])
            assert blocks
            for block in blocks:
                assert not block.filters_on_lanes
                assert outputs % block.filters == 0
                assert block.filters == outputs or not is_whole
                assert block.vectors == 1 or block.sums < TARGETS[target].registers
    assert {block.vectors for block in candidates(replace(SHAPE, width=1), TARGETS[target])} == {1}


@pytest.mark.parametrize("target", TARGETS)
def test_a_pixel_s_filters_may_lie_on_lanes_that_they_fill_by_half(target):
    lanes, registers = TARGETS[target].lanes, TARGETS[target].registers
    for outputs in range(1, 100):
        for is_whole in (False, True)[: 1 + (outputs <= 8)]:
            shape = replace(PIXEL, outputs=outputs, is_whole=is_whole)
            blocks = [block for block in candidates(shape, TARGETS[target]) if block.filters_on_lanes]
            assert bool(blocks) == (lanes > 1 and outputs >= lanes / 2)
            assert modelled(shape, 1, TARGETS[target]).filters_on_lanes == bool(blocks)
            for block in blocks:
                assert block.filters == block.vectors * lanes
                assert block.vectors + 2 <= registers
                if block.vectors > 1:  # with one vector less there would have to be more blocks
                    assert -(-outputs // (block.filters - lanes)) > -(-outputs // block.filters)
                assert block.filters >= outputs or not is_whole


def test_the_table_s_block_is_taken_and_the_model_s_where_there_is_none(content):
    network, steps, shapes = convolutions_of(content)
    target = TARGETS["avx2"]
    second = list(shapes.values())[1]
    table = {second: Block(3, 2), replace(second, inputs=99): Block(1, 1)}
    model = choose_blocks(network, steps, target, {})
    assert model[1].block != table[second]
    for index, step in enumerate(choose_blocks(network, steps, target, table)):
        if index in shapes:
            pixels = network.shapes[step.source][1] * network.shapes[step.source][2]
            listed = table.get(shapes[index])
            assert step.block == (listed or modelled(shapes[index], pixels, target))
        else:
            assert step is steps[index]


def layers_of(code):
    """{(kernel, filters, vectors)} of the calls in C; filters None where they are on the lanes."""
    vectors = dict(re.findall(r"convolution layer_(\d+) = \{.*\.vectors = (\d)", code))
    pixels = {(1, None, int(vectors)) for vectors in re.findall(r"conv_pixel_(\d)\(&layer", code)}
    return pixels | {
        (int(kernel), int(filters), int(vectors[layer]))
        for kernel, filters, layer in re.findall(r"conv(\d)_(\d)\(&layer_(\d+)", code)
    }


def chosen_layers(table):
    """The same of a table's shapes and blocks."""
    return {(s.kernel, None if b.filters_on_lanes else b.filters, b.vectors) for s, b in table}


def test_the_c_is_of_the_chosen_blocks(content):
    _, _, shapes = convolutions_of(content)
    table = {shape: candidates(shape, TARGETS["neon"])[0] for shape in shapes.values()}
    code = emit(content, "net", "neon", table=table)["net.c"]
    assert layers_of(code) == chosen_layers(table.items())
    assert (1, None, 2) in layers_of(code)  # 5 and 6 filters on two vectors of 4 lanes


@pytest.mark.parametrize("name", IN_GREY)
@pytest.mark.parametrize("target", json.loads(MEASURED.read_bytes()))
def test_every_convolution_of_the_packaged_networks_was_measured(name, target):
    _, _, shapes = convolutions_of(read_model(name), name)
    table = measured(target)
    assert set(shapes.values()) <= table.keys()
    code = emit(read_model(name), "net", target)["net.c"]
    assert layers_of(code) == chosen_layers((shape, table[shape]) for shape in shapes.values())


def test_a_target_that_was_not_measured_has_an_empty_table():
    assert measured("wasm") == {}


def test_what_is_written_is_read():
    more = {replace(SHAPE, kernel=3): Block(8, 1), replace(SHAPE, is_whole=True): Block(8, 1)}
    tables = {"avx2": {SHAPE: Block(4, 2), PIXEL: Block(48, 6, True)} | more, "mve": {SHAPE: Block(8, 1)}}
    assert read_table(write_table({name: table.items() for name, table in tables.items()})) == tables


ENTRY = {**vars(SHAPE), **vars(Block(4, 2))}
PIXEL_ENTRY = {**vars(PIXEL), **vars(Block(48, 6, True))}


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"[]" * 2,
        b"[1, 2]",
        b'{"avx2": 7}',
        b'{"avx2": [7]}',
        json.dumps({"avx2": [{name: value for name, value in ENTRY.items() if name != "inputs"}]}).encode(),
        json.dumps({"avx2": [{name: value for name, value in ENTRY.items() if name != "vectors"}]}).encode(),
        json.dumps({"avx2": [ENTRY | {"outputs": "8"}]}).encode(),
        json.dumps({"avx2": [ENTRY | {"filters": 4.0}]}).encode(),
        json.dumps({"z80": [ENTRY]}).encode(),
        json.dumps({"avx2": [ENTRY | {"filters": 5}]}).encode(),
        json.dumps({"avx2": [ENTRY | {"vectors": 6}]}).encode(),
        json.dumps({"avx2": [ENTRY | {"is_whole": True}]}).encode(),
        json.dumps({"avx2": [ENTRY | {"filters_on_lanes": True}]}).encode(),
        json.dumps({"avx2": [PIXEL_ENTRY | {"is_pixel": False}]}).encode(),
        json.dumps({"avx2": [PIXEL_ENTRY | {"filters": 44}]}).encode(),
        json.dumps({"avx512": [PIXEL_ENTRY]}).encode(),
        json.dumps({"generic": [PIXEL_ENTRY]}).encode(),
    ],
)
def test_a_table_that_is_broken_is_refused(content):
    with pytest.raises(HandfastError, match=f"{MEASURED.name}: .*benchmarks/blocks.py"):
        read_table(content)


@pytest.mark.parametrize(
    ("vectors", "most", "expected"),
    [(7, 3, [3, 2, 2]), (6, 3, [3, 3]), (8, 3, [3, 3, 2]), (1, 5, [1]), (6, 5, [3, 3]), (3, 1, [1, 1, 1])],
)
def test_the_last_two_blocks_share_what_would_leave_a_single_vector(vectors, most, expected):
    assert list(runs(vectors, most)) == expected


def test_the_model_weighs_loads_registers_and_vectors_left_over():
    m4, avx2, avx512, neon = (TARGETS[name] for name in ("cortex-m4", "avx2", "avx512", "neon"))
    # For 8 multiply-adds 8 x 1 loads 9 times, 4 x 2 only 6 times.
    assert modelled(SHAPE, 300, avx2) == Block(4, 2)
    assert cost(Block(8, 3), SHAPE, 300, m4) < cost(Block(8, 2), SHAPE, 300, m4)
    # 75 vectors are 15 blocks of five; 76 leave two that wait.
    wide = replace(SHAPE, outputs=5)
    assert cost(Block(5, 5), wide, 16 * 75, avx512) < cost(Block(5, 5), wide, 16 * 76, avx512)
    # Masks of a 3x3 convolution take registers, where they are vectors.
    three = replace(SHAPE, kernel=3, outputs=5)
    assert cost(Block(5, 5), three, 400, neon) / cost(Block(5, 5), wide, 400, neon) > 9


@pytest.mark.parametrize("build", ["generic-fma", "avx2"])
def test_all_blocks_give_the_same_bits(nets, compiled, content, build):
    images = nets.random_images(20, 68, n=2)
    _, _, shapes = convolutions_of(content)
    target = TARGETS[build.removesuffix("-fma")]
    blocks = {shape: candidates(shape, target) for shape in shapes.values()}
    answers = [
        compiled.run(content, build, images, {shape: own[i % len(own)] for shape, own in blocks.items()})
        for i in range(max(map(len, blocks.values())))
    ]
    assert len(answers) > 2 and answers[0].heatmaps.any()
    for answer in answers[1:]:
        for name, value in vars(answer).items():
            assert value.tobytes() == getattr(answers[0], name).tobytes(), name


@pytest.fixture(scope="module")
def one_pixel(nets):
    """A network of convolutions on one pixel: in groups, with a sum, of fewer filters than there are lanes,
    and of numbers that are no multiples of them."""
    net = nets.Builder(4, 4)
    x = net.conv(net.stem(4), 44, relu=True)
    x = net.conv(x, 38, groups=2, relu=True)
    x = net.add(x, net.conv(net.conv(x, 64), 38), relu=True)
    return net.model(net.conv(net.conv(x, 22, groups=2), 4), x)


@pytest.mark.parametrize("build", ["generic-fma", "avx2", "avx512", "neon"])
def test_filters_on_the_lanes_give_the_bits_of_pixels_on_them(nets, compiled, one_pixel, build):
    images = nets.random_images(4, 4, n=2)
    _, _, shapes = convolutions_of(one_pixel)
    assert all(shape.is_pixel for shape in shapes.values())
    target = TARGETS[build.removesuffix("-fma")]
    three_vectors = Block(3 * target.lanes, 3, True)
    blocks = {shape: [three_vectors, *candidates(shape, target)] for shape in shapes.values()}
    expected = compiled.run(one_pixel, "generic-fma", images, {})
    assert expected.heatmaps.any()
    for i in range(max(map(len, blocks.values()))):
        table = {shape: own[i % len(own)] for shape, own in blocks.items()}
        answers = compiled.run(one_pixel, build, images, table)
        for name, value in vars(answers).items():
            assert value.tobytes() == getattr(expected, name).tobytes(), (name, table)
