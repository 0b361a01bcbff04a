"""Where frames come from: a folder of PNGs, a video file, a recording or a camera, a frame at a time."""

import math
import os
import re
import time
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from itertools import chain, islice
from pathlib import Path

import cv2
import numpy as np

from handfast.errors import HandfastError
from handfast.files import natural
from handfast.geometry import camera_of
from handfast.sensors import png
from handfast.sensors.frame_source import DEFAULT_FPS, FrameSource, as_images
from handfast.sensors.recordings import RECORDING_SUFFIX, RecordingSource
from handfast.structures import Frame

VIDEO_SUFFIXES = (".mp4", ".m4v", ".mov", ".mkv", ".webm", ".avi")
# A video is in colour if the channels of one of its first frames differ by more than compression makes them.
# Dark ones, as before a film begins, say nothing: the first lit ones are looked at, of so many at most.
_FRAMES_TO_PROBE, _LIT_FRAMES, _GREY_SPREAD, _DARK = 600, 30, 16, 40


def open_source(
    source: str | Path,
    *,
    intrinsics: Sequence[float] | None = None,
    depth_unit_mm: float | None = None,
    fps: float | None = None,
    skip_bad_frames: bool = False,
) -> "FrameSource":
    """Open a folder of PNGs, a video file, a recording, or a camera of this computer, "camera:0" and so on.

    A folder holds either 8-bit PNGs (infrared, amplitude or colour) or 16-bit PNGs (depth), all of one size,
    in natural order of their names: 2.png before 10.png. Other files in it are ignored. Colour PNGs and
    videos come as grey amplitude, and as colour too, unless a video's first second, or that after it was
    dark, has none. A recording is what ``write_recording`` writes. A camera goes on until it stops, in
    colour, timed by the clock.

    intrinsics: (fx, fy, cx, cy) px; depth_unit_mm: millimetres of one depth step. Depth PNGs need both.
    fps: frames a second; by default 30 for a folder, for a video what the file says, and what it says itself
    for a camera, of which this is only what to expect.
    skip_bad_frames: leave out frames that cannot be read, and list them in ``skipped``, instead of raising.

    Raises HandfastError at once for what can be seen at once (missing path or option, empty folder), and
    at the frame itself for one that is cut off, damaged, or not of the first one's kind and size.
    """
    _check_options(intrinsics, depth_unit_mm, fps)
    path = Path(source)
    if camera := re.fullmatch("camera:([0-9]{1,4})", str(source)):
        _check_no_depth_unit(source, depth_unit_mm)
        return CameraSource(str(source), cv2.VideoCapture(int(camera[1])), intrinsics, fps)
    if not os.path.exists(path):
        raise HandfastError(f"{path}: no such file or folder; give {_EXPECTED}")
    if path.is_dir():
        return FolderSource(path, intrinsics, depth_unit_mm, fps or DEFAULT_FPS, skip_bad_frames)
    if path.suffix.lower() == RECORDING_SUFFIX:
        if not intrinsics is depth_unit_mm is fps is None:
            raise HandfastError(
                f"{path}: a recording holds its own intrinsics, depth unit and times; drop these options"
            )
        return RecordingSource(path, skip_bad_frames)
    if path.suffix.lower() in VIDEO_SUFFIXES:
        _check_no_depth_unit(source, depth_unit_mm)
        return VideoSource(path, intrinsics, fps, skip_bad_frames)
    raise HandfastError(f"{path}: expected {_EXPECTED}, got a {path.suffix or 'nameless'} file")


_OTHER_IMAGES = {".jpg", ".jpeg", ".bmp", ".tif", ".tiff", ".webp", ".pgm"}
_EXPECTED = (
    f"a folder of PNGs, a recording ({RECORDING_SUFFIX}), a video ({', '.join(VIDEO_SUFFIXES)}) or camera:0"
)


