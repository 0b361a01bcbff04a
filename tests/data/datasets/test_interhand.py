import json

import cv2
import numpy as np
import pytest

from handfast.data.datasets.interhand import INTERHAND
from handfast.errors import HandfastError
from handfast.geometry import Camera, random_rotation
from handfast.skeleton import HAND21_NAMES

# annotations/skeleton.txt, one hand: tip (4) to root (1) of each finger, then the wrist.
JOINTS = [f"{f}{n}" for f in ("thumb", "index", "middle", "ring", "pinky") for n in (4, 3, 2, 1)] + ["wrist"]
OURS = {"thumb": ("cmc", "mcp", "ip", "tip")} | dict.fromkeys(
    ("index", "middle", "ring", "pinky"), ("mcp", "pip", "dip", "tip")
)
CAPTURE, CAMERAS, SEQUENCE = 3, ("400026", "410053", "410028"), "0390_dh_touchROM"


def our_name(joint: str) -> str:
    return joint if joint == "wrist" else f"{joint[:-1]}_{OURS[joint[:-1]][int(joint[-1]) - 1]}"


def joints_of(view, side):
    """(21, 3) m in the camera and (21,) valid, of one side, in InterHand's order."""
    hands = [hand for hand in view.hands if hand.side == side]
    if not hands:
        return np.ones((21, 3)), np.zeros(21, bool)
    order = [HAND21_NAMES.index(our_name(joint)) for joint in JOINTS]
    return hands[0].keypoints_m[order].astype(float), np.ones(21, bool)


@pytest.fixture(scope="module")
def views(look_at_hands):
    """Two hands, a left one and a right one, each seen by a camera of its own."""
    camera = Camera(150.0, 151.0, 80.5, 58.0, 160, 120)
    return [
        look_at_hands(camera, sides, seed)
        for seed, sides in enumerate((("left", "right"), ("left",), ("right",)))
    ]


@pytest.fixture
def written(views, tmp_path):
    """The folder, each sample being seen by a camera of its own: turned, and away from the world's origin."""
    rng = np.random.default_rng(0)
    images, annotations, frames = [], [], {}
    cameras = {"campos": {}, "camrot": {}, "focal": {}, "princpt": {}}
    for number, (view, camera) in enumerate(zip(views, CAMERAS, strict=True)):
        frame_idx, turn, position = 69148 + 6 * number, random_rotation(rng), rng.normal(0, 900, 3)
        sides = [joints_of(view, side) for side in ("right", "left")]
        in_camera_mm = 1000 * np.concatenate([joints for joints, _ in sides])
        valid = np.concatenate([valid for _, valid in sides])
        frames[str(frame_idx)] = {
            "world_coord": (in_camera_mm @ turn + position).tolist(),
            "joint_valid": [[bool(v)] for v in valid],
            "hand_type": "interacting",
            "hand_type_valid": True,
        }
        intrinsics = view.camera
        cameras["campos"][camera] = position.tolist()
        cameras["camrot"][camera] = turn.tolist()
        cameras["focal"][camera] = [intrinsics.fx, intrinsics.fy]
        cameras["princpt"][camera] = [intrinsics.cx, intrinsics.cy]
        name = f"Capture{CAPTURE}/{SEQUENCE}/cam{camera}/image{frame_idx}.jpg"
        images.append(
            {"id": 326750 + number, "file_name": name, "width": 160, "height": 120, "capture": CAPTURE}
            | {"subject": 3, "seq_name": SEQUENCE, "camera": camera, "frame_idx": frame_idx}
        )
        annotations.append(
            {"id": 326750 + number, "image_id": 326750 + number, "bbox": [0, 0, 1, 1]}
            | {"joint_valid": [[int(v)] for v in valid], "hand_type": "interacting", "hand_type_valid": 1}
        )
        image = tmp_path / "images" / "train" / name
        image.parent.mkdir(parents=True)
        cv2.imwrite(str(image), view.colour[..., ::-1], [cv2.IMWRITE_JPEG_QUALITY, 100])
    parts = {
        "data": {"images": images[::-1], "annotations": annotations},
        "camera": {str(CAPTURE): cameras},
        "joint_3d": {str(CAPTURE): frames},
    }
    write(tmp_path, parts)
    return tmp_path, parts


def write(folder, parts):
    where = folder / "annotations" / "train"
    where.mkdir(parents=True, exist_ok=True)
    for part, content in parts.items():
        (where / f"InterHand2.6M_train_{part}.json").write_text(json.dumps(content))


def test_gives_the_rendered_hands_back(written, views):
    samples = INTERHAND.open(written[0], "train")
    assert samples.keys[1] == f"Capture3/{SEQUENCE}/cam410053/image69154.jpg"
    for sample, truth in zip(samples, views, strict=True):
        assert {hand.side for hand in sample.hands} == {hand.side for hand in truth.hands}
        assert sample.frame.camera == truth.camera
        assert np.abs(sample.frame.colour.astype(int) - truth.colour).mean() < 2
        for hand in sample.hands:
            true_hand = next(h for h in truth.hands if h.side == hand.side)
            np.testing.assert_allclose(hand.keypoints_m, true_hand.keypoints_m, atol=1e-5)
            np.testing.assert_allclose(hand.keypoints_px, true_hand.keypoints_px, atol=0.01)
            assert hand.labelled is None and hand.visible is None


