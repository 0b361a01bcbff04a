"""Calibration pictures: always the same, of all kinds that networks are trained on."""

import numpy as np
import pytest

from handfast.compression.calibration import FRAMES, calibration_images


@pytest.fixture(scope="module")
def images():
    return calibration_images(160, 120)


def test_they_are_pictures_of_the_network_s_size(images):
    assert images.shape == (FRAMES, 120, 160) and images.dtype == np.uint8
    assert calibration_images(80, 60).shape == (FRAMES, 60, 80)


def test_they_are_the_same_each_time_and_unlike_each_other(images):
    np.testing.assert_array_equal(images, calibration_images(160, 120))
    assert len(np.unique(images.reshape(FRAMES, -1), axis=0)) == FRAMES


def test_they_are_bright_and_dark(images):
    """Ranges measured on them leave room for a saturated picture and for an almost empty one."""
    lit = (images > 0).mean(axis=(1, 2))
    assert (images.max(axis=(1, 2)) >= 230).mean() > 0.9
    assert lit.min() < 0.7 < lit.max()