def _check_options(
    intrinsics: Sequence[float] | None, depth_unit_mm: float | None, fps: float | None
) -> None:
    if intrinsics is not None and not (len(intrinsics) == 4 and all(map(math.isfinite, intrinsics))):
        raise HandfastError(f"intrinsics: expected four numbers fx,fy,cx,cy in pixels, got {intrinsics}")
    for what, value in (("depth_unit_mm", depth_unit_mm), ("fps", fps)):
        if value is not None and not (math.isfinite(value) and value > 0):
            raise HandfastError(f"{what}: expected a number above 0, got {value}")


def _check_no_depth_unit(source: str | Path, depth_unit_mm: float | None) -> None:
    """Of what holds no depth."""
    if depth_unit_mm is not None:
        raise HandfastError(
            f"{source}: --depth-unit-mm is for folders of 16-bit PNGs, which hold depth; this has "
            "none: save depth as such PNGs, or drop the option"
        )


class FolderSource(FrameSource):
    """A folder of 8-bit (amplitude) or 16-bit (depth) PNGs of one size, as its first readable one says."""

    def __init__(
        self,
        folder: Path,
        intrinsics: Sequence[float] | None,
        depth_unit_mm: float | None,
        fps: float,
        skip_bad_frames: bool,
    ):
        super().__init__(str(folder), fps, skip_bad_frames)
        self._files = _png_files(folder)
        self._header = self._first_header()
        if self._header.kind == "depth" and (intrinsics is None or depth_unit_mm is None):
            raise HandfastError(
                f"{folder}: 16-bit PNGs are depth images, which need --intrinsics fx,fy,cx,cy and "
                f"--depth-unit-mm; give both (or save infrared as 8-bit)"
            )
        if self._header.kind != "depth":
            _check_no_depth_unit(folder, depth_unit_mm)
        self._camera = camera_of(intrinsics, self._header.width, self._header.height)
        self._depth_unit_mm = depth_unit_mm if depth_unit_mm is not None else 1.0

    def __len__(self) -> int:
        return len(self._files)

    def _first_header(self) -> png.PngHeader:
        for file in self._files:
            try:
                return png.read_header(_read_file(file, png.HEADER_BYTES))
            except HandfastError as error:
                self._skip(file.name, str(error))
        raise HandfastError(f"{self.name}: none of its {len(self._files)} PNGs can be read; save them again")

    def _loaders(self) -> Iterator[tuple[str, Callable[[], Frame]]]:
        for index, file in enumerate(self._files):
            yield file.name, partial(self._load, index, file)

    def _load(self, index: int, file: Path) -> Frame:
        images = as_images(self._header.kind, png.decode(_read_file(file), self._header))
        return Frame(
            index, index / self.fps, **images, depth_unit_mm=self._depth_unit_mm, camera=self._camera
        )


