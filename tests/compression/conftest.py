import numpy as np
import pytest

from handfast.export.c.network import (
    Add,
    Concat,
    Convolution,
    GlobalMax,
    MaxPool,
    Network,
    Shuffle,
    Upsample,
)


class Builder:
    """Networks made by hand: each method adds a layer with random weights and gives its map's name."""

    def __init__(self, height, width, seed=0):
        self.rng = np.random.default_rng(seed)
        self.layers, self.shapes = [], {"image": (1, height, width)}

    def _add(self, kind, source, shape, **facts):
        name = f"map{len(self.layers)}"
        self.shapes[name] = shape
        which = "sources" if isinstance(source, tuple) else "source"
        self.layers.append(kind(name=f"layer{len(self.layers)}", target=name, **{which: source}, **facts))
        return name

    def convolution(self, source, out, kernel=1, groups=1, stride=1, dilation=1, relu=True):
        channels, *cells = self.shapes[source]
        pad = dilation * (kernel // 2)
        fan_in = channels // groups * kernel**2
        weight = self.rng.normal(0, (2 / fan_in) ** 0.5, (out, channels // groups, kernel, kernel))
        height, width = ((size + 2 * pad - dilation * (kernel - 1) - 1) // stride + 1 for size in cells)
        return self._add(
            Convolution,
            source,
            (out, height, width),
            weight=weight.astype(np.float32),
            bias=self.rng.normal(0, 0.1, out).astype(np.float32),
            groups=groups,
            stride=stride,
            dilation=dilation,
            pad=pad,
            relu=relu,
        )

    def add(self, first, second, relu=True):
        return self._add(Add, (first, second), self.shapes[first], relu=relu)

    def concat(self, *sources):
        channels = sum(self.shapes[name][0] for name in sources)
        return self._add(Concat, sources, (channels, *self.shapes[sources[0]][1:]))

    def shuffle(self, source, groups):
        return self._add(Shuffle, source, self.shapes[source], groups=groups)

    def max_pool(self, source):
        channels, height, width = self.shapes[source]
        return self._add(MaxPool, source, (channels, height // 2, width // 2))

    def upsample(self, source):
        channels, height, width = self.shapes[source]
        return self._add(Upsample, source, (channels, 2 * height, 2 * width))

    def global_max(self, source):
        return self._add(GlobalMax, source, (self.shapes[source][0], 1, 1))

    def network(self, heatmaps, visibility, decoder_start=None, early_out_logit=None):
        start = len(self.layers) if decoder_start is None else decoder_start
        return Network(tuple(self.layers), self.shapes, "image", heatmaps, visibility, start, early_out_logit)


@pytest.fixture
def builder():
    return Builder


@pytest.fixture
def small_network():
    """Every kind of layer, on an image of odd size: two key-points a hand."""
    b = Builder(13, 18)
    stem = b.max_pool(b.convolution("image", 8, kernel=3, stride=2))
    first = b.convolution(b.shuffle(b.convolution(stem, 8, groups=2), 2), 8, kernel=3, groups=4, dilation=4)
    both = b.concat(stem, first)
    residual = b.add(both, b.convolution(both, 16, groups=2, relu=False))
    visibility = b.convolution(b.convolution(b.global_max(residual), 5), 6, relu=False)
    start = len(b.layers)
    upsampled = b.convolution(b.upsample(residual), 16, kernel=3, groups=16, relu=False)
    skip = b.convolution(b.upsample(both), 16, relu=False)
    maps = b.convolution(b.add(upsampled, skip), 4, groups=4, relu=False)
    heatmaps = b.convolution(b.upsample(maps), 4, kernel=3, groups=4, relu=False)
    return b.network(heatmaps, visibility, start, early_out_logit=0.0)


@pytest.fixture
def small_images():
    return np.random.default_rng(1).integers(0, 256, (12, 13, 18), np.uint8)
