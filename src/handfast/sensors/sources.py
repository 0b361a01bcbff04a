"""Where frames come from: a folder of images, a video file, a recording or a camera, a frame at a time."""

import math
import os
import re
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from functools import cached_property, partial
from itertools import chain
from pathlib import Path
from types import ModuleType

import cv2
import numpy as np

from handfast.errors import HandfastError
from handfast.files import natural
from handfast.geometry import camera_of
from handfast.sensors import jpeg, png
from handfast.sensors.arrays import ARRAY_SUFFIX, ArraySource
from handfast.sensors.frame_source import (
    DARK,
    DEFAULT_FPS,
    FrameSource,
    any_in_colour,
    as_images,
    check_no_16_bits,
    has_colour,
    is_infrared,
)
from handfast.sensors.recordings import RECORDING_SUFFIX, RecordingSource
from handfast.structures import Frame

VIDEO_SUFFIXES = (".mp4", ".m4v", ".mov", ".mkv", ".webm", ".avi")
_FRAMES_TO_PROBE, _LIT_FRAMES = 600, 30  # of a video, which may begin in the dark


def open_source(
    source: str | Path,
    *,
    intrinsics: Sequence[float] | None = None,
    depth_unit_mm: float | None = None,
    infrared: bool = False,
    fps: float | None = None,
    skip_bad_frames: bool = False,
) -> "FrameSource":
    """Open a folder of images, a video file, an array, a recording, or a camera: "camera:0" and so on of this
    computer, or the address of one in the network, such as "http://..." or "rtsp://...".

    A folder holds either 8-bit images (infrared, amplitude or colour), PNGs or JPEGs, whichever are more, or
    16-bit PNGs (depth), all of one size, in natural order of their names: 2.png before 10.png. Other files in
    it are ignored. Colour images and videos come as grey amplitude, and as colour too, unless a video's first
    second, or that after it was dark, has none. An array is an .npy file of such images, one after the other.
    A recording is what ``write_recording`` writes. A camera goes on until it stops, in colour, timed by the
    clock.

    intrinsics: (fx, fy, cx, cy) px; depth_unit_mm: millimetres of one depth step. Depth PNGs need both, a
    recording intrinsics if it has none. infrared: 16-bit PNGs or an array are infrared or amplitude, which
    comes as ``infrared_image`` makes it.
    fps: frames a second; by default 30 for a folder or an array, for a video the times in the file, and what
    it says itself for a camera, of which this is only what to expect.
    skip_bad_frames: leave out frames that cannot be read, and list them in ``skipped``, instead of raising.

    Raises HandfastError at once for what can be seen at once (missing path or option, empty folder), and
    at the frame itself for one that is cut off, damaged, or not of the first one's kind and size.
    """
    _check_options(intrinsics, depth_unit_mm, fps)
    path = Path(source)
    if camera := re.fullmatch("camera:([0-9]{1,4})", str(source)):
        check_no_16_bits(str(source), depth_unit_mm, infrared)
        return CameraSource(str(source), cv2.VideoCapture(int(camera[1])), intrinsics, fps)
    if re.match("[a-z]+://", str(source)):
        check_no_16_bits(str(source), depth_unit_mm, infrared)
        name = re.sub("//[^/@]*@", "//", str(source))  # a password is nobody's business
        return CameraSource(name, cv2.VideoCapture(str(source)), intrinsics, fps)
    if not os.path.exists(path):
        raise HandfastError(f"{path}: no such file or folder; give {_EXPECTED}")
    if path.is_dir():
        return FolderSource(path, intrinsics, depth_unit_mm, infrared, fps or DEFAULT_FPS, skip_bad_frames)
    if path.suffix.lower() == ARRAY_SUFFIX:
        return ArraySource(path, intrinsics, depth_unit_mm, infrared, fps or DEFAULT_FPS)
    if path.suffix.lower() == RECORDING_SUFFIX:
        if infrared or not depth_unit_mm is fps is None:
            raise HandfastError(
                f"{path}: a recording holds its own depth unit, times and kind of images; drop these options"
            )
        return RecordingSource(path, intrinsics, skip_bad_frames)
    if path.suffix.lower() in VIDEO_SUFFIXES:
        check_no_16_bits(str(source), depth_unit_mm, infrared)
        return VideoSource(path, intrinsics, fps, skip_bad_frames)
    raise HandfastError(f"{path}: expected {_EXPECTED}, got a {path.suffix or 'nameless'} file")


