"""Colour crops: hand-worked geometry, ways there and back, what shrinks, and boxes that hold no picture."""

import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from handfast.errors import HandfastError
from handfast.geometry import Camera
from handfast.sensors.colour_crop import SquareBox, box_about_px, crop_colour, look_rotation

RED = (250, 10, 10)


def picture_with_dots(points_px, width=320, height=240, radius_px=5):
    picture = np.full((height, width, 3), 40, np.uint8)
    for x, y in points_px:
        cv2.circle(picture, (round(x), round(y)), radius_px, RED, -1, cv2.LINE_AA)
    return picture


def middle_of_red(image, near_px, reach_px):
    """Where the red within so many pixels of a point has its middle."""
    rows, columns = np.mgrid[: image.shape[0], : image.shape[1]]
    near = np.hypot(columns - near_px[0], rows - near_px[1]) < reach_px
    redness = np.clip(image[..., 0].astype(float) - 60, 0, None) * near
    return np.array([(redness * columns).sum(), (redness * rows).sum()]) / redness.sum()


def test_the_box_is_the_longer_side_times_the_margin():
    keypoints_px = np.array([[10.0, 50], [40, 70], [30, 130]])
    assert box_about_px(keypoints_px) == SquareBox((25, 90), 1.6 * 80)
    assert box_about_px(keypoints_px, margin=1, turn_rad=0.5) == SquareBox((25, 90), 80, 0.5)


@given(
    st.floats(100, 220),
    st.floats(90, 150),
    st.floats(60, 220),
    st.floats(-3.1, 3.1),
    st.booleans(),
    st.sampled_from([64, 96, 224]),
)
def test_points_are_where_the_crop_shows_them_and_come_back(x, y, side_px, turn_rad, mirrored, size_px):
    points_px = np.array([[x, y], [x + 0.2 * side_px, y], [x, y - 0.3 * side_px]]).round()
    radius_px = 1 + side_px / 20
    picture = picture_with_dots(points_px, radius_px=round(radius_px))
    crop = crop_colour(picture, SquareBox((x, y), side_px, turn_rad), size_px, mirrored)
    assert crop.image.shape == (size_px, size_px, 3)
    moved_px, scale = crop.to_crop_px(points_px), size_px / side_px
    for point_px in moved_px:
        found_px = middle_of_red(crop.image, point_px, 1.5 * radius_px * scale)
        assert np.abs(found_px - point_px).max() < 0.15 * max(scale, 1) + 0.25
    np.testing.assert_allclose(crop.to_picture_px(moved_px), points_px, atol=1e-9)
    # The axes turn directions as the picture is turned.
    np.testing.assert_allclose(
        np.diff(moved_px, axis=0), scale * np.diff(points_px, axis=0) @ crop.axes[:2, :2].T, atol=1e-9
    )
    np.testing.assert_allclose(crop.axes @ crop.axes.T, np.eye(3), atol=1e-12)
    assert np.linalg.det(crop.axes) == pytest.approx(-1 if mirrored else 1)


def test_a_box_of_the_crop_s_size_is_a_copy_or_its_mirror_image():
    picture = np.random.default_rng(0).integers(0, 256, (100, 120, 3), np.uint8)
    box = SquareBox((50 + 31.5, 20 + 31.5), 64)
    np.testing.assert_array_equal(crop_colour(picture, box, 64).image, picture[20:84, 50:114])
    np.testing.assert_array_equal(
        crop_colour(picture, box, 64, mirrored=True).image, picture[20:84, 50:114][:, ::-1]
    )


def test_what_shrinks_is_averaged_and_not_sampled():
    stripes = np.zeros((256, 256, 3), np.uint8)
    stripes[:, ::2] = 200
    for side_px in (128, 150, 256):
        inner = crop_colour(stripes, SquareBox((127.3, 127.9), side_px), 32).image[2:-2, 2:-2]
        assert np.abs(inner.astype(int) - 100).max() < 40
    whole = crop_colour(stripes, SquareBox((127.5, 127.5), 256), 64).image
    assert (whole == 100).all()
    blocks = np.random.default_rng(0).integers(0, 256, (32, 32, 3), np.uint8)
    shrunk = crop_colour(blocks.repeat(8, 0).repeat(8, 1), SquareBox((127.5, 127.5), 256), 32).image
    np.testing.assert_array_equal(shrunk, blocks)


