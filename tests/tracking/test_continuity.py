"""Cuts and gaps are told from hands and cameras that move."""

import cv2
import numpy as np
import pytest

from handfast.tracking.continuity import GAP, Continuity, Passage

WIDTH, HEIGHT = 160, 120


def scene(seed):
    """Larger than a picture: a wall of its own colour with things before it."""
    rng = np.random.default_rng(seed)
    wall = np.tile(rng.integers(60, 200, 3, dtype=np.uint8), (2 * HEIGHT, 2 * WIDTH, 1))
    for _ in range(12):
        y, x = rng.integers(0, 2 * HEIGHT - 60), rng.integers(0, 2 * WIDTH - 60)
        height, width = rng.integers(20, 60, 2)
        wall[y : y + height, x : x + width] = rng.integers(0, 256, 3, dtype=np.uint8)
    return wall


def view(scene, x=0, y=0):
    return scene[y : y + HEIGHT, x : x + WIDTH]


def passages(pictures, times_s=None):
    """From each frame to the next."""
    times_s = np.arange(len(pictures)) / 30 if times_s is None else times_s
    continuity = Continuity()
    first, *others = map(continuity.passage, times_s, pictures)
    assert first is Passage.ON
    return others


def at_times(*times_s):
    return passages([view(scene(0))] * len(times_s), times_s)


def test_a_camera_that_turns_is_no_cut():
    """By ten pixels a frame, a tenth of the picture's height."""
    wide = scene(0)
    assert passages([view(wide, 10 * i, 4 * i) for i in range(12)]) == [Passage.ON] * 11


def test_a_hand_that_comes_close_is_no_cut():
    pictures = [view(scene(0)).copy() for _ in range(8)]
    for i, picture in enumerate(pictures):
        picture[: 14 * i, : 20 * i] = (200, 150, 120)
    assert passages(pictures) == [Passage.ON] * 7


def test_light_that_drifts_is_no_cut():
    """Through whatever border between shades."""
    wall = np.full((HEIGHT, WIDTH, 3), 100, np.uint8)
    assert passages([wall + 8 * np.uint8(i) for i in range(15)]) == [Passage.ON] * 14


def test_noise_is_no_cut():
    rng = np.random.default_rng(0)
    noisy = [np.clip(view(scene(0)) + rng.normal(0, 10, (HEIGHT, WIDTH, 3)), 0, 255) for _ in range(4)]
    assert passages([picture.astype(np.uint8) for picture in noisy]) == [Passage.ON] * 3


@pytest.mark.parametrize("seed", range(1, 9))
def test_another_scene_is_a_cut_and_going_on_there_is_none(seed):
    before, after = view(scene(0)), view(scene(seed))
    assert passages([before, before, after, after]) == [Passage.ON, Passage.CUT, Passage.ON]


@pytest.mark.parametrize("seed", range(1, 9))
def test_so_is_another_grey_scene(seed):
    before, after = (cv2.cvtColor(view(scene(s))[..., 0], cv2.COLOR_GRAY2RGB) for s in (0, seed))
    assert passages([before, before, after, after]) == [Passage.ON, Passage.CUT, Passage.ON]


def test_a_grey_camera_that_turns_is_no_cut():
    wide = cv2.cvtColor(scene(0)[..., 0], cv2.COLOR_GRAY2RGB)
    assert passages([view(wide, 10 * i, 4 * i) for i in range(12)]) == [Passage.ON] * 11


def test_a_picture_that_loses_its_colour_is_no_cut():
    """Such as one of a night camera: it shows the same hands."""
    picture = view(scene(0)) // 8 + 100
    grey = np.repeat(picture[..., 1:2], 3, axis=2)
    assert passages([picture, picture, grey, grey]) == [Passage.ON] * 3


def test_another_size_is_a_cut():
    picture = view(scene(0))
    assert passages([picture, picture[:-1], picture[:-1]]) == [Passage.CUT, Passage.ON]


def test_time_that_runs_backwards_is_a_cut_and_time_that_stands_still_is_none():
    assert at_times(0.0, 0.1, 0.05, 0.15) == [Passage.ON, Passage.CUT, Passage.ON]
    assert at_times(0.0, 0.0, 0.0, 0.1, 0.2) == [Passage.ON] * 4


def test_time_that_is_not_known_is_a_cut():
    assert at_times(0.0, np.nan, 0.1, 0.2) == [Passage.CUT, Passage.CUT, Passage.ON]


def test_one_frame_may_be_missing_but_not_two():
    steps = np.array([0, 1, 2, 4, 5, 8, 9, 10])
    on, gap = Passage.ON, Passage.GAP
    assert at_times(*(100 + steps / 30)) == [on, on, on, on, gap, on, on]


def test_a_slower_rate_is_a_gap_once():
    times_s = [*np.arange(10) / 30, *(9 / 30 + np.arange(1, 10) / 10)]
    on, gap = Passage.ON, Passage.GAP
    assert at_times(*times_s) == [on] * 9 + [gap] + [on] * 8


def test_a_slower_rate_that_skips_no_more_than_one_frame_is_none():
    times_s = [*np.arange(10) / 30, *(9 / 30 + np.arange(1, 10) / 15)]
    assert at_times(*times_s) == [Passage.ON] * 18


def test_nothing_is_remembered_for_a_quarter_of_a_second():
    on, gap = Passage.ON, Passage.GAP
    assert at_times(0.0, 60.0, 60.03) == [gap, on]
    assert at_times(0.0, 1.0, 2.0, 3.0) == [gap] * 3


def test_every_drop_out_is_a_gap():
    steps_s = np.array([1, 1, 1, 27, 300, 1, 1, 5, 1, 1, 27, 27, 1]) / 30
    on, gap = Passage.ON, Passage.GAP
    expected = [on, on, on, gap, gap, on, on, gap, on, on, gap, gap, on]
    assert at_times(*np.cumsum([100, *steps_s])) == expected


def test_times_that_jitter_are_none():
    rng = np.random.default_rng(0)
    intervals_s = rng.uniform(1, 0.95 * GAP, 50) / 30
    assert at_times(*np.cumsum(intervals_s)) == [Passage.ON] * 49
