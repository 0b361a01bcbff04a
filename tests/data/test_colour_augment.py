"""What is done to a picture's colours leaves its places, its size and its kind."""

import numpy as np
import pytest

from handfast.data import colour_augment
from handfast.data.colour_augment import add_noise, change_saturation, compress, degrade, shift_tones, soften

CHANGES = (shift_tones, change_saturation, soften, add_noise, compress, degrade)


@pytest.fixture
def picture():
    """Colours on the left half, dark on the right."""
    rng = np.random.default_rng(0)
    picture = np.full((120, 160, 3), 20, np.uint8)
    picture[:, :80] = rng.integers(150, 230, (12, 8, 3), dtype=np.uint8).repeat(10, axis=0).repeat(10, axis=1)
    return picture


@pytest.mark.parametrize("change", CHANGES)
def test_the_same_generator_gives_the_same_picture_and_places_stay(picture, change):
    before = picture.copy()
    for seed in range(12):
        one, two = (change(np.random.default_rng(seed), picture) for _ in range(2))
        assert one.shape == picture.shape and one.dtype == np.uint8
        np.testing.assert_array_equal(one, two)
        grey = one.astype(float).mean(axis=2)
        edges = np.abs(np.diff(grey, axis=1)).mean(axis=0)
        assert edges.argmax() == 79 and grey[:, :70].mean() > grey[:, 90:].mean() + 30
    np.testing.assert_array_equal(picture, before)


def test_tones_keep_their_order():
    ramp = np.arange(256, dtype=np.uint8).repeat(3).reshape(1, 256, 3)
    for seed in range(20):
        shifted = shift_tones(np.random.default_rng(seed), ramp).astype(int)
        assert (np.diff(shifted, axis=1) >= 0).all() and (shifted[0, 0] == 0).all()
    assert len({shift_tones(np.random.default_rng(seed), ramp)[0, 128].tobytes() for seed in range(20)}) > 15


def test_a_picture_without_colour_keeps_its_brightness(picture, monkeypatch):
    monkeypatch.setattr(colour_augment, "GREY_SHARE", 1.0)
    grey = change_saturation(np.random.default_rng(0), picture).astype(int)
    assert np.ptp(grey, axis=2).max() == 0
    np.testing.assert_allclose(grey[..., 0], picture @ [0.299, 0.587, 0.114], atol=1)


def test_noise_is_around_what_was_there(picture):
    difference = add_noise(np.random.default_rng(3), picture)[:, 90:].astype(int) - 20
    assert abs(difference.mean()) < 1 and difference.std() > 0.8


def test_a_flat_picture_stays_flat_out_of_focus():
    flat = np.full((40, 50, 3), (10, 120, 250), np.uint8)
    np.testing.assert_array_equal(soften(np.random.default_rng(0), flat), flat)
    assert np.abs(compress(np.random.default_rng(0), flat).astype(int) - flat).max() < 12
