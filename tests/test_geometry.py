import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from handfast.errors import HandfastError
from handfast.geometry import (
    Camera,
    apply_affine,
    camera_of,
    crop_affine,
    fit_affine,
    invert_affine,
    invert_rigid,
    median_of_few,
    random_rotation,
    rotation_from_axis_angle,
    transform,
)

CAMERAS = st.builds(
    Camera,
    fx=st.floats(50, 2000),
    fy=st.floats(50, 2000),
    cx=st.floats(-100, 2000),
    cy=st.floats(-100, 2000),
    width=st.integers(1, 4000),
    height=st.integers(1, 4000),
)
IMAGE_SIZES = st.integers(1, 4000)
CROPS = st.builds(
    crop_affine,
    st.tuples(st.floats(-500, 2000), st.floats(-500, 2000)),
    st.floats(1, 2000),
    st.integers(1, 512),
    st.integers(1, 512),
)
VECTORS = arrays(float, (7, 3), elements=st.floats(-10, 10))
POINTS_PX = arrays(float, (5, 2), elements=st.floats(-3000, 3000))
POINTS_M = VECTORS.map(lambda points: np.concatenate([points[:, :2], 0.1 + abs(points[:, 2:])], axis=1))


@given(CAMERAS, POINTS_M)
def test_unproject_undoes_project(camera, points_m):
    back = camera.unproject(camera.project(points_m), points_m[:, 2])
    np.testing.assert_allclose(back, points_m, atol=1e-9)


def test_project_by_hand():
    camera = Camera(fx=100, fy=200, cx=10, cy=20, width=64, height=48)
    points_m = np.array([[0, 0, 1.0], [0.5, 0, 2], [0, -0.25, 0.5]])
    np.testing.assert_array_equal(camera.project(points_m), [[10, 20], [35, 20], [10, -80]])
    homogeneous = points_m @ camera.K.T
    np.testing.assert_allclose(homogeneous[:, :2] / homogeneous[:, 2:], camera.project(points_m))


@pytest.mark.parametrize("field", ["fx", "fy", "width", "height"])
@pytest.mark.parametrize("value", [0, -3, float("nan")])
def test_a_camera_refuses_what_is_not_positive(field, value):
    good = {"fx": 100, "fy": 100, "cx": 0, "cy": 0, "width": 64, "height": 48}
    with pytest.raises(HandfastError, match="positive focal lengths and size"):
        Camera(**good | {field: value})


@pytest.mark.parametrize("field", ["fx", "fy", "cx", "cy"])
@pytest.mark.parametrize("value", [float("nan"), float("inf"), -float("inf")])
def test_a_camera_refuses_what_is_not_finite(field, value):
    good = {"fx": 100, "fy": 100, "cx": 0, "cy": 0, "width": 64, "height": 48}
    with pytest.raises(HandfastError, match="positive focal lengths and size, and a finite centre"):
        Camera(**good | {field: value})


@given(CAMERAS, CROPS, POINTS_M)
def test_the_warped_camera_sees_the_warped_points(camera, A, points_m):
    warped = camera.warped(A, 128, 96)
    assert (warped.width, warped.height) == (128, 96)
    expected = apply_affine(A, camera.project(points_m))
    np.testing.assert_allclose(warped.project(points_m), expected, rtol=1e-9, atol=1e-6)


@given(CROPS, POINTS_PX)
def test_invert_affine_undoes_a_crop(A, points_px):
    np.testing.assert_allclose(
        apply_affine(invert_affine(A), apply_affine(A, points_px)), points_px, atol=1e-6
    )


@given(arrays(float, (2, 3), elements=st.floats(-5, 5)), POINTS_PX)
def test_invert_affine_undoes_any_affine(A, points_px):
    A[:, :2] += 11 * np.eye(2)  # diagonally dominant, so invertible
    np.testing.assert_allclose(
        apply_affine(invert_affine(A), apply_affine(A, points_px)), points_px, atol=1e-6
    )


@given(IMAGE_SIZES, IMAGE_SIZES, IMAGE_SIZES, IMAGE_SIZES)
def test_fit_affine_centres_the_whole_image_and_fills_one_side(width, height, to_width, to_height):
    A = fit_affine(width, height, to_width, to_height)
    borders = np.array([[-0.5, -0.5], [width - 0.5, height - 0.5]])
    low, high = apply_affine(A, borders)
    margin_low, margin_high = low + 0.5, (to_width - 0.5, to_height - 0.5) - high
    np.testing.assert_allclose(margin_low, margin_high, atol=1e-6)
    assert margin_low.min() == pytest.approx(0, abs=1e-6)
    assert A[0, 0] == A[1, 1] and A[0, 1] == A[1, 0] == 0


