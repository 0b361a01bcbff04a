"""Codes stand for what the network computes in float32."""

import numpy as np
import pytest

from handfast.compression.floats import run_floats
from handfast.compression.integer import run_integers
from handfast.compression.quantise import Logits, Sum, measure_ranges, phase_weights, quantise
from handfast.errors import HandfastError
from handfast.export.c.network import read_network
from handfast.packaged import IN_GREY
from handfast.runtime.model import read_model


def sums(network):
    return [layer for layer in network.layers if isinstance(layer, Sum)]


def relative_error(network, quantised, images):
    """Of both outputs: the spread of the error over that of the values."""
    floats, integers = run_floats(network, images), run_integers(quantised, images)
    return [
        np.std(integers[name] - floats[name]) / np.std(floats[name])
        for name in (network.heatmaps, network.visibility)
    ]


def test_outputs_are_those_of_float32_within_a_few_percent(small_network, small_images):
    errors = relative_error(small_network, quantise(small_network, small_images), small_images)
    assert max(errors) < 0.05


@pytest.mark.parametrize("name", IN_GREY)
def test_packaged_networks_keep_their_outputs(name):
    rng = np.random.default_rng(0)
    blobs = np.clip(rng.normal(60, 30, (4, 15, 20)).repeat(8, 1).repeat(8, 2), 0, 255).astype(np.uint8)
    network = read_network(read_model(name), name)
    assert max(relative_error(network, quantise(network, blobs), blobs)) < 0.12


def test_weights_and_sums_fit_their_integers(small_network, small_images):
    for layer in sums(quantise(small_network, small_images)):
        largest = sum(255 * np.abs(term.weight.astype(int)).sum(axis=(1, 2, 3)) for term in layer.terms)
        assert (largest + np.abs(layer.bias.astype(int)) < 2**31).all()
        if not isinstance(layer.output, Logits):
            assert layer.output.multiplier.dtype == np.int16 and layer.output.multiplier.min() >= 256


def test_one_map_is_one_sum(small_network, small_images):
    quantised = quantise(small_network, small_images)
    residual, skip = (layer for layer in sums(quantised) if len(layer.terms) == 2)
    assert [term.groups for term in residual.terms] == [16, 2], "the map itself, then what is added"
    assert [term.kernel for term in skip.terms] == [3, 1]
    first = small_network.layers[small_network.decoder_start]
    assert quantised.layers[quantised.decoder_start] is first, "the decoder begins where it did"
    assert set(quantised.shapes) == {"image", *(layer.target for layer in quantised.layers)}


def test_a_signed_map_is_padded_with_its_zero(builder):
    b = builder(6, 6)
    signed = b.convolution("image", 4, relu=False)
    heatmaps = b.convolution(signed, 4, kernel=3, relu=False)
    visibility = b.convolution(b.global_max(signed), 6, relu=False)
    network = b.network(heatmaps, visibility)
    images = np.random.default_rng(2).integers(0, 256, (8, 6, 6), np.uint8)
    quantised = quantise(network, images)
    assert all(term.zero > 0 for layer in sums(quantised)[1:] for term in layer.terms)
    border = np.ones((6, 6), bool)
    border[1:-1, 1:-1] = False
    difference = run_integers(quantised, images)[heatmaps] - run_floats(network, images)[heatmaps]
    assert np.abs(difference[:, :, border]).max() < 0.05


@pytest.mark.parametrize("silent", ["weights", "everything"])
def test_a_layer_that_says_nothing_does_no_harm(builder, silent):
    b = builder(4, 4)
    hidden = b.convolution("image", 4)
    heatmaps = b.convolution(hidden, 4, relu=False)
    visibility = b.convolution(b.global_max(hidden), 6, relu=False)
    network = b.network(heatmaps, visibility)
    for layer in network.layers:
        if hasattr(layer, "weight"):
            layer.weight[...] = 0
            layer.bias[...] *= silent == "weights"
    images = np.random.default_rng(0).integers(0, 256, (2, 4, 4), np.uint8)
    integers, floats = run_integers(quantise(network, images), images), run_floats(network, images)
    np.testing.assert_allclose(integers[heatmaps], floats[heatmaps], atol=0.01)


def test_ranges_are_those_of_all_images(small_network, small_images):
    ranges = measure_ranges(small_network, small_images)
    for name, values in run_floats(small_network, small_images).items():
        assert ranges[name] == (values.min(), values.max())


def test_phases_do_what_up_sampling_and_a_3x3_kernel_do():
    rng = np.random.default_rng(0)
    cells, weight = rng.integers(0, 9, (5, 7)), rng.integers(-9, 9, (1, 1, 3, 3))
    large = np.pad(cells.repeat(2, 0).repeat(2, 1), 1)
    padded = np.pad(cells, 1)
    for (phase, ((kernel,),)), (row, column) in zip(
        enumerate(phase_weights(weight)), np.ndindex(2, 2), strict=True
    ):
        for y, x in np.ndindex(5, 7):
            above, left = 2 * y + row, 2 * x + column
            want = (large[above : above + 3, left : left + 3] * weight[0, 0]).sum()
            near = padded[y + row : y + row + 2, x + column : x + column + 2]
            assert (near * kernel).sum() == want, phase


def test_phases_of_rounded_weights_fit_a_byte(small_network, small_images):
    quantised = quantise(small_network, small_images)
    kernels = [
        term.weight.astype(int) for layer in sums(quantised) for term in layer.terms if term.kernel == 3
    ]
    upsampled = kernels[2:]
    assert [len(weight) for weight in upsampled] == [16, 4]
    assert all(np.abs(phase_weights(weight)).max() <= 127 for weight in upsampled)


@pytest.mark.parametrize(
    "images",
    [np.zeros((0, 13, 18), np.uint8), np.zeros((2, 13, 18), np.float32), np.zeros((13, 18), np.uint8)],
    ids=["none", "floats", "one without a batch"],
)
def test_images_that_are_not_the_network_s_are_refused(small_network, images):
    with pytest.raises(HandfastError, match=r"expected uint8 images \(n, 13, 18\)"):
        quantise(small_network, images)


def test_layers_without_an_8_bit_form_are_refused_by_name(builder):
    b = builder(4, 4)
    heatmaps = b.convolution("image", 4)
    network = b.network(heatmaps, b.convolution(b.global_max("image"), 6, relu=False))
    with pytest.raises(HandfastError, match="layer0"):
        quantise(network, np.ones((1, 4, 4), np.uint8))

    b = builder(4, 4)
    mixed = b.concat(b.convolution("image", 4), b.convolution("image", 4, relu=False))
    network = b.network(
        b.convolution(mixed, 4, relu=False), b.convolution(b.global_max("image"), 6, relu=False)
    )
    with pytest.raises(HandfastError, match="layer2: Concat"):
        quantise(network, np.full((1, 4, 4), 255, np.uint8))
