"""Post-training quantisation to 8 bits: ranges measured on images, then weights and biases that fit them.

A map is uint8 and means scale x (code - zero). After a ReLU zero is 0: maps are padded with zeros, and the
clamp of a byte is the ReLU. Weights are int8, symmetric, with one scale an output channel. All that adds up
to a map is one sum of integers: a residual is a 1x1 convolution with one weight a channel, and is not rounded
by itself.

A map has one scale, from the largest value that calibration has seen: a scale for each channel, and ranges
cut at a percentile, both left the outputs further from those in float32.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from handfast.compression.floats import run_floats
from handfast.errors import HandfastError
from handfast.export.c.network import (
    Add,
    Concat,
    Convolution,
    GlobalMax,
    Layer,
    MaxPool,
    Network,
    Shape,
    Shuffle,
    Upsample,
    sources_of,
)

_SMALLEST_UNIT = 1e-6  # where all weights of an output are zero
BATCH = 8  # images; calibration holds all maps of so many
LARGEST_WEIGHT = 127
LARGEST_CODE = 255
# A sum's 16 bits hold a byte and some bits more; with 12 in the largest multiplier of a layer these are three
# or four, and with no multiplier of fewer than 8 all of a byte can be reached.
LARGEST_MULTIPLIER_BITS, SMALLEST_MULTIPLIER = 12, 256


@dataclass(frozen=True, eq=False)
class Term:
    """One convolution of a sum: weight (out, in / groups, k, k) int8. zero: the source's padding."""

    source: str
    weight: np.ndarray
    groups: int
    stride: int
    dilation: int
    pad: int
    zero: int

    @property
    def kernel(self) -> int:
        return self.weight.shape[-1]


@dataclass(frozen=True, eq=False)
class Requantisation:
    """How a sum becomes a byte (``integer.requantise``). multiplier: (out,) int16, 256 or more."""

    shift: int
    multiplier: np.ndarray

    @property
    def nbytes(self) -> int:
        return self.multiplier.nbytes


@dataclass(frozen=True, eq=False)
class Logits:
    """A sum, as float32, times scale (out,) float32 is an output of the network."""

    scale: np.ndarray

    @property
    def nbytes(self) -> int:
        return self.scale.nbytes


@dataclass(frozen=True, eq=False)
class Sum:
    """Convolutions and a bias (out,) int32, added up in one 32-bit integer a channel and cell."""

    name: str
    terms: tuple[Term, ...]
    bias: np.ndarray
    target: str
    output: Requantisation | Logits


IntegerLayer = Sum | Concat | Shuffle | MaxPool | Upsample | GlobalMax


@dataclass(frozen=True, eq=False)
class QuantisedNetwork:
    """``export.c.network.Network`` with sums in the place of convolutions and additions.

    All maps are uint8, but heatmaps and visibility, which are float32 logits.
    """

    layers: tuple[IntegerLayer, ...]
    shapes: dict[str, Shape]
    image: str
    heatmaps: str
    visibility: str
    decoder_start: int
    early_out_logit: float | None

    @property
    def keypoints_per_hand(self) -> int:
        return self.shapes[self.heatmaps][0] // 2

    @property
    def weight_bytes(self) -> int:
        """Of weights, biases and scales."""
        sums = [layer for layer in self.layers if isinstance(layer, Sum)]
        weights = sum(term.weight.nbytes for layer in sums for term in layer.terms)
        return weights + sum(layer.bias.nbytes + layer.output.nbytes for layer in sums)


@dataclass(frozen=True, eq=False)
class _Coding:
    """A map's values are scale (channels,) x (code - zero)."""

    scale: np.ndarray
    zero: int


@dataclass(frozen=True, eq=False)
class _RealTerm:
    """A term before rounding: weight (out, in / groups, k, k), times the scale of its source."""

    layer: Convolution | None  # None: the source as it is
    source: str
    weight: np.ndarray
    zero: int


def quantise(network: Network, images: np.ndarray) -> QuantisedNetwork:
    """A network in 8-bit integers, calibrated on images (n, H, W) uint8; some 64 do.

    Raises HandfastError for images that are not the network's, and for a layer that cannot be quantised.
    """
    height, width = network.shapes[network.image][1:]
    if images.dtype != np.uint8 or images.ndim != 3 or images.shape[1:] != (height, width) or not len(images):
        raise HandfastError(
            f"calibration: expected uint8 images (n, {height}, {width}), got {images.dtype} {images.shape}"
        )
    return quantise_within(network, measure_ranges(network, images))


