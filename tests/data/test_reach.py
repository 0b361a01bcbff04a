import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from handfast.data.reach import ELBOW_HANGS, MIRROR, SHOULDER_M, can_reach, sample_held, sample_hold

SEEDS = st.integers(0, 2**32)
AHEAD_M = np.array([0.0, 0.0, 1.0])
HELD_OUT_M = SHOULDER_M + 0.45 * AHEAD_M + np.array([0, 0.1, 0])


@given(seed=SEEDS)
def test_a_left_hand_is_held_like_a_right_one_in_the_mirror(seed):
    right_m, right = sample_held(np.random.default_rng(seed), "right")
    left_m, left = sample_held(np.random.default_rng(seed), "left")
    assert np.allclose(left_m, MIRROR @ right_m) and np.allclose(left, MIRROR @ right @ MIRROR)


@given(seed=SEEDS)
def test_hands_are_turned_rightly_within_reach_and_before_the_person(seed):
    centre_m, rotation = sample_held(np.random.default_rng(seed), "right")
    assert np.allclose(rotation @ rotation.T, np.eye(3)) and np.isclose(np.linalg.det(rotation), 1)
    assert can_reach(SHOULDER_M, centre_m) and centre_m[2] > 0


def test_nobody_reaches_beyond_the_arm_or_into_the_shoulder():
    assert can_reach(SHOULDER_M, HELD_OUT_M)
    assert not can_reach(SHOULDER_M, SHOULDER_M + 0.7 * AHEAD_M)
    assert not can_reach(SHOULDER_M, SHOULDER_M + 0.05 * AHEAD_M)


def test_a_right_arm_held_out_points_ahead_with_its_palm_down_or_to_the_left():
    """Fingers go on where the forearm goes; forearms turn from palm up over palm to the left to palm down."""
    rng = np.random.default_rng(0)
    held = np.array([sample_hold(rng, SHOULDER_M, HELD_OUT_M, ELBOW_HANGS) for _ in range(400)])
    fingers, palms = held[:, :, 1], -held[:, :, 2]
    assert fingers[:, 2].mean() > 0.7
    assert palms[:, 1].mean() > 0.4
    assert np.mean(palms[:, 0] > 0.5) < 0.1
