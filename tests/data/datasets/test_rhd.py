import pickle

import cv2
import numpy as np
import pytest

from handfast.data.datasets.rhd import RHD
from handfast.errors import HandfastError
from handfast.geometry import Camera
from handfast.skeleton import HAND21_NAMES

CAMERA = Camera(283.1, 283.1, 160.0, 160.0, 320, 320)
# From the description of the data set: wrist, thumb (tip to palm), index, ... little finger.
ONE_HAND = (
    "wrist",
    "thumb_tip", "thumb_ip", "thumb_mcp", "thumb_cmc",
    "index_tip", "index_dip", "index_pip", "index_mcp",
    "middle_tip", "middle_dip", "middle_pip", "middle_mcp",
    "ring_tip", "ring_dip", "ring_pip", "ring_mcp",
    "pinky_tip", "pinky_dip", "pinky_pip", "pinky_mcp",
)  # fmt: skip
SIDES_SHOWN = (("left", "right"), ("right",), ("left",))


def annotation(view):
    """uv_vis, xyz, K; a hand that is not shown stands beside the picture."""
    uv_vis, xyz = np.zeros((42, 3)), np.zeros((42, 3))
    for first, side in ((0, "left"), (21, "right")):
        shown = [hand for hand in view.hands if hand.side == side]
        for row, name in enumerate(ONE_HAND):
            joint = HAND21_NAMES.index(name)
            xyz[first + row] = shown[0].keypoints_m[joint] if shown else (9.0, 0.0, 1.0)
            seen = bool(shown) and shown[0].visible[joint]
            uv = CAMERA.K @ xyz[first + row]
            uv_vis[first + row] = (*(uv[:2] / uv[2]), seen)
    return {"uv_vis": uv_vis, "xyz": xyz.astype(np.float32), "K": CAMERA.K.astype(np.float32)}


def write(folder, split, views, labels=None):
    for kind in ("color", "depth", "mask"):
        (folder / split / kind).mkdir(parents=True, exist_ok=True)
    for i, view in enumerate(views):
        name = f"{i:05d}.png"
        cv2.imwrite(str(folder / split / "color" / name), view.colour[..., ::-1])
        code = np.round(view.depth_m / 5 * 65535).astype(int)
        bgr = np.stack([np.zeros_like(code), code % 256, code // 256], axis=-1)  # the upper byte in red
        cv2.imwrite(str(folder / split / "depth" / name), bgr.astype(np.uint8))
        # Arms are the person, each hand a mixture of its first, middle and last part: thumb tip, .., palm.
        mask = np.where(view.depth_m > 0, 1, 0)
        for side, parts in ((1, (2, 9, 17)), (2, (18, 25, 33))):
            rows, columns = np.nonzero(view.segmentation == side)
            mask[rows, columns] = np.array(parts)[(rows + columns) % 3]
        cv2.imwrite(str(folder / split / "mask" / name), mask.astype(np.uint8))
    labels = {i: annotation(view) for i, view in enumerate(views)} if labels is None else labels
    (folder / split / f"anno_{split}.pickle").write_bytes(pickle.dumps(labels, 2))


@pytest.fixture(scope="module")
def views(look_at_hands):
    return [look_at_hands(CAMERA, sides, seed) for seed, sides in enumerate(SIDES_SHOWN)]


@pytest.mark.parametrize("split", ["training", "evaluation"])
def test_the_rendered_truth_comes_back(tmp_path, views, split):
    write(tmp_path, split, views)
    samples = RHD.open(tmp_path, split)
    assert samples.keys == tuple(f"{split}/color/{i:05d}.png" for i in range(3))
    for sample, view in zip(samples, views, strict=True):
        assert [hand.side for hand in sample.hands] == [hand.side for hand in view.hands]
        for hand, true_hand in zip(sample.hands, view.hands, strict=True):
            assert np.abs(hand.keypoints_m - true_hand.keypoints_m).max() < 1e-6
            assert np.abs(hand.keypoints_px - true_hand.keypoints_px).max() < 0.01
            assert (hand.visible == true_hand.visible).all()
        assert (sample.frame.colour == view.colour).all()
        assert np.abs(sample.frame.depth_m() - view.depth_m).max() < 0.0001
        assert (sample.segmentation == view.segmentation).all()
        assert np.allclose(sample.frame.camera.project(hand.keypoints_m), hand.keypoints_px, atol=0.01)


def test_counts_are_those_of_the_original():
    assert RHD.splits == {"training": 41258, "evaluation": 2728}


def test_what_is_seen_lies_ahead_of_the_camera_and_what_is_not_may_be_anywhere(tmp_path, views):
    labels = annotation(views[0])
    seen = labels["uv_vis"][:, 2] == 1
    labels["xyz"][np.flatnonzero(~seen)[0], 2] = -1
    write(tmp_path, "training", views[:1], {0: labels})
    assert len(RHD.open(tmp_path, "training")[0].hands) == 2
    labels["xyz"][np.flatnonzero(seen)[0], 2] = -1
    write(tmp_path, "training", views[:1], {0: labels})
    with pytest.raises(HandfastError, match=r"anno_training\.pickle: frame 0: xyz: expected points .* -1 m"):
        RHD.open(tmp_path, "training")[0]


def spoilt(view, **changes):
    return {0: annotation(view) | changes}


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        (
            {"xyz": np.zeros((21, 3))},
            r"frame 0: xyz: expected numbers of shape \(42, 3\), got shape \(21, 3\)",
        ),
        ({"uv_vis": np.full((42, 3), np.nan)}, "frame 0: uv_vis: expected finite numbers"),
        ({"K": np.zeros((3, 3))}, "frame 0: K: a camera needs positive focal lengths"),
        ({"K": "none"}, r"frame 0: K: expected numbers of shape \(3, 3\), got str"),
    ],
)
def test_broken_labels_are_refused_by_file_and_frame(tmp_path, views, changes, message):
    write(tmp_path, "training", views[:1], spoilt(views[0], **changes))
    with pytest.raises(HandfastError, match=rf"anno_training\.pickle: {message}"):
        RHD.open(tmp_path, "training")[0]


@pytest.mark.parametrize("labels", [[], {"a": {}}, {0: {"xyz": 1}}, {0: 3}])
def test_a_pickle_of_something_else_is_refused_by_name(tmp_path, labels):
    write(tmp_path, "training", [], labels)
    with pytest.raises(HandfastError, match=r"anno_training\.pickle: expected a dict from frame numbers"):
        RHD.open(tmp_path, "training")


@pytest.mark.parametrize("kind", ["color", "depth", "mask"])
def test_missing_files_are_named(tmp_path, views, kind):
    with pytest.raises(HandfastError, match=r"anno_training\.pickle: missing"):
        RHD.open(tmp_path, "training")
    write(tmp_path, "training", views[:1])
    samples = RHD.open(tmp_path, "training")
    (tmp_path / "training" / kind / "00000.png").unlink()
    with pytest.raises(HandfastError, match=rf"{kind}.00000\.png: missing"):
        samples[0]


def test_an_unknown_split_is_refused(tmp_path):
    with pytest.raises(HandfastError, match="split 'test': expected one of training, evaluation"):
        RHD.open(tmp_path, "test")