_CODECS = {".png": png, ".jpg": jpeg, ".jpeg": jpeg}
_OTHER_IMAGES = {".bmp", ".tif", ".tiff", ".webp", ".pgm"}
_EXPECTED = (
    f"a folder of PNGs or JPEGs, an array ({ARRAY_SUFFIX}), a recording ({RECORDING_SUFFIX}), a video "
    f"({', '.join(VIDEO_SUFFIXES)}), camera:0 or the address of a camera"
)


def _check_options(
    intrinsics: Sequence[float] | None, depth_unit_mm: float | None, fps: float | None
) -> None:
    if intrinsics is not None and not (len(intrinsics) == 4 and all(map(math.isfinite, intrinsics))):
        raise HandfastError(f"intrinsics: expected four numbers fx,fy,cx,cy in pixels, got {intrinsics}")
    for what, value in (("depth_unit_mm", depth_unit_mm), ("fps", fps)):
        if value is not None and not (math.isfinite(value) and value > 0):
            raise HandfastError(f"{what}: expected a number above 0, got {value}")


class FolderSource(FrameSource):
    """A folder of 8-bit (amplitude) or 16-bit (depth, or infrared) images of one size, as its first readable
    one says."""

    def __init__(
        self,
        folder: Path,
        intrinsics: Sequence[float] | None,
        depth_unit_mm: float | None,
        infrared: bool,
        fps: float,
        skip_bad_frames: bool,
    ):
        super().__init__(str(folder), fps, skip_bad_frames)
        self._files = _image_files(folder)
        self._header = self._first_header()
        self._is_infrared = is_infrared(self.name, self._header.kind, intrinsics, depth_unit_mm, infrared)
        self._camera = camera_of(intrinsics, self._header.width, self._header.height)
        self._depth_unit_mm = depth_unit_mm if depth_unit_mm is not None else 1.0

    def __len__(self) -> int:
        return len(self._files)

    def in_colour(self) -> bool:
        return self._in_colour

    @cached_property
    def _in_colour(self) -> bool:
        return any_in_colour(self._readable())

    def _readable(self) -> Iterator[np.ndarray]:
        for file in self._files:
            with suppress(HandfastError):  # of which is told when its turn comes
                yield self._picture(file)

    def _first_header(self) -> png.PictureHeader:
        for file in self._files:
            try:
                return _codec(file).read_header(_read_file(file))
            except HandfastError as error:
                self._skip(file.name, str(error))
        (file, reason), *_ = self.skipped
        raise HandfastError(
            f"{self.name}: none of its {len(self._files)} images can be read; {file}: {reason}"
        )

    def _loaders(self) -> Iterator[tuple[str, Callable[[], Frame]]]:
        for index, file in enumerate(self._files):
            yield file.name, partial(self._load, index, file)

    def _picture(self, file: Path) -> np.ndarray:
        return _codec(file).decode(_read_file(file), self._header)

    def _load(self, index: int, file: Path) -> Frame:
        picture = self._picture(file)
        if picture.ndim == 2 and self._header.kind == "amplitude" and self._in_colour:
            picture = cv2.cvtColor(picture, cv2.COLOR_GRAY2BGR)  # as programs save what happens to be grey
        images = as_images(self._header.kind, picture, self._is_infrared)
        return Frame(
            index,
            index / self.fps,
            **images,
            depth_unit_mm=self._depth_unit_mm,
            camera=self._camera,
            file=file.name,
        )


