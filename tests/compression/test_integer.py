"""Integers that C can follow bit for bit."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from handfast.compression.integer import integer_logits, requantise, run_integers
from handfast.compression.quantise import Requantisation, quantise


def code(total, shift, multiplier):
    sums = np.full((1, 1, 1, 1), total, np.int32)
    return requantise(sums, Requantisation(shift, np.array([multiplier], np.int16))).item()


@pytest.mark.parametrize(
    "total, shift, multiplier, expected",
    [
        (0, 4, 2048, 0),
        (16 * 160, 4, 2048, 10),
        (16 * 168 - 1, 4, 2048, 10),  # 167 / 16 = 10.4
        (16 * 168, 4, 2048, 11),  # a half goes up
        (-5000, 4, 2048, 0),  # the ReLU
        (2**30, 4, 2048, 255),
        (-(2**30), 4, 2048, 0),
        (-1, 4, 2048, 0),
        (2**30, 4, 256, 255),  # even the smallest multiplier reaches the end
    ],
)
def test_requantisation_by_hand(total, shift, multiplier, expected):
    assert code(total, shift, multiplier) == expected


@given(st.integers(-(2**21), 2**21), st.integers(0, 6), st.integers(256, 4096))
def test_requantisation_is_a_rounded_product(total, shift, multiplier):
    exact = total * multiplier / 2 ** (15 + shift)
    # The shift's floor costs less than one unit of the 16-bit sum; the rest is the rounding.
    assert np.clip(exact - multiplier / 2**15 - 0.5, 0, 255) <= code(total, shift, multiplier)
    assert code(total, shift, multiplier) <= np.clip(exact + 0.5, 0, 255)


@given(st.integers(-(2**20), 2**20), st.integers(0, 2**10), st.integers(0, 6), st.integers(256, 4096))
def test_requantisation_is_monotonic_so_pools_may_come_first(total, more, shift, multiplier):
    assert code(total, shift, multiplier) <= code(total + more, shift, multiplier)


def test_maps_are_bytes_and_outputs_logits(small_network, small_images):
    maps = run_integers(quantise(small_network, small_images), small_images)
    outputs = {small_network.heatmaps, small_network.visibility}
    assert {name for name, values in maps.items() if values.dtype == np.float32} == outputs
    assert all(values.dtype == np.uint8 for name, values in maps.items() if name not in outputs)


def test_images_do_not_know_of_each_other(small_network, small_images):
    quantised = quantise(small_network, small_images)
    together = integer_logits(quantised, small_images)
    alone = integer_logits(quantised, small_images[3:4])
    for batch, one in zip(together, alone, strict=True):
        np.testing.assert_array_equal(batch[3:4], one)


def test_the_early_out_leaves_the_decoder_s_maps_at_zero(small_network, small_images):
    quantised = quantise(small_network, small_images)
    likeliest = integer_logits(quantised, small_images)[1][:, :, 0].max(axis=1)
    threshold = float(np.median(likeliest))
    heatmaps, visibility = integer_logits(replace(quantised, early_out_logit=threshold), small_images)
    assert heatmaps.shape == (12, 2, 2, 12, 16) and visibility.shape == (12, 2, 3)
    assert heatmaps.dtype == visibility.dtype == np.float32
    hand = likeliest > threshold
    assert 0 < hand.sum() < 12
    assert (heatmaps[~hand] == 0).all() and heatmaps[hand].any(axis=(1, 2, 3, 4)).all()
