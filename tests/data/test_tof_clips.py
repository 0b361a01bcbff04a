"""Clips of a hand before a time-of-flight camera: how it moves, and what stays as it is."""

from itertools import islice

import numpy as np
import pytest

from handfast.data.clips import FRAMES, RATE_HZ
from handfast.data.synthesis import HEIGHT, WIDTH, make_world
from handfast.data.tof_clips import DISTANCE_M, make_tof_clip

CLIPS = 3


@pytest.fixture(scope="module")
def world():
    return make_world(5)


@pytest.fixture(scope="module")
def clips(world):
    return [list(make_tof_clip(world, np.random.default_rng([4, i]), person=i)) for i in range(CLIPS)]


def test_the_same_generator_gives_the_same_bytes(world, clips):
    again = list(islice(make_tof_clip(world, np.random.default_rng([4, 1]), person=1), 2))
    for a, b in zip(clips[1], again, strict=False):
        assert (a.frame.amplitude == b.frame.amplitude).all() and (a.frame.depth == b.frame.depth).all()
        assert (a.hands[0].keypoints_m == b.hands[0].keypoints_m).all()
    assert (clips[0][0].frame.amplitude != again[0].frame.amplitude).any()


def test_a_clip_is_one_hand_before_one_still_camera(clips):
    for clip in clips:
        assert [sample.frame.index for sample in clip] == list(range(FRAMES))
        assert [sample.frame.time_s for sample in clip] == [i / RATE_HZ for i in range(FRAMES)]
        assert {sample.frame.shape for sample in clip} == {(HEIGHT, WIDTH)}
        assert len({sample.frame.camera for sample in clip}) == 1
        assert len({hand.side for sample in clip for hand in sample.hands}) == 1
        assert all(len(sample.hands) == 1 for sample in clip)
        wrists_m = np.stack([sample.hands[0].keypoints_m[0] for sample in clip])
        assert DISTANCE_M[0] / 2 < wrists_m[:, 2].min() and wrists_m[:, 2].max() < DISTANCE_M[1] + 0.3


def test_hands_move_smoothly_and_keep_their_bones(clips):
    for clip in clips:
        keypoints_m = np.stack([sample.hands[0].keypoints_m for sample in clip]).astype(np.float64)
        steps_m = np.linalg.norm(np.diff(keypoints_m, axis=0), axis=-1)
        assert 0.001 < steps_m.mean(axis=1).max() and steps_m.max() < 0.15
        palm_m = np.linalg.norm(keypoints_m[:, 9] - keypoints_m[:, 0], axis=-1)
        assert np.ptp(palm_m) < 0.01


def test_what_is_seen_lies_where_it_is_labelled(clips):
    """The depth at visible key-points is that of the skin before them, in the mean over a noisy sensor."""
    for clip in clips:
        behind_mm = []
        for sample in clip:
            hand = sample.hands[0]
            column, row = np.rint(hand.keypoints_px[hand.visible]).astype(int).T
            inside = (column >= 0) & (column < WIDTH) & (row >= 0) & (row < HEIGHT)
            depth_mm = sample.frame.depth[row[inside], column[inside]].astype(float)
            behind_mm.append(1000 * hand.keypoints_m[hand.visible][inside][:, 2] - depth_mm)
        behind_mm = np.concatenate(behind_mm)
        assert len(behind_mm) > 100 and np.median(behind_mm) == pytest.approx(5, abs=12)


def test_surroundings_stand_still(clips):
    """Where neither hand, nor arm, nor what passes comes, a pixel changes by the sensor's noise alone."""
    for clip in clips:
        changes = np.stack([sample.frame.amplitude for sample in clip]).astype(float).std(axis=0)
        assert np.quantile(changes, 0.2) < 6
        assert np.quantile(changes, 0.95) > 20
