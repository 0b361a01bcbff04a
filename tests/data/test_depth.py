import numpy as np
import pytest

from handfast.data.depth import (
    BASELINE_M,
    CAMERA,
    CUBE_M,
    LEAST_VISIBLE,
    SIZE_PX,
    depth_clip,
    structured_light,
)
from handfast.data.synthesis import make_world
from handfast.skeleton import NYU14


@pytest.fixture(scope="module")
def samples():
    world = make_world(3, 4)
    return [next(depth_clip(world, np.random.default_rng(i), i % 4)) for i in range(40)]


def seen_by(sensor_depth_m, cos=1.0, albedo=0.5, seed=0):
    shape = sensor_depth_m.shape
    cos, albedo = (np.broadcast_to(np.float32(x), shape) for x in (cos, albedo))
    return structured_light(np.float32(sensor_depth_m), cos, albedo, CAMERA.fx, np.random.default_rng(seed))


def test_crops_are_what_is_promised(samples):
    for sample in samples:
        assert sample.frame.shape == (SIZE_PX, SIZE_PX) and sample.frame.amplitude is None
        (hand,) = sample.hands
        assert hand.side == "right" and hand.visible.sum() >= LEAST_VISIBLE
        assert set(np.unique(sample.segmentation)) <= {0, 2}


def test_the_camera_of_the_crop_is_the_one_of_the_labels(samples):
    """Focal lengths keep their ratio, key-points project to their pixels, a cube of CUBE_M fills the crop."""
    for sample in samples:
        camera, (hand,) = sample.frame.camera, sample.hands
        assert abs(camera.fx / camera.fy - CAMERA.fx / CAMERA.fy) < 1e-9
        assert np.abs(camera.project(hand.keypoints_m) - hand.keypoints_px).max() < 1e-3
        middle_m = CUBE_M * camera.fx / SIZE_PX
        extent_m = np.ptp(hand.keypoints_m[:, 2])
        assert abs(middle_m - hand.keypoints_m[:, 2].mean()) < 0.5 * extent_m + 0.05
        # The pixel of the whole picture that the crop's middle shows is in it.
        whole = CAMERA.project(camera.unproject(np.array([79.5, 79.5]), np.array(1.0)))
        assert (whole > 0).all() and (whole < (640, 480)).all()


def test_visible_joints_lie_under_the_measured_surface(samples):
    gaps, unknown = [], []
    for sample in samples:
        (hand,) = sample.hands
        x, y = np.round(hand.keypoints_px[hand.visible]).astype(int).T
        inside = (x >= 0) & (x < SIZE_PX) & (y >= 0) & (y < SIZE_PX)
        depth_m = sample.frame.depth[y[inside], x[inside]] / 1000
        z = hand.keypoints_m[hand.visible][inside, 2]
        gaps.append((z - depth_m)[depth_m > 0])
        unknown.append((depth_m == 0).mean())
    gaps = np.concatenate(gaps)
    assert len(gaps) > 300
    assert 0 < np.median(gaps) < 0.02 and np.mean(np.abs(gaps) < 0.03) > 0.9
    assert np.mean(unknown) < 0.1


def test_the_segmentation_is_about_the_hand_s_depth(samples):
    for sample in samples:
        (hand,) = sample.hands
        depth_m = sample.frame.depth[sample.segmentation == 2] / 1000
        z = hand.keypoints_m[:, 2]
        near, far = z.min() - 0.05, z.max() + 0.05
        known = depth_m[depth_m > 0]
        # At the edges a neighbour's depth may be fetched.
        assert np.mean((known > near) & (known < far)) > 0.85


def test_nyu14_follows_from_the_labels(samples):
    for sample in samples:
        (hand,) = sample.hands
        points = NYU14.select(hand.keypoints_m)
        assert points.shape == (14, 3)
        assert np.ptp(points, axis=0).max() < 0.3


@pytest.mark.parametrize("z", [0.5, 1.0, 2.0])
def test_steps_of_depth_grow_with_its_square(z):
    seen = seen_by(np.full((60, 80), z))
    step_mm = 1000 * z**2 / (8 * CAMERA.fx * BASELINE_M)
    levels = np.unique(seen)
    assert abs(seen.mean() / 1000 - z) < 0.002 * z
    if len(levels) > 1:
        assert abs(np.diff(levels).min() - step_mm) < 1
    assert np.abs(levels / 1000 - z).max() < 6 * step_mm / 1000 + 0.001


def test_a_near_surface_throws_a_shadow_to_its_right():
    depth_m = np.full((60, 160), 1.5)
    depth_m[:, 40:80] = 0.6
    seen = seen_by(depth_m)
    width_px = CAMERA.fx * BASELINE_M * (1 / 0.6 - 1 / 1.5)
    shadow = (seen[:, 82 : 80 + int(width_px) - 2] == 0).mean()
    assert shadow > 0.95
    assert (seen[:, 45:75] > 0).all() and (seen[:, 5:35] > 0).all()
    assert (seen[:, 80 + int(width_px) + 4 :] > 0).all()


@pytest.mark.parametrize(
    ("z", "cos", "albedo", "known"),
    [
        (0.8, 0.9, 0.5, True),
        (0.8, 0.02, 0.5, False),
        (3.0, 0.9, 0.01, False),
        (5.0, 1.0, 0.9, False),
        (0, 0, 0, False),
    ],
)
def test_there_is_no_value_on_edge_on_dark_and_far_surfaces(z, cos, albedo, known):
    assert ((seen_by(np.full((30, 40), z), cos, albedo) > 0) == known).all()
