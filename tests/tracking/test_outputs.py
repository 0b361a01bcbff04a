import json
import os
from dataclasses import replace

import cv2
import numpy as np
import pytest

from handfast.errors import HandfastError
from handfast.structures import Frame, HandPose
from handfast.tracking.outputs import OUTPUT_NAMES, ResultWriter, hands_record, write_results


def pose(side: str = "left", xyz_mm: np.ndarray | None = None) -> HandPose:
    points = np.linspace(10, 50, 42).reshape(21, 2)
    return HandPose(side, 0.98765, points, np.arange(21) < 15, xyz_mm, track=3)


def clip(n: int, shape=(48, 64)) -> list[tuple[Frame, list[HandPose]]]:
    """n frames, each brighter than the one before, with 0, 1, 2, 0, 1, 2, ... hands."""
    hands = [pose("left"), pose("right")]
    return [(Frame(i, i / 30, np.full(shape, i % 256, np.uint8)), hands[: i % 3]) for i in range(n)]


def tree(folder) -> dict[str, bytes | None]:
    return {str(p.relative_to(folder)): p.read_bytes() if p.is_file() else None for p in folder.rglob("*")}


def test_writes_three_files_and_counts(tmp_path):
    with ResultWriter(tmp_path / "a" / "b") as writer:
        summary = write_results(clip(20), writer)
    assert (summary.frames, summary.frames_with_hand, summary.hands) == (20, 13, 19)
    assert (summary.left, summary.right) == (13, 6)
    assert summary.frames_per_s > 0 and summary.effort is None
    assert sorted(os.listdir(tmp_path / "a" / "b")) == sorted(OUTPUT_NAMES)
    assert all(path.is_file() for path in writer.outputs)

    lines = [json.loads(line) for line in (tmp_path / "a/b/hands.jsonl").read_text().splitlines()]
    assert [line["index"] for line in lines] == list(range(20))
    assert [len(line["hands"]) for line in lines] == [i % 3 for i in range(20)]

    video = cv2.VideoCapture(str(tmp_path / "a/b/overlay.mp4"))
    pictures = 0
    while video.read()[0]:
        pictures += 1
    assert (pictures, video.get(cv2.CAP_PROP_FPS)) == (20, 30.0)
    assert video.get(cv2.CAP_PROP_FRAME_WIDTH) == 960
    sheet = cv2.imread(str(tmp_path / "a/b/contact_sheet.png"))
    assert sheet.shape[:2] == (8 + 3 * (360 + 8), 8 + 4 * (480 + 8))


def test_what_an_adaptive_model_spent_is_counted_by_hand(tmp_path):
    frames = [(frame, [replace(hand, effort=frame.index % 2) for hand in hands]) for frame, hands in clip(20)]
    with ResultWriter(tmp_path) as writer:
        summary = write_results(frames, writer)
    spent = [frame.index % 2 for frame, hands in frames for _ in hands]
    assert summary.effort == pytest.approx(sum(spent) / len(spent), abs=1e-4)
    lines = [json.loads(line) for line in (tmp_path / "hands.jsonl").read_text().splitlines()]
    assert [hand["effort"] for line in lines for hand in line["hands"]] == spent


def test_record_of_a_frame():
    xyz_mm = np.full((21, 3), 123.456)
    xyz_mm[4, 2] = np.nan
    record = hands_record(Frame(7, 0.25, np.zeros((4, 4), np.uint8)), [pose("right", xyz_mm), pose()])
    assert (record["index"], record["time_s"]) == (7, 0.25)
    right, left = record["hands"]
    assert (right["side"], right["track"], right["score"]) == ("right", 3, 0.9877)
    assert right["visible"] == [True] * 15 + [False] * 6
    np.testing.assert_allclose(right["keypoints_px"], pose().keypoints_px, atol=0.005)
    assert right["keypoints_px"][0] == [10.0, 10.98]
    assert right["xyz_mm"][4] is None
    assert right["xyz_mm"][5] == [123.5, 123.5, 123.5]
    assert "xyz_mm" not in left and "relative_mm" not in right
    json.dumps(record, allow_nan=False)


def test_record_of_a_hand_known_in_space_from_colour_alone():
    relative_mm = np.linspace(-80, 80, 63).reshape(21, 3)
    hand = replace(pose(), relative_mm=relative_mm)
    (record,) = hands_record(Frame(0, 0.0, np.zeros((4, 4), np.uint8)), [hand])["hands"]
    assert record["relative_mm"][:2] == [[-80.0, -77.4, -74.8], [-72.3, -69.7, -67.1]]
    np.testing.assert_allclose(record["relative_mm"], relative_mm, atol=0.051)
    assert "xyz_mm" not in record


