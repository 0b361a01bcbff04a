"""Depth crops: hand-worked geometry, and what is no hand."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from handfast.errors import HandfastError
from handfast.geometry import Camera
from handfast.sensors.depth_crop import (
    CROP_PX,
    NO_DEPTH,
    HandBox,
    box_about,
    box_of_joints,
    cell_centres_px,
    cell_depth,
    crop_hand,
    points_mm,
)

CAMERA = Camera(fx=500, fy=480, cx=159.5, cy=119.5, width=320, height=240)
CENTRE_MM = np.array([40.0, -30.0, 600.0])
SIZES = st.sampled_from([4, 8, 16, 32])


def scene(hand_mm=600, background_mm=1500, radius_px=60, centre_mm=CENTRE_MM):
    """A disc of one depth before a wall."""
    x, y = CAMERA.project(centre_mm)
    rows, columns = np.mgrid[: CAMERA.height, : CAMERA.width]
    is_hand = np.hypot(columns - x, rows - y) < radius_px
    return np.where(is_hand, hand_mm, background_mm).astype(np.uint16)


def box():
    return box_about(CENTRE_MM, CAMERA, 250)


def test_depth_is_0_to_1_from_150_mm_before_the_centre_to_150_mm_behind_it():
    slanted = scene().astype(np.float32)
    hand = slanted < 1000
    slanted[hand] += np.linspace(-100, 100, hand.sum(), dtype=np.float32)
    crop = crop_hand(slanted, CAMERA, box())
    z_mm = crop.centre_mm[2]
    assert z_mm == pytest.approx(600, abs=2)
    on_hand = crop.depth != NO_DEPTH
    assert on_hand.mean() == pytest.approx(np.pi * 60**2 / (250 * 500 / 600) ** 2, abs=0.005)
    assert crop.depth[on_hand].min() == pytest.approx((500 - (z_mm - 150)) / 300, abs=0.01)
    assert crop.depth[on_hand].max() == pytest.approx((700 - (z_mm - 150)) / 300, abs=0.01)
    assert np.all(crop.depth[0] == NO_DEPTH) and crop.depth.dtype == np.float32


def test_what_is_far_before_or_behind_the_mean_depth_is_left_out():
    depth_mm = np.full((240, 320), 600, np.uint16)
    depth_mm[:, ::8] = 299
    depth_mm[:, 1::8] = 751
    crop = crop_hand(depth_mm, CAMERA, HandBox((159.5, 119.5), 128, 800))
    assert crop.centre_mm[2] == pytest.approx((6 * 600 + 299 + 751) / 8)
    # 299 mm is within 300 mm before the mean, and 751 mm more than 150 mm behind it.
    assert np.unique(crop.depth) == pytest.approx([NO_DEPTH, -0.440833, 0.5625], abs=1e-5)
    assert np.count_nonzero(crop.depth != NO_DEPTH) == CROP_PX**2 * 7 // 8
    cut = crop_hand(depth_mm, CAMERA, HandBox((159.5, 119.5), 128, 751))
    assert cut.centre_mm[2] == pytest.approx((6 * 600 + 299) / 7)


@given(st.floats(-60, 60), st.floats(-40, 40), st.floats(300, 1200), SIZES)
def test_points_are_the_surface_in_camera_space(x_mm, y_mm, z_mm, size):
    """Steps of as many pixels as a cell has: whatever the crop, each point lies on the step at its place."""
    centre_mm = np.array([x_mm, y_mm, z_mm])
    stride = CROP_PX // size
    found = box_about(centre_mm, CAMERA, 100)
    x_px, y_px = np.round(np.array(found.centre_px) - 0.5) + 0.5
    rows, columns = np.mgrid[:240, :320]
    step = np.floor((columns - x_px) / stride) + 2 * np.floor((rows - y_px) / stride)
    depth_mm = z_mm + step.clip(-60, 60)
    crop = crop_hand(depth_mm, CAMERA, HandBox((x_px, y_px), CROP_PX, 2000))
    points, on_hand = points_mm(crop, size)
    points_in_mm = points + crop.centre_mm
    column, row = np.moveaxis(np.round(CAMERA.project(points_in_mm)).astype(int), -1, 0)
    inside = (column > 0) & (column < 319) & (row > 0) & (row < 239)
    assert (inside & on_hand).sum() > size
    expected_mm = depth_mm[row.clip(0, 239), column.clip(0, 319)]
    np.testing.assert_allclose(
        points_in_mm[..., 2][inside & on_hand], expected_mm[inside & on_hand], atol=1e-2
    )


@given(SIZES)
def test_points_project_to_the_middle_of_their_cells(size):
    crop = crop_hand(scene(), CAMERA, box())
    points, on_hand = points_mm(crop, size)
    assert (on_hand == (cell_depth(crop.depth, size) != NO_DEPTH)).all() and on_hand.any()
    at_px = crop.camera.project(points + crop.centre_mm)
    np.testing.assert_allclose(at_px[..., 0], np.tile(cell_centres_px(size), (size, 1)), atol=1e-3)
    np.testing.assert_allclose(at_px[..., 1].T, np.tile(cell_centres_px(size), (size, 1)), atol=1e-3)


def test_cells_have_their_middle_between_pixels():
    assert cell_centres_px(32)[:3].tolist() == [1.5, 5.5, 9.5]
    assert cell_centres_px(4).tolist() == [15.5, 47.5, 79.5, 111.5]


def test_the_depth_of_a_cell_is_the_nearest_in_it():
    depth = np.full((CROP_PX, CROP_PX), NO_DEPTH, np.float32)
    depth[4, 8:12] = 0.75, NO_DEPTH, -0.5, 1
    depth[7, 12] = 1
    cells = cell_depth(depth, 32)
    assert cells[1, 2:4].tolist() == [-0.5, 1] and np.count_nonzero(cells != NO_DEPTH) == 2
    assert cell_depth(depth, 16)[0, 1] == cell_depth(depth, 4)[0, 0] == -0.5


def test_the_crop_sees_with_a_camera_of_its_own():
    crop = crop_hand(scene(), CAMERA, box())
    np.testing.assert_allclose(crop.camera.project(CENTRE_MM), [63.5, 63.5])
    edge_mm = CENTRE_MM + np.array([125.0, 0, 0])
    assert crop.camera.project(edge_mm)[0] == pytest.approx(127.5)
    np.testing.assert_allclose(crop.centre_mm, CENTRE_MM, atol=1e-3)


def test_the_box_of_joints_is_the_larger_side_and_20_px_around():
    joints_mm = CAMERA.unproject(np.array([[100.0, 50], [140, 80]]), np.array([600.0, 650]))
    found = box_of_joints(joints_mm, CAMERA)
    assert found.centre_px == pytest.approx((120, 65))
    assert (found.width_px, found.far_mm) == pytest.approx((80, 850))
    assert box_of_joints(joints_mm, CAMERA, behind_mm=500).far_mm == pytest.approx(1100)


def test_no_hand():
    empty = np.zeros((240, 320), np.uint16)
    assert crop_hand(empty, CAMERA, box()) is None
    assert crop_hand(np.full((240, 320), np.nan), CAMERA, box()) is None
    assert crop_hand(scene(hand_mm=1500), CAMERA, box()) is None
    assert crop_hand(scene(radius_px=8), CAMERA, box()) is None


def with_holes(share):
    depth_mm = scene()
    depth_mm[np.random.default_rng(0).random(depth_mm.shape) < share] = 0
    return depth_mm


def test_holes_over_half_the_hand_are_no_hand():
    assert crop_hand(with_holes(0.35), CAMERA, box()) is not None
    assert crop_hand(with_holes(0.6), CAMERA, box()) is None
    x, y = CAMERA.project(CENTRE_MM)
    rows, columns = np.mgrid[:240, :320]
    for radius_px, is_hand in ((35, True), (50, False)):
        hollow = scene()
        hollow[np.hypot(columns - x, rows - y) < radius_px] = 0
        assert (crop_hand(hollow, CAMERA, box()) is not None) == is_hand


def test_holes_in_the_background_do_not_matter():
    depth_mm = scene(background_mm=0)
    np.testing.assert_array_equal(
        crop_hand(depth_mm, CAMERA, box()).depth, crop_hand(scene(), CAMERA, box()).depth
    )


def test_at_the_border_what_is_outside_the_image_has_no_depth():
    centre_mm = CAMERA.unproject(np.array([10.0, 120]), np.array(600.0))
    crop = crop_hand(scene(centre_mm=centre_mm), CAMERA, box_about(centre_mm, CAMERA, 250))
    edge_px = crop.camera.cx - (CAMERA.cx + 0.5) * crop.camera.fx / CAMERA.fx
    assert np.all(crop.depth[:, : int(edge_px)] == NO_DEPTH) and edge_px > 40
    assert np.all(crop.depth[64, int(edge_px) + 2 : 64] != NO_DEPTH)
    for x_px in (-10.0, 500.0):
        outside_mm = CAMERA.unproject(np.array([x_px, 120]), np.array(600.0))
        depth_mm = scene(centre_mm=outside_mm)
        assert crop_hand(depth_mm, CAMERA, box_about(outside_mm, CAMERA, 250)) is None


def test_metres_are_refused():
    with pytest.raises(HandfastError, match=r"depth: expected millimetres .* got 0\.6"):
        crop_hand(np.full((240, 320), 0.6), CAMERA, box())
    with pytest.raises(HandfastError, match="centre: expected millimetres"):
        box_about(CENTRE_MM / 1000, CAMERA, 250)
    for unknown in (np.full((3, 3), np.nan), np.empty((0, 3))):
        with pytest.raises(HandfastError, match="joints: no depth is known"):
            box_of_joints(unknown, CAMERA)
    with pytest.raises(HandfastError, match="joints: expected millimetres"):
        box_of_joints(np.array([CENTRE_MM, -CENTRE_MM]), CAMERA)


@pytest.mark.parametrize("kind", [np.float16, np.uint32, bool, object])
def test_numbers_that_are_no_depth_are_refused(kind):
    with pytest.raises(HandfastError, match="depth: expected uint16, float32 or float64, got"):
        crop_hand(scene().astype(kind), CAMERA, box())


def test_a_picture_of_another_camera_is_refused():
    with pytest.raises(HandfastError, match=r"expected 240 x 320 .* got \(480, 640\)"):
        crop_hand(np.ones((480, 640), np.uint16), CAMERA, box())


@pytest.mark.parametrize("wrong", [((np.nan, 0), 10, 10), ((0, 0), 0, 10), ((0, 0), 10, np.inf)])
def test_boxes_of_nothing_are_refused(wrong):
    with pytest.raises(HandfastError, match="a hand's box"):
        HandBox(*wrong)
