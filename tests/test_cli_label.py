import json
import shutil
from functools import partial

import cv2
import numpy as np
import pytest

from handfast.data.datasets.coco import open_coco
from handfast.data.photos import load_photos
from handfast.geometry import Camera
from handfast.sensors.recordings import write_recording
from handfast.structures import Frame, HandPose

HEIGHT, WIDTH = 48, 64
INTRINSICS = "60,60,31.5,23.5"


def hand_of(index: int) -> HandPose:
    """The hand that is found in a frame: within it but for the first two key-points."""
    rng = np.random.default_rng(index)
    points = rng.uniform((4, 4), (WIDTH - 5, HEIGHT - 5), (21, 2)).astype(np.float32)
    points[:2] += 2 * WIDTH
    return HandPose("left" if index % 2 else "right", 0.9, points, rng.random(21) < 0.7)


class StubTracker:
    """Finds one hand in every frame but the last of three."""

    wrong_size = None

    def __init__(self, model: object):
        pass

    def track(self, source):
        for frame in source:
            yield frame, [] if frame.index % 3 == 2 else [hand_of(frame.index)]


class BlackCamera:
    """As OpenCV's: it goes on for ever."""

    def isOpened(self):
        return True

    def read(self):
        return True, np.zeros((HEIGHT, WIDTH, 3), np.uint8)

    def get(self, what):
        return 30.0

    def release(self):
        pass


@pytest.fixture
def clips(tmp_path, monkeypatch):
    """Sources of twelve frames."""
    monkeypatch.setattr("handfast.tracking.tracker.Tracker", StubTracker)
    monkeypatch.chdir(tmp_path)
    rng = np.random.default_rng(0)
    for name in ("grey", "depth", "cut", "empty"):
        (tmp_path / name).mkdir()
    images = [rng.integers(0, 255, (HEIGHT, WIDTH), dtype=np.uint8) for _ in range(12)]
    for i, image in enumerate(images):
        cv2.imwrite(f"grey/{i}.png", image)
        cv2.imwrite(f"cut/{i}.png", image)
        cv2.imwrite(f"depth/{i}.png", image.astype(np.uint16) * 40)
    shutil.copytree("grey", "own/images")
    (tmp_path / "cut" / "4.png").write_bytes((tmp_path / "grey" / "4.png").read_bytes()[:-30])
    write_recording(
        tmp_path / "both.zip", [Frame(i, i / 30, im, im * np.uint16(9)) for i, im in enumerate(images)]
    )
    return tmp_path


@pytest.fixture
def label(clips, handfast_command):
    """``handfast label`` on them."""
    return partial(handfast_command, "label")


def numbers(samples) -> list[int]:
    return [int(key.removesuffix(".png")) for key in samples.keys]


@pytest.mark.parametrize("source", ["grey", "both.zip"])
def test_what_the_tracker_found_is_what_is_read_back(clips, label, source):
    assert label(source, "--out", "mine", "--every", 1)[0] == 0
    samples = open_coco(clips / "mine", "all")
    assert numbers(samples) == list(range(12))
    for index, sample in enumerate(samples):
        np.testing.assert_array_equal(
            sample.frame.amplitude, cv2.imread(f"grey/{index}.png", cv2.IMREAD_UNCHANGED)
        )
        assert len(sample.hands) == (index % 3 < 2)
        for hand in sample.hands:
            found = hand_of(index)
            assert hand.side == found.side
            assert np.flatnonzero(~hand.labelled).tolist() == [0, 1]  # outside the frame
            np.testing.assert_array_equal(hand.keypoints_px[2:], found.keypoints_px[2:])
            np.testing.assert_array_equal(hand.visible[2:], found.visible[2:])


