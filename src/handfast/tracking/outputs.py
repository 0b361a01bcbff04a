"""What a tracked clip leaves behind: hands.jsonl, overlay.mp4, contact_sheet.png, and a summary."""

import json
import os
import shutil
import tempfile
import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np

from handfast.errors import HandfastError
from handfast.sensors.frame_source import DEFAULT_FPS
from handfast.structures import Frame, HandPose
from handfast.tracking.drawing import contact_sheet, draw_caption, draw_hands, frame_as_picture, png_bytes

OUTPUT_NAMES = ("hands.jsonl", "overlay.mp4", "contact_sheet.png")
SHEET_PICTURES, SHEET_COLUMNS = 12, 4
SLOWEST_FPS = 0.1  # of the overlay
_SHEET_PICTURE_WIDTH_PX = 480
_VIDEO_CODE = "mp4v"  # the wheels of OpenCV bring no H.264 encoder


@dataclass(frozen=True)
class TrackSummary:
    """Counts over a clip. frames_per_s: reading and tracking, without drawing and writing. effort: of a hand,
    the mean, see ``HandPose``; None where no model tells."""

    frames: int
    frames_per_s: float
    frames_with_hand: int
    hands: int
    left: int
    right: int
    effort: float | None


def write_results(results: Iterable[tuple[Frame, list[HandPose]]], writer: "ResultWriter") -> TrackSummary:
    """Draw a tracker's results from it, one frame at a time, into an entered writer.

    Raises HandfastError when there is no frame at all.
    """
    sides: list[str] = []
    efforts: list[int] = []
    frames = frames_with_hand = 0
    tracking_s = 0.0
    results = iter(results)
    while True:
        start_s = time.perf_counter()
        result = next(results, None)
        tracking_s += time.perf_counter() - start_s
        if result is None:
            break
        frame, hands = result
        writer.add(frame, hands)
        frames += 1
        frames_with_hand += bool(hands)
        sides += [hand.side for hand in hands]
        efforts += [hand.effort for hand in hands if hand.effort is not None]
    if not frames:
        raise HandfastError("expected one frame or more to track, got none; check the source")
    left = sides.count("left")
    frames_per_s = round(frames / tracking_s, 1)
    effort = round(sum(efforts) / len(efforts), 4) if efforts else None
    return TrackSummary(frames, frames_per_s, frames_with_hand, len(sides), left, len(sides) - left, effort)


def hands_record(frame: Frame, hands: Sequence[HandPose]) -> dict:
    """One line of hands.jsonl: pixels to 0.01, millimetres to 0.1; a key-point without depth is null."""
    return {
        "index": frame.index,
        "time_s": round(frame.time_s, 6),
        **({} if frame.file is None else {"file": frame.file}),
        "hands": [_hand_record(hand) for hand in hands],
    }


def _hand_record(hand: HandPose) -> dict:
    record = {
        "side": hand.side,
        "track": hand.track,
        "score": round(float(hand.score), 4),
        "keypoints_px": _rounded(hand.keypoints_px, 2),
        "visible": hand.visible.tolist(),
    }
    if hand.xyz_mm is not None:
        known = np.isfinite(hand.xyz_mm).all(axis=1)
        rows = _rounded(hand.xyz_mm, 1)
        record["xyz_mm"] = [row if k else None for row, k in zip(rows, known, strict=True)]
    if hand.relative_mm is not None:
        record["relative_mm"] = _rounded(hand.relative_mm, 1)
    if hand.effort is not None:
        record["effort"] = hand.effort
    return record


def _rounded(values: np.ndarray, decimals: int) -> list:
    return np.round(values.astype(np.float64), decimals).tolist()


