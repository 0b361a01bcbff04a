import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from handfast.geometry import Camera
from handfast.runtime.lifting import in_palm, lift
from handfast.skeleton import HAND21, TOF8

CAMERA = Camera(200.0, 210.0, 80.0, 60.0, 160, 120)
POINTS = np.array([[60.0, 40], [100, 40], [80, 60], [60, 80], [100, 80]])
ALL = np.ones(5, bool)


@given(st.floats(0.2, 2.0))
def test_a_flat_hand_is_lifted_exactly(z):
    depth_m = np.full((120, 160), z)
    lifted = lift(POINTS, ALL, depth_m, CAMERA)
    assert np.allclose(lifted[:, 2], z)
    assert np.allclose(CAMERA.project(lifted), POINTS)


def test_holes_and_background_do_not_count():
    depth_m = np.full((120, 160), 0.5)
    depth_m[38:43, 58:61] = 0  # a hole over most of the first key-point's disc
    depth_m[30:60, 100:] = 2.0  # the second lies on the hand's edge
    depth_m[75:, 95:] = 2.0  # the last on the background
    lifted = lift(POINTS, ALL, depth_m, CAMERA)
    assert np.allclose(lifted[:4, 2], 0.5)
    assert np.isnan(lifted[4]).all()


def test_hidden_and_outside_keypoints_stay_unknown():
    depth_m = np.full((120, 160), 0.5)
    visible = np.array([True, True, False, True, True])
    points = POINTS.copy()
    points[4] = (400, 80)
    lifted = lift(points, visible, depth_m, CAMERA)
    assert np.isnan(lifted[[2, 4]]).all() and np.isfinite(lifted[[0, 1, 3]]).all()


def test_hidden_keypoints_of_the_palm_lie_on_its_skin_unless_something_else_is_before_it():
    depth_m = np.full((120, 160), 0.5)
    depth_m[70:90, 50:70] = 0.38  # an arm before the fourth
    visible = np.array([True, True, False, False, False])
    palm = np.array([False, False, True, True, False])
    lifted = lift(POINTS, visible, depth_m, CAMERA, palm)
    assert np.isnan(lifted[[3, 4]]).all() and np.allclose(lifted[:3, 2], 0.5)


def test_the_palm_of_each_skeleton():
    assert np.flatnonzero(in_palm(HAND21)).tolist() == [0, 1, 5, 9, 13, 17]
    names = [name for name, is_in in zip(TOF8.keypoints, in_palm(TOF8), strict=True) if is_in]
    assert set(names) == {"index_mcp", "middle_mcp", "wrist_centre", "hand_centre"}


def test_no_depth_at_all():
    assert np.isnan(lift(POINTS, ALL, np.zeros((120, 160)), CAMERA)).all()
    assert np.isnan(lift(POINTS, ~ALL, np.ones((120, 160)), CAMERA)).all()


def test_one_wrong_pixel_does_not_move_the_median():
    depth_m = np.full((120, 160), 0.5)
    depth_m[40, 60] = 0.58
    assert np.allclose(lift(POINTS, ALL, depth_m, CAMERA)[0, 2], 0.5)
