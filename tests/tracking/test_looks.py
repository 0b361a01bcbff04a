"""Looks are compared with points of the frame in the cells of their heat-maps."""

import numpy as np

from handfast.tracking.looks import Look, cells_near


def test_cells_near_points_of_the_frame():
    """A look that sees a quarter turn of the frame, in cells of 4 px."""
    affine = np.array([[0.0, -0.25, 20.0], [0.25, 0.0, 3.0]])
    look = Look(affine, np.zeros((21, 24, 32), np.float32))
    points_px = np.array([[20.0, 40.0], [60.0, 12.0]])  # cells (10, 8) and (17, 18)
    near = cells_near(look, points_px, 8.5)
    rows, columns = np.mgrid[:24, :32]
    expected = np.zeros((24, 32), bool)
    for x, y in ((10, 8), (17, 18)):
        expected |= np.hypot(columns - x, rows - y) < 8.5 / 4
    assert (near == expected).all() and near.sum() == 2 * 13
