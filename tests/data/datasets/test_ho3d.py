import json
import pickle

import cv2
import numpy as np
import pytest

from handfast.data.datasets.ho3d import HO3D_V2, HO3D_V3
from handfast.errors import HandfastError
from handfast.geometry import Camera
from handfast.skeleton import HAND21_NAMES

CAMERA = Camera(614.6, 614.6, 320.3, 241.2, 640, 480)
DEPTH_SCALE_M = 0.00012498664727900177
MANO = (
    "wrist", "index_mcp", "index_pip", "index_dip", "middle_mcp", "middle_pip", "middle_dip", "pinky_mcp",
    "pinky_pip", "pinky_dip", "ring_mcp", "ring_pip", "ring_dip", "thumb_cmc", "thumb_mcp", "thumb_ip",
    "thumb_tip", "index_tip", "middle_tip", "ring_tip", "pinky_tip",
)  # fmt: skip
FRAMES = ("ABF10/0000", "MC1/0017")
VERSIONS = {"png": HO3D_V2, "jpg": HO3D_V3}


def opengl(points):
    return [[x, -y, -z] for x, y, z in np.reshape(points, (-1, 3)).tolist()]


def mano_joints(view):
    return opengl([view.hands[0].keypoints_m[HAND21_NAMES.index(name)] for name in MANO])


def meta_of(view, split):
    joints = np.array(mano_joints(view), np.float32)
    return {
        "camMat": CAMERA.K,
        "handJoints3D": joints if split == "train" else joints[0],
        "handPose": np.zeros(48),
        "objName": "021_bleach_cleanser",
        "objLabel": np.int64(12),
        "objTrans": None,
    }


def write(folder, split, views, picture="png", **changes):
    for line, view in zip(FRAMES, views, strict=False):
        sequence, number = line.split("/")
        for kind in ("rgb", "depth", "meta"):
            (folder / split / sequence / kind).mkdir(parents=True, exist_ok=True)
        place = folder / split / sequence
        cv2.imwrite(str(place / "rgb" / f"{number}.{picture}"), view.colour[..., ::-1])
        code = np.round(view.depth_m / DEPTH_SCALE_M).astype(int)
        bgr = np.stack([np.zeros_like(code), code >> 8, code & 255], axis=-1)  # upper byte green, lower red
        cv2.imwrite(str(place / "depth" / f"{number}.png"), bgr.astype(np.uint8))
        (place / "meta" / f"{number}.pkl").write_bytes(pickle.dumps(meta_of(view, split) | changes, 2))
    (folder / f"{split}.txt").write_text("".join(f"{line}\n" for line in FRAMES[: len(views)]))


def write_evaluation_truth(folder, views):
    vertices = [opengl(view.hands[0].vertices_m[:778]) for view in views]
    (folder / "evaluation_xyz.json").write_text(json.dumps([mano_joints(view) for view in views]))
    (folder / "evaluation_verts.json").write_text(json.dumps(vertices))


@pytest.fixture(scope="module")
def views(look_at_hands):
    return [look_at_hands(CAMERA, ("right",), seed) for seed in range(2)]


@pytest.mark.parametrize("picture", ["png", "jpg"])
def test_the_rendered_truth_comes_back(tmp_path, views, picture):
    write(tmp_path, "train", views, picture)
    samples = VERSIONS[picture].open(tmp_path, "train")
    assert samples.keys == ("train/ABF10/0000", "train/MC1/0017")
    for sample, view in zip(samples, views, strict=True):
        (hand,), (true_hand,) = sample.hands, view.hands
        assert hand.side == "right" and hand.labelled is None and hand.vertices_m is None
        assert np.abs(hand.keypoints_m - true_hand.keypoints_m).max() < 1e-6
        assert np.abs(hand.keypoints_px - true_hand.keypoints_px).max() < 0.01
        assert np.abs(sample.frame.depth_m() - view.depth_m).max() < 0.0001
        assert np.allclose(sample.frame.camera.K, CAMERA.K)
        assert np.abs(sample.frame.colour.astype(int) - view.colour).mean() < (
            0.001 if picture == "png" else 2
        )


