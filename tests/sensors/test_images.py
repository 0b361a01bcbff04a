import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from handfast.sensors.images import GAMMA, WHITE_LEVEL, normalise_exposure, proximity_image


def test_proximity_falls_with_the_square_of_distance():
    depth_m = np.full((10, 10), 1.0, np.float32)
    depth_m[:5] = 0.5
    image = proximity_image(depth_m)
    assert (image[:5] == 255).all()
    assert (image[5:] == 64).all()  # 255 / 4 rounded


def test_no_depth_is_black():
    depth_m = np.zeros((4, 5), np.float32)
    assert not proximity_image(depth_m).any()
    depth_m[1, 2] = 0.3
    image = proximity_image(depth_m)
    assert image[1, 2] == 255 and image.sum() == 255


@given(st.floats(0.2, 3.0))
def test_proximity_does_not_depend_on_the_unit_of_length(scale):
    depth_m = np.random.default_rng(0).uniform(0.3, 1.2, (24, 32)).astype(np.float32)
    difference = proximity_image(depth_m).astype(int) - proximity_image(depth_m * np.float32(scale))
    assert abs(difference).max() <= 1


def test_exposure_puts_the_bright_end_at_the_white_level():
    image = np.tile(np.arange(1, 101, dtype=np.uint8), (10, 1))
    bright = normalise_exposure(image)
    assert bright[0, 99] == int(WHITE_LEVEL + 0.5)  # 100 is the 99.7th percentile of 1..100
    assert bright[0, 49] == int((50 / 100) ** GAMMA * WHITE_LEVEL + 0.5)


@given(st.integers(1, 5))
def test_exposure_undoes_gain(gain):
    image = np.random.default_rng(1).integers(0, 50, (30, 40), dtype=np.uint8)
    difference = normalise_exposure(image).astype(int) - normalise_exposure(image * np.uint8(gain))
    assert abs(difference).max() <= 1


def test_exposure_ignores_black_pixels_and_leaves_black_frames():
    image = np.zeros((20, 20), np.uint8)
    assert not normalise_exposure(image).any()
    image[:2] = 40
    assert (normalise_exposure(image)[:2] == int(WHITE_LEVEL + 0.5)).all()
