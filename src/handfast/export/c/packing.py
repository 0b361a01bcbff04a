"""Weights in the order in which the kernels read them: one walk from the first to the last."""

import numpy as np

from handfast.export.c.fusion import MOST_FILTERS, Conv
from handfast.export.c.network import Convolution


def pack_conv(step: Conv) -> np.ndarray:
    """[group][block]: biases, weights, the tail's biases and weights, as convolution.h says; float32 (n,).

    Zeros at the end let a kernel fetch MOST_FILTERS weights at a time.
    """
    parts = []
    conv, filters = step.convolution, step.block.filters
    # [group and block][filter][channel][row][column] -> column, channel, row, filter: for 1x1 channel, filter
    weight = _in_blocks(conv.weight, conv.groups, filters).transpose(0, 4, 2, 3, 1)
    bias = _in_blocks(conv.bias, conv.groups, filters)
    for block in range(len(bias)):
        parts += [bias[block], weight[block].ravel()]
        if step.tail is not None:
            parts.append(_group_of(step.tail, block).ravel())
    parts.append(np.zeros(max(0, MOST_FILTERS - filters)))
    return np.concatenate(parts).astype(np.float32)


def _in_blocks(of_filters: np.ndarray, groups: int, filters: int) -> np.ndarray:
    """(outputs, ...) -> (groups and blocks, filters, ...); zeros where a group's last block has fewer."""
    grouped = of_filters.reshape(groups, -1, *of_filters.shape[1:])
    missing = -grouped.shape[1] % filters
    filled = np.pad(grouped, [(0, 0), (0, missing)] + [(0, 0)] * (grouped.ndim - 2))
    return filled.reshape(-1, filters, *of_filters.shape[1:])


def pack_tail(tail: Convolution) -> np.ndarray:
    """Each output's bias and weights; float32 (n,)."""
    return np.concatenate([tail.bias[:, None], tail.weight[:, :, 0, 0]], axis=1).astype(np.float32).ravel()


def _group_of(tail: Convolution, group: int) -> np.ndarray:
    """(outputs, 1 + channels): each output's bias and weights."""
    outputs = len(tail.weight) // tail.groups
    rows = slice(group * outputs, (group + 1) * outputs)
    return np.concatenate([tail.bias[rows, None], tail.weight[rows, :, 0, 0]], axis=1)


def pack_stem(conv: Convolution) -> np.ndarray:
    """Each filter's bias and its weights [channel][row][column] for pixels of 0..255; float32 (n,)."""
    weight = conv.weight.reshape(len(conv.weight), -1).astype(np.float64) / 255
    return np.concatenate([conv.bias[:, None], weight], axis=1).astype(np.float32).ravel()


def pack_upsampling(conv: Convolution) -> np.ndarray:
    """Each channel's bias and 2x2 weights [row phase][column phase][row][column]; float32 (n,).

    A nearest neighbour stands for two pixels of the larger map, so a phase sees their weights' sum.
    """
    seen = np.array(
        [[[1, 0, 0], [0, 1, 1]], [[1, 1, 0], [0, 0, 1]]], np.float64
    )  # [phase][tap][kernel's row]
    weight = np.einsum("arh,bsw,chw->cabrs", seen, seen, conv.weight[:, 0].astype(np.float64))
    return (
        np.concatenate([conv.bias[:, None], weight.reshape(len(weight), -1)], axis=1)
        .astype(np.float32)
        .ravel()
    )


def edge_table(width: int, dilation: int, left: bool) -> np.ndarray:
    """(width + 16,) uint32: 0 in columns, modulo ``width``, whose tap to the left or right leaves the row."""
    column = np.arange(width + 16) % width
    inside = column >= dilation if left else column < width - dilation
    return inside.astype(np.uint32)