class VideoSource(FrameSource):
    """A video file that OpenCV decodes, at a constant frame rate."""

    def __init__(
        self, path: Path, intrinsics: Sequence[float] | None, fps: float | None, skip_bad_frames: bool
    ):
        capture = cv2.VideoCapture(str(path))
        pictures = islice(_pictures(capture), _FRAMES_TO_PROBE)
        first = next(pictures, None)
        container_fps = capture.get(cv2.CAP_PROP_FPS)
        container_frames = capture.get(cv2.CAP_PROP_FRAME_COUNT)
        if first is None:
            raise HandfastError(f"{path}: not a video that can be read; convert it to mp4, or check the copy")
        # Decoders make three channels of grey video too, which infrared cameras' often is.
        lit = (picture for picture in chain([first], pictures) if picture.max() > _DARK)
        self._in_colour = any(
            np.ptp(picture, axis=2).max() > _GREY_SPREAD for picture in islice(lit, _LIT_FRAMES)
        )
        capture.release()
        if fps is None and not (math.isfinite(container_fps) and container_fps > 0):
            raise HandfastError(f"{path}: the video does not say its frame rate; give --fps")
        super().__init__(str(path), fps or container_fps, skip_bad_frames)
        self._path = path
        height, width = first.shape[:2]
        self._camera = camera_of(intrinsics, width, height)
        self._container_fps = container_fps if container_fps > 0 else self.fps
        self._length_ms = 1000 * container_frames / container_fps if container_fps > 0 else 0.0
        self._container_frames = max(0, int(container_frames))

    def __length_hint__(self) -> int:
        return self._container_frames

    def _loaders(self) -> Iterator[tuple[str, Callable[[], Frame]]]:
        capture = cv2.VideoCapture(str(self._path))
        index, time_ms = 0, 0.0
        try:
            for picture in _pictures(capture):
                time_ms = max(capture.get(cv2.CAP_PROP_POS_MSEC), 1000 * index / self._container_fps)
                yield f"frame {index}", partial(self._frame, index, picture)
                index += 1
        finally:
            capture.release()
        # The decoder ends quietly where a file was cut. Containers round their length, hence the tenth.
        if time_ms < 0.9 * self._length_ms - 2000 / self._container_fps:
            reason = f"the video breaks off at {time_ms / 1000:.1f} s of {self._length_ms / 1000:.1f} s"
            self._skip(f"frame {index}", reason)

    def _frame(self, index: int, picture: np.ndarray) -> Frame:
        images = as_images("amplitude", picture)
        if not self._in_colour:
            del images["colour"]
        return Frame(index, index / self.fps, **images, camera=self._camera)


class CameraSource(FrameSource):
    """A live camera. Each pass goes on with what it shows by then, timed from when the pass began.

    stopped: whether the camera gave no more pictures, which is no error.
    """

    def __init__(
        self,
        name: str,
        capture: cv2.VideoCapture,
        intrinsics: Sequence[float] | None,
        fps: float | None,
        clock: Callable[[], float] = time.monotonic,
    ):
        first = next(_pictures(capture), None)
        if first is None:
            raise HandfastError(
                f"{name}: no camera that gives pictures; plug it in, close what uses it, or try another one"
            )
        own_fps = capture.get(cv2.CAP_PROP_FPS)
        super().__init__(name, fps or (own_fps if 0 < own_fps < math.inf else DEFAULT_FPS), True)
        self._capture, self._clock = capture, clock
        self.stopped = False
        height, width = first.shape[:2]
        self._camera = camera_of(intrinsics, width, height)

    def _loaders(self) -> Iterator[tuple[str, Callable[[], Frame]]]:
        start_s = self._clock()
        for index, picture in enumerate(_pictures(self._capture)):
            time_s = self._clock() - start_s
            images = as_images("amplitude", picture)
            yield f"frame {index}", partial(Frame, index, time_s, **images, camera=self._camera)
        self.stopped = True


def _pictures(capture: cv2.VideoCapture) -> Iterator[np.ndarray]:
    """The frames (H, W, 3) uint8 BGR of an open video."""
    while (read := capture.read())[0]:
        yield read[1]


def _png_files(folder: Path) -> list[Path]:
    """The folder's PNGs in natural order of names."""
    try:
        files = [f for f in folder.iterdir() if f.suffix.lower() == ".png" and not f.name.startswith(".")]
    except OSError as error:
        raise HandfastError(f"{folder}: cannot be read ({error.strerror}); check its permissions") from error
    if not files:
        has_others = any(f.suffix.lower() in _OTHER_IMAGES for f in folder.iterdir())
        advice = "convert its images to PNG" if has_others else f"give {_EXPECTED}"
        raise HandfastError(f"{folder}: expected a folder of PNG images, found none; {advice}")
    return sorted(files, key=lambda file: (natural(file.name), file.name))


def _read_file(file: Path, n_bytes: int = -1) -> bytes:
    try:
        with open(file, "rb") as stream:
            return stream.read(n_bytes)
    except OSError as error:
        raise HandfastError(f"cannot be read ({error.strerror})") from error
