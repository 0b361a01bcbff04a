"""A small network with every kind of layer and odd sizes; a packaged one; a C compiler or a skipped test."""

import numpy as np
import pytest

from handfast.bench.compiled import find_compiler
from handfast.bench.task import read_task
from handfast.errors import HandfastError
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

HEIGHT, WIDTH = 11, 13


def convolution(source, target, shape, groups=1, stride=1, dilation=1, pad=0, relu=False):
    rng = np.random.default_rng(len(target))
    weight = (rng.normal(size=shape) / np.sqrt(np.prod(shape[1:]))).astype(np.float32)
    bias = rng.normal(size=shape[0]).astype(np.float32)
    return Convolution(target, source, target, weight, bias, groups, stride, dilation, pad, relu)


@pytest.fixture
def network():
    """Two key-points a hand; dilations that reach beyond the map, channels that are no multiple of four."""
    layers = (
        convolution("image", "stem", (6, 1, 3, 3), stride=2, pad=1, relu=True),
        convolution("stem", "wide", (6, 3, 3, 3), groups=2, dilation=7, pad=7),
        Shuffle("dealt", "wide", "dealt", 2),
        Add("sum", ("stem", "dealt"), "sum", relu=True),
        convolution("sum", "unpadded", (10, 3, 1, 1), groups=2),
        Concat("joined", ("sum", "unpadded"), "joined"),
        MaxPool("pooled", "joined", "pooled"),
        GlobalMax("largest", "pooled", "largest"),
        convolution("largest", "visibility", (6, 16, 1, 1)),
        Upsample("doubled", "pooled", "doubled"),
        convolution("doubled", "heatmaps", (4, 4, 3, 3), groups=4, pad=1),
    )
    shapes = {
        "image": (1, HEIGHT, WIDTH), "stem": (6, 6, 7), "wide": (6, 6, 7), "dealt": (6, 6, 7),
        "sum": (6, 6, 7), "unpadded": (10, 6, 7), "joined": (16, 6, 7), "pooled": (16, 3, 3),
        "largest": (16, 1, 1), "visibility": (6, 1, 1), "doubled": (16, 6, 6), "heatmaps": (4, 6, 6),
    }  # fmt: skip
    return Network(layers, shapes, "image", "heatmaps", "visibility", 9, None)


@pytest.fixture
def image():
    return np.random.default_rng(0).integers(0, 256, (HEIGHT, WIDTH), dtype=np.uint8)


@pytest.fixture(scope="session")
def task():
    return read_task("tofnet-tof8")


@pytest.fixture
def compiler(monkeypatch, tmp_path_factory):
    """Needed by what compiles C; that is kept apart from the user's."""
    try:
        found = find_compiler()
    except HandfastError as error:
        pytest.skip(str(error))
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path_factory.getbasetemp() / "cache"))
    return found


@pytest.fixture
def no_compiler(monkeypatch):
    monkeypatch.setenv("PATH", "")
    monkeypatch.delenv("CC", raising=False)
