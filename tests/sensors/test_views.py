import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from handfast.geometry import apply_affine, crop_affine, random_rotation
from handfast.hand_model.model import joint_rotations, load_hand_asset, pose_hand
from handfast.hand_model.pose_prior import load_pose_prior, sample_pose
from handfast.sensors.views import (
    HAND_SHARE,
    halvings,
    hand_direction_rad,
    hand_size_px,
    look_affine,
    take_view,
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


@given(st.floats(0.3, 7), st.floats(-3, 3), st.floats(200, 440), st.floats(150, 330))
def test_a_view_shows_things_where_its_affine_says(shrink, turn_rad, x, y):
    """A soft blob, from whichever halving it is taken: to a fraction of a pixel of the view."""
    gx, gy = np.meshgrid(np.arange(640), np.arange(480))
    blob = 220 * np.exp(-((gx - x) ** 2 + (gy - y) ** 2) / (2 * (7 * shrink) ** 2))
    A = crop_affine((x + 5 * shrink, y - 9 * shrink), 160 * shrink, 160, 120, turn_rad)
    view = take_view(halvings(blob.round().astype(np.uint8), 160), A, 160, 120).astype(float)
    vx, vy = np.meshgrid(np.arange(160), np.arange(120))
    bright = np.where(view > 60, view, 0)
    seen = np.array([(bright * vx).sum(), (bright * vy).sum()]) / bright.sum()
    assert np.allclose(seen, apply_affine(A, np.array([x, y])), atol=0.2)


def test_what_shrinks_is_averaged():
    """Stripes thinner than a view's pixel turn grey instead of flickering."""
    stripes = np.tile(np.array([0, 200], np.uint8), (480, 320))
    view = take_view(halvings(stripes, 160), crop_affine((319.5, 239.5), 640, 160, 120), 160, 120)
    assert abs(view.astype(int) - 100).max() <= 2


def test_halvings_stop_before_the_smallest_width_and_take_odd_sizes():
    assert [level.shape for level in halvings(np.zeros((481, 643), np.uint8), 160)] == [
        (481, 643),
        (240, 321),
        (120, 160),
    ]
    assert [level.shape for level in halvings(np.zeros((100, 159), np.uint8), 160)] == [(100, 159)]


def test_hands_have_no_strays_and_points_that_jumped_off_are_brought_back():
    """Wrists and spread thumbs lie far from the middle, and stay where they are."""
    prior, asset, rng = load_pose_prior(), load_hand_asset(), np.random.default_rng(0)
    kept = 0
    for _ in range(100):
        angles, _ = sample_pose(prior, rng)
        points_m, _ = pose_hand(asset, joint_rotations(asset, angles), np.zeros(10))
        hand = 500 * (points_m @ random_rotation(rng).T)[:, :2]
        kept += (without_strays(hand) == hand).all()
        far = hand.copy()
        far[8] += 2000
        assert np.linalg.norm(without_strays(far)[8] - np.median(far, axis=0)) < 1e-9
    assert kept >= 98
