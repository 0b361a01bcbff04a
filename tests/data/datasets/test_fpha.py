import cv2
import numpy as np
import pytest

from handfast.data.datasets.fpha import FPHA
from handfast.errors import HandfastError
from handfast.geometry import Camera
from handfast.skeleton import HAND21_NAMES

DEPTH_CAMERA = Camera(475.065948, 475.065857, 315.944855, 245.287079, 640, 480)
COLOUR_CAMERA = Camera(1395.749023, 1395.749268, 935.732544, 540.681030, 1920, 1080)
# Readme of the data set: millimetres of the depth camera to those of the colour camera.
R = [
    [0.999988496304, -0.00468848412856, 0.000982563360594],
    [0.00469115935266, 0.999985218048, -0.00273845880292],
    [-0.000969709653873, 0.00274303671904, 0.99999576807],
]
T_MM = [25.7, 1.22, 3.902]
FINGERS = {"T": "thumb", "I": "index", "M": "middle", "R": "ring", "P": "pinky"}
ORDER = (
    "Wrist TMCP IMCP MMCP RMCP PMCP TPIP TDIP TTIP IPIP IDIP ITIP "
    "MPIP MDIP MTIP RPIP RDIP RTIP PPIP PDIP PTIP"
).split()
THUMB = {"TMCP": "thumb_cmc", "TPIP": "thumb_mcp", "TDIP": "thumb_ip"}
SEQUENCES = {
    "Subject_1/close_juice_bottle/1": (0, 1),
    "Subject_1/put_salt/2": (),
    "Subject_2/put_salt/1": (2,),
}
SPLIT_FILE = (
    "Training 2\nSubject_1/close_juice_bottle/1 0\nSubject_1/put_salt/2 8\nTest 1\nSubject_2/put_salt/1 8\n"
)


def hand21_name(name):
    if name == "Wrist":
        return "wrist"
    return THUMB.get(name, f"{FINGERS[name[0]]}_{name[1:].lower()}")


@pytest.fixture(scope="module")
def views(look_at_hands):
    return [look_at_hands(DEPTH_CAMERA, ("right",), seed) for seed in range(3)]


def colour_keypoints_m(view):
    return (view.hands[0].keypoints_m * 1000 @ np.array(R).T + T_MM) / 1000


def colour_picture(view):
    """White discs at the joints, as the colour camera would see them: 1080p is slow to render."""
    picture = np.zeros((1080, 1920, 3), np.uint8)
    for point in COLOUR_CAMERA.project(colour_keypoints_m(view)):
        cv2.circle(picture, np.rint(point).astype(int).tolist(), 6, (255, 255, 255), -1)
    return picture


def row_of(frame, view):
    joints_m = [view.hands[0].keypoints_m[HAND21_NAMES.index(hand21_name(name))] for name in ORDER]
    return " ".join([str(frame), *(f"{1000 * number:.4f}" for joint in joints_m for number in joint)])


@pytest.fixture
def folder(views, tmp_path):
    (tmp_path / "data_split_action_recognition.txt").write_text(SPLIT_FILE)
    for sequence, seen in SEQUENCES.items():
        annotation = tmp_path / "Hand_pose_annotation_v1" / sequence
        annotation.mkdir(parents=True)
        rows = [row_of(frame, views[i]) + "\n" for frame, i in enumerate(seen)]
        (annotation / "skeleton.txt").write_text("".join(rows))
        video = tmp_path / "Video_files" / sequence
        for kind in ("color", "depth"):
            (video / kind).mkdir(parents=True)
        for frame, i in enumerate(seen):
            depth = np.rint(1000 * views[i].depth_m).astype(np.uint16)
            cv2.imwrite(str(video / "depth" / f"depth_{frame:04d}.png"), depth)
            cv2.imwrite(str(video / "color" / f"color_{frame:04d}.jpeg"), colour_picture(views[i]))
    return tmp_path


@pytest.mark.parametrize(("split", "views_seen"), [("train", (0, 1)), ("test", (2,))])
def test_gives_the_rendered_truth_back_in_the_depth_camera(folder, views, split, views_seen):
    samples = FPHA.open(folder, split)
    for sample, seen in zip(samples, views_seen, strict=True):
        (hand,), truth = sample.hands, views[seen].hands[0]
        assert hand.side == "right"
        assert np.abs(hand.keypoints_m - truth.keypoints_m).max() < 1e-5
        assert np.abs(hand.keypoints_px - truth.keypoints_px).max() < 0.01
        assert np.abs(sample.frame.depth_m() - views[seen].depth_m).max() <= 0.00051
        assert sample.frame.depth_m().max() > 0.3 and sample.frame.colour is None


