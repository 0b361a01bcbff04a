import numpy as np
import pytest

from data_set_fixtures import mixed_frame
from handfast.data.scenes import orientation_class
from handfast.data.synthesis import HEIGHT, WIDTH, make_world
from handfast.geometry import rotation_from_axis_angle


@pytest.fixture(scope="module")
def world():
    return make_world(11, 3)


@pytest.fixture(scope="module")
def samples(world):
    return [mixed_frame(world, 11, i, i % 3) for i in range(40)]


def test_same_seed_same_bytes_in_any_order(world, samples):
    again = mixed_frame(world, 11, 17, 17 % 3)
    assert (again.frame.amplitude == samples[17].frame.amplitude).all()
    assert (again.frame.depth == samples[17].frame.depth).all()
    assert all(
        (a.keypoints_px == b.keypoints_px).all() for a, b in zip(again.hands, samples[17].hands, strict=True)
    )


def test_keypoints_project_to_their_pixels(samples):
    for sample in samples:
        for hand in sample.hands:
            projected = sample.frame.camera.project(hand.keypoints_m)
            assert np.allclose(projected, hand.keypoints_px, atol=0.01)


def test_visible_keypoints_lie_under_the_measured_surface(samples):
    """The depth image, in millimetres, agrees with the labels at a visible key-point to a finger's depth."""
    gaps = []
    for sample in samples:
        for hand in sample.hands:
            x, y = np.round(hand.keypoints_px[hand.visible]).astype(int).T
            inside = (x >= 0) & (x < WIDTH) & (y >= 0) & (y < HEIGHT)
            depth = sample.frame.depth[y[inside], x[inside]] / 1000
            z = hand.keypoints_m[hand.visible][inside, 2]
            gaps.append((z - depth)[depth > 0])
    gaps = np.concatenate(gaps)
    assert len(gaps) > 200
    assert -0.005 < np.median(gaps) < 0.02


def test_hidden_keypoints_exist_and_most_lie_behind_something(samples):
    visible = np.concatenate([hand.visible for sample in samples for hand in sample.hands])
    assert 0.3 < visible.mean() < 0.98


def test_segmentation_names_the_sides_that_are_there(samples):
    for sample in samples:
        sides = {hand.side for hand in sample.hands}
        labels = set(np.unique(sample.segmentation).tolist()) - {0}
        assert labels <= {{"left": 1, "right": 2}[side] for side in sides}


def test_both_sides_and_empty_frames_occur(samples):
    sides = [hand.side for sample in samples for hand in sample.hands]
    assert {"left", "right"} == set(sides)
    assert any(not sample.hands for sample in samples)


@pytest.mark.parametrize("turns", range(8))
def test_orientation_counts_pronation_from_palm_to_camera(turns):
    # Fingers up (-y), palm (-z of the hand) to the camera (-z): the hand frame turned half about x.
    palm_first = np.diag([1.0, -1.0, -1.0]) @ np.diag([-1.0, 1.0, -1.0])
    assert np.allclose(palm_first[:, 1], [0, -1, 0]) and np.allclose(-palm_first[:, 2], [0, 0, -1])
    turned = rotation_from_axis_angle(np.array([0, -1.0, 0]) * (turns * np.pi / 4 + 0.1)) @ palm_first
    assert orientation_class(turned) == turns


def test_an_empty_scene_is_black(world):
    from handfast.data.meshes import join
    from handfast.data.scenes import Scene
    from handfast.data.synthesis import SENSORS, observe
    from handfast.geometry import Camera

    scene = Scene(Camera(140, 140, 79.5, 59.5, WIDTH, HEIGHT), join([]), ())
    sample = observe(scene, SENSORS[0], world.textures, np.random.default_rng(0), index=0, time_s=0.0)
    assert sample.frame.amplitude.max() < 40 and (sample.frame.depth == 0).mean() > 0.9 and not sample.hands
