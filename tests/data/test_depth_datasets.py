"""Data sets of depth as batches: cut out by their joints, read when they are needed."""

import cv2
import numpy as np
import pytest

from handfast.data.datasets import DATASETS
from handfast.data.depth_batches import DepthMix, crop_as_taken
from handfast.data.depth_datasets import DEPTH_DATASETS, open_dataset_batches, open_frames
from handfast.errors import HandfastError
from handfast.geometry import Camera
from handfast.sensors.depth_crop import CROP_PX, JOINTS_MARGIN_PX, UNIT_MM, VALID_ABOVE, ZERO_MM

AS_SEEN = DepthMix(degraded_share=0.0)


@pytest.fixture(params=DEPTH_DATASETS)
def name(request):
    return request.param


@pytest.fixture
def folder(request, name):
    return request.getfixturevalue(f"{name}_folder")


def labels_mm(name, folder, split):
    return np.array([1000.0 * s.hands[0].keypoints_m for s in DATASETS[name].open(folder, split)])


def cameras(batch):
    return [Camera(*intrinsics, CROP_PX, CROP_PX) for intrinsics in batch["intrinsics"]]


def behind_mm(depth, camera, centre_mm, joints_mm):
    """How far behind the surface that hides it each joint of a crop lies; NaN where there is none."""
    x, y = np.rint(camera.project(joints_mm)).astype(int).clip(0, CROP_PX - 1).T
    surface_mm = depth[y, x] * UNIT_MM + ZERO_MM + centre_mm[2]
    return np.where(depth[y, x] > VALID_ABOVE, joints_mm[:, 2] - surface_mm, np.nan)


def test_validation_is_the_test_split_as_taken(name, folder):
    (batch,) = open_dataset_batches(name, folder, AS_SEEN, 0).validation["crops"]
    truth_mm = labels_mm(name, folder, DEPTH_DATASETS[name].test)
    np.testing.assert_allclose(batch["joints_mm"], truth_mm, rtol=1e-6)
    whole = DATASETS[name].open(folder, "test")[0].frame.camera
    for joints_mm, camera in zip(truth_mm, cameras(batch), strict=True):
        span_px = np.ptp(whole.project(joints_mm), axis=0).max()
        scale = CROP_PX / (span_px + 2 * JOINTS_MARGIN_PX)
        assert camera.fx == pytest.approx(scale * whole.fx)
        points_px = camera.project(joints_mm)
        low, high = points_px.min(axis=0), points_px.max(axis=0)
        assert (low + high) / 2 == pytest.approx(np.full(2, (CROP_PX - 1) / 2), abs=1e-3)
        assert (high - low).max() == pytest.approx(scale * span_px)


def test_turned_joints_stay_where_they_are_on_the_hand(name, folder):
    dataset = DEPTH_DATASETS[name]
    frames = open_frames(name, folder, dataset.train)
    as_taken = []
    for frame in frames:
        crop = crop_as_taken(frames, frame)
        as_taken.append(behind_mm(crop.depth, crop.camera, crop.centre_mm, frame.joints_mm))
    turned = open_dataset_batches(name, folder, AS_SEEN, 0).batch(0, 30)
    assert turned["joints_mm"].shape == (30, len(dataset.skeleton), 3)
    z_mm = labels_mm(name, folder, dataset.train)[..., 2]
    differences_mm, places_px = [], []
    for depth, camera, centre_mm, joints_mm in zip(
        turned["depth"], cameras(turned), turned["centre_mm"], turned["joints_mm"], strict=True
    ):
        index = int(np.abs(z_mm - joints_mm[:, 2]).max(axis=1).argmin())
        assert joints_mm[:, 2] == pytest.approx(z_mm[index])
        differences_mm.append(behind_mm(depth, camera, centre_mm, joints_mm) - as_taken[index])
        places_px.append(camera.project(joints_mm)[0])
    assert np.isfinite(differences_mm).mean() > 0.5
    assert np.nanmedian(np.abs(differences_mm)) < 2
    assert np.ptp(places_px, axis=0).min() > CROP_PX / 2


def test_batches_are_a_function_of_the_step(name, folder):
    data, again = (open_dataset_batches(name, folder, AS_SEEN, 3) for _ in range(2))
    data.batch(0, 2)
    for key, values in data.batch(4, 3).items():
        np.testing.assert_array_equal(values, again.batch(4, 3)[key])


def test_pictures_are_named_and_counted(nyu_folder, icvl_folder):
    nyu = open_dataset_batches("nyu", nyu_folder, AS_SEEN, 0)
    assert sorted(nyu.origin(0, 2).split(", ")) == ["train/depth_1_0000001.png", "train/depth_1_0000002.png"]
    icvl = open_dataset_batches("icvl", icvl_folder, AS_SEEN, 0)
    assert (nyu.name, icvl.name) == ("2 frames of NYU hand pose", "2 frames of ICVL hand posture")
    assert "22-5" not in icvl.origin(0, 2)


def test_a_long_test_split_is_validated_in_part(monkeypatch, icvl_folder):
    monkeypatch.setattr("handfast.data.depth_datasets.VALIDATION_BATCH", 1)
    monkeypatch.setattr("handfast.data.depth_datasets.VALIDATION_BATCHES", 2)
    batches = open_dataset_batches("icvl", icvl_folder, AS_SEEN, 0).validation["crops"]
    first, _, last = labels_mm("icvl", icvl_folder, "test")
    np.testing.assert_allclose([b["joints_mm"][0] for b in batches], [first, last], rtol=1e-6)


def test_a_folder_that_is_not_there_is_named(name, tmp_path):
    with pytest.raises(HandfastError, match=r"elsewhere: no such folder; give the one that holds (NYU|ICVL)"):
        open_dataset_batches(name, tmp_path / "elsewhere", AS_SEEN, 0)


def test_a_folder_of_something_else_is_refused(name, depth_folder):
    with pytest.raises(HandfastError, match=r"(joint_data\.mat|labels\.txt): missing"):
        open_dataset_batches(name, depth_folder, AS_SEEN, 0)


def test_a_missing_picture_is_named_when_it_is_needed(write_nyu, tmp_path):
    data = open_dataset_batches("nyu", write_nyu(tmp_path), AS_SEEN, 0)
    (tmp_path / "train" / "depth_1_0000001.png").unlink()
    with pytest.raises(HandfastError, match=r"depth_1_0000001\.png: missing"):
        data.batch(0, 2)


def test_pictures_without_a_hand_are_refused(write_icvl, tmp_path):
    data = open_dataset_batches("icvl", write_icvl(tmp_path), AS_SEEN, 0)
    for key in data.origin(0, 2).split(", "):
        cv2.imwrite(str(tmp_path / key), np.zeros((240, 320), np.uint16))
    with pytest.raises(HandfastError, match=r"image_\d+\.png: expected a hand .* none in 2 frames"):
        data.batch(0, 1)


def test_a_split_without_frames_is_refused(write_icvl, tmp_path):
    labels = write_icvl(tmp_path) / "Training" / "labels.txt"
    labels.write_text(labels.read_text().splitlines()[2])
    assert labels.read_text().startswith("22-5/")
    with pytest.raises(HandfastError, match="split train_original of ICVL hand posture has no frame"):
        open_frames("icvl", tmp_path, "train_original")
