import cv2
import numpy as np
import pytest

from handfast.data.datasets.stb import STB
from handfast.errors import HandfastError
from handfast.geometry import Camera
from handfast.skeleton import HAND21_NAMES

scipy_io = pytest.importorskip("scipy.io")

# From the description of the data set.
JOINTS = (
    "palm center", "little_mcp", "little_pip", "little_dip", "little_tip", "ring_mcp", "ring_pip", "ring_dip",
    "ring_tip", "middle_mcp", "middle_pip", "middle_dip", "middle_tip", "index_mcp", "index_pip", "index_dip",
    "index_tip", "thumb_mcp", "thumb_pip", "thumb_dip", "thumb_tip",
)  # fmt: skip
OURS = {"thumb_mcp": "thumb_cmc", "thumb_pip": "thumb_mcp", "thumb_dip": "thumb_ip"}
BUMBLEBEE = Camera(822.79041, 822.79041, 318.47345, 250.31296, 640, 480)
COLOUR = Camera(607.92271, 607.88192, 314.78337, 236.42484, 640, 480)
DEPTH = Camera(475.62768, 474.77709, 336.41179, 238.77962, 640, 480)
PICTURES = {"left": "BB_left", "right": "BB_right", "color": "SK_color", "depth": "SK_depth"}
SEQUENCES = ("B1Counting", "B1Random")
FRAMES = 2


def hand_para(hand):
    """(3, 21) mm: our joints in the order of the data set; its palm centre lies where the wrist comes out."""
    columns = []
    for name in JOINTS:
        name = OURS.get(name, name.replace("little", "pinky"))
        if name == "palm center":
            point = (hand.keypoints_m[0] + hand.keypoints_m[HAND21_NAMES.index("ring_mcp")]) / 2
        else:
            point = hand.keypoints_m[HAND21_NAMES.index(name)]
        columns.append(1000 * point)
    return np.array(columns).T


