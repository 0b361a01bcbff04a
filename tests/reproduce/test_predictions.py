"""What a network finds in a data set: every test frame in its place, whatever is found in it."""

from types import SimpleNamespace

import cv2
import numpy as np
import pytest

from handfast.data.depth_batches import crop_as_taken
from handfast.errors import HandfastError
from handfast.reproduce.predictions import open_test, predict
from handfast.skeleton import HAND21, NYU14


class Answering:
    """Knows the joints of each crop, but for the first, which it does not find."""

    skeleton = NYU14
    card = SimpleNamespace(name="dense-answering")

    def __init__(self, frames):
        self.of_crop = {}
        for frame in frames:
            crop = crop_as_taken(frames, frame)
            self.of_crop[crop.depth.tobytes()] = frame.joints_mm

    def joints(self, crops):
        found_mm = np.stack([self.of_crop[crop.depth.tobytes()] for crop in crops]).astype(np.float32)
        found_mm[:, 0] = np.nan
        return found_mm, None


def test_frames_are_in_order_and_lost_joints_in_the_middle(nyu_folder):
    frames = open_test("nyu", nyu_folder)
    found = predict(Answering(frames), "nyu", frames)
    truth_mm = np.stack([frame.joints_mm for frame in frames])
    centres_mm = [crop_as_taken(frames, frame).centre_mm for frame in frames]
    np.testing.assert_array_equal(found.labelled_mm, truth_mm)
    np.testing.assert_allclose(found.found_mm[:, 1:], truth_mm[:, 1:], rtol=1e-6)
    np.testing.assert_allclose(found.found_mm[:, 0], centres_mm)
    assert found.without_hand == ()


def test_a_frame_without_a_hand_counts_as_the_middle_of_its_box(nyu_folder, write_nyu, tmp_path):
    model = Answering(open_test("nyu", nyu_folder))
    name = "test/depth_1_0000002.png"
    cv2.imwrite(str(write_nyu(tmp_path) / name), np.zeros((480, 640, 3), np.uint8))
    frames = open_test("nyu", tmp_path)
    found = predict(model, "nyu", frames)
    assert found.without_hand == (name,) and len(found.found_mm) == 2
    joints_mm = frames[1].joints_mm
    assert (found.found_mm[1] == found.found_mm[1, 0]).all()
    assert found.found_mm[1, 0, 2] == joints_mm[:, 2].min()
    points_px = frames[1].camera.project(joints_mm)
    middle_px = (points_px.min(axis=0) + points_px.max(axis=0)) / 2
    np.testing.assert_allclose(frames[1].camera.project(found.found_mm[1, 0]), middle_px)


def test_a_model_with_other_joints_is_refused(nyu_folder):
    frames = open_test("nyu", nyu_folder)
    model = Answering(frames)
    model.skeleton = HAND21
    with pytest.raises(
        HandfastError, match="expected the 14 joints of nyu14, which nyu has labels of, got 21 of hand21"
    ):
        predict(model, "nyu", frames)


def test_other_data_sets_are_refused(tmp_path):
    with pytest.raises(HandfastError, match="'stb': expected one of nyu, icvl"):
        open_test("stb", tmp_path)


def test_a_missing_picture_is_named(write_nyu, nyu_folder, tmp_path):
    frames = open_test("nyu", write_nyu(tmp_path))
    (tmp_path / "test" / "depth_1_0000001.png").unlink()
    with pytest.raises(HandfastError, match=r"test.depth_1_0000001\.png: missing"):
        predict(Answering(open_test("nyu", nyu_folder)), "nyu", frames)
