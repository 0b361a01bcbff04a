import numpy as np
import pytest

from handfast.data.datasets.icvl import ICVL
from handfast.errors import HandfastError
from handfast.skeleton import ICVL16

TRAINING = [
    "201403121135/image_0000.png",
    "22-5/201403121135/image_0000.png",
    "201406191044/image_10402.png",
]


@pytest.fixture
def folder(write_icvl, tmp_path):
    return write_icvl(tmp_path)


@pytest.mark.parametrize(
    ("split", "keys", "views_seen"),
    [
        ("train", [f"Training/Depth/{name}" for name in TRAINING], (0, 1, 2)),
        ("train_original", [f"Training/Depth/{name}" for name in TRAINING[::2]], (0, 2)),
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
def test_gives_the_rendered_truth_back(folder, icvl_views, split, keys, views_seen):
    samples = ICVL.open(folder, split)
    assert list(samples.keys) == keys
    for sample, seen in zip(samples, views_seen, strict=True):
        (hand,) = sample.hands
        truth = ICVL16.select(icvl_views[seen].hands[0].keypoints_m)
        assert hand.side == "left" and hand.skeleton is ICVL16
        assert np.abs(hand.keypoints_m - truth).max() < 1e-5
        assert np.abs(hand.keypoints_px - sample.frame.camera.project(truth)).max() < 0.01
        assert np.abs(sample.frame.depth_m() - icvl_views[seen].depth_m).max() <= 0.00051
        assert sample.frame.depth_m().max() > 0.3


def test_splits_have_the_original_sizes(folder):
    assert ICVL.splits["train"] == 331_006 and ICVL.splits["test"] == 702 + 894
    with pytest.raises(HandfastError, match="'testing': expected one of train, train_original, test"):
        ICVL.open(folder, "testing")


def test_missing_files_are_named(folder):
    (folder / "Training" / "Depth" / TRAINING[1]).unlink()
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
    path = folder / "Training" / "Depth" / TRAINING[0]
    path.write_bytes(path.read_bytes()[:50])
    with pytest.raises(HandfastError, match=r"image_0000\.png"):
        ICVL.open(folder, "train")[0]
