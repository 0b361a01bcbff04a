from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from handfast.data.headset import PALM_FACING, sample_headset_scene, sample_reach
from handfast.data.scenes import HAND_LENGTH_M
from handfast.data.synthesis import HEIGHT, WIDTH, make_world
from handfast.geometry import Camera, rotation_from_axis_angle

CAMERA = Camera(115.0, 115.0, 79.5, 59.5, WIDTH, HEIGHT)
LOOKS_DOWN = rotation_from_axis_angle(np.array([0.45, 0, 0]))
MIRROR = np.diag([-1.0, 1, 1])


@pytest.fixture(scope="module")
def world():
    return make_world(12, 3)


def scenes(world, count, **options):
    for seed in range(count):
        rng = np.random.default_rng([12, seed])
        yield sample_headset_scene(
            rng, world.people[seed % 3], world.prior, world.asset, WIDTH, HEIGHT, **options
        )


@given(seed=st.integers(0, 2**32), turn=st.floats(-0.6, 0.6))
def test_a_left_arm_is_a_right_one_in_the_mirror(seed, turn):
    torso = LOOKS_DOWN @ rotation_from_axis_angle(np.array([0, turn, 0]))
    camera = replace(CAMERA, cx=70.0)
    right_m, right = sample_reach(np.random.default_rng(seed), "right", camera, torso)
    mirrored = replace(camera, cx=WIDTH - 1 - camera.cx)
    left_m, left = sample_reach(np.random.default_rng(seed), "left", mirrored, MIRROR @ torso @ MIRROR)
    assert np.allclose(left_m, MIRROR @ right_m) and np.allclose(left, MIRROR @ right @ MIRROR)


@given(seed=st.integers(0, 2**32))
def test_hands_are_turned_rightly_and_in_the_picture(seed):
    centre_m, rotation = sample_reach(np.random.default_rng(seed), "right", CAMERA, LOOKS_DOWN)
    assert np.allclose(rotation @ rotation.T, np.eye(3)) and np.isclose(np.linalg.det(rotation), 1)
    assert (CAMERA.project(centre_m) >= 0).all() and (CAMERA.project(centre_m) < (WIDTH, HEIGHT)).all()


def test_fingers_point_away_from_the_own_shoulder():
    """A right forearm comes from the right and from below, whichever way the wrist bends."""
    rng = np.random.default_rng(0)
    fingers = np.array([sample_reach(rng, "right", CAMERA, LOOKS_DOWN)[1][:, 1] for _ in range(200)])
    assert fingers[:, 0].mean() < -0.2 and fingers[:, 1].mean() < -0.2


def test_most_hands_show_their_backs_and_sides_are_told_by_their_place(world):
    hands = [(hand, scene.camera) for scene in scenes(world, 120) for hand in scene.hands]
    assert np.mean([hand.orientation in PALM_FACING for hand, _ in hands]) < 0.15
    across = {
        side: [camera.project(hand.keypoints_m)[:, 0].mean() for hand, camera in hands if hand.side == side]
        for side in ("left", "right")
    }
    assert np.mean(across["left"]) < WIDTH / 2 < np.mean(across["right"])


def test_never_two_hands_of_one_side(world):
    pairs = [scene.hands for scene in scenes(world, 120) if len(scene.hands) == 2]
    assert pairs and all({hand.side for hand in hands} == {"left", "right"} for hands in pairs)


def test_a_crop_shows_the_first_hand_large(world):
    for scene in scenes(world, 40, crop_share=1.0):
        if scene.hands:
            assert scene.camera.fx * HAND_LENGTH_M / scene.hands[0].keypoints_m[:, 2].mean() > 0.4 * HEIGHT
