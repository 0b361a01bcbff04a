"""Weights in the kernels' order, worked by hand."""

import numpy as np
import pytest

from handfast.export.c.fusion import MOST_FILTERS, Block, Conv
from handfast.export.c.network import Convolution
from handfast.export.c.packing import edge_table, pack_conv, pack_stem, pack_tail, pack_upsampling


def convolution(weight, bias, groups=1, stride=1, dilation=1):
    weight = np.asarray(weight, np.float32)
    pad = dilation * (weight.shape[-1] // 2)
    return Convolution("c", "x", "y", weight, np.float32(bias), groups, stride, dilation, pad)


def walked(step):
    """What ``pack_conv`` makes, without the zeros behind it."""
    packed, behind = pack_conv(step), MOST_FILTERS - step.block.filters
    assert packed.dtype == np.float32 and not packed[len(packed) - behind :].any()
    return packed[: len(packed) - behind]


def test_a_1x1_convolution_is_walked_channel_by_channel():
    weight = np.array([[1, 2, 3], [4, 5, 6]])[:, :, None, None]  # two filters on three channels
    packed = walked(Conv("x", "y", convolution(weight, [10, 20]), Block(2, 1)))
    np.testing.assert_array_equal(packed, [10, 20, 1, 4, 2, 5, 3, 6])


def test_filters_that_fill_a_vector_in_part_leave_zeros():
    weight = np.arange(1, 7).reshape(6, 1, 1, 1)  # two groups of three filters, blocks of two
    step = Conv("x", "y", convolution(weight, 10 * np.arange(1, 7), groups=2), Block(2, 1, True))
    np.testing.assert_array_equal(walked(step), [10, 20, 1, 2, 30, 0, 3, 0, 40, 50, 4, 5, 60, 0, 6, 0])


def test_groups_follow_one_another():
    weight = np.array([[1], [2], [3], [4]])[:, :, None, None]  # two groups of two filters on one channel
    packed = walked(Conv("x", "y", convolution(weight, [10, 20, 30, 40], groups=2), Block(2, 1)))
    np.testing.assert_array_equal(packed, [10, 20, 1, 2, 30, 40, 3, 4])


def test_filters_beyond_a_block_come_in_blocks():
    weight = np.arange(9)[:, None, None, None]  # 9 filters: three blocks of 3
    packed = walked(Conv("x", "y", convolution(weight, 100 + np.arange(9)), Block(3, 2)))
    np.testing.assert_array_equal(
        packed, [100, 101, 102, 0, 1, 2, 103, 104, 105, 3, 4, 5, 106, 107, 108, 6, 7, 8]
    )


def test_a_3x3_convolution_is_walked_column_by_column():
    # A weight says where it is: 1000 filter + 100 channel + 10 row + column.
    filters, channels, rows, columns = np.ogrid[:2, :2, :3, :3]
    weight = 1000 * filters + 100 * channels + 10 * rows + columns
    packed = walked(Conv("x", "y", convolution(weight, [-1, -2]), Block(2, 1)))
    np.testing.assert_array_equal(packed[:2], [-1, -2])
    first_column = [0, 1000, 10, 1010, 20, 1020, 100, 1100, 110, 1110, 120, 1120]
    np.testing.assert_array_equal(packed[2:], np.add.outer(range(3), first_column).ravel())


def test_a_tail_s_weights_come_behind_those_of_its_group():
    weight = np.ones((2, 1, 3, 3)) * [[[[1]]], [[[2]]]]  # two groups of one filter
    tail = convolution(np.array([[5], [6], [7], [8]])[:, :, None, None], [50, 60, 70, 80], groups=2)
    packed = walked(Conv("x", "y", convolution(weight, [10, 20], groups=2), Block(1, 1), tail=tail))
    np.testing.assert_array_equal(packed, [10, *[1] * 9, 50, 5, 60, 6, 20, *[2] * 9, 70, 7, 80, 8])
    np.testing.assert_array_equal(pack_tail(tail), [50, 5, 60, 6, 70, 7, 80, 8])


def test_the_stem_takes_bytes_for_0_to_1():
    weight = 255 * np.arange(18).reshape(2, 1, 3, 3)
    packed = pack_stem(convolution(weight, [0.5, 0.25], stride=2))
    np.testing.assert_array_equal(packed, [0.5, *range(9), 0.25, *range(9, 18)])


def test_the_stem_takes_colours_one_after_the_other():
    weight = 255 * np.arange(27).reshape(1, 3, 3, 3)
    packed = pack_stem(convolution(weight, [0.5], stride=2))
    np.testing.assert_array_equal(packed, [0.5, *range(27)])


def test_a_phase_of_an_up_sampled_map_sees_sums_of_weights():
    weight = np.array([[1, 2, 4], [8, 16, 32], [64, 128, 256]])[None, None]
    packed = pack_upsampling(convolution(weight, [7]))
    # An even row sees the one above by the first row of weights, its own by the two others; an odd row its
    # own by two, the one below by the last. Columns alike.
    assert packed[0] == 7
    phases = packed[1:].reshape(2, 2, 2, 2)
    np.testing.assert_array_equal(phases[0, 0], [[1, 2 + 4], [8 + 64, 16 + 32 + 128 + 256]])
    np.testing.assert_array_equal(phases[0, 1], [[1 + 2, 4], [8 + 16 + 64 + 128, 32 + 256]])
    np.testing.assert_array_equal(phases[1, 0], [[1 + 8, 2 + 4 + 16 + 32], [64, 128 + 256]])
    np.testing.assert_array_equal(phases[1, 1], [[1 + 2 + 8 + 16, 4 + 32], [64 + 128, 256]])


@pytest.mark.parametrize(
    ("width", "dilation", "left", "row"),
    [
        (5, 1, True, [0, 1, 1, 1, 1]),
        (5, 1, False, [1, 1, 1, 1, 0]),
        (5, 2, True, [0, 0, 1, 1, 1]),
        (5, 2, False, [1, 1, 1, 0, 0]),
        (3, 7, True, [0, 0, 0]),
        (3, 7, False, [0, 0, 0]),
    ],
)
def test_edges_repeat_row_after_row_for_a_vector_more(width, dilation, left, row):
    table = edge_table(width, dilation, left)
    assert table.dtype == np.uint32
    np.testing.assert_array_equal(table, np.resize(row, width + 16))