def test_beyond_the_border_is_black_unless_asked_otherwise():
    white = np.full((100, 100, 3), 255, np.uint8)
    box = SquareBox((-0.5, 49.5), 80)
    crop = crop_colour(white, box, 40)
    assert (crop.image[:, :19] == 0).all() and (crop.image[:, 21:] == 255).all()
    assert (crop_colour(white, box, 40, mirrored=True).image[:, 21:] == 0).all()
    assert (crop_colour(white, box, 40, border=cv2.BORDER_REPLICATE).image == 255).all()
    # A box wider than the picture holds all of it.
    around = crop_colour(white, SquareBox((49.5, 49.5), 200), 50).image
    assert (around[13:37, 13:37] == 255).all() and (around[:12] == 0).all() and (around[:, 39:] == 0).all()


@pytest.mark.parametrize(
    ("centre_px", "side_px", "turn_rad", "is_held"),
    [
        ((-0.5, -0.5), 50, 0.0, True),  # a quarter
        ((-12.0, 50), 40, 0.0, True),  # 0.2125
        ((-13.0, 50), 40, 0.0, False),  # 0.1875
        ((-20.0, 50), 40, 0.0, False),  # 0.0125
        ((-20.0, 50), 40, np.pi / 4, False),
        ((-300.0, 50), 40, 0.0, False),
        ((50.0, 4000), 40, 1.0, False),
        ((50.0, 50), 1e6, 0.3, False),
    ],
)
def test_a_box_outside_the_picture_is_no_crop(centre_px, side_px, turn_rad, is_held):
    picture = np.full((100, 100, 3), 9, np.uint8)
    box = SquareBox(centre_px, side_px, turn_rad)
    assert (crop_colour(picture, box, 32) is not None) == is_held
    assert crop_colour(picture, box, 32, least_inside=0).image.shape == (32, 32, 3)


@pytest.mark.parametrize("keypoints_px", [[[5.0, 5]] * 21, [[5.0, np.nan], [9, 9]], [[0.0, 0], [np.inf, 5]]])
def test_key_points_in_no_place_have_no_box(keypoints_px):
    with pytest.raises(HandfastError, match="a hand's box needs"):
        box_about_px(np.array(keypoints_px))


@pytest.mark.parametrize("wrong", [((np.nan, 0), 10), ((0, 0), 0.5), ((0, 0), np.inf), ((0, 0), 9, np.nan)])
def test_boxes_of_nothing_are_refused(wrong):
    with pytest.raises(HandfastError, match="a hand's box needs"):
        SquareBox(*wrong)


@pytest.mark.parametrize(
    "picture", [np.zeros((9, 9), np.uint8), np.zeros((9, 9, 3)), np.zeros((9, 9, 4), np.uint8)]
)
def test_other_pictures_are_refused(picture):
    with pytest.raises(HandfastError, match=r"expected \(H, W, 3\) uint8, got"):
        crop_colour(picture, SquareBox((4, 4), 8), 32)


@given(st.floats(0, 319), st.floats(0, 239))
def test_a_camera_turns_to_what_it_looks_at(x, y):
    camera = Camera(fx=300, fy=280, cx=160, cy=118, width=320, height=240)
    R = look_rotation(camera, np.array([x, y]))
    np.testing.assert_allclose(R @ R.T, np.eye(3), atol=1e-12)
    point_m = camera.unproject(np.array([x, y]), np.array(0.5))
    np.testing.assert_allclose(R @ point_m, [0, 0, np.linalg.norm(point_m)], atol=1e-9)
    # The smallest such rotation: its axis lies in the image.
    assert R[0, 1] == pytest.approx(R[1, 0], abs=1e-12)


def test_no_turn_is_needed_to_look_straight_ahead():
    camera = Camera(fx=300, fy=280, cx=160, cy=118, width=320, height=240)
    np.testing.assert_array_equal(look_rotation(camera, np.array([160.0, 118])), np.eye(3))
