"""A hand that lies as MANO's does, for files in its format."""

import numpy as np

_PALM_M = {"index": 0.027, "middle": 0.003, "pinky": -0.037, "ring": -0.02}  # the fingers' place across it


def right_hand_joints_m():
    """Joints (16, 3) at rest in MANO's order: fingers to -x, the thumb to +z, the palm down, to -y."""
    fingers = [(-along, 0.0, z) for z in _PALM_M.values() for along in (0.0, 0.035, 0.055)]
    thumb = [(0.07, -0.01, 0.03), (0.05, -0.01, 0.055), (0.03, -0.015, 0.07)]
    return np.array([(0.095, 0.0, 0.0), *fingers, *thumb])
