"""The packaged dense regression, as ``handfast track --model dense-hand21`` runs it."""

import json
import re
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest

from handfast.data.depth import depth_clip
from handfast.data.synthesis import make_world
from handfast.errors import HandfastError
from handfast.sensors.sources import open_source
from handfast.tracking.opening import open_tracker

REAL = Path(__file__).parents[2].parent / "shared" / "real" / "depth_sr305"
# Seeds and people of frames that nobody was trained on.
UNSEEN = ((0, 32), (4, 36), (11, 35))

needs_real = pytest.mark.skipif(
    not REAL.is_dir(), reason="the real depth frames are not beside the repository"
)


def open_real():
    return open_source(REAL, intrinsics=(476.007, 476.007, 313.683, 242.755), depth_unit_mm=0.125)


@pytest.fixture(scope="module")
def samples():
    world = make_world(2)
    return [next(depth_clip(world, np.random.default_rng([9, seed]), person)) for seed, person in UNSEEN]


def hands_in(frame):
    (_, hands), = open_tracker("dense-hand21").track([frame])  # fmt: skip
    return hands


def test_right_hands_of_unseen_people_are_found_in_space(samples):
    for sample in samples:
        (hand,) = hands_in(sample.frame)
        error_mm = np.linalg.norm(hand.xyz_mm - 1000 * sample.hands[0].keypoints_m, axis=1)
        assert hand.side == "right"
        assert np.nanmedian(error_mm) < 30, "a joint is about 10 mm wide, a hand 180 mm long"


def test_no_hand_comes_of_nothing_or_of_a_wall_and_metres_for_millimetres_are_refused(samples):
    frame = samples[0].frame
    wall = np.full_like(frame.depth, 800)
    for depth in (np.zeros_like(frame.depth), wall):
        assert hands_in(replace(frame, depth=depth)) == []
    with pytest.raises(HandfastError, match=r"middle of its depth is \S+ mm, which no sensor measures"):
        hands_in(replace(frame, depth_unit_mm=0.001))
    with pytest.raises(HandfastError, match="--depth-unit-mm, 1000 here"):
        hands_in(replace(frame, depth_unit_mm=1000.0))


def test_a_scene_without_its_hand_has_none(samples):
    """Arm, body, room and things stay."""
    for sample in samples:
        depth = sample.frame.depth.copy()
        depth[cv2.dilate(sample.segmentation, np.ones((9, 9), np.uint8)) > 0] = 0
        assert hands_in(replace(sample.frame, depth=depth)) == []


def test_where_there_is_no_depth_no_joint_is_seen(samples):
    for sample in samples:
        depth = sample.frame.depth.copy()
        middle = int(np.median(sample.hands[0].keypoints_px[:, 0]))
        depth[:, :middle] = 0
        for hand in hands_in(replace(sample.frame, depth=depth)):
            assert not hand.visible[hand.keypoints_px[:, 0] < middle - 1].any()


def halves(low, high, shape):
    """Slices of the left, right, upper and lower half of a box, which is cut to an image of this shape."""
    (left, top), (right, bottom) = np.clip(np.rint([low, high]).astype(int), 0, shape[::-1])
    x, y = (left + right) // 2, (top + bottom) // 2
    return [np.s_[top:bottom, left:x], np.s_[top:bottom, x:right],
            np.s_[top:y, left:right], np.s_[y:bottom, left:right]]  # fmt: skip


@needs_real
def test_of_half_a_hand_there_is_no_whole_wrong_one():
    """Each half of a real hand erased, in a frame by itself and after a whole one."""
    tracker = open_tracker("dense-hand21")
    for frame in list(open_real())[::3]:
        ((_, (whole,)),) = tracker.track([frame])
        points_px = whole.keypoints_px
        for half in halves(points_px.min(0) - 15, points_px.max(0) + 15, frame.depth.shape):
            depth = frame.depth.copy()
            depth[half] = 0
            torn = replace(frame, depth=depth)
            for frames in ([torn], [frame, torn]):
                *_, (_, hands) = tracker.track(frames)
                for hand in hands:
                    error_mm = np.linalg.norm(hand.xyz_mm - whole.xyz_mm, axis=1)
                    assert np.nanmean(error_mm) < 30


@needs_real
@pytest.mark.parametrize(("depth_unit_mm", "size"), [(0.0625, 0.45), (0.25, 1.8), (1.25, 8.4)])
def test_a_wrong_unit_is_no_silent_wrong_pose(tmp_path, handfast_command, depth_unit_mm, size):
    options = ["--model", "dense-hand21", "--intrinsics", "476.007,476.007,313.683,242.755", "--json"]
    options += ["--depth-unit-mm", str(depth_unit_mm), "--out", tmp_path / "out"]
    code, stdout, stderr = handfast_command("track", REAL, *options)
    assert code == 0 and json.loads(stdout.splitlines()[-1])["frames_with_hand"] == 0
    said = re.search(r"note: what looks like hands is (\S+) times as large as they are; check --dep", stderr)
    assert float(said[1]) == pytest.approx(size, rel=0.1)


@needs_real
def test_a_right_hand_in_every_real_frame():
    tracked = list(open_tracker("dense-hand21").track(open_real()))
    assert [[hand.side for hand in hands] for _, hands in tracked] == [["right"]] * 8
    beside_mm = []
    for frame, (hand,) in tracked:
        surface_mm = 1000 * frame.depth_m()
        x, y = np.rint(hand.keypoints_px).astype(int).T
        behind_mm = hand.xyz_mm[:, 2] - surface_mm[y, x]
        on_hand = (surface_mm[y, x] > 0) & (np.abs(behind_mm) < 40)
        assert on_hand.mean() > 0.75, "joints lie within the hand, just behind its surface"
        hand_px = (surface_mm > 0) & (np.abs(surface_mm - np.median(hand.xyz_mm[:, 2])) < 90)
        beside_px = cv2.distanceTransform((~hand_px).astype(np.uint8), cv2.DIST_L2, 5)[y, x]
        beside_mm.append(beside_px * hand.xyz_mm[:, 2] / frame.camera.fx)
    beside_mm = np.concatenate(beside_mm)
    assert (beside_mm > 4).sum() <= 3 and beside_mm.max() < 15, "three index fingertips lie beside the hand"
