import numpy as np
import pytest

from handfast.errors import HandfastError
from handfast.geometry import Camera
from handfast.skeleton import TOF8
from handfast.structures import KEY_POSES, Frame, HandLabel, HandPose, HandSample

AMPLITUDE = np.zeros((48, 64), np.uint8)
DEPTH = np.full((48, 64), 2400, np.uint16)


def pose(**changes):
    good = {"side": "left", "score": 0.9, "keypoints_px": np.zeros((21, 2)), "visible": np.ones(21, bool)}
    return HandPose(**good | changes)


def label(**changes):
    good = {
        "side": "right",
        "keypoints_px": np.zeros((21, 2), np.float32),
        "keypoints_m": np.zeros((21, 3), np.float32),
        "visible": np.ones(21, bool),
        "key_pose": 0,
        "orientation": 7,
    }
    return HandLabel(**good | changes)


def test_a_frame_knows_its_shape_from_either_image():
    assert Frame(0, 0.0, amplitude=AMPLITUDE).shape == (48, 64)
    assert Frame(0, 0.0, depth=DEPTH).shape == (48, 64)


def test_depth_m_scales_by_the_unit_and_keeps_holes():
    depth = DEPTH.copy()
    depth[0, 0] = 0
    depth_m = Frame(0, 0.0, depth=depth, depth_unit_mm=0.125).depth_m()
    assert depth_m.dtype == np.float32
    assert depth_m[0, 0] == 0
    np.testing.assert_allclose(depth_m[1:], 0.3, rtol=1e-6)
    depth[0, 1] = 65535  # what some sensors write for no value
    assert Frame(0, 0.0, depth=depth, depth_unit_mm=0.125).depth_m()[0, 1] == 0


@pytest.mark.parametrize(
    ("images", "message"),
    [
        ({}, "frame 3: expected an amplitude, depth or colour image, got none"),
        ({"amplitude": AMPLITUDE.astype(float)}, r"amplitude: expected uint8 \(any, any\), got float64"),
        ({"amplitude": AMPLITUDE[..., None]}, r"got uint8 \(48, 64, 1\)"),
        ({"amplitude": AMPLITUDE.tolist()}, "got list"),
        ({"depth": DEPTH.astype(np.float32)}, "depth: expected uint16"),
        ({"depth": DEPTH, "depth_unit_mm": 0.0}, "depth_unit_mm must be > 0"),
        ({"depth": DEPTH, "depth_unit_mm": float("nan")}, "depth_unit_mm must be > 0"),
        ({"depth": DEPTH, "depth_unit_mm": float("inf")}, "depth_unit_mm must be > 0 and finite"),
        ({"amplitude": np.zeros((0, 5), np.uint8)}, r"expected an image with pixels, got \(0, 5\)"),
        ({"amplitude": DEPTH}, "amplitude: expected 8 bits, got 16; handfast.infrared_image makes"),
        ({"amplitude": AMPLITUDE, "depth": DEPTH[1:]}, r"expected uint16 \(48, 64\), got uint16 \(47, 64\)"),
        ({"colour": AMPLITUDE}, r"colour: expected uint8 \(any, any, 3\)"),
        ({"depth": DEPTH, "colour": np.zeros((2, 3, 3), np.uint8)}, r"colour is \(2, 3\), .* \(48, 64\)"),
        ({"depth": DEPTH, "camera": Camera(60, 60, 32, 24, 48, 64)}, "camera is 48 x 64, image is 64 x 48"),
    ],
)  # fmt: skip
def test_a_frame_says_what_is_wrong_with_it(images, message):
    with pytest.raises(HandfastError, match=message):
        Frame(3, 0.1, **images)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"side": "both"}, "side: expected one of .*'left', 'right'.*, got 'both'"),
        (
            {"keypoints_px": np.zeros((21, 3))},
            r"keypoints_px: expected float \(21, 2\), got float64 \(21, 3\)",
        ),
        ({"keypoints_px": np.zeros((21, 2), int)}, "keypoints_px: expected float"),
        ({"visible": np.ones(21)}, r"visible: expected bool \(21,\), got float64"),
        ({"visible": np.ones(20, bool)}, r"visible: expected bool \(21,\), got bool \(20,\)"),
        ({"xyz_mm": np.zeros((20, 3))}, r"xyz_mm: expected float \(21, 3\)"),
    ],
)
def test_a_pose_says_what_is_wrong_with_it(changes, message):
    with pytest.raises(HandfastError, match=message):
        pose(**changes)


def test_a_pose_may_hold_a_smaller_set_and_points_without_depth():
    found = pose(keypoints_px=np.zeros((8, 2)), visible=np.ones(8, bool), xyz_mm=np.full((8, 3), np.nan))
    assert found.track == 0


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"side": "RIGHT"}, "side: expected"),
        ({"keypoints_px": np.zeros((17, 2))}, r"keypoints_px: expected float \(21, 2\)"),
        ({"keypoints_m": np.zeros((21, 2))}, r"keypoints_m: expected float \(21, 3\)"),
        ({"visible": np.ones(21, int)}, "visible: expected bool"),
        ({"key_pose": len(KEY_POSES)}, "key_pose: expected 0..8, got 9"),
        ({"key_pose": -1}, "key_pose: expected 0..8, got -1"),
        ({"orientation": 8}, "orientation: expected 0..7, got 8"),
        ({"skeleton": TOF8}, r"keypoints_px: expected float \(8, 2\), got float32 \(21, 2\)"),
        ({"keypoints_m": np.full((21, 3), np.nan)}, r"keypoints_m: expected finite numbers, .* rows \[0, 1"),
        ({"labelled": np.ones(20, bool)}, r"labelled: expected bool \(21,\)"),
        ({"vertices_m": np.zeros((778, 2))}, r"vertices_m: expected float \(any, 3\)"),
    ],
)
def test_a_label_says_what_is_wrong_with_it(changes, message):
    with pytest.raises(HandfastError, match=message):
        label(**changes)


def test_a_label_may_know_less_and_have_another_skeleton():
    bare = HandLabel("left", np.zeros((8, 2)), skeleton=TOF8)
    assert bare.keypoints_m is bare.visible is bare.key_pose is bare.orientation is bare.labelled is None
    assert Frame(0, 0.0, colour=np.zeros((48, 64, 3), np.uint8)).shape == (48, 64)


def test_a_segmentation_has_the_size_of_its_frame():
    frame = Frame(0, 0.0, amplitude=AMPLITUDE)
    assert HandSample(frame, (label(),), np.zeros((48, 64), np.uint8)).hands[0].side == "right"
    with pytest.raises(HandfastError, match=r"segmentation: expected uint8 \(48, 64\), got uint8 \(64, 48\)"):
        HandSample(frame, (), np.zeros((64, 48), np.uint8))
