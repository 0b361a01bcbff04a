import cv2
import numpy as np
import pytest
from scipy.io import savemat

from handfast.data.datasets.nyu import NYU
from handfast.errors import HandfastError
from handfast.geometry import Camera
from handfast.skeleton import NYU14

# As convert_xyz_to_uvd.m of the data set has it.
CAMERA = Camera(588.036865, 587.075073, 320.0, 240.0, 640, 480)
JOINT_NAMES = [
    *(f"F{finger}_KNU{knuckle}_{end}" for finger in (1, 2, 3, 4) for knuckle in (3, 2, 1) for end in "AB"),
    *(f"TH_KNU{knuckle}_{end}" for knuckle in (3, 2, 1) for end in "AB"),
    *(f"PALM_{i}" for i in range(1, 7)),
]
EVALUATED = {
    "F1_KNU3_A": "pinky_tip", "F1_KNU2_B": "pinky_pip", "F2_KNU3_A": "ring_tip", "F2_KNU2_B": "ring_pip",
    "F3_KNU3_A": "middle_tip", "F3_KNU2_B": "middle_pip", "F4_KNU3_A": "index_tip", "F4_KNU2_B": "index_pip",
    "TH_KNU3_A": "thumb_tip", "TH_KNU3_B": "thumb_ip", "TH_KNU2_B": "thumb_mcp",
    "PALM_1": "wrist_pinky_side", "PALM_2": "wrist_thumb_side", "PALM_3": "palm",
}  # fmt: skip


@pytest.fixture(scope="module")
def views(look_at_hands):
    return [look_at_hands(CAMERA, ("right",), seed) for seed in (0, 1)]


def labels_of(view):
    """(36, 3) mm with y up and (36, 3) px, px, mm; joints that do not count are far away."""
    truth = dict(zip(NYU14.keypoints, NYU14.select(view.hands[0].keypoints_m), strict=True))
    points_m = np.array([truth[EVALUATED[n]] if n in EVALUATED else (1.0, 1.0, 9.0) for n in JOINT_NAMES])
    uvd = np.concatenate([CAMERA.project(points_m), 1000 * points_m[:, 2:]], axis=1)
    return points_m * (1000, -1000, 1000), uvd


def write_labels(path, views, **changed):
    xyz, uvd = (np.array(labels) for labels in zip(*map(labels_of, views), strict=True))
    three = {"joint_xyz": np.stack([xyz, -xyz, 2 * xyz]), "joint_uvd": np.stack([uvd, -uvd, 2 * uvd])}
    savemat(path, three | {"joint_names": np.array(JOINT_NAMES, object)} | changed)


@pytest.fixture
def folder(views, tmp_path):
    for split in ("train", "test"):
        (tmp_path / split).mkdir()
        write_labels(tmp_path / split / "joint_data.mat", views)
        for number, view in enumerate(views, 1):
            high, low = np.divmod(np.rint(1000 * view.depth_m).astype(int), 256)
            packed_bgr = np.stack([low, high, np.zeros_like(low)], axis=-1).astype(np.uint8)
            for camera in (1, 2, 3):
                name = f"{camera}_{number:07d}.png"
                sees = camera == 1
                cv2.imwrite(str(tmp_path / split / f"depth_{name}"), packed_bgr * sees)
                cv2.imwrite(str(tmp_path / split / f"synthdepth_{name}"), packed_bgr * 0)
                cv2.imwrite(str(tmp_path / split / f"rgb_{name}"), view.colour[..., ::-1] * sees)
    return tmp_path


@pytest.mark.parametrize("split", ["train", "test"])
def test_gives_the_rendered_truth_back(folder, views, split):
    samples = NYU.open(folder, split)
    assert samples.keys == (f"{split}/depth_1_0000001.png", f"{split}/depth_1_0000002.png")
    for sample, view in zip(samples, views, strict=True):
        (hand,) = sample.hands
        truth_m = NYU14.select(view.hands[0].keypoints_m)
        assert hand.side == "right" and hand.skeleton is NYU14
        assert np.abs(hand.keypoints_m - truth_m).max() < 1e-5
        assert np.abs(hand.keypoints_px - CAMERA.project(truth_m)).max() < 0.01
        assert np.abs(sample.frame.camera.project(hand.keypoints_m) - hand.keypoints_px).max() < 0.01
        assert np.abs(sample.frame.depth_m() - view.depth_m).max() <= 0.00051
        assert sample.frame.depth_m().max() > 0.3
        assert np.array_equal(sample.frame.colour, view.colour)


def test_does_without_colour(folder):
    for path in folder.glob("train/rgb_*"):
        path.unlink()
    assert NYU.open(folder, "train")[0].frame.colour is None


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
def test_broken_labels_are_refused(folder, views, joint_xyz, message):
    write_labels(folder / "train" / "joint_data.mat", views, joint_xyz=joint_xyz)
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