def test_labels_are_ready_to_train_on(clips, label):
    assert label("grey", "--out", "mine", "--every", 1)[0] == 0
    train, held_out = (load_photos(clips / "mine", held_out) for held_out in (False, True))
    with_hand = [index for index in range(12) if index % 3 < 2]
    assert (len(train), len(held_out)) == (len(with_hand) - 1, 1)
    for photos, indices in ((train, with_hand[:-1]), (held_out, with_hand[-1:])):
        for crop, slot, index in zip(photos.keypoints_px, photos.slot, indices, strict=True):
            found = hand_of(index).keypoints_px[2:]
            assert slot == (index + 1) % 2
            scale = np.ptp(crop[2:], axis=0) / np.ptp(found, axis=0)
            back = (crop[2:] - crop[2]) / scale + found[0]
            np.testing.assert_allclose(back, found, atol=0.01)
            assert scale[0] == pytest.approx(scale[1], rel=1e-4)


def test_depth_is_written_as_it_came_with_its_unit_and_camera(clips, label):
    options = ["--intrinsics", INTRINSICS, "--depth-unit-mm", 0.25]
    assert label("depth", "--out", "mine", "--count", 2, *options)[0] == 0
    samples = open_coco(clips / "mine", "all")
    assert numbers(samples) == [0, 11]
    for index, sample in zip((0, 11), samples, strict=True):
        np.testing.assert_array_equal(
            sample.frame.depth, cv2.imread(f"depth/{index}.png", cv2.IMREAD_UNCHANGED)
        )
        assert sample.frame.camera == Camera(60, 60, 31.5, 23.5, WIDTH, HEIGHT)
        assert sample.frame.depth_unit_mm == 0.25


def test_what_breaks_off_leaves_no_images(clips, label, monkeypatch):
    class Interrupted(StubTracker):
        def track(self, source):
            for number, tracked in enumerate(super().track(source)):
                if number == 5:
                    raise KeyboardInterrupt
                yield tracked

    monkeypatch.setattr("handfast.tracking.tracker.Tracker", Interrupted)
    assert label("grey", "--out", "mine")[0] != 0
    assert not list((clips / "mine").rglob("*.png"))
    monkeypatch.setattr("handfast.tracking.tracker.Tracker", StubTracker)
    assert label("grey", "--out", "mine", "--count", 2)[0] == 0
    (clips / "more" / "images").mkdir(parents=True)
    shutil.copy("grey/0.png", "more/images/000777.png")
    code, _, stderr = label("grey", "--out", "more")
    assert code == 2 and "holds images already" in stderr


def test_16_bit_infrared_is_labelled_as_the_network_sees_it(clips, label):
    assert label("depth", "--out", "mine", "--count", 1, "--infrared")[0] == 0
    (sample,) = open_coco(clips / "mine", "all")
    assert sample.frame.amplitude.max() == 255 and sample.frame.depth is None


def test_it_is_said_that_colour_becomes_grey(clips, label):
    for index in range(2):
        cv2.imwrite(f"empty/{index}.png", np.full((HEIGHT, WIDTH, 3), (20, 60, 200), np.uint8))
    code, _, stderr = label("empty", "--out", "mine")
    assert code == 0 and stderr.startswith("note: these frames are in colour, which tofnet-hand21 sees")
    assert label("empty", "--out", "coloured", "--model", "tofnet-rgb")[2] == ""


@pytest.mark.parametrize(
    "options, expected",
    [([], list(range(12))), (["--count", 4], [0, 4, 7, 11]), (["--every", 5], [0, 5, 10])],
)
def test_frames_are_picked_evenly_and_named_by_their_number(clips, label, options, expected):
    assert label("grey", "--out", "mine", *options)[0] == 0
    assert numbers(open_coco(clips / "mine", "all")) == expected
    assert sorted(path.name for path in (clips / "mine" / "images").iterdir()) == [
        f"{index:06d}.png" for index in expected
    ]


