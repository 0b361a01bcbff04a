import json

import cv2
import numpy as np
import pytest

from handfast.data.datasets.panoptic import PANOPTIC
from handfast.errors import HandfastError
from handfast.geometry import Camera
from handfast.skeleton import HAND21_NAMES

# Simon et al. 2017, figure 2: wrist, then thumb to little finger, each from its root to its tip.
ORDER = ["wrist", "thumb_cmc", "thumb_mcp", "thumb_ip", "thumb_tip"] + [
    f"{finger}_{joint}"
    for finger in ("index", "middle", "ring", "pinky")
    for joint in ("mcp", "pip", "dip", "tip")
]


def rows_of(hand):
    return [[*map(float, hand.keypoints_px[HAND21_NAMES.index(name)]), 1.0] for name in ORDER]


def write_image(path, colour):
    path.parent.mkdir(parents=True, exist_ok=True)
    cv2.imwrite(str(path), colour[..., ::-1], [cv2.IMWRITE_JPEG_QUALITY, 100])


@pytest.fixture(scope="module")
def hands(look_at_hands):
    """(picture, label of one hand in it), of different sizes."""
    camera = Camera(150.0, 151.0, 80.5, 58.0, 160, 120)
    wide = Camera(150.0, 151.0, 99.0, 58.0, 200, 120)
    views = look_at_hands(camera, ("left", "right"), 0), look_at_hands(wide, ("right",), 1)
    return [(view.colour, hand) for view in views for hand in view.hands]


@pytest.fixture
def folder(hands, tmp_path):
    for place in ("hand_labels/manual_train", "hand_labels/manual_test", "hand_labels_synth/synth2"):
        for number, (colour, hand) in enumerate(hands):
            name = f"{number:08d}" if "synth" in place else f"00{number}_01_{hand.side[0]}"
            write_image(tmp_path / place / f"{name}.jpg", colour)
            entry = {
                "hand_pts": rows_of(hand),
                "hand_box_center": [80.0, 60.0],
                "is_left": int(hand.side == "left"),
            }
            (tmp_path / place / f"{name}.json").write_text(json.dumps(entry))
    root = []
    for number, (colour, hand) in enumerate(hands):
        name = f"imgs/{number:08d}.jpg"
        write_image(tmp_path / "hand143_panopticdb" / name, colour)
        root.append(
            {"img_paths": name, "img_width": 160, "img_height": 120, "dataset": "hand143", "isValidation": 0}
            | {"objpos": [80.0, 60.0], "scale_provided": 0.5, "joint_self": rows_of(hand)}
        )
    multiview(tmp_path).write_text(json.dumps({"root": root}))
    return tmp_path


def multiview(folder):
    return folder / "hand143_panopticdb" / "hands_v143_14817.json"


@pytest.mark.parametrize("split", ["manual_train", "manual_test", "synth2", "multiview"])
def test_gives_the_rendered_hands_back(folder, hands, split):
    samples = PANOPTIC.open(folder, split)
    assert all((folder / key).is_file() for key in samples.keys)
    for sample, (colour, truth) in zip(samples, hands, strict=True):
        (hand,) = sample.hands
        assert hand.side == (truth.side if split != "multiview" else "right")
        np.testing.assert_allclose(hand.keypoints_px, truth.keypoints_px, atol=1e-3)
        assert hand.keypoints_m is None and hand.visible is None and hand.labelled is None
        assert np.abs(sample.frame.colour.astype(int) - colour).mean() < 2


def change(path, edit):
    content = json.loads(path.read_text())
    edit(content)
    path.write_text(json.dumps(content))


def test_invalid_joints_have_no_label(folder):
    path = sorted((folder / "hand_labels/manual_train").glob("*.json"))[0]
    change(path, lambda entry: entry["hand_pts"].__setitem__(ORDER.index("ring_pip"), [3, 4, 0]))
    (hand,) = PANOPTIC.open(folder, "manual_train")[0].hands
    assert np.flatnonzero(~hand.labelled).tolist() == [HAND21_NAMES.index("ring_pip")]
    assert not hand.keypoints_px[~hand.labelled].any()
    change(path, lambda entry: entry.update(hand_pts=[[5, 5, 0]] * 21))
    assert PANOPTIC.open(folder, "manual_train")[0].hands == ()


@pytest.mark.parametrize(
    "edit, reason",
    [
        (lambda entry: entry["hand_pts"].pop(), r"expected numbers of shape \(21, 3\), got shape \(20, 3\)"),
        (lambda entry: entry["hand_pts"].__setitem__(3, [1.0]), "expected numbers of shape"),
        (lambda entry: entry["hand_pts"][4].__setitem__(0, float("nan")), "expected finite"),
        (lambda entry: entry.pop("hand_pts"), ".* no 'hand_pts'"),
        (lambda entry: entry.pop("is_left"), ".* no 'is_left'"),
    ],
)
def test_wrong_labels_are_named(folder, edit, reason):
    path = sorted((folder / "hand_labels_synth/synth2").glob("*.json"))[1]
    change(path, edit)
    samples = PANOPTIC.open(folder, "synth2")
    assert samples[0].hands
    with pytest.raises(HandfastError, match=f"{path.name}: {reason}"):
        samples[1]


def test_wrong_joints_of_the_common_file_are_named_by_image(folder):
    change(multiview(folder), lambda content: content["root"][1]["joint_self"].pop())
    with pytest.raises(HandfastError, match=r"hands_v143_14817.json: imgs/00000001.jpg: expected numbers"):
        PANOPTIC.open(folder, "multiview")[1]
    change(multiview(folder), lambda content: content["root"][0].pop("img_paths"))
    with pytest.raises(HandfastError, match=r"hands_v143_14817.json: .*img_paths"):
        PANOPTIC.open(folder, "multiview")
    for wrong in (7, ["a.jpg"], None):
        change(multiview(folder), lambda content, wrong=wrong: content["root"][0].update(img_paths=wrong))
        with pytest.raises(HandfastError, match=r"hands_v143_14817.json: expected .* img_paths \(text\)"):
            PANOPTIC.open(folder, "multiview")


def test_missing_and_broken_files_are_named(folder):
    with pytest.raises(HandfastError, match=r"synth1: .* hand_labels_synth.zip"):
        PANOPTIC.open(folder, "synth1")
    samples = PANOPTIC.open(folder, "manual_test")
    (folder / samples.keys[0]).unlink()
    (folder / samples.keys[1]).write_bytes(b"")
    (folder / samples.keys[2]).with_suffix(".json").write_text("{")
    for index, reason in enumerate((".jpg: missing", ".jpg: not a readable picture", ".json: expected JSON")):
        with pytest.raises(HandfastError, match=f"00{index}_01_.{reason}"):
            samples[index]
    multiview(folder).unlink()
    with pytest.raises(HandfastError, match=r"hands_v143_14817.json: missing"):
        PANOPTIC.open(folder, "multiview")
