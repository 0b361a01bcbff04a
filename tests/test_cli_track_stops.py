"""When tracking stops: of a camera, at Ctrl-C, at the end of what was asked for, and what is then left."""

import json
import signal
from functools import partial
from itertools import count, islice

import cv2
import numpy as np
import pytest

from handfast.cli_track import _beginning
from handfast.sensors.sources import CameraSource
from handfast.structures import Frame
from track_fixtures import FakeCamera, OneHandTracker, files_below


class TrackerInterruptedAtOnce(OneHandTracker):
    """Ctrl-C is pressed before its first frame."""

    def track(self, source):
        signal.raise_signal(signal.SIGINT)
        return super().track(source)


class InterruptedTracker(OneHandTracker):
    """Ctrl-C is pressed in its second frame."""

    def track(self, source):
        for number, tracked in enumerate(super().track(source)):
            if number == 1:
                signal.raise_signal(signal.SIGINT)
            yield tracked


class EightTimesASecond(CameraSource):
    """By its own clock."""

    def __init__(self, *given):
        super().__init__(*given, clock=partial(next, count(step=0.125)))


@pytest.mark.parametrize(
    ("options", "interrupted_at", "frames"),
    [([], [5], 3), (["--frames", "7"], [], 7), (["--seconds", "0.375"], [], 3), (["--frames", "7"], [5], 3)],
)
def test_track_a_camera_until_it_is_enough(
    tmp_path, handfast_command, monkeypatch, one_hand_tracker, options, interrupted_at, frames
):
    """Its first picture says how large they are; the one in which Ctrl-C is pressed does not count."""
    monkeypatch.setattr(cv2, "VideoCapture", lambda number: FakeCamera(interrupted_at))
    monkeypatch.setattr("handfast.sensors.sources.CameraSource", EightTimesASecond)
    handler, out = signal.getsignal(signal.SIGINT), tmp_path / "out"
    code, stdout, stderr = handfast_command("track", "camera:0", "--out", out, "--json", *options)
    assert (code, stderr) == (0, "")
    assert signal.getsignal(signal.SIGINT) is handler
    summary = json.loads(stdout)
    assert (summary["source"], summary["model"]) == ("camera:0", "tofnet-rgb")  # it is in colour
    monkeypatch.undo()
    records = [json.loads(line) for line in (out / "hands.jsonl").read_text().splitlines()]
    video = cv2.VideoCapture(str(out / "overlay.mp4"))
    assert summary["frames"] == len(records) == video.get(cv2.CAP_PROP_FRAME_COUNT) == frames
    assert files_below(out) == {"hands.jsonl", "overlay.mp4", "contact_sheet.png"}


def test_a_command_that_is_ended_leaves_nothing_behind(tmp_path, handfast_command, monkeypatch):
    class Ended(OneHandTracker):
        def track(self, source):
            yield from islice(super().track(source), 2)
            signal.raise_signal(signal.SIGTERM)
            raise AssertionError("SIGTERM was not heard")

    before = signal.getsignal(signal.SIGTERM)
    monkeypatch.setattr(cv2, "VideoCapture", lambda number: FakeCamera())
    monkeypatch.setattr("handfast.tracking.opening.Tracker", Ended)
    code, stdout, _ = handfast_command("track", "camera:0", "--out", tmp_path / "out")
    signal.signal(signal.SIGTERM, before)
    assert (code, stdout) == (128 + signal.SIGTERM, "")
    assert not files_below(tmp_path)


@pytest.mark.usefixtures("interruptible")
def test_a_second_interrupt_breaks_off(tmp_path, handfast_command, monkeypatch):
    class Slow(OneHandTracker):
        def track(self, source):
            yield from super().track(source)
            signal.raise_signal(signal.SIGINT)
            raise AssertionError("Ctrl-C was not heard")

    monkeypatch.setattr(cv2, "VideoCapture", lambda number: FakeCamera([5]))
    monkeypatch.setattr("handfast.tracking.opening.Tracker", Slow)
    code, stdout, _ = handfast_command("track", "camera:0", "--out", tmp_path / "out")
    assert (code != 0, stdout) == (True, "")
    assert not files_below(tmp_path)


@pytest.mark.usefixtures("interruptible")
def test_a_clip_that_is_interrupted_leaves_the_frames_so_far(clips, tmp_path, handfast_command, monkeypatch):
    out = tmp_path / "out"
    monkeypatch.setattr("handfast.tracking.opening.Tracker", TrackerInterruptedAtOnce)
    code, stdout, stderr = handfast_command("track", clips / "grey", "--out", out, "--json")
    assert (code, stderr) == (2, "error: interrupted before the first frame; nothing is written\n")
    assert stdout == "" and not out.exists()
    monkeypatch.setattr("handfast.tracking.opening.Tracker", InterruptedTracker)
    code, stdout, stderr = handfast_command("track", clips / "grey", "--out", out, "--json")
    assert (code, json.loads(stdout)["frames"]) == (128 + signal.SIGINT, 2)
    assert stderr == "note: interrupted; the results are of the first 2 frames\n"
    assert len((out / "hands.jsonl").read_text().splitlines()) == 2
    assert files_below(out) == {"hands.jsonl", "overlay.mp4", "contact_sheet.png"}


def test_an_interrupt_that_the_shell_ignores_is_ignored(clips, tmp_path, handfast_command, monkeypatch):
    monkeypatch.setattr("handfast.tracking.opening.Tracker", TrackerInterruptedAtOnce)
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    code, stdout, _ = handfast_command("track", clips / "grey", "--out", tmp_path / "out", "--json")
    signal.signal(signal.SIGINT, before)
    assert (code, json.loads(stdout)["frames"]) == (0, 4)


@pytest.mark.usefixtures("interruptible")
def test_an_interrupt_before_a_damaged_frame_keeps_the_others(clips, tmp_path, handfast_command, monkeypatch):
    monkeypatch.setattr("handfast.tracking.opening.Tracker", InterruptedTracker)
    code, stdout, _ = handfast_command("track", clips / "cut", "--out", tmp_path / "out", "--json")
    assert (code, json.loads(stdout)["frames"]) == (128 + signal.SIGINT, 2)


def test_seconds_count_from_the_first_frame():
    """Clocks of sensors begin anywhere."""
    frames = [Frame(i, 1000 + i / 10, amplitude=np.zeros((2, 2), np.uint8)) for i in range(30)]
    taken = list(_beginning(frames, None, 0.95))
    assert [frame.index for frame in taken] == list(range(10))
    assert len(list(_beginning(frames, None, None))) == 30 and len(list(_beginning(frames, 4, 9.0))) == 4


def test_track_without_a_camera(clips, handfast_command, monkeypatch):
    before = files_below(clips)
    monkeypatch.setattr(FakeCamera, "read", lambda self: (False, None))
    monkeypatch.setattr(cv2, "VideoCapture", lambda number: FakeCamera())
    code, stdout, stderr = handfast_command("track", "camera:0", "--out", clips / "new")
    assert (code, stdout) == (2, "")
    assert stderr.startswith("error: camera:0: no camera that gives pictures") and stderr.count("\n") == 1
    assert files_below(clips) == before