class VideoSource(FrameSource):
    """A video file that OpenCV decodes."""

    def __init__(
        self, path: Path, intrinsics: Sequence[float] | None, fps: float | None, skip_bad_frames: bool
    ):
        capture = cv2.VideoCapture(str(path))
        pictures = _pictures(capture)
        first = next(pictures, None)
        container_fps = capture.get(cv2.CAP_PROP_FPS)
        container_frames = capture.get(cv2.CAP_PROP_FRAME_COUNT)
        if first is None:
            _read_file(path, 1, where=f"{path}: ")
            raise HandfastError(f"{path}: not a video that can be read; convert it to mp4, or check the copy")
        if _is_deep_grey(capture):
            raise HandfastError(
                f"{path}: holds 16-bit images, of which 8 bits would be left; save them as a folder of PNGs"
            )
        # Decoders make three channels of grey video too, which infrared cameras' often is.
        self._in_colour = any_in_colour(chain([first], pictures), _LIT_FRAMES, _FRAMES_TO_PROBE)
        capture.release()
        if fps is None and not (math.isfinite(container_fps) and container_fps > 0):
            raise HandfastError(f"{path}: the video does not say its frame rate; give --fps")
        super().__init__(str(path), fps or container_fps, skip_bad_frames)
        self._path, self._keeps_times = path, fps is None
        height, width = first.shape[:2]
        self._camera = camera_of(intrinsics, width, height)
        self._container_fps = container_fps if container_fps > 0 else self.fps
        self._length_ms = 1000 * container_frames / container_fps if container_fps > 0 else 0.0
        self._container_frames = max(0, int(container_frames))

    def in_colour(self) -> bool:
        return self._in_colour

    def __length_hint__(self) -> int:
        return self._container_frames

    def _loaders(self) -> Iterator[tuple[str, Callable[[], Frame]]]:
        capture = cv2.VideoCapture(str(self._path))
        index, time_ms, start_ms, time_s = 0, 0.0, None, 0.0
        try:
            for picture in _pictures(capture):
                told_ms = capture.get(cv2.CAP_PROP_POS_MSEC)
                start_ms = told_ms if start_ms is None else start_ms
                if not self._keeps_times:
                    time_s = index / self.fps
                elif index:
                    # A phone's frames come as light allows. Where no time is told, all are as long.
                    told_s = round((told_ms - start_ms) / 1000, 6)
                    time_s = told_s if told_s > time_s else time_s + 1 / self.fps
                time_ms = max(told_ms - start_ms, 1000 * index / self._container_fps)
                yield f"frame {index}", partial(self._frame, index, time_s, picture)
                index += 1
        finally:
            capture.release()
        # The decoder ends quietly where a file was cut. Containers round their length, hence the tenth.
        if time_ms < 0.9 * self._length_ms - 2000 / self._container_fps:
            reason = f"the video breaks off at {time_ms / 1000:.1f} s of {self._length_ms / 1000:.1f} s"
            self._skip(f"frame {index}", reason)

    def _frame(self, index: int, time_s: float, picture: np.ndarray) -> Frame:
        images = as_images("amplitude", picture)
        if not self._in_colour:
            del images["colour"]
        return Frame(index, time_s, **images, camera=self._camera)


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
            here = "plug it in, close what uses it, or try another one"
            advice = "check its address" if "://" in name else here
            raise HandfastError(f"{name}: no camera that gives pictures; {advice}")
        own_fps = capture.get(cv2.CAP_PROP_FPS)
        super().__init__(name, fps or (own_fps if 0 < own_fps < math.inf else DEFAULT_FPS), True)
        self._capture, self._clock = capture, clock
        # In the dark, as before a shutter opens, nothing shows; most cameras are in colour.
        self._in_colour = has_colour(first) or first.max() <= DARK
        self.stopped = False
        height, width = first.shape[:2]
        self._camera = camera_of(intrinsics, width, height)

    def in_colour(self) -> bool:
        return self._in_colour

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


def _is_deep_grey(capture: cv2.VideoCapture) -> bool:
    """Whether a video's pixels are grey of more than 8 bits, of which OpenCV hands out the upper ones."""
    pixels = int(capture.get(cv2.CAP_PROP_CODEC_PIXEL_FORMAT)) & 0xFFFFFFFF
    code = pixels.to_bytes(4, "little")  # FFmpeg's, such as Y 1 0 16; the other way round if big-endian
    return code.startswith(b"Y1\0") or code.endswith(b"\x001Y")


def _codec(file: Path) -> ModuleType:
    return _CODECS[file.suffix.lower()]


def _image_files(folder: Path) -> list[Path]:
    """The folder's PNGs, or its JPEGs if there are more, in natural order of names."""
    try:
        files = [f for f in folder.iterdir() if not f.name.startswith(".")]
        images = [f for f in files if f.suffix.lower() in _CODECS and not f.is_dir()]
        if not images:
            raise HandfastError(f"{folder}: expected a folder of PNGs or JPEGs, found none; {_advice(files)}")
    except OSError as error:
        raise HandfastError(f"{folder}: cannot be read ({error.strerror}); check its permissions") from error
    pngs = [f for f in images if _codec(f) is png]
    images = pngs if 2 * len(pngs) >= len(images) else [f for f in images if _codec(f) is not png]
    return sorted(images, key=lambda file: (natural(file.name), file.name))


def _advice(files: list[Path]) -> str:
    """What to do about a folder of these."""
    if any(file.suffix.lower() in _OTHER_IMAGES for file in files):
        return "convert its images to PNG"
    for folder in sorted(filter(Path.is_dir, files)):
        if any(file.suffix.lower() in _CODECS for file in folder.iterdir()):
            return f"there are some in {folder}: give that"
    return f"give {_EXPECTED}"


def _read_file(file: Path, n_bytes: int = -1, where: str = "") -> bytes:
    try:
        with open(file, "rb") as stream:
            return stream.read(n_bytes)
    except OSError as error:
        raise HandfastError(f"{where}cannot be read ({error.strerror})") from error
