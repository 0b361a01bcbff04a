"""Where frames come from: a folder of PNGs, a video file, a recording or a camera, a frame at a time."""

import json
import math
import os
import re
import time
import zipfile
import zlib
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import partial
from itertools import chain, islice
from pathlib import Path

import cv2
import numpy as np

from handfast.errors import HandfastError
from handfast.files import natural
from handfast.geometry import Camera, camera_of
from handfast.sensors import png
from handfast.structures import Frame

DEFAULT_FPS = 30.0
VIDEO_SUFFIXES = (".mp4", ".m4v", ".mov", ".mkv", ".webm", ".avi")
RECORDING_SUFFIX = ".zip"
_RECORDING_FORMAT, _RECORDING_VERSION = "handfast-recording", 1
_DAMAGED_ZIP = (zipfile.BadZipFile, KeyError, EOFError, RuntimeError, zlib.error)
# A video is in colour if the channels of one of its first frames differ by more than compression makes them.
_FRAMES_TO_PROBE, _GREY_SPREAD = 30, 16


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
    videos come as grey amplitude, and as colour too, unless a video's first second has none. A recording is
    what ``write_recording`` writes. A camera goes on until it stops, in colour, timed by the clock.

    intrinsics: (fx, fy, cx, cy) px; depth_unit_mm: millimetres of one depth step. Depth PNGs need both.
    fps: frames a second; by default 30 for a folder, for a video what the file says, and what it says itself
    for a camera, of which this is only what to expect.
    skip_bad_frames: leave out frames that cannot be read, and list them in ``skipped``, instead of raising.

    Raises HandfastError at once for what can be seen at once (missing path or option, empty folder), and
    at the frame itself for one that is cut off, damaged, or not of the first one's kind and size.
    """
    _check_options(intrinsics, depth_unit_mm, fps)
    if camera := re.fullmatch("camera:([0-9]{1,4})", str(source)):
        return CameraSource(str(source), cv2.VideoCapture(int(camera[1])), intrinsics, fps)
    path = Path(source)
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


class FrameSource(ABC):
    """Frames in order of time, read as they are asked for; iterating again starts again.

    name: for messages. fps: nominal frames a second. skipped: (file, reason) of the frames that the latest
    pass left out; a frame's index counts them, so that times stay right. ``operator.length_hint`` gives the
    number of frames where it is known, bad ones included, and 0 where it is not.
    """

    def __init__(self, name: str, fps: float, skip_bad_frames: bool):
        self.name = name
        self.fps = fps
        self.skip_bad_frames = skip_bad_frames
        self.skipped: list[tuple[str, str]] = []

    def __iter__(self) -> Iterator[Frame]:
        self.skipped.clear()
        for file, load in self._loaders():
            try:
                frame = load()
            except HandfastError as error:
                self._skip(file, str(error))
            else:
                yield frame

    @abstractmethod
    def _loaders(self) -> Iterator[tuple[str, Callable[[], Frame]]]:
        """Each frame's file name, and a call that reads the frame or raises HandfastError."""

    def _skip(self, file: str, reason: str) -> None:
        if not self.skip_bad_frames:
            raise HandfastError(f"{self.name}: {file}: {reason}; mend it or give --skip-bad-frames")
        self.skipped.append((file, reason))


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
        images = _images(self._header.kind, png.decode(_read_file(file), self._header))
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
        self._in_colour = any(
            np.ptp(picture, axis=2).max() > _GREY_SPREAD for picture in chain([first], pictures)
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
        images = _images("amplitude", picture)
        if not self._in_colour:
            del images["colour"]
        return Frame(index, index / self.fps, **images, camera=self._camera)


class CameraSource(FrameSource):
    """A live camera. Each pass goes on with what it shows by then, timed from when the pass began. Should the
    camera stop, which is no error, ``skipped`` says so."""

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
        height, width = first.shape[:2]
        self._camera = camera_of(intrinsics, width, height)

    def _loaders(self) -> Iterator[tuple[str, Callable[[], Frame]]]:
        start_s = self._clock()
        for index, picture in enumerate(_pictures(self._capture)):
            time_s = self._clock() - start_s
            images = _images("amplitude", picture)
            yield f"frame {index}", partial(Frame, index, time_s, **images, camera=self._camera)
        self._skip(self.name, "it gave no more pictures")


def _pictures(capture: cv2.VideoCapture) -> Iterator[np.ndarray]:
    """The frames (H, W, 3) uint8 BGR of an open video."""
    while (read := capture.read())[0]:
        yield read[1]


class RecordingSource(FrameSource):
    """A recording as ``write_recording`` writes it."""

    def __init__(self, path: Path, skip_bad_frames: bool):
        try:
            with zipfile.ZipFile(path) as archive:
                meta = json.loads(archive.read("recording.json"))
                self._headers = {
                    image: png.read_header(archive.open(_member(image, 0)).read(png.HEADER_BYTES))
                    for image in ("amplitude", "depth")
                    if _member(image, 0) in archive.namelist()
                }
        except (HandfastError, ValueError, OSError, *_DAMAGED_ZIP) as error:
            raise HandfastError(
                f"{path}: not a handfast recording, or cut off ({error}); copy or record it again"
            ) from error
        try:
            form = meta["format"], meta["version"]
            if form != (_RECORDING_FORMAT, _RECORDING_VERSION):
                wanted = f"{_RECORDING_FORMAT} version {_RECORDING_VERSION}"
                raise HandfastError(f"{path}: expected {wanted}, got {form}; update handfast or record again")
            self._camera = Camera(**meta["camera"]) if meta["camera"] is not None else None
            self._depth_unit_mm = float(meta["depth_unit_mm"])
            self._time_s = tuple(float(t) for t in meta["time_s"])
        except (KeyError, TypeError, ValueError) as error:
            raise HandfastError(f"{path}: recording.json is broken ({error!r}); record it again") from error
        if not self._time_s or not all(map(math.isfinite, self._time_s)):
            raise HandfastError(f"{path}: expected the times of its frames, finite ones; record it again")
        span_s = self._time_s[-1] - self._time_s[0]
        fps = (len(self._time_s) - 1) / span_s if span_s > 0 else DEFAULT_FPS
        super().__init__(str(path), fps, skip_bad_frames)
        self._path = path

    def __len__(self) -> int:
        return len(self._time_s)

    def _loaders(self) -> Iterator[tuple[str, Callable[[], Frame]]]:
        with zipfile.ZipFile(self._path) as archive:
            for index in range(len(self)):
                yield f"frame {index}", partial(self._load, archive, index)

    def _load(self, archive: zipfile.ZipFile, index: int) -> Frame:
        images = {}
        for image, header in self._headers.items():
            try:
                data = archive.read(_member(image, index))
            except _DAMAGED_ZIP as error:
                raise HandfastError(f"{image} cannot be read ({error})") from error
            images |= _images(image, png.decode(data, header))
        return Frame(
            index, self._time_s[index], **images, depth_unit_mm=self._depth_unit_mm, camera=self._camera
        )


def write_recording(path: str | Path, frames: Iterable[Frame]) -> None:
    """Write frames of one sensor as a recording, without loss; the same frames give the same bytes.

    A recording is a ZIP file, stored without further compression, of ``recording.json`` (format, version,
    camera, depth_unit_mm, time_s of each frame) and ``amplitude/000000.png``, ``depth/000000.png`` and so
    on, of which either may be absent. Colour is not kept. Reading numbers the frames from 0.

    Raises HandfastError for no frames, and for frames that differ in size, images, camera or depth unit.
    """
    path = Path(path)
    part = path.with_name(f".{path.name}.part")
    try:
        with zipfile.ZipFile(part, "w", zipfile.ZIP_STORED) as archive:
            _write_members(archive, frames)
        os.replace(part, path)
    except OSError as error:
        raise HandfastError(f"{path}: cannot be written ({error.strerror}); choose another place") from error
    finally:
        if part.exists():
            part.unlink()


def _write_members(archive: zipfile.ZipFile, frames: Iterable[Frame]) -> None:
    sensor, time_s = None, []
    for index, frame in enumerate(frames):
        images = {"amplitude": frame.amplitude, "depth": frame.depth}
        images = {name: image for name, image in images.items() if image is not None}
        form = (*images, frame.shape, frame.depth_unit_mm, frame.camera)
        sensor = sensor or form
        if form != sensor:
            raise HandfastError(f"frame {index}: expected {sensor} as in the first frame, got {form}")
        for name, image in images.items():
            _write_member(archive, _member(name, index), cv2.imencode(".png", image)[1].tobytes())
        time_s.append(frame.time_s)
    if sensor is None:
        raise HandfastError("a recording needs one frame or more, got none")
    *_, depth_unit_mm, camera = sensor
    meta = {
        "format": _RECORDING_FORMAT,
        "version": _RECORDING_VERSION,
        "camera": vars(camera) if camera is not None else None,
        "depth_unit_mm": depth_unit_mm,
        "time_s": time_s,
    }
    _write_member(archive, "recording.json", json.dumps(meta, allow_nan=False).encode())


def _write_member(archive: zipfile.ZipFile, name: str, data: bytes) -> None:
    info = zipfile.ZipInfo(name)  # dated 1980: the time of writing would change the bytes
    info.external_attr = 0o644 << 16
    archive.writestr(info, data)


def _member(image: str, index: int) -> str:
    return f"{image}/{index:06d}.png"


def _images(kind: str, picture: np.ndarray) -> dict[str, np.ndarray]:
    """What was decoded, as a frame's images: blue, green, red become grey amplitude and colour."""
    if picture.ndim == 2:
        return {kind: picture}
    return {
        "amplitude": cv2.cvtColor(picture, cv2.COLOR_BGR2GRAY),
        "colour": cv2.cvtColor(picture, cv2.COLOR_BGR2RGB),
    }


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
