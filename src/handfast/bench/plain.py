"""Networks run layer by layer in plain C, as the off-the-shelf library that the paper compares itself with.

Convolutions are direct loops, or a matrix product over the unfolded image (section 3, "Embedded
Implementation": "typical deep learning frameworks convert convolution into a large matrix multiply").
The C is native/plain.c; Python says which layer comes next, which takes 15 us for 73 calls.
"""

import ctypes
from collections.abc import Iterator

import numpy as np

from handfast.bench.compiled import PLAIN_FLAGS, load_compiled
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
    sources_of,
)
from handfast.sensors.images import as_planes


class _Sizes(ctypes.Structure):
    """``Convolution`` of plain.c."""

    _fields_ = [
        (name, ctypes.c_int)
        for name in (
            "channels_in", "height_in", "width_in", "channels_out", "height_out", "width_out",
            "kernel", "groups", "stride", "dilation", "pad", "relu",
        )
    ]  # fmt: skip


class PlainNetwork:
    """A network ready to run on one image, every map in memory of its own.

    image: (H, W) or (H, W, 3) uint8. as_matrix_product: how convolutions are computed. Raises HandfastError
    where there is no compiler.
    """

    def __init__(self, network: Network, image: np.ndarray, as_matrix_product: bool) -> None:
        self.network, self.image = network, np.ascontiguousarray(as_planes(image[None]))
        self._c = load_compiled("plain.c", PLAIN_FLAGS)
        self._maps = {name: np.empty(shape, np.float32) for name, shape in network.shapes.items()}
        self._columns = np.empty(_unfolded_numbers(network) if as_matrix_product else 0, np.float32)
        self._weights = {
            layer.name: (np.ascontiguousarray(layer.weight), np.ascontiguousarray(layer.bias))
            for layer in network.layers
            if isinstance(layer, Convolution)
        }
        first = self._maps[network.image]
        self._calls = [(self._c.bytes_to_floats, (_at(self.image), _at(first), first.size))]
        for layer in network.layers:
            self._calls += self._calls_for(layer)

    @property
    def arena_bytes(self) -> int:
        return self._columns.nbytes + sum(array.nbytes for array in self._maps.values())

    def run(self) -> None:
        """Once over the image that was given."""
        for function, arguments in self._calls:
            function(*arguments)

    def outputs(self) -> tuple[np.ndarray, np.ndarray]:
        """After a run: heat-maps (2 K, h, w), visibility (2 (1 + K), 1, 1), logits."""
        return self._maps[self.network.heatmaps], self._maps[self.network.visibility]

    def _calls_for(self, layer: Layer) -> Iterator[tuple]:
        """(C function, arguments) of a layer."""
        c, target = self._c, self._maps[layer.target]
        sources = [self._maps[name] for name in sources_of(layer)]
        source, out = sources[0], _at(target)
        channels, height, width = source.shape
        match layer:
            case Convolution():
                yield self._convolution(layer, source, target)
            case Add():
                yield c.add, (*map(_at, sources), out, target.size, int(layer.relu))
            case Concat():
                start = 0
                for part in sources:
                    yield c.copy, (_at(part), _at(target[start:]), part.size)
                    start += len(part)
            case Shuffle():
                yield c.shuffle_channels, (_at(source), out, channels, height * width, layer.groups)
            case MaxPool():
                yield c.halve_by_maximum, (_at(source), out, channels, height, width)
            case Upsample():
                yield c.double_by_nearest, (_at(source), out, channels, height, width)
            case GlobalMax():
                yield c.largest_of_each, (_at(source), out, channels, height * width)

    def _convolution(self, layer: Convolution, source: np.ndarray, target: np.ndarray) -> tuple:
        sizes = _Sizes(
            *source.shape, *target.shape,
            layer.kernel, layer.groups, layer.stride, layer.dilation, layer.pad, layer.relu,
        )  # fmt: skip
        arrays = (_at(source), *map(_at, self._weights[layer.name]), _at(target))
        if self._columns.size:
            return self._c.convolve_as_products, (ctypes.byref(sizes), *arrays, _at(self._columns))
        return self._c.convolve_directly, (ctypes.byref(sizes), *arrays)


def _at(array: np.ndarray) -> ctypes.c_void_p:
    return ctypes.c_void_p(array.ctypes.data)


def _unfolded_numbers(network: Network) -> int:
    """Numbers in the largest matrix that a group of a convolution is unfolded into."""
    return max(
        (
            layer.weight[0].size * int(np.prod(network.shapes[layer.target][1:]))
            for layer in network.layers
            if isinstance(layer, Convolution)
        ),
        default=0,
    )
