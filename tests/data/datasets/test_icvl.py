import cv2
import numpy as np
import pytest

from handfast.data.datasets.icvl import ICVL
from handfast.errors import HandfastError
from handfast.geometry import Camera
from handfast.skeleton import ICVL16

CAMERA = Camera(240.99, 240.96, 160.0, 120.0, 320, 240)
NO_DEPTH = 32001
ORDER = [
    "palm",
    "thumb_root", "thumb_mid", "thumb_tip",
    "index_root", "index_mid", "index_tip",
    "middle_root", "middle_mid", "middle_tip",
    "ring_root", "ring_mid", "ring_tip",
    "pinky_root", "pinky_mid", "pinky_tip",
]  # fmt: skip
NAMES = {
    "Training/labels.txt": [
        "201403121135/image_0000.png",
        "22-5/201403121135/image_0000.png",
        "201406191044/image_10402.png",
    ],
    "Testing/test_seq_1.txt": ["test_seq_1/image_0000.png", "test_seq_1/image_0001.png"],
    "Testing/test_seq_2.txt": ["test_seq_2/image_0000.png"],
}


@pytest.fixture(scope="module")
def views(look_at_hands):
    return [look_at_hands(CAMERA, ("left",), seed) for seed in range(3)]


def truth_m(view):
    return ICVL16.select(view.hands[0].keypoints_m)


def line_of(name, view):
    truth = dict(zip(ICVL16.keypoints, truth_m(view), strict=True))
    points_m = np.array([truth[joint] for joint in ORDER])
    uvd = np.concatenate([CAMERA.project(points_m), 1000 * points_m[:, 2:]], axis=1)
    return " ".join([name, *(f"{number:.3f}" for number in uvd.ravel())]) + " \n"


@pytest.fixture
def folder(views, tmp_path):
    for labels, names in NAMES.items():
        table = tmp_path / labels
        table.parent.mkdir(exist_ok=True)
        table.write_text(
            "\n".join(line_of(name, view) for name, view in zip(names, views, strict=False)) + "\n"
        )
        for name, view in zip(names, views, strict=False):
            picture = table.parent / "Depth" / name
            picture.parent.mkdir(parents=True, exist_ok=True)
            depth = np.where(view.depth_m > 0, np.rint(1000 * view.depth_m), NO_DEPTH).astype(np.uint16)
            cv2.imwrite(str(picture), depth)
    return tmp_path


@pytest.mark.parametrize(
    ("split", "keys", "views_seen"),
    [
        ("train", [f"Training/Depth/{name}" for name in NAMES["Training/labels.txt"]], (0, 1, 2)),
        ("train_original", [f"Training/Depth/{name}" for name in NAMES["Training/labels.txt"][::2]], (0, 2)),
        ("test_seq_2", ["Testing/Depth/test_seq_2/image_0000.png"], (0,)),
        (
            "test",
            [
                f"Testing/Depth/test_seq_{name}.png"
                for name in ("1/image_0000", "1/image_0001", "2/image_0000")
            ],
            (0, 1, 0),
        ),
    ],
)
def test_gives_the_rendered_truth_back(folder, views, split, keys, views_seen):
    samples = ICVL.open(folder, split)
    assert list(samples.keys) == keys
    for sample, seen in zip(samples, views_seen, strict=True):
        (hand,) = sample.hands
        truth = truth_m(views[seen])
        assert hand.side == "left" and hand.skeleton is ICVL16
        assert np.abs(hand.keypoints_m - truth).max() < 1e-5
        assert np.abs(hand.keypoints_px - CAMERA.project(truth)).max() < 0.01
        assert np.abs(sample.frame.depth_m() - views[seen].depth_m).max() <= 0.00051
        assert sample.frame.depth_m().max() > 0.3


def test_splits_have_the_original_sizes(folder):
    assert ICVL.splits["train"] == 331_006 and ICVL.splits["test"] == 702 + 894
    with pytest.raises(HandfastError, match="'testing': expected one of train, train_original, test"):
        ICVL.open(folder, "testing")


def test_missing_files_are_named(folder):
    (folder / "Training" / "Depth" / NAMES["Training/labels.txt"][1]).unlink()
    with pytest.raises(HandfastError, match=r"22-5.201403121135.image_0000\.png: missing"):
        ICVL.open(folder, "train")[1]
    (folder / "Testing" / "test_seq_2.txt").unlink()
    with pytest.raises(HandfastError, match=r"test_seq_2\.txt: missing"):
        ICVL.open(folder, "test")


@pytest.mark.parametrize(
    ("broken", "message"),
    [
        (lambda row: row.rsplit(" ", 1)[0], r"labels\.txt, line 3: expected 16 joints x 3 numbers, got 47"),
        (lambda row: row.split(" ")[0], r"labels\.txt, line 3: .* got 0"),
        (lambda row: row.rsplit(" ", 1)[0] + " nan", r"labels\.txt, line 3: expected finite numbers"),
        (lambda row: row.rsplit(" ", 1)[0] + " x", r"labels\.txt: expected numbers"),
    ],
)
def test_broken_labels_are_refused(folder, broken, message):
    path = folder / "Training" / "labels.txt"
    lines = path.read_text().split("\n")
    lines[2] = broken(lines[2].strip())
    path.write_text("\n".join(lines))
    with pytest.raises(HandfastError, match=message):
        ICVL.open(folder, "train")


def test_a_broken_picture_is_named(folder):
    path = folder / "Training" / "Depth" / NAMES["Training/labels.txt"][0]
    path.write_bytes(path.read_bytes()[:50])
    with pytest.raises(HandfastError, match=r"image_0000\.png"):
        ICVL.open(folder, "train")[0]
