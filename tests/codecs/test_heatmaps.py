"""Codecs: what is encoded is decoded, in the map's pixels and in the input's."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from handfast.codecs import (
    decode_expected,
    decode_heatmaps,
    gaussian_targets,
    input_to_map,
    map_to_input,
    probabilities,
)

HEIGHT, WIDTH = 60, 80
FAR_IN = st.tuples(st.floats(4, WIDTH - 5), st.floats(4, HEIGHT - 5))
ANYWHERE = st.tuples(st.floats(-0.5, WIDTH - 0.5), st.floats(-0.5, HEIGHT - 0.5))


def logits_of(points_px, sigma_px=1.0):
    with np.errstate(divide="ignore"):
        return np.maximum(np.log(gaussian_targets(points_px, HEIGHT, WIDTH, sigma_px)), -1e3)


@given(st.lists(FAR_IN, min_size=1, max_size=4), st.floats(-50, 50))
def test_a_gaussian_decodes_to_its_centre(points, offset):
    points_px = np.array(points)
    decoded_px, score = decode_heatmaps(logits_of(points_px) + np.float32(offset))
    np.testing.assert_allclose(decoded_px, points_px, atol=0.05)
    assert np.all(score > 0.99)


@given(ANYWHERE)
def test_near_the_border_the_error_stays_below_one_cell(point):
    decoded_px, _ = decode_heatmaps(logits_of(np.array(point)))
    np.testing.assert_allclose(decoded_px, point, atol=1.0)
    assert np.all(decoded_px >= 0) and np.all(decoded_px <= (WIDTH - 1, HEIGHT - 1))


def test_leading_axes_are_kept_and_maps_are_independent():
    points_px = np.random.default_rng(0).uniform(5, 50, (2, 3, 7, 2))
    decoded_px, score = decode_heatmaps(logits_of(points_px))
    assert decoded_px.shape == (2, 3, 7, 2) and score.shape == (2, 3, 7)
    alone_px, _ = decode_heatmaps(logits_of(points_px[1, 2, 3]))
    np.testing.assert_array_equal(decoded_px[1, 2, 3], alone_px)


def test_the_score_is_the_share_of_probability_around_the_peak():
    flat = np.zeros((HEIGHT, WIDTH), np.float32)
    flat[30, 40] = 1e-3  # marks the window's middle
    point_px, score = decode_heatmaps(flat)
    np.testing.assert_allclose(point_px, (40, 30), atol=1e-3)
    np.testing.assert_allclose(score, 49 / (HEIGHT * WIDTH), rtol=1e-3)


def test_a_second_peak_further_off_does_not_pull():
    two = np.logaddexp(logits_of(np.array([20.3, 30.6])), logits_of(np.array([60.0, 30.0])) - 0.5)
    point_px, score = decode_heatmaps(two)
    np.testing.assert_allclose(point_px, (20.3, 30.6), atol=0.05)
    assert score == pytest.approx(1 / (1 + np.exp(-0.5)), abs=0.01)


def test_of_two_peaks_the_expected_one_wins_and_stays_where_it_is():
    near, far = np.array([20.3, 30.6]), np.array([60.0, 31.0])
    two = np.logaddexp(logits_of(near), logits_of(far) + 1.0)[None]
    maps = probabilities(two)
    np.testing.assert_allclose(decode_heatmaps(two)[0][0], far, atol=0.05)
    slanted = np.array([[[40.0, 12.0], [12.0, 10.0]]])
    np.testing.assert_allclose(decode_expected(maps, near[None] + 3, slanted)[0], near, atol=0.3)
    anywhere = np.array([[[1e6, 0.0], [0.0, 1e6]]])
    np.testing.assert_allclose(decode_expected(maps, near[None], anywhere)[0], far, atol=0.05)


def test_what_is_expected_cannot_outweigh_a_peak_that_is_sure():
    far = np.array([60.0, 31.0])
    maps = probabilities(logits_of(far)[None])
    expected = np.array([[20.0, 30.0]]), 9 * np.eye(2)[None]
    np.testing.assert_allclose(decode_expected(maps, *expected)[0], far, atol=0.05)


def test_a_flat_map_is_decoded_along_the_axes_of_what_is_expected():
    """The window's middle is the cell nearest to the mean, whichever way the Gaussian leans."""
    maps = np.full((2, HEIGHT, WIDTH), 1 / (HEIGHT * WIDTH), np.float32)
    mean = np.array([[30.0, 20.0], [41.0, 33.0]])
    lean = np.array([[[9.0, 4.0], [4.0, 5.0]], [[5.0, -4.0], [-4.0, 9.0]]])
    np.testing.assert_allclose(decode_expected(maps, mean, lean), mean, atol=0.05)


def test_a_key_point_is_on_what_is_something_elses_only_if_it_is_expected_there():
    """Nearly all of the map is far from where the point is expected, the rest there."""
    maps = np.zeros((1, 40, 40))
    maps[0, 10, 8], maps[0, 30, 33] = 1e-4, 1 - 1e-4
    taken = np.zeros((40, 40), bool)
    taken[25:35, 28:38] = True
    tight = np.eye(2)[None] * 4
    here, there = np.array([[8.0, 10.0]]), np.array([[33.0, 30.0]])
    np.testing.assert_allclose(decode_expected(maps, here, tight), there, atol=0.05)
    np.testing.assert_allclose(decode_expected(maps, here, tight, taken), here, atol=0.05)
    np.testing.assert_allclose(decode_expected(maps, there, tight, taken), there, atol=0.05)


@given(ANYWHERE, st.floats(0.5, 3))
def test_targets_sum_to_one_even_when_cut_by_the_border(point, sigma_px):
    target = gaussian_targets(np.array(point), HEIGHT, WIDTH, sigma_px)
    assert target.sum() == pytest.approx(1, abs=1e-5)
    row, column = np.unravel_index(target.argmax(), target.shape)
    assert abs(column - point[0]) <= 0.501 and abs(row - point[1]) <= 0.501


def test_a_stride_2_map_has_its_first_centre_between_the_first_two_input_pixels():
    np.testing.assert_array_equal(map_to_input(np.array([0.0, 3.0]), 2), [0.5, 6.5])


@given(ANYWHERE, st.sampled_from([1, 2, 4, 8]))
def test_map_and_input_coordinates_are_inverses(point, stride):
    np.testing.assert_allclose(input_to_map(map_to_input(np.array(point), stride), stride), point, atol=1e-9)