def test_invalid_joints_have_no_label_and_zeros(written, views):
    folder, parts = written
    valid = parts["data"]["annotations"][0]["joint_valid"]
    valid[JOINTS.index("index4")] = [0]
    parts["joint_3d"]["3"]["69148"]["world_coord"][JOINTS.index("index4")] = [1.0] * 3
    valid[21:] = [[0]] * 21
    write(folder, parts)
    (hand,) = INTERHAND.open(folder, "train")[0].hands
    tip = HAND21_NAMES.index("index_tip")
    assert hand.side == "right"
    assert np.flatnonzero(~hand.labelled).tolist() == [tip]
    assert not hand.keypoints_px[tip].any() and not hand.keypoints_m[tip].any()
    others = np.arange(21) != tip
    truth = next(h for h in views[0].hands if h.side == "right")
    np.testing.assert_allclose(hand.keypoints_px[others], truth.keypoints_px[others], atol=0.01)


@pytest.mark.parametrize("part", ["data", "camera", "joint_3d"])
@pytest.mark.parametrize("content", [None, "{", "[1, 2"])
def test_missing_and_broken_files_are_named(written, part, content):
    file = written[0] / "annotations" / "train" / f"InterHand2.6M_train_{part}.json"
    file.unlink() if content is None else file.write_text(content)
    with pytest.raises(HandfastError, match=file.name):
        INTERHAND.open(written[0], "train")


def break_(parts, how):
    frame = parts["joint_3d"]["3"]["69148"]
    camera = parts["camera"]["3"]
    match how:
        case "joints":
            frame["world_coord"].pop()
        case "NaN":
            frame["world_coord"][2][1] = float("nan")
        case "frame":
            parts["joint_3d"]["3"].pop("69148")
        case "units":
            frame["world_coord"] = (1000 * np.array(frame["world_coord"])).tolist()
        case "camera":
            camera["focal"].pop("400026")
        case "matrix":
            camera["camrot"]["400026"] = [[1, 0, 0]]
        case "list":
            parts["camera"] = [1]
    return parts


@pytest.mark.parametrize(
    "how, named",
    [
        ("joints", r"joint_3d.json: capture 3, frame 69148: expected numbers of shape \(42, 3\)"),
        ("NaN", "joint_3d.json: capture 3, frame 69148: expected finite"),
        ("frame", "joint_3d.json: capture 3, frame 69148: missing"),
        ("units", "joint_3d.json: capture 3, frame 69148: expected points 0 to 10 m"),
        ("camera", "camera.json: capture 3, camera 400026"),
        ("matrix", "camera.json: capture 3, camera 400026"),
        ("list", "camera.json: capture 3, camera 400026"),
    ],
)
def test_wrong_entries_are_named_when_read(written, how, named):
    folder, parts = written
    write(folder, break_(parts, how))
    with pytest.raises(HandfastError, match=named):
        INTERHAND.open(folder, "train")[0]


@pytest.mark.parametrize(
    "change, named",
    [
        (lambda data: data["annotations"][1].update(joint_valid=[[1]] * 21), "image 326751: expected .* 42"),
        (lambda data: data["annotations"][1].update(image_id=9), "data.json: .* 9"),
        (lambda data: data["images"][1].pop("camera"), "data.json: expected id, file_name"),
        (lambda data: data["images"][1].update(file_name=["a"]), "data.json: expected id, file_name"),
        (lambda data: data["images"][1].update(width="160"), "data.json: expected id, file_name"),
        (lambda data: data["images"][1].update(id=[1]), "data.json: expected images"),
        (lambda data: data["annotations"][1].update(joint_valid={"a": 1}), "data.json: "),
        (lambda data: data.pop("annotations"), "data.json: .*annotations"),
    ],
)
def test_a_wrong_index_is_refused_when_opened(written, change, named):
    folder, parts = written
    change(parts["data"])
    write(folder, parts)
    with pytest.raises(HandfastError, match=named):
        INTERHAND.open(folder, "train")


def test_joints_of_another_type_are_refused_when_opened(written):
    folder, parts = written
    parts["joint_3d"]["3"]["69148"]["world_coord"] = {"wrist": [1, 2, 3]}
    write(folder, parts)
    with pytest.raises(HandfastError, match=r"joint_3d.json: expected JSON with the joints"):
        INTERHAND.open(folder, "train")


def test_images_missing_cut_or_of_another_size_are_named(written):
    folder, _ = written
    samples = INTERHAND.open(folder, "train")
    files = [folder / "images" / "train" / key for key in samples.keys]
    files[0].unlink()
    files[1].write_bytes(b"no image")
    cv2.imwrite(str(files[2]), np.zeros((160, 120), np.uint8))
    for index, reason in enumerate(("missing", "not a readable picture", r"expected .*\(120, 160, 3\)")):
        with pytest.raises(HandfastError, match=f"{files[index].name}: {reason}"):
            samples[index]


def test_unknown_split(tmp_path):
    with pytest.raises(HandfastError, match="train, val, test"):
        INTERHAND.open(tmp_path, "training")
