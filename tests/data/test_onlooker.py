import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from handfast.data.onlooker import VIEWS, sample_scene, sample_view
from handfast.data.synthesis import HEIGHT, WIDTH, make_world

RIGHT, DOWN, FORWARD = np.eye(3)


def views(view, count=200):
    rng = np.random.default_rng(0)
    return np.array([sample_view(rng, view) for _ in range(count)])


@given(seed=st.integers(0, 2**32), view=st.sampled_from(VIEWS))
def test_views_are_rotations(seed, view):
    rotation = sample_view(np.random.default_rng(seed), view)
    assert np.allclose(rotation @ rotation.T, np.eye(3)) and np.isclose(np.linalg.det(rotation), 1)


def test_before_a_desk_camera_the_person_looks_into_it_with_the_right_hand_on_the_left():
    seen = views("desk")
    assert (seen @ FORWARD)[:, 2].mean() < -0.8
    assert ((seen @ RIGHT)[:, 0] < 0).all() and ((seen @ DOWN)[:, 1] > 0).all()


def test_from_above_heads_are_nearer_and_most_people_below():
    seen = views("from_above")
    assert ((seen @ DOWN)[:, 2] > 0.5).all()
    assert (seen @ FORWARD)[:, 1].mean() < -0.4


def test_beside_a_person_cameras_are_on_either_side():
    across = (views("sideways") @ RIGHT)[:, 2]
    assert (np.abs(across) > 0.5).all() and 0.4 < (across > 0).mean() < 0.6


def test_two_hands_are_one_persons_and_both_are_in_the_picture():
    world = make_world(13, 3)
    pairs = []
    for seed in range(150):
        scene = sample_scene(
            np.random.default_rng([13, seed]), world.people[seed % 3], world.prior, world.asset, WIDTH, HEIGHT
        )
        pairs += [(scene.camera, *scene.hands)] if len(scene.hands) == 2 else []
    assert len(pairs) > 10
    for camera, one, other in pairs:
        middles_m = [(hand.keypoints_m.min(0) + hand.keypoints_m.max(0)) / 2 for hand in (one, other)]
        assert {one.side, other.side} == {"left", "right"}
        assert np.linalg.norm(middles_m[0] - middles_m[1]) < 1.2
        x, y = camera.project(middles_m[1])
        assert 0 <= x < WIDTH and 0 <= y < HEIGHT


@pytest.mark.parametrize("seed", range(3))
def test_same_seed_same_scene(seed):
    world = make_world(13, 3)
    one, other = (
        sample_scene(np.random.default_rng(seed), world.people[0], world.prior, world.asset, WIDTH, HEIGHT)
        for _ in range(2)
    )
    assert np.array_equal(one.mesh.vertices_m, other.mesh.vertices_m) and one.camera == other.camera
