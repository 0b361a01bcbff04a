import numpy as np
import pytest

from handfast.data.motion import wander

SPREAD, FASTEST = np.array([0.05, 0.4]), np.array([0.6, 3.0])
TIME_S = np.arange(6000) / 30


@pytest.fixture(scope="module")
def places():
    return wander(np.random.default_rng(1), TIME_S, SPREAD, FASTEST)


def test_places_are_spread_as_asked(places):
    assert np.all(np.abs(places) < 2.2 * SPREAD)
    assert np.all((0.6 * SPREAD < places.std(0)) & (places.std(0) < 1.2 * SPREAD))


def test_no_movement_is_faster_than_the_fastest(places):
    speed = np.abs(np.diff(places, axis=0)) * 30
    # Sway comes on top: two waves of at most 1.2 Hz and 0.06 of the spread.
    assert np.all(speed <= FASTEST + 2 * 2 * np.pi * 1.2 * 0.06 * SPREAD)
    assert np.all(speed.max(0) > 0.3 * FASTEST)


def test_it_rests_and_sways(places):
    speed = np.linalg.norm(np.diff(places / SPREAD, axis=0), axis=1) * 30
    assert np.mean(speed < 0.7) > 0.25 and np.mean(speed > 2) > 0.15
    assert speed.min() > 0


def test_it_is_smooth(places):
    """Half a frame later is half the way on, but for the acceleration of the quickest movements."""
    gap = places[1:-1] - (places[:-2] + places[2:]) / 2
    assert np.all(np.abs(gap) < 0.06 * 4 * SPREAD)
