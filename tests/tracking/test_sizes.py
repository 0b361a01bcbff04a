"""How large hands are, as shares of the mean one."""

import numpy as np
import pytest

from handfast.hand_model.model import BONES, joint_rotations, load_hand_asset, pose_hand
from handfast.skeleton import HAND21, TOF8
from handfast.tracking.sizes import LATEST, Sizes, size_of


@pytest.fixture(scope="module")
def hand_mm():
    """The mean hand with bent fingers: (21, 3). Bending changes no bone."""
    asset = load_hand_asset()
    bent = joint_rotations(asset, np.full((len(BONES), 3), 0.2))
    keypoints_m, _ = pose_hand(asset, bent, np.zeros(len(asset.shape_vertices_m)), "left")
    return 1e3 * keypoints_m


def test_the_mean_hand_is_as_large_as_itself_however_it_is_bent(hand_mm):
    assert size_of(hand_mm, HAND21) == pytest.approx(1, abs=0.03)
    assert size_of(1.7 * hand_mm + [10, 20, 900], HAND21) == pytest.approx(1.7, abs=0.05)
    rest = load_hand_asset()
    straight, _ = pose_hand(
        rest, joint_rotations(rest, np.zeros((len(BONES), 3))), np.zeros(len(rest.shape_vertices_m)), "right"
    )
    assert size_of(0.8e3 * TOF8.select(straight), TOF8) == pytest.approx(0.8)


def test_only_known_bones_count(hand_mm):
    torn = hand_mm.copy()
    torn[5:] = np.nan
    assert size_of(torn, HAND21) == pytest.approx(size_of(hand_mm, HAND21), abs=0.05)
    assert size_of(np.full((21, 3), np.nan), HAND21) == 0


def test_the_middle_of_the_latest_sizes_is_wrong_outside_of_the_limits(hand_mm):
    sizes = Sizes(0.7, 1.2)
    assert sizes.wrong is None
    for size in (1.0, 3.0, 3.0):
        sizes.add(size * hand_mm, HAND21)
    assert sizes.wrong == pytest.approx(3, rel=0.03)
    sizes.add(1.1 * hand_mm, HAND21)
    sizes.add(1.1 * hand_mm, HAND21)
    assert sizes.wrong is None  # one or two ghosts are no other unit
    sizes.add(np.full((21, 3), np.nan), HAND21)
    for _ in range(LATEST):
        sizes.add(0.5 * hand_mm, HAND21)
    assert sizes.wrong == pytest.approx(0.5, rel=0.03)
    sizes.forget()
    assert sizes.wrong is None