def test_crop_affine_takes_the_crop_edges_to_the_image_edges():
    A = crop_affine((50.0, 20.0), 10.0, 20, 8)
    points_px = np.array([[50, 20], [45, 20], [55, 22.0]])
    np.testing.assert_allclose(apply_affine(A, points_px), [[9.5, 3.5], [-0.5, 3.5], [19.5, 7.5]])


@given(VECTORS)
def test_rotation_from_axis_angle_turns_about_its_axis(axis_angle):
    R = rotation_from_axis_angle(axis_angle)
    np.testing.assert_allclose(R @ np.swapaxes(R, -1, -2), np.tile(np.eye(3), (7, 1, 1)), atol=1e-12)
    np.testing.assert_allclose(np.linalg.det(R), 1)
    np.testing.assert_allclose((R @ axis_angle[..., None])[..., 0], axis_angle, atol=1e-9)
    np.testing.assert_allclose(
        np.trace(R, axis1=1, axis2=2), 1 + 2 * np.cos(np.linalg.norm(axis_angle, axis=1))
    )
    np.testing.assert_allclose(rotation_from_axis_angle(-axis_angle), np.swapaxes(R, -1, -2), atol=1e-12)


def test_rotation_from_axis_angle_is_right_handed():
    quarter = np.pi / 2 * np.eye(3)
    x_to_x, y_to_z, z_to_x = rotation_from_axis_angle(quarter) @ np.array([[1, 0, 0]]).T
    np.testing.assert_allclose(
        np.concatenate([x_to_x, y_to_z, z_to_x], 1).T, [[1, 0, 0], [0, 0, -1], [0, 1, 0]], atol=1e-15
    )
    tiny = np.array([1e-12, 0, 0])
    np.testing.assert_allclose(rotation_from_axis_angle(tiny)[2, 1], 1e-12, rtol=1e-6)


@given(st.integers(0, 2**32), VECTORS)
def test_invert_rigid_undoes_transform(seed, points):
    rng = np.random.default_rng(seed)
    T = np.eye(4)
    T[:3, :3], T[:3, 3] = random_rotation(rng), rng.standard_normal(3)
    np.testing.assert_allclose(transform(invert_rigid(T), transform(T, points)), points, atol=1e-12)
    np.testing.assert_allclose(invert_rigid(T) @ T, np.eye(4), atol=1e-12)


def test_random_rotations_are_rotations_without_a_preferred_direction():
    rng = np.random.default_rng(0)
    R = np.stack([random_rotation(rng) for _ in range(4000)])
    np.testing.assert_allclose(R @ np.swapaxes(R, -1, -2), np.tile(np.eye(3), (len(R), 1, 1)), atol=1e-12)
    np.testing.assert_allclose(np.linalg.det(R), 1)
    # Uniform on SO(3): every entry has mean 0 and variance 1/3, and so has the trace's 0 and 1.
    np.testing.assert_allclose(R.mean(0), 0, atol=0.05)
    np.testing.assert_allclose((R**2).mean(0), 1 / 3, atol=0.03)
    assert np.trace(R, axis1=1, axis2=2).var() == pytest.approx(1, abs=0.1)


def test_intrinsics_are_those_of_images_of_this_size():
    assert camera_of(None, 640, 480) is None
    assert camera_of((476, 470, 313.7, 242.8), 640, 480) == Camera(476, 470, 313.7, 242.8, 640, 480)
    for intrinsics, message in (
        ((476, 476, 3137, 242), "the centre 3137,242 is outside of images of 640 x 480 px"),
        ((47600, 476, 313, 242), r"focal lengths of 64 to 12800 px for images of 640 px, got 47600,476"),
        ((0.5, 0.5, 313, 242), "focal lengths of 64 to 12800 px"),
    ):
        with pytest.raises(HandfastError, match=message):
            camera_of(intrinsics, 640, 480)


@pytest.mark.parametrize("n", [1, 2, 5, 8])
def test_the_median_of_few_is_numpys(n):
    values = np.random.default_rng(n).normal(size=(n, 3)).astype(np.float32)
    assert (median_of_few(values) == np.median(values, axis=0)).all()
