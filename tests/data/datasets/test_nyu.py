import cv2
import numpy as np
import pytest
from scipy.io import loadmat, savemat

from handfast.data.datasets.nyu import NYU, open_nyu
from handfast.errors import HandfastError
from handfast.skeleton import NYU14


@pytest.fixture
def folder(write_nyu, tmp_path):
    return write_nyu(tmp_path)


@pytest.mark.parametrize("split", ["train", "test"])
def test_gives_the_rendered_truth_back(folder, nyu_views, split):
    samples = NYU.open(folder, split)
    assert samples.keys == (f"{split}/depth_1_0000001.png", f"{split}/depth_1_0000002.png")
    for sample, view in zip(samples, nyu_views, strict=True):
        (hand,) = sample.hands
        truth_m = NYU14.select(view.hands[0].keypoints_m)
        assert hand.side == "right" and hand.skeleton is NYU14
        assert np.abs(hand.keypoints_m - truth_m).max() < 1e-5
        assert np.abs(hand.keypoints_px - sample.frame.camera.project(truth_m)).max() < 0.01
        assert sample.frame.camera == view.camera
        assert np.abs(sample.frame.depth_m() - view.depth_m).max() <= 0.00051
        assert sample.frame.depth_m().max() > 0.3
        assert np.array_equal(sample.frame.colour, view.colour)


def test_does_without_colour(folder):
    for path in folder.glob("train/rgb_*"):
        path.unlink()
    assert NYU.open(folder, "train")[0].frame.colour is None


def test_leaves_colour_unread(folder):
    (folder / "train" / "rgb_1_0000001.png").write_bytes(b"no picture")
    assert open_nyu(folder, "train", with_colour=False)[0].frame.colour is None
    with pytest.raises(HandfastError, match=r"rgb_1_0000001\.png"):
        NYU.open(folder, "train")[0]


def test_splits_have_the_original_sizes(folder):
    assert NYU.splits == {"train": 72757, "test": 8252}
    with pytest.raises(HandfastError, match="'test_1': expected one of train, test"):
        NYU.open(folder, "test_1")


def test_missing_files_are_named(folder):
    (folder / "train" / "depth_1_0000001.png").unlink()
    with pytest.raises(HandfastError, match=r"depth_1_0000001\.png: missing"):
        NYU.open(folder, "train")[0]
    (folder / "train" / "depth_1_0000002.png").unlink()
    with pytest.raises(
        HandfastError, match=r"depth_1_0000002\.png: missing; .* last of the 2 frames in .*joint_data"
    ):
        NYU.open(folder, "train")
    (folder / "test" / "joint_data.mat").unlink()
    with pytest.raises(HandfastError, match=r"test.joint_data\.mat: missing"):
        NYU.open(folder, "test")


@pytest.mark.parametrize(
    ("joint_xyz", "message"),
    [
        (np.zeros((3, 2, 35, 3)), r"joint_data\.mat: joint_xyz: expected .*36.* got shape \(3, 2, 35, 3\)"),
        (np.full((3, 2, 36, 3), np.nan), r"joint_data\.mat: joint_xyz: expected finite numbers"),
    ],
)
def test_broken_labels_are_refused(folder, joint_xyz, message):
    path = folder / "train" / "joint_data.mat"
    savemat(path, {"joint_names": loadmat(path)["joint_names"], "joint_xyz": joint_xyz})
    with pytest.raises(HandfastError, match=message):
        NYU.open(folder, "train")


def test_labels_of_something_else_are_refused(folder):
    savemat(folder / "train" / "joint_data.mat", {"handPara": np.zeros(3)})
    with pytest.raises(HandfastError, match=r"joint_data\.mat: expected a variable joint_xyz, got handPara"):
        NYU.open(folder, "train")


def test_a_picture_of_another_size_is_refused(folder):
    cv2.imwrite(str(folder / "train" / "depth_1_0000001.png"), np.zeros((240, 320, 3), np.uint8))
    with pytest.raises(HandfastError, match=r"depth_1_0000001\.png: expected a picture of \(480, 640, 3\)"):
        NYU.open(folder, "train")[0]