def test_evaluation_labels_the_wrist_alone(tmp_path, views):
    write(tmp_path, "evaluation", views)
    for sample, view in zip(HO3D_V2.open(tmp_path, "evaluation"), views, strict=True):
        (hand,), (true_hand,) = sample.hands, view.hands
        assert np.flatnonzero(hand.labelled).tolist() == [HAND21_NAMES.index("wrist")]
        assert np.abs(hand.keypoints_m[0] - true_hand.keypoints_m[0]).max() < 1e-6
        assert np.abs(hand.keypoints_px[0] - true_hand.keypoints_px[0]).max() < 0.01
        assert not hand.keypoints_m[1:].any() and not hand.keypoints_px[1:].any()


def test_the_truth_published_later_completes_evaluation(tmp_path, views):
    write(tmp_path, "evaluation", views)
    write_evaluation_truth(tmp_path, views)
    for sample, view in zip(HO3D_V2.open(tmp_path, "evaluation"), views, strict=True):
        (hand,), (true_hand,) = sample.hands, view.hands
        assert hand.labelled is None
        assert np.abs(hand.keypoints_m - true_hand.keypoints_m).max() < 1e-6
        assert np.abs(hand.vertices_m - true_hand.vertices_m[:778]).max() < 1e-6


def test_counts_are_those_of_the_originals():
    assert HO3D_V2.splits == {"train": 66034, "evaluation": 11524}
    assert sum(HO3D_V3.splits.values()) == 103462


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        (
            {"handJoints3D": np.zeros(3)},
            r"handJoints3D: expected numbers of shape \(21, 3\), got shape \(3,\)",
        ),
        ({"handJoints3D": np.full((21, 3), np.nan)}, "handJoints3D: expected finite numbers"),
        ({"handJoints3D": None}, r"handJoints3D: expected numbers of shape \(21, 3\), got"),
        ({"handJoints3D": np.full((21, 3), 0.5)}, "handJoints3D: expected points .* z = -0.5 m"),
        ({"handJoints3D": np.full((21, 3), -500.0)}, "handJoints3D: expected points .* z = 500 m"),
        ({"camMat": np.full((3, 3), np.nan)}, "camMat: expected finite numbers"),
        ({"camMat": None}, r"camMat: expected numbers of shape \(3, 3\), got"),
    ],
)
def test_broken_labels_are_refused_by_name(tmp_path, views, changes, message):
    write(tmp_path, "train", views[:1], **changes)
    with pytest.raises(HandfastError, match=rf"ABF10.meta.0000\.pkl: {message}"):
        HO3D_V2.open(tmp_path, "train")[0]


def test_a_pickle_of_something_else_is_refused_by_name(tmp_path, views):
    write(tmp_path, "train", views[:1])
    (tmp_path / "train" / "ABF10" / "meta" / "0000.pkl").write_bytes(pickle.dumps({"camMat": 1}))
    with pytest.raises(HandfastError, match=r"0000\.pkl: expected a dict with camMat and handJoints3D"):
        HO3D_V2.open(tmp_path, "train")[0]


@pytest.mark.parametrize("file", ["rgb/0000", "depth/0000.png", "meta/0000.pkl"])
def test_missing_files_are_named(tmp_path, views, file):
    with pytest.raises(HandfastError, match=r"train\.txt: missing"):
        HO3D_V2.open(tmp_path, "train")
    write(tmp_path, "train", views[:1])
    for path in (tmp_path / "train" / "ABF10").glob(f"{file}*"):
        path.unlink()
    with pytest.raises(HandfastError, match=rf"{file.replace('/', '.')}.*: missing"):
        HO3D_V2.open(tmp_path, "train")[0]


def test_lists_that_do_not_fit_are_refused_by_name(tmp_path, views):
    write(tmp_path, "evaluation", views)
    write_evaluation_truth(tmp_path, views[:1])
    with pytest.raises(HandfastError, match=r"evaluation_xyz\.json: expected 2 matrices.*got 1"):
        HO3D_V2.open(tmp_path, "evaluation")[0]
    (tmp_path / "evaluation.txt").write_bytes(b"ABF10/0000\n\xff\xfe/0017\n")
    with pytest.raises(HandfastError, match=r"evaluation\.txt: expected text with the frames"):
        HO3D_V2.open(tmp_path, "evaluation")
    (tmp_path / "evaluation.txt").write_text("ABF10/0000\n\nABF10/0001\nMC1 0017\n")
    with pytest.raises(
        HandfastError, match=r"evaluation\.txt: line 4: expected SEQUENCE/FRAME, got 'MC1 0017'"
    ):
        HO3D_V2.open(tmp_path, "evaluation")
    with pytest.raises(HandfastError, match="split 'test': expected one of train, evaluation"):
        HO3D_V2.open(tmp_path, "test")
