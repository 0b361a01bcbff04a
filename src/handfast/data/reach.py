"""How people hold their hands: what an arm that comes from a shoulder lets a hand do.

Elbows hang, forearms turn as far as forearms do. So which hand it is can be told from where its arm comes
from, and which way its palm looks from both. All is said of a right arm; a left one is its mirror image.
"""

import numpy as np

from handfast.geometry import rotation_from_axis_angle

MIRROR = np.diag([-1.0, 1.0, 1.0])
# Right, down and forward of the person: from between the shoulders to the right one; where its elbow hangs.
SHOULDER_M = np.array([0.18, 0.0, 0.0])
ELBOW_HANGS = np.array([0.4, 1.0, -0.1])
# Where hands are held, from between the shoulders: a right one's mean and spread to the side, the rest.
_ACROSS_M, _DOWN_M, _FORWARD_M = (0.12, 0.15), (-0.3, 0.35), (0.18, 0.5)
_UPPER_ARM_M, _FOREARM_M, _WRIST_TO_CENTRE_M = 0.29, 0.26, 0.09
_STRETCH = 0.98  # arms are never quite straight
_SWIVEL_RAD = 0.35
_WRIST_BEND = 0.15
# Forearms are turned palm down for most of what hands do; 0 is thumb up.
_PALM_DOWN_RAD, _TURN_RANGE_RAD, _PALM_DOWN_SHARE = (1.2, 0.4), (-1.4, 1.7), 0.6


def can_reach(shoulder_m: np.ndarray, centre_m: np.ndarray) -> bool:
    """Whether an arm from shoulder (3,) can hold its hand's centre (3,) there."""
    reach_m = _reach_m(shoulder_m, centre_m)
    return _UPPER_ARM_M - _FOREARM_M < reach_m < _STRETCH * (_UPPER_ARM_M + _FOREARM_M)


def sample_hold(
    rng: np.random.Generator, shoulder_m: np.ndarray, centre_m: np.ndarray, hanging: np.ndarray
) -> np.ndarray:
    """How a right arm holds its hand at a place that it can reach: rotation (3, 3) from the hand's frame.

    shoulder_m, centre_m, hanging (3,): where shoulder and hand are and whereto the elbow hangs, in the axes
    that the rotation is to take to.
    """
    away = (centre_m - shoulder_m) / np.linalg.norm(centre_m - shoulder_m)
    reach_m = _reach_m(shoulder_m, centre_m)
    # The elbow is on the circle about the line from the shoulder to the wrist.
    hanging = hanging - away * (away @ hanging)
    hanging = rotation_from_axis_angle(away * rng.normal(0, _SWIVEL_RAD)) @ hanging
    along_m = (_UPPER_ARM_M**2 - _FOREARM_M**2 + reach_m**2) / (2 * reach_m)
    off_m = np.sqrt(_UPPER_ARM_M**2 - along_m**2)
    upper_arm_m = along_m * away + off_m * hanging / np.linalg.norm(hanging)
    forearm_m = reach_m * away - upper_arm_m
    y = forearm_m / _FOREARM_M + _WRIST_BEND * rng.standard_normal(3)
    y /= np.linalg.norm(y)
    # With the thumb up, the elbow bends about the axis that the back of the hand looks along.
    outwards = np.cross(upper_arm_m, forearm_m)
    outwards -= y * (y @ outwards)
    palm_down = rng.random() < _PALM_DOWN_SHARE
    turn = rng.normal(*_PALM_DOWN_RAD) if palm_down else rng.uniform(*_TURN_RANGE_RAD)
    z = rotation_from_axis_angle(-np.clip(turn, *_TURN_RANGE_RAD) * y) @ outwards
    z /= np.linalg.norm(z)
    return np.stack([np.cross(y, z), y, z], axis=1)


def sample_held(rng: np.random.Generator, side: str) -> tuple[np.ndarray, np.ndarray]:
    """A hand somewhere before its person: centre (3,) m and rotation (3, 3), in axes that point right, down
    and forward from between the shoulders."""
    while True:
        across_m, down_m = rng.normal(*_ACROSS_M), rng.uniform(*_DOWN_M)
        centre_m = np.array([across_m, down_m, rng.uniform(*_FORWARD_M)])
        if can_reach(SHOULDER_M, centre_m):
            break
    rotation = sample_hold(rng, SHOULDER_M, centre_m, ELBOW_HANGS)
    if side == "right":
        return centre_m, rotation
    return MIRROR @ centre_m, MIRROR @ rotation @ MIRROR


def _reach_m(shoulder_m: np.ndarray, centre_m: np.ndarray) -> float:
    """From the shoulder to the wrist of a stretched arm's hand."""
    return float(np.linalg.norm(centre_m - shoulder_m)) - _WRIST_TO_CENTRE_M