@pytest.mark.parametrize(("split", "views_seen"), [("train_colour", (0, 1)), ("test_colour", (2,))])
def test_gives_the_rendered_truth_back_in_the_colour_camera(folder, views, split, views_seen):
    samples = FPHA.open(folder, split)
    for sample, seen in zip(samples, views_seen, strict=True):
        (hand,), truth_m = sample.hands, colour_keypoints_m(views[seen])
        assert np.abs(hand.keypoints_m - truth_m).max() < 1e-5
        assert np.abs(hand.keypoints_px - COLOUR_CAMERA.project(truth_m)).max() < 0.05
        assert sample.frame.depth is None and sample.frame.camera == COLOUR_CAMERA
        x, y = np.rint(hand.keypoints_px).astype(int).T
        assert (sample.frame.colour[y, x] > 200).all() and sample.frame.colour.mean() < 20


def test_frames_are_named_and_timed_within_their_sequence(folder):
    samples = FPHA.open(folder, "train")
    assert samples.keys == tuple(
        f"Subject_1/close_juice_bottle/1/depth/depth_000{frame}.png" for frame in (0, 1)
    )
    assert samples[1].frame.index == 1 and samples[1].frame.time_s == pytest.approx(1 / 30)


def test_reads_the_later_annotations_where_they_are(folder):
    (folder / "Hand_pose_annotation_v1").rename(folder / "Hand_pose_annotation_v1_1")
    assert len(FPHA.open(folder, "train")) == 2


def test_missing_files_are_named(folder):
    (folder / "Video_files" / "Subject_2/put_salt/1/depth/depth_0000.png").unlink()
    with pytest.raises(HandfastError, match=r"put_salt.1.depth.depth_0000\.png: missing"):
        FPHA.open(folder, "test")[0]
    (folder / "Hand_pose_annotation_v1" / "Subject_2/put_salt/1/skeleton.txt").unlink()
    with pytest.raises(HandfastError, match=r"Subject_2.put_salt.1.skeleton\.txt: missing"):
        FPHA.open(folder, "test")
    (folder / "data_split_action_recognition.txt").unlink()
    with pytest.raises(HandfastError, match=r"data_split_action_recognition\.txt: missing"):
        FPHA.open(folder, "train")
    with pytest.raises(HandfastError, match="'val': expected one of train, test"):
        FPHA.open(folder, "val")


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (SPLIT_FILE.replace("Training 2", "Training 3"), "expected 3 sequences to train, got 2"),
        (SPLIT_FILE[: SPLIT_FILE.index("Test")], "expected some sequences to test, got 0"),
        (SPLIT_FILE[SPLIT_FILE.index("\n") + 1 :], "line 1: expected Training, Test or a sequence"),
        (SPLIT_FILE.replace("Subject_1/put_salt/2", "put_salt"), "line 3: .* got 'put_salt'"),
    ],
)
def test_a_broken_split_file_is_refused(folder, content, message):
    (folder / "data_split_action_recognition.txt").write_text(content)
    with pytest.raises(HandfastError, match=rf"data_split_action_recognition\.txt.*{message}"):
        FPHA.open(folder, "train")


@pytest.mark.parametrize(
    ("broken", "message"),
    [
        (lambda row: row.rsplit(" ", 3)[0], "line 2: expected 21 joints x 3 numbers, got 60"),
        (lambda row: row.rsplit(" ", 1)[0] + " nan", "line 2: expected finite numbers"),
        (lambda row: "1.5 " + row.split(" ", 1)[1], "line 2: expected a frame's number first, got '1.5'"),
    ],
)
def test_broken_labels_are_refused(folder, broken, message):
    path = folder / "Hand_pose_annotation_v1" / "Subject_1/close_juice_bottle/1/skeleton.txt"
    first, second = path.read_text().splitlines()
    path.write_text(f"{first}\n{broken(second)}\n")
    with pytest.raises(HandfastError, match=rf"skeleton\.txt, {message}"):
        FPHA.open(folder, "train")