def test_overlay_is_in_colour_where_the_frames_are(tmp_path):
    colour = np.full((120, 160, 3), (200, 60, 20), np.uint8)
    frames = [Frame(i, i / 30, np.full((120, 160), 60, np.uint8), colour=colour) for i in range(3)]
    with ResultWriter(tmp_path) as writer:
        write_results([(frame, []) for frame in frames], writer)
    sheet = cv2.imread(str(tmp_path / "contact_sheet.png"))
    _, picture = cv2.VideoCapture(str(tmp_path / "overlay.mp4")).read()
    for shown in (sheet, picture):
        assert np.abs(shown[100, 100].astype(int) - (20, 60, 200)).max() < 12


@pytest.mark.parametrize("fps", [0.5, 29.97, 33.33333, 120.1234])
def test_odd_sizes_and_rates_can_be_written(tmp_path, fps):
    with ResultWriter(tmp_path, fps=fps) as writer:
        write_results(clip(3, shape=(51, 101)), writer)
    assert cv2.VideoCapture(str(tmp_path / "overlay.mp4")).read()[0]


def brightness_of_sheet(path) -> np.ndarray:
    """The middle of each of the 12 pictures."""
    sheet = cv2.imread(str(path), cv2.IMREAD_GRAYSCALE)
    return sheet[8 + 180 :: 368, 8 + 240 :: 488].ravel()


@pytest.mark.parametrize("n", [13, 49, 240])
def test_sheet_is_evenly_spaced(tmp_path, n, monkeypatch):
    # Pictures as they are, so that brightness tells which frame a picture is.
    monkeypatch.setattr(
        "handfast.tracking.outputs.frame_as_picture", lambda f: np.repeat(f.amplitude[..., None], 3, axis=-1)
    )
    with ResultWriter(tmp_path) as writer:
        write_results([(frame, []) for frame, _ in clip(n)], writer)
    frames = brightness_of_sheet(tmp_path / "contact_sheet.png").astype(int)
    steps = np.diff(frames)
    assert frames[0] == 0
    assert frames[-1] >= 0.9 * (n - 1)
    assert steps.max() <= max(2, 1.5 * n / 12)
    assert steps.min() >= 1


@pytest.mark.parametrize("there_before", [True, False])
def test_failure_leaves_everything_as_it_was(tmp_path, there_before):
    out_dir = tmp_path / "a" / "b"
    if there_before:
        with ResultWriter(out_dir) as writer:
            write_results(clip(2), writer)
        (out_dir / "notes.txt").write_text("mine")
    before = tree(tmp_path)

    def broken_clip():
        yield from clip(5)
        raise HandfastError("a bad frame")

    with pytest.raises(HandfastError, match="a bad frame"), ResultWriter(out_dir) as writer:
        write_results(broken_clip(), writer)
    assert tree(tmp_path) == before

    with pytest.raises(KeyboardInterrupt), ResultWriter(out_dir):
        raise KeyboardInterrupt
    assert tree(tmp_path) == before


def test_no_frame_is_an_error(tmp_path):
    with pytest.raises(HandfastError, match="got none"), ResultWriter(tmp_path / "out") as writer:
        write_results([], writer)
    assert not tree(tmp_path)


def test_second_run_replaces_the_first_and_keeps_other_files(tmp_path):
    (tmp_path / "notes.txt").write_text("mine")
    for n in (3, 2):
        with ResultWriter(tmp_path) as writer:
            write_results(clip(n), writer)
    assert sorted(os.listdir(tmp_path)) == sorted((*OUTPUT_NAMES, "notes.txt"))
    assert len((tmp_path / "hands.jsonl").read_text().splitlines()) == 2


def test_unwritable_folder_is_told_before_any_work(tmp_path):
    (tmp_path / "file").write_text("in the way")
    before = tree(tmp_path)
    for out_dir in (tmp_path / "file", tmp_path / "file" / "deeper"):
        with pytest.raises(HandfastError, match="cannot be written"):
            ResultWriter(out_dir).__enter__()
    assert tree(tmp_path) == before


def test_a_folder_where_a_result_goes_is_told_before_any_work(tmp_path):
    (tmp_path / "overlay.mp4").mkdir()
    before = tree(tmp_path)
    with pytest.raises(HandfastError, match=r"overlay\.mp4: a folder where a result goes"):
        ResultWriter(tmp_path).__enter__()
    assert tree(tmp_path) == before


def test_failure_to_move_into_place_is_told_in_a_line(tmp_path, monkeypatch):
    def full_disk(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("handfast.tracking.outputs.os.replace", full_disk)
    with pytest.raises(HandfastError, match="No space left"), ResultWriter(tmp_path / "out") as writer:
        write_results(clip(2), writer)
    assert not tree(tmp_path)
