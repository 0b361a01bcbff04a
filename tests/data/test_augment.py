import numpy as np
import pytest

from handfast.data.augment import _shadow, augment, degrade_amplitude, degrade_depth, stereo_shadow

IDENTITY = np.array([[1.0, 0, 0], [0, 1, 0]])


def frame():
    """A near block of 40 columns before a wall."""
    depth_mm = np.full((120, 160), 1000, np.uint16)
    depth_mm[30:90, 60:100] = 500
    amplitude = np.where(depth_mm == 500, 200, 60).astype(np.uint8)
    return amplitude, depth_mm


def test_shadow_has_the_width_of_the_difference_in_disparity():
    depth_m = np.full((3, 160), 1.0, np.float32)
    depth_m[1, 60:100] = 0.5
    # focal x baseline of 10 px m: disparity 20 px on the block, 10 px on the wall, so 10 px are hidden,
    # to within the pixel that the comparison leaves open.
    right = np.flatnonzero(stereo_shadow(depth_m, 10.0, 1)[1])
    assert right[0] == 100 and 107 <= right[-1] <= 110 and len(right) == right[-1] - 99
    left = np.flatnonzero(stereo_shadow(depth_m, 10.0, -1)[1])
    assert left[-1] == 59 and 49 <= left[0] <= 52
    assert not stereo_shadow(depth_m, 10.0, 1)[[0, 2]].any()


def test_flat_wall_casts_no_shadow():
    assert not stereo_shadow(np.full((20, 30), 0.8, np.float32), 30.0, 1).any()


def test_same_generator_same_bytes_and_inputs_untouched():
    amplitude, depth_mm = frame()
    before = amplitude.copy(), depth_mm.copy()
    images = [augment(np.random.default_rng(5), amplitude, depth_mm, IDENTITY) for _ in range(2)]
    assert (images[0] == images[1]).all()
    assert (before[0] == amplitude).all() and (before[1] == depth_mm).all()


@pytest.mark.parametrize("degrade", ["depth", "amplitude"])
def test_the_near_block_stays_brighter_than_the_wall(degrade):
    """However degraded, what is near and bright remains so on the pixels that are left."""
    amplitude, depth_mm = frame()
    wrong = 0
    for seed in range(40):
        rng = np.random.default_rng(seed)
        depth_m = depth_mm.astype(np.float32) / 1000
        if degrade == "depth":
            image = degrade_depth(rng, depth_m)
            block, wall = image[35:85, 65:95], image[5:25, 5:40]
            wrong += np.median(block[block > 0]) > np.median(wall[wall > 0]) if (wall > 0).any() else 0
        else:
            image = degrade_amplitude(rng, amplitude, depth_m)
            wrong += image[35:85, 65:95].mean() <= image[5:25, 5:40].mean()
    assert wrong == 0


def test_images_move_with_the_affine():
    amplitude, depth_mm = frame()
    moved = np.array([[1.0, 0, 30], [0, 1, 0]])
    centres = []
    for A in (IDENTITY, moved):
        image = np.mean(
            [augment(np.random.default_rng(s), amplitude, depth_mm, A) for s in range(30)], axis=0
        )
        columns = image[40:80].mean(0)
        centres.append(np.average(np.arange(160), weights=columns > columns.max() * 0.85))
    assert abs(centres[1] - centres[0] - 30) < 3


def test_shadows_fall_to_any_side_of_a_turned_view():
    depth_m = np.full((120, 160), 1.0, np.float32)
    depth_m[50:70, 70:90] = 0.4
    beside = {"left": (60, 65), "right": (60, 94), "above": (45, 80), "below": (74, 80)}
    seen = set()
    for seed in range(40):
        hidden = _shadow(np.random.default_rng(seed), depth_m)
        assert hidden.shape == depth_m.shape and not hidden[52:68, 72:88].any()
        seen |= {side for side, place in beside.items() if hidden[place]}
    assert seen == set(beside)
