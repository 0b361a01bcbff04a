import json

import cv2
import numpy as np
import pytest

from handfast.data.datasets.freihand import FREIHAND
from handfast.errors import HandfastError
from handfast.geometry import Camera
from handfast.skeleton import HAND21_NAMES

CAMERA = Camera(480.0, 478.0, 112.0, 111.0, 224, 224)
JOINTS = (
    "wrist",
    "thumb_cmc", "thumb_mcp", "thumb_ip", "thumb_tip", "index_mcp", "index_pip", "index_dip", "index_tip",
    "middle_mcp", "middle_pip", "middle_dip", "middle_tip", "ring_mcp", "ring_pip", "ring_dip", "ring_tip",
    "pinky_mcp", "pinky_pip", "pinky_dip", "pinky_tip",
)  # fmt: skip
GREEN_SCREEN_AND_OTHERS = ((0, 0), (0, 90), (90, 0), (60, 60))  # added to green and to blue


def labels_of(views):
    order = [HAND21_NAMES.index(name) for name in JOINTS]
    return {
        "K": [CAMERA.K.tolist() for _ in views],
        "xyz": [view.hands[0].keypoints_m[order].tolist() for view in views],
        "verts": [view.hands[0].vertices_m[:778].tolist() for view in views],
    }


def write(folder, split, views, **changes):
    rgb = folder / split / "rgb"
    rgb.mkdir(parents=True, exist_ok=True)
    backgrounds = GREEN_SCREEN_AND_OTHERS if split == "training" else GREEN_SCREEN_AND_OTHERS[:1]
    pictures = [view.colour + np.array([0, *more], np.uint8) for more in backgrounds for view in views]
    for i, picture in enumerate(pictures):
        cv2.imwrite(str(rgb / f"{i:08d}.jpg"), picture[..., ::-1], [cv2.IMWRITE_JPEG_QUALITY, 95])
    for name, rows in (labels_of(views) | changes).items():
        (folder / f"{split}_{name}.json").write_text(json.dumps(rows))
    return pictures


@pytest.fixture(scope="module")
def views(look_at_hands):
    return [look_at_hands(CAMERA, ("right",), seed) for seed in range(2)]


@pytest.mark.parametrize(("split", "count"), [("training", 8), ("evaluation", 2)])
def test_the_rendered_truth_comes_back(tmp_path, views, split, count):
    pictures = write(tmp_path, split, views)
    samples = FREIHAND.open(tmp_path, split)
    assert len(samples) == count
    assert samples.keys[1] == f"{split}/rgb/00000001.jpg"
    for i, sample in enumerate(samples):
        (hand,), (true_hand,) = sample.hands, views[i % 2].hands
        assert hand.side == "right"
        assert np.abs(hand.keypoints_m - true_hand.keypoints_m).max() < 1e-6
        assert np.abs(hand.keypoints_px - true_hand.keypoints_px).max() < 0.01
        assert np.abs(hand.vertices_m - true_hand.vertices_m[:778]).max() < 1e-6
        # JPEG loses a little, but red stays red and one picture is not another.
        off = [np.abs(sample.frame.colour.astype(int) - picture).mean() for picture in pictures]
        assert np.argmin(off) == i and off[i] < 3


def test_counts_are_those_of_the_original():
    assert FREIHAND.splits == {"training": 4 * 32560, "evaluation": 3960}


def test_without_vertices_there_is_no_skin(tmp_path, views):
    write(tmp_path, "evaluation", views)
    (tmp_path / "evaluation_verts.json").unlink()
    assert FREIHAND.open(tmp_path, "evaluation")[0].hands[0].vertices_m is None


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"xyz": [[[0.1, 0.2, 0.5]] * 20] * 2}, r"_xyz\.json: entry 0: expected numbers of shape \(21, 3\)"),
        ({"xyz": [[[0.1, float("nan"), 0.5]] * 21] * 2}, r"_xyz\.json: entry 0: expected finite numbers"),
        (
            {"xyz": [[[0.1, 0.2, 0.5]] * 21] * 3},
            r"_xyz\.json: expected 2 matrices, as many as samples, got 3",
        ),
        (
            {"verts": [[[0.1, 0.2, 0.5]] * 778]},
            r"_verts\.json: expected 2 matrices, as many as samples, got 1",
        ),
        (
            {"verts": [[[0.1, 0.2, 0.5]] * 21] * 2},
            r"_verts\.json: entry 0: expected numbers of shape \(778, 3\)",
        ),
        ({"xyz": [[[0.1, 0.2, -0.5]] * 21] * 2}, r"_xyz\.json: entry 0: expected points .* z = -0\.5 m"),
        ({"xyz": [[[100, 200, 500]] * 21] * 2}, r"_xyz\.json: entry 0: expected points .* z = 500 m"),
        ({"verts": [[[0.1, 0.2, -0.5]] * 778] * 2}, "_xyz.json: entry 0: expected points"),
        ({"K": [[[1, 0], [0, 1]]] * 2}, r"_K\.json: entry 0: expected numbers of shape \(3, 3\)"),
    ],
)
def test_broken_labels_are_refused_by_file_and_entry(tmp_path, views, changes, message):
    write(tmp_path, "evaluation", views, **changes)
    with pytest.raises(HandfastError, match=f"evaluation{message}"):
        FREIHAND.open(tmp_path, "evaluation")[0]


def test_labels_and_pictures_of_different_number_are_refused(tmp_path, views):
    write(tmp_path, "training", views)
    last = tmp_path / "training" / "rgb" / "00000007.jpg"
    last.rename(last.with_name("00000008.jpg"))
    with pytest.raises(
        HandfastError, match=r"00000007\.jpg: missing; .* last of the 8 pictures that training_K"
    ):
        FREIHAND.open(tmp_path, "training")
    last.write_bytes(last.with_name("00000008.jpg").read_bytes())
    with pytest.raises(HandfastError, match=r"training_K\.json: it has 2 entries, but there are more than 8"):
        FREIHAND.open(tmp_path, "training")


def test_missing_files_and_unknown_splits_are_named(tmp_path, views):
    with pytest.raises(HandfastError, match=r"evaluation_K\.json: missing"):
        FREIHAND.open(tmp_path, "evaluation")
    write(tmp_path, "evaluation", views)
    (tmp_path / "evaluation_xyz.json").unlink()
    with pytest.raises(HandfastError, match=r"evaluation_xyz\.json: missing.*FreiHAND_pub_v2_eval\.zip"):
        FREIHAND.open(tmp_path, "evaluation")
    with pytest.raises(HandfastError, match="split 'test': expected one of training, evaluation"):
        FREIHAND.open(tmp_path, "test")
