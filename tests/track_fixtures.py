"""A tracker, clips and a camera that tests of the commands that track need, and who presses Ctrl-C."""

import signal

import cv2
import numpy as np
import pytest

from handfast.sensors.recordings import write_recording
from handfast.structures import Frame, HandPose


class OneHandTracker:
    """Finds one hand in every frame."""

    wrong_size = None

    def __init__(self, model, fast=False):
        self.model, self.fast = model, fast

    def track(self, source):
        for frame in source:
            points = np.random.default_rng(frame.index).uniform(0, 20, (21, 2))
            yield frame, [HandPose("left" if frame.index else "right", 0.9, points, np.ones(21, bool))]


@pytest.fixture
def one_hand_tracker(monkeypatch):
    monkeypatch.setattr("handfast.tracking.opening.Tracker", OneHandTracker)


@pytest.fixture
def clips(tmp_path):
    """A folder with a source of each kind, good and bad."""
    rng = np.random.default_rng(0)
    clips = tmp_path / "clips"
    for name in ("empty", "grey", "cut", "mixed", "depth"):
        (clips / name).mkdir(parents=True)
    for i in range(4):
        image = rng.integers(0, 255, (24, 32), dtype=np.uint8)
        for name in ("grey", "cut", "mixed"):
            cv2.imwrite(str(clips / name / f"{i}.png"), image)
        cv2.imwrite(str(clips / "depth" / f"{i}.png"), image.astype(np.uint16) * 40)
    (clips / "cut" / "2.png").write_bytes((clips / "grey" / "2.png").read_bytes()[:-30])
    cv2.imwrite(str(clips / "mixed" / "2.png"), image.astype(np.uint16))
    (clips / "noise.mp4").write_bytes(rng.bytes(4000))
    (clips / "noise.zip").write_bytes(rng.bytes(4000))
    (clips / "noise.onnx").write_bytes(rng.bytes(4000))
    write_recording(clips / "good.zip", [Frame(i, i / 30, image, camera=None) for i in range(3)])
    return clips


def files_below(folder) -> set[str]:
    return {str(path.relative_to(folder)) for path in folder.rglob("*")}


@pytest.fixture
def interruptible():
    """Ctrl-C as in a terminal; in a shell's background it is ignored."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


class FakeCamera:
    """A camera, as OpenCV opens one; Ctrl-C is pressed while it takes the given pictures."""

    def __init__(self, interrupted_at=()):
        self.interrupted_at, self.taken = interrupted_at, 0

    def read(self):
        self.taken += 1
        if self.taken in self.interrupted_at:
            signal.raise_signal(signal.SIGINT)  # in this thread: from outside it may come late
        return True, np.full((24, 32, 3), (10, 60, 200), np.uint8)

    def get(self, what):
        return 30.0