def test_the_summary_counts_what_was_written(clips, label):
    code, stdout, stderr = label("cut", "--out", "mine", "--every", 1, "--skip-bad-frames", "--json")
    assert code == 0 and stderr.startswith("skipped: 4.png: ") and stderr.count("\n") == 1
    assert json.loads(stdout.splitlines()[-1]) == {
        "source": "cut",
        "model": "tofnet-hand21",
        "images": 11,
        "images_with_hand": 7,
        "hands": 7,
        "left": 4,
        "right": 3,
        "skipped": 1,
        "out": "mine",
        "outputs": [
            "mine/images",
            "mine/annotations/person_keypoints_default.json",
            "mine/cvat_labels.txt",
            "mine/contact_sheet.png",
        ],
    }
    code, stdout, _ = label("cut", "--out", "other", "--every", 1, "--skip-bad-frames")
    assert code == 0 and "11 (1 frames skipped), 7 with a hand" in stdout and "4 left, 3 right" in stdout


def test_the_sheet_shows_the_hands(clips, label):
    assert label("grey", "--out", "mine")[0] == 0
    sheet = cv2.imread("mine/contact_sheet.png")
    colourful = np.ptp(sheet.astype(int), axis=-1) > 100
    assert colourful.sum() > 1000
    assert {path.name for path in (clips / "mine").iterdir()} == {
        "images",
        "annotations",
        "cvat_labels.txt",
        "contact_sheet.png",
    }


def test_a_source_of_unknown_length_needs_every(clips, label, monkeypatch):
    monkeypatch.setattr("handfast.cli_label.length_hint", lambda frames: 0)
    code, _, stderr = label("grey", "--out", "mine", "--count", 3)
    assert code == 2 and "give --every" in stderr
    assert label("grey", "--out", "mine", "--every", 6)[0] == 0
    assert numbers(open_coco(clips / "mine", "all")) == [0, 6]


BAD_INPUT = {
    "missing path": (["nowhere"], "no such file or folder"),
    "empty folder": (["empty"], "found none"),
    "depth without its options": (["depth"], "--intrinsics fx,fy,cx,cy"),
    "intrinsics not numbers": (["grey", "--intrinsics", "1,2,3,x"], "--intrinsics: expected four numbers"),
    "count and every": (["grey", "--count", 3, "--every", 2], "--count and --every: expected one of them"),
    "count of zero": (["grey", "--count", 0], "--count: expected 1 or more, got 0"),
    "every below zero": (["grey", "--every", -1], "--every: expected 1 or more, got -1"),
    "eight key-points": (["grey", "--model", "tofnet-tof8"], "--model: expected one of the 21 key-points"),
    "missing model": (["grey", "--model", "nowhere.onnx"], "nowhere.onnx"),
    "into the source": (["grey", "--out", "grey"], "would mix with the source"),
    "over the source": (["own/images", "--out", "own"], "would mix with the source"),
    "a camera": (["camera:0"], "record the camera first"),
    "into a file": (["grey", "--out", "both.zip"], "cannot be written"),
}


@pytest.mark.parametrize("case", BAD_INPUT)
def test_bad_input_is_one_line_and_leaves_nothing(clips, label, monkeypatch, case):
    monkeypatch.setattr("handfast.sensors.sources.cv2.VideoCapture", lambda number: BlackCamera())
    arguments, expected = BAD_INPUT[case]
    before = sorted(clips.rglob("*"))
    code, stdout, stderr = label("--out", "new", "--json", *arguments)
    assert (code, stdout) == (2, "")
    assert stderr.startswith("error: ") and stderr.count("\n") == 1 and expected in stderr
    assert sorted(clips.rglob("*")) == before


def test_labels_that_are_there_stay(clips, label):
    labels = clips / "mine" / "annotations" / "person_keypoints_default.json"
    labels.parent.mkdir(parents=True)
    labels.write_text("corrected for hours")
    code, _, stderr = label("grey", "--out", "mine")
    assert code == 2 and "person_keypoints_default.json: is there already" in stderr
    assert [path for path in (clips / "mine").rglob("*") if path.is_file()] == [labels]
    assert labels.read_text() == "corrected for hours"


def test_a_frame_that_cannot_be_read_leaves_no_labels(clips, label):
    code, _, stderr = label("cut", "--out", "mine")
    assert code == 2 and "4.png: PNG is cut off" in stderr
    assert not (clips / "mine" / "annotations").exists()