def depth_picture(depth_m):
    """BGR for cv2.imwrite: red the lower, green the upper byte of mm."""
    depth_mm = np.round(1000 * depth_m).astype(int)
    return np.stack([np.zeros_like(depth_mm), depth_mm // 256, depth_mm % 256], axis=-1).astype(np.uint8)


@pytest.fixture(scope="module")
def copy(tmp_path_factory, look_at_hands):
    """The folder of a small copy, and the truth by split and index."""
    folder = tmp_path_factory.mktemp("stb")
    T_right = np.eye(4)
    T_right[0, 3] = -0.120054
    # Depth camera as the scene's origin: x_depth = R x_colour + t, so x_colour = R' (x_depth - t).
    R = cv2.Rodrigues(np.array([0.00531, -0.01196, 0.00301]))[0]
    T_colour = np.eye(4)
    T_colour[:3, :3], T_colour[:3, 3] = R.T, -R.T @ np.array([-24.0381, -0.4563, -1.2326]) / 1000
    truth = {f"test_{name}": [] for name in PICTURES}
    (folder / "labels").mkdir()
    for number, sequence in enumerate(SEQUENCES):
        images = folder / "images" / sequence
        images.mkdir(parents=True)
        para = {"BB": [], "SK": []}
        for i in range(FRAMES):
            seed = 10 * number + i
            views = {
                "left": look_at_hands(BUMBLEBEE, ("left",), seed),
                "right": look_at_hands(BUMBLEBEE, ("left",), seed, T_right),
                "color": look_at_hands(COLOUR, ("left",), seed, T_colour),
                "depth": look_at_hands(DEPTH, ("left",), seed),
            }
            for name, view in views.items():
                picture = depth_picture(view.depth_m) if name == "depth" else view.colour[..., ::-1]
                cv2.imwrite(str(images / f"{PICTURES[name]}_{i}.png"), picture)
                truth[f"test_{name}"].append(view)
            cv2.imwrite(str(images / f"SK_depth_seg_{i}.png"), picture)
            para["BB"].append(hand_para(views["left"].hands[0]))
            para["SK"].append(hand_para(views["depth"].hands[0]))
        for camera, frames in para.items():
            path = folder / "labels" / f"{sequence}_{camera}.mat"
            scipy_io.savemat(path, {"handPara": np.stack(frames, axis=-1)})
    return folder, truth


def test_counts_are_those_of_the_original():
    assert {STB.splits[f"train_{name}"] for name in PICTURES} == {15_000}
    assert {STB.splits[f"test_{name}"] for name in PICTURES} == {3_000}


@pytest.mark.parametrize("name", PICTURES)
def test_the_rendered_truth_comes_back(copy, name):
    folder, truth = copy
    samples = STB.open(folder, f"test_{name}")
    assert len(samples) == len(SEQUENCES) * FRAMES
    assert samples.keys[2] == f"images/B1Random/{PICTURES[name]}_0.png"
    for sample, view in zip(samples, truth[f"test_{name}"], strict=True):
        (hand,), (true_hand,) = sample.hands, view.hands
        assert hand.side == "left"
        assert np.abs(hand.keypoints_m - true_hand.keypoints_m).max() < 1e-6
        assert np.abs(hand.keypoints_px - true_hand.keypoints_px).max() < 0.01
        assert np.allclose(sample.frame.camera.K, view.camera.K)
        if name == "depth":
            assert sample.frame.colour is None
            assert np.abs(sample.frame.depth_m() - view.depth_m).max() < 0.00051
            assert view.depth_m.max() > 0.3  # more than one byte of millimetres
        else:
            assert (sample.frame.colour == view.colour).all()


def test_stereo_labels_differ_by_the_disparity(copy):
    folder, _ = copy
    for left, right in zip(STB.open(folder, "test_left"), STB.open(folder, "test_right"), strict=True):
        disparity = left.hands[0].keypoints_px - right.hands[0].keypoints_px
        expected = 822.79041 * 0.120054 / left.hands[0].keypoints_m[:, 2]
        assert np.allclose(disparity[:, 0], expected, atol=1e-3) and np.allclose(
            disparity[:, 1], 0, atol=1e-3
        )


@pytest.fixture
def labels_only(tmp_path):
    """A folder with one sequence's labels to spoil, for two pictures that are there by name."""
    (tmp_path / "labels").mkdir()
    images = tmp_path / "images" / "B1Counting"
    images.mkdir(parents=True)
    for i in range(2):
        (images / f"BB_left_{i}.png").touch()
    return tmp_path


@pytest.mark.parametrize(
    ("variables", "message"),
    [
        ({"handPara": np.ones((3, 20, 2))}, r"handPara: expected numbers of shape \(3, 21, any\)"),
        ({"handPara": np.full((3, 21, 2), np.nan)}, "handPara: expected finite numbers"),
        ({"handPara": np.ones((3, 21, 3))}, "labels of 3 frames, but .*B1Counting has 2 pictures"),
        ({"palm": np.ones(3)}, "expected a variable handPara, got palm"),
    ],
)
def test_broken_labels_are_refused_by_name(labels_only, variables, message):
    scipy_io.savemat(labels_only / "labels" / "B1Counting_BB.mat", variables)
    with pytest.raises(HandfastError, match=rf"B1Counting_BB\.mat: {message}"):
        STB.open(labels_only, "test_left")


@pytest.mark.parametrize(("z_mm", "z_m"), [(-500, "-0.5"), (5e5, "500")])
def test_labels_in_other_axes_or_units_are_refused(labels_only, z_mm, z_m):
    hand_para = np.full((3, 21, 2), float(z_mm))
    scipy_io.savemat(labels_only / "labels" / "B1Counting_BB.mat", {"handPara": hand_para})
    (labels_only / "images" / "B1Random").mkdir()
    scipy_io.savemat(labels_only / "labels" / "B1Random_BB.mat", {"handPara": np.ones((3, 21, 0))})
    cv2.imwrite(
        str(labels_only / "images" / "B1Counting" / "BB_left_0.png"), np.zeros((480, 640, 3), np.uint8)
    )
    with pytest.raises(HandfastError, match=rf"BB_left_0\.png: expected points .* z = {z_m} m"):
        STB.open(labels_only, "test_left")[0]


def test_missing_files_and_unknown_splits_are_named(copy, tmp_path):
    folder, _ = copy
    with pytest.raises(HandfastError, match=r"B1Counting_BB\.mat: missing"):
        STB.open(tmp_path, "test_left")
    with pytest.raises(HandfastError, match=r"B2Counting_SK\.mat: missing"):
        STB.open(folder, "train_color")
    with pytest.raises(HandfastError, match="split 'test': expected one of train_left"):
        STB.open(folder, "test")


def test_a_broken_picture_is_named(labels_only):
    for sequence in SEQUENCES:
        scipy_io.savemat(labels_only / "labels" / f"{sequence}_BB.mat", {"handPara": np.ones((3, 21, 2))})
    (labels_only / "images" / "B1Counting").rename(labels_only / "images" / "B1Random")
    images = labels_only / "images" / "B1Counting"
    images.mkdir()
    (images / "BB_left_0.png").write_bytes(b"no picture")
    cv2.imwrite(str(images / "BB_left_1.png"), np.zeros((240, 320, 3), np.uint8))
    samples = STB.open(labels_only, "test_left")
    with pytest.raises(HandfastError, match=r"BB_left_0\.png: not a readable picture"):
        samples[0]
    with pytest.raises(HandfastError, match=r"BB_left_1\.png: expected a picture of \(480, 640, 3\)"):
        samples[1]
