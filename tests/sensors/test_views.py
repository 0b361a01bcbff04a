import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from handfast.geometry import apply_affine
from handfast.sensors.views import (
    HAND_SHARE,
    hand_direction_rad,
    hand_size_px,
    look_affine,
    without_strays,
)

# Wrist at the origin, the rest of the hand above it (y is down).
HAND = np.array([[0.0, 0], *([x, y] for x in (-20.0, 0, 20) for y in (-40.0, -60, -80))])
turns = st.floats(-np.pi, np.pi)
places = st.floats(-200, 800)


def turned(points, turn_rad):
    c, s = np.cos(turn_rad), np.sin(turn_rad)
    return points @ np.array([[c, -s], [s, c]]).T


def test_size_is_the_side_of_a_square_box_and_direction_points_to_the_fingers():
    square = np.array([[0.0, 0], [30, 0], [0, 30], [30, 30]])
    assert np.isclose(hand_size_px(square), 30)
    assert np.isclose(hand_direction_rad(HAND), -np.pi / 2)
    assert np.isclose(hand_direction_rad(HAND[::-1], root=len(HAND) - 1), -np.pi / 2)


@given(turns, places, places, st.floats(0.2, 8))
def test_the_look_is_upright_and_centred_wherever_the_hand_is(turn_rad, x, y, scale):
    hand = turned(scale * HAND, turn_rad) + np.array([x, y])
    seen = apply_affine(look_affine(hand, 160, 120), hand)
    assert np.isclose(hand_direction_rad(seen), -np.pi / 2, atol=1e-6)
    middle = (hand.min(0) + hand.max(0)) / 2
    assert np.allclose(apply_affine(look_affine(hand, 160, 120), middle), (79.5, 59.5), atol=1e-6)


def test_the_hand_takes_its_share_of_the_view():
    seen = apply_affine(look_affine(HAND, 160, 120), HAND)
    assert np.isclose(hand_size_px(seen), HAND_SHARE * 120)
    closer = apply_affine(look_affine(HAND, 160, 120, zoom=1.5), HAND)
    assert np.isclose(hand_size_px(closer), 1.5 * HAND_SHARE * 120)


@given(turns)
def test_turn_is_added(turn_rad):
    seen = apply_affine(look_affine(HAND, 160, 120, turn_rad=turn_rad), HAND)
    difference = hand_direction_rad(seen) + np.pi / 2 - turn_rad
    assert np.isclose(np.cos(difference), 1)


@given(turns, places, places)
def test_key_points_that_jumped_off_the_hand_do_not_widen_the_look(turn_rad, x, y):
    fist = np.array([[0.0, -20], *HAND[1:]])
    hand = turned(fist, turn_rad) + np.array([x, y])
    strayed = hand.copy()
    strayed[4] += 500
    assert np.allclose(without_strays(hand), hand)
    mended = without_strays(strayed)
    assert np.allclose(np.delete(mended, 4, 0), np.delete(hand, 4, 0))
    assert abs(hand_size_px(mended) - hand_size_px(hand)) < 0.4 * hand_size_px(hand)
