"""Cuts and gaps are told from hands and cameras that move."""

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


def test_another_size_is_a_cut():
    picture = view(scene(0))
    assert passages([picture, picture[:-1], picture[:-1]]) == [Passage.CUT, Passage.ON]


def test_time_that_runs_backwards_is_a_cut_and_time_that_stands_still_is_none():
    assert at_times(0.0, 0.1, 0.05, 0.15) == [Passage.ON, Passage.CUT, Passage.ON]
    assert at_times(0.0, 0.0, 0.0, 0.1, 0.2) == [Passage.ON] * 4


def test_one_frame_may_be_missing_but_not_two():
    steps = np.array([0, 1, 2, 4, 5, 8, 9, 10])
    on, gap = Passage.ON, Passage.GAP
    assert at_times(*(100 + steps / 30)) == [on, on, on, on, gap, on, on]


def test_a_slower_rate_is_a_gap_once():
    times_s = [*np.arange(10) / 30, *(9 / 30 + np.arange(1, 10) / 10)]
    on, gap = Passage.ON, Passage.GAP
    assert at_times(*times_s) == [on] * 9 + [gap] + [on] * 8


def test_times_that_jitter_are_none():
    rng = np.random.default_rng(0)
    intervals_s = rng.uniform(1, 0.95 * GAP, 50) / 30
    assert at_times(*np.cumsum(intervals_s)) == [Passage.ON] * 49