class ResultWriter:
    """Context manager that writes the results of a clip into ``out_dir``, all of them or none.

    Entering makes the folder, and raises HandfastError where it cannot be written. Files grow in a
    temporary folder inside it and move into place, over those of an earlier run, when the block ends well;
    when it raises, what was there before is left as it was.
    """

    def __init__(self, out_dir: str | Path, fps: float = DEFAULT_FPS):
        self.out_dir = Path(out_dir)
        # MPEG-4 keeps the rate as a fraction of small numbers.
        self._fps = max(round(fps, 2), SLOWEST_FPS)
        self._sheet = _SheetPictures()
        self._video: cv2.VideoWriter | None = None

    @property
    def outputs(self) -> list[Path]:
        """The files there are after the block."""
        return [self.out_dir / name for name in OUTPUT_NAMES]

    @property
    def has_frames(self) -> bool:
        return self._video is not None

    def __enter__(self) -> "ResultWriter":
        for output in self.outputs:
            if output.is_dir():
                raise HandfastError(f"{output}: a folder where a result goes; choose another --out")
        self._made = [p for p in (self.out_dir, *self.out_dir.parents) if not os.path.lexists(p)]
        try:
            self.out_dir.mkdir(parents=True, exist_ok=True)
            self._part = Path(tempfile.mkdtemp(dir=self.out_dir, prefix=".part-"))
            self._lines = open(self._part / "hands.jsonl", "w", encoding="utf-8")
        except OSError as error:
            self._remove_made()
            raise HandfastError(
                f"{self.out_dir}: results cannot be written there ({error.strerror}); choose another --out"
            ) from error
        return self

    def add(self, frame: Frame, hands: Sequence[HandPose]) -> None:
        """Take the next frame. All frames have one size."""
        json.dump(hands_record(frame, hands), self._lines, allow_nan=False)
        self._lines.write("\n")
        picture = draw_hands(frame_as_picture(frame), hands)
        draw_caption(picture, f"frame {frame.index}   {frame.time_s:.2f} s")
        height, width = (size - size % 2 for size in picture.shape[:2])  # video codecs want even sizes
        if self._video is None:
            self._video = _open_video(self._part / "overlay.mp4", self._fps, (width, height))
        self._video.write(picture[:height, :width])
        self._sheet.add(picture)

    def __exit__(self, failed: type | None, *_: object) -> None:
        try:
            if self._video is not None:
                self._video.release()
            self._lines.close()
            if failed is None:
                self._finish()
        except OSError as error:
            failed = OSError
            raise HandfastError(
                f"{self.out_dir}: cannot be written ({error.strerror}); make room or choose another --out"
            ) from error
        finally:
            shutil.rmtree(self._part, ignore_errors=True)
            if failed is not None:
                self._remove_made()

    def _finish(self) -> None:
        sheet = contact_sheet(self._sheet.pick(SHEET_PICTURES), SHEET_COLUMNS)
        (self._part / "contact_sheet.png").write_bytes(png_bytes(sheet))
        for output in self.outputs:
            os.replace(self._part / output.name, output)

    def _remove_made(self) -> None:
        """Take back the folders that entering made, innermost first, as far as they are empty."""
        for folder in self._made:
            try:
                folder.rmdir()
            except OSError:  # never made, or someone put something in
                return


class _SheetPictures:
    """Small copies of evenly spaced pictures of a clip of unknown length, in bounded memory.

    Keeps every n-th picture and doubles n, dropping every second one, when there are too many.
    """

    def __init__(self) -> None:
        self._kept: list[np.ndarray] = []
        self._every = 1
        self._seen = 0

    def add(self, picture: np.ndarray) -> None:
        if self._seen % self._every == 0:
            scale = _SHEET_PICTURE_WIDTH_PX / picture.shape[1]
            size = (_SHEET_PICTURE_WIDTH_PX, round(picture.shape[0] * scale))
            self._kept.append(cv2.resize(picture, size, interpolation=cv2.INTER_AREA))
            if len(self._kept) > 4 * SHEET_PICTURES:
                self._kept = self._kept[::2]
                self._every *= 2
        self._seen += 1

    def pick(self, n: int) -> list[np.ndarray]:
        """At most n of them, first and last included."""
        places = np.linspace(0, len(self._kept) - 1, min(n, len(self._kept)))
        return [self._kept[i] for i in np.round(places).astype(int)]


def _open_video(path: Path, fps: float, size: tuple[int, int]) -> cv2.VideoWriter:
    video = cv2.VideoWriter(str(path), cv2.VideoWriter_fourcc(*_VIDEO_CODE), fps, size)
    if video.isOpened():
        return video
    raise HandfastError(
        f"overlay.mp4: this OpenCV cannot write {_VIDEO_CODE} at {fps} frames/s; "
        f"install opencv-python-headless, or choose another --fps"
    )