def quantise_within(network: Network, ranges: Mapping[str, tuple[float, float]]) -> QuantisedNetwork:
    """The same, with the least and the largest value of every map known.

    Raises HandfastError for a layer that cannot be quantised.
    """
    return _Quantiser(network, ranges).network()


def measure_ranges(network: Network, images: np.ndarray) -> dict[str, tuple[float, float]]:
    """The least and the largest value of every map, on images (n, H, W) uint8."""
    ranges: dict[str, tuple[float, float]] = {}
    for start in range(0, len(images), BATCH):
        for name, values in run_floats(network, images[start : start + BATCH]).items():
            low, high = ranges.get(name, (math.inf, -math.inf))
            ranges[name] = min(low, float(values.min())), max(high, float(values.max()))
    return ranges


class _Quantiser:
    """Goes through the layers in their order; ``codings`` are those of the maps made so far."""

    def __init__(self, network: Network, ranges: Mapping[str, tuple[float, float]]) -> None:
        self.source, self.ranges = network, ranges
        self.made_by = {layer.target: layer for layer in network.layers}
        self.readers = {name: [] for name in network.shapes}
        for layer in network.layers:
            for name in sources_of(layer):
                self.readers[name].append(layer)
        self.codings = {network.image: _Coding(np.full(1, 1 / LARGEST_CODE), 0)}

    def network(self) -> QuantisedNetwork:
        source, layers, decoder_start = self.source, [], 0
        for index, layer in enumerate(source.layers):
            if not self._is_part_of_a_sum(layer):
                layers.append(self._quantised(layer))
            if index < source.decoder_start:
                decoder_start = len(layers)
        kept = {source.image, *(layer.target for layer in layers)}
        return QuantisedNetwork(
            tuple(layers),
            {name: shape for name, shape in source.shapes.items() if name in kept},
            source.image,
            source.heatmaps,
            source.visibility,
            decoder_start,
            source.early_out_logit,
        )

    def _is_part_of_a_sum(self, layer: Layer) -> bool:
        """Whether only an addition reads a convolution, which then needs no map of its own."""
        return (
            isinstance(layer, Convolution)
            and not layer.relu
            and [type(reader) for reader in self.readers[layer.target]] == [Add]
        )

    def _quantised(self, layer: Layer) -> IntegerLayer:
        is_output = layer.target in (self.source.heatmaps, self.source.visibility)
        if isinstance(layer, Convolution | Add):
            if is_output and (layer.relu or self.readers[layer.target]):
                raise HandfastError(f"layer {layer.name}: an output that other layers use has no 8-bit form")
            return self._sum(layer, is_output)
        given = [self.codings[name] for name in sources_of(layer)]
        if is_output or len({coding.zero for coding in given}) > 1:
            raise HandfastError(
                f"layer {layer.name}: {type(layer).__name__} as it is used there has no 8-bit form"
            )
        self.codings[layer.target] = _rearranged(layer, given)
        return layer

    def _sum(self, layer: Convolution | Add, is_output: bool) -> Sum:
        """unit (out,): what one step of the sum is worth."""
        parts = [layer] if isinstance(layer, Convolution) else [self.made_by.get(s, s) for s in layer.sources]
        terms, bias, unit = [], np.zeros(self.source.shapes[layer.target][0]), 0.0
        for part, name in zip(parts, sources_of(layer), strict=True):
            if isinstance(part, Convolution) and (part is layer or self._is_part_of_a_sum(part)):
                term, bias = self._convolution(part), bias + part.bias
            else:
                term = self._as_it_is(name)
            terms.append(term)
            unit = np.maximum(unit, self._smallest_unit(term))
        unit = np.maximum(unit, _SMALLEST_UNIT)
        if is_output:
            output, offset = Logits(unit.astype(np.float32)), 0.0
        else:
            coding = _coding(*self.ranges[layer.target], len(bias), unit)
            self.codings[layer.target] = coding
            output = _requantisation(unit / coding.scale)
            step = output.multiplier / 2.0 ** (15 + output.shift)
            unit = step * coding.scale
            # The half makes the shift round, not floor.
            offset = coding.zero / step + (1 << output.shift) / 2
        rounded = [_rounded(term, unit) for term in terms]
        zeros = sum(term.zero * term.weight.sum(axis=(1, 2, 3), dtype=np.int64) for term in rounded)
        whole_bias = np.rint(bias / unit + offset - zeros).astype(np.int32)
        return Sum(layer.name, tuple(rounded), whole_bias, layer.target, output)

    def _convolution(self, layer: Convolution) -> _RealTerm:
        coding = self.codings[layer.source]
        per_group = coding.scale.reshape(layer.groups, -1).repeat(len(layer.weight) // layer.groups, axis=0)
        weight = layer.weight * per_group[:, :, None, None]
        return _RealTerm(layer, layer.source, weight, coding.zero)

    def _as_it_is(self, name: str) -> _RealTerm:
        coding = self.codings[name]
        return _RealTerm(None, name, coding.scale[:, None, None, None], coding.zero)

    def _smallest_unit(self, term: _RealTerm) -> np.ndarray:
        """(out,) with which no weight is too large. C adds up the taps that meet in one cell of a map that is
        up-sampled: up to four, each rounded, have to fit as well."""
        if isinstance(self.made_by.get(term.source), Upsample) and term.weight.shape[-1] == 3:
            phases = phase_weights(term.weight)
            return np.abs(phases).max(axis=(0, 2, 3, 4)) / (LARGEST_WEIGHT - 2)
        return np.abs(term.weight).max(axis=(1, 2, 3)) / LARGEST_WEIGHT


def phase_weights(weight: np.ndarray) -> np.ndarray:
    """A 3x3 kernel on a map that nearest-neighbour up-sampling has made, as 2x2 kernels on the map before it.

    (out, in, 3, 3) -> (4, out, in, 2, 2), for the output's cells (even row, even column), (even, odd), (odd,
    even), (odd, odd). An even row's cells see the row before theirs and their own, an odd row's their own and
    the one after; columns likewise.
    """

    def folded(kernel: np.ndarray, axis: int, is_odd: bool) -> np.ndarray:
        first, middle, last = np.moveaxis(kernel, axis, 0)
        return np.stack([first + middle, last] if is_odd else [first, middle + last], axis)

    return np.stack(
        [folded(folded(weight, 2, row), 3, column) for row in (False, True) for column in (False, True)]
    )


def _rounded(term: _RealTerm, unit: np.ndarray) -> Term:
    weight = np.rint(term.weight / unit[:, None, None, None])
    weight = weight.clip(-LARGEST_WEIGHT, LARGEST_WEIGHT).astype(np.int8)
    layer = term.layer
    if layer is None:
        return Term(term.source, weight, len(weight), 1, 1, 0, term.zero)
    return Term(term.source, weight, layer.groups, layer.stride, layer.dilation, layer.pad, term.zero)


def _coding(low: float, high: float, channels: int, unit: np.ndarray) -> _Coding:
    """A map with values from low to high, made of sums with a unit. 0 has a code; a step of the map is two
    units or more."""
    low, high = min(low, 0.0), max(high, 0.0)
    scale = max((high - low) / LARGEST_CODE, 2 * unit.max())
    return _Coding(np.full(channels, scale), round(-low / scale))


def _requantisation(ratio: np.ndarray) -> Requantisation:
    """ratio (out,), 1/2 or less: a sum's unit in steps of the map."""
    shift = max(0, LARGEST_MULTIPLIER_BITS - 15 - math.ceil(math.log2(ratio.max())))
    multiplier = np.rint(ratio * 2.0 ** (15 + shift)).clip(SMALLEST_MULTIPLIER)
    return Requantisation(shift, multiplier.astype(np.int16))


def _rearranged(layer: Concat | Shuffle | MaxPool | Upsample | GlobalMax, given: list[_Coding]) -> _Coding:
    scale = np.concatenate([coding.scale for coding in given])
    if isinstance(layer, Shuffle):
        scale = scale.reshape(layer.groups, -1).T.ravel()
    return _Coding(scale, given[0].zero)
