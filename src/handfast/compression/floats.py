"""A network in float32 with NumPy alone: where ranges are measured, and what generated C is held to."""

import numpy as np

from handfast.export.c.network import (
    Add,
    Concat,
    Convolution,
    GlobalMax,
    Layer,
    MaxPool,
    Network,
    Shuffle,
    Upsample,
)

Maps = dict[str, np.ndarray]


def run_floats(network: Network, images: np.ndarray) -> Maps:
    """(n, H, W) uint8 -> every map of the network by name, (n, channels, height, width) float32.

    All layers run, whatever the early-out would say.
    """
    maps = {network.image: images[:, None].astype(np.float32) / 255}
    for layer in network.layers:
        maps[layer.target] = _run_layer(layer, maps)
    return maps


def _run_layer(layer: Layer, maps: Maps) -> np.ndarray:
    match layer:
        case Convolution():
            pad, source = layer.pad, maps[layer.source]
            padded = np.pad(source, ((0, 0), (0, 0), (pad, pad), (pad, pad)))
            sums = convolve(padded, layer.weight, layer.groups, layer.stride, layer.dilation)
            return _rectified(sums + layer.bias[:, None, None], layer.relu)
        case Add():
            return _rectified(maps[layer.sources[0]] + maps[layer.sources[1]], layer.relu)
        case _:
            return rearrange(layer, maps)


def rearrange(layer: Concat | Shuffle | MaxPool | Upsample | GlobalMax, maps: Maps) -> np.ndarray:
    """What a layer makes that only moves or picks values, whatever their type."""
    match layer:
        case Concat():
            return np.concatenate([maps[name] for name in layer.sources], axis=1)
        case Shuffle():
            n, channels, *cells = maps[layer.source].shape
            split = maps[layer.source].reshape(n, layer.groups, channels // layer.groups, *cells)
            return split.swapaxes(1, 2).reshape(n, channels, *cells)
        case MaxPool():
            source = maps[layer.source]
            height, width = (size // 2 * 2 for size in source.shape[2:])
            rows = np.maximum(source[:, :, 0:height:2], source[:, :, 1:height:2])
            return np.maximum(rows[..., 0:width:2], rows[..., 1:width:2])
        case Upsample():
            return maps[layer.source].repeat(2, axis=2).repeat(2, axis=3)
        case GlobalMax():
            return maps[layer.source].max(axis=(2, 3), keepdims=True)


def convolve(padded: np.ndarray, weight: np.ndarray, groups: int, stride: int, dilation: int) -> np.ndarray:
    """Maps (n, channels, height, width), padded already, and weight (out, channels / groups, rows, columns):
    (n, out, ...), one matrix product a group, of the arrays' type."""
    n = len(padded)
    out, per_group, rows, columns = weight.shape
    height, width = (
        (size - dilation * (taps - 1) - 1) // stride + 1
        for size, taps in zip(padded.shape[2:], (rows, columns), strict=True)
    )
    taps = [
        padded[:, :, y : y + stride * (height - 1) + 1 : stride, x : x + stride * (width - 1) + 1 : stride]
        for y in range(0, rows * dilation, dilation)
        for x in range(0, columns * dilation, dilation)
    ]
    shape = (n, groups, per_group * len(taps), height * width)
    patches = np.stack(taps, axis=2).reshape(shape)
    products = weight.reshape(groups, out // groups, -1) @ patches
    return products.reshape(n, out, height, width)


def _rectified(maps: np.ndarray, relu: bool) -> np.ndarray:
    return np.maximum(maps, 0) if relu else maps
