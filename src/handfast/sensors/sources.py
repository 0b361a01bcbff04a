"""Where frames come from: a folder of PNGs, a video file or a recording, read one frame at a time."""

import json
import math
import os
import re
import struct
import zipfile
import zlib
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import NamedTuple

import cv2
import numpy as np

from handfast.errors import HandfastError
from handfast.geometry import Camera
from handfast.structures import Frame

DEFAULT_FPS = 30.0
VIDEO_SUFFIXES = (".mp4", ".m4v", ".mov", ".mkv", ".webm", ".avi")
RECORDING_SUFFIX = ".zip"
_RECORDING_FORMAT, _RECORDING_VERSION = "handfast-recording", 1


class _PngHeader(NamedTuple):
    kind: str  # 'amplitude' or 'depth'
    width: int
    height: int

    def __str__(self) -> str:
        return f"{self.kind} of {self.width} x {self.height} px"


_PNG_SIGNATURE = b"\x89PNG\r\n\x1a\n"
_PNG_HEADER_BYTES = 26
_PNG_KINDS = {(8, 0): "amplitude", (8, 2): "amplitude", (16, 0): "depth"}  # by (bit depth, colour type)


def open_source(
    source: str | Path,
    *,
    intrinsics: Sequence[float] | None = None,
    depth_unit_mm: float | None = None,
    fps: float | None = None,
    skip_bad_frames: bool = False,
) -> "FrameSource":
    """Open a folder of PNGs, a video file or a recording.

    A folder holds either 8-bit PNGs (infrared or amplitude; colour is turned to grey) or 16-bit PNGs
    (depth), all of one size, in natural order of their names: 2.png before 10.png. Other files in it are
    ignored. A video is read as grey amplitude. A recording is what ``write_recording`` writes.

    intrinsics: (fx, fy, cx, cy) px; depth_unit_mm: millimetres of one depth step. Depth PNGs need both.
    fps: frames a second; by default 30 for a folder and what the file says for a video.
    skip_bad_frames: leave out frames that cannot be read, and list them in ``skipped``, instead of raising.

    Raises HandfastError at once for what can be seen at once (missing path or option, empty folder), and
    at the frame itself for one that is cut off, damaged, or not of the first one's kind and size.
    """
    _check_options(intrinsics, depth_unit_mm, fps)
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


_EXPECTED = f"a folder of PNGs, a recording ({RECORDING_SUFFIX}) or a video ({', '.join(VIDEO_SUFFIXES)})"


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
        size = self._header.width, self._header.height
        self._camera = Camera(*intrinsics, *size) if intrinsics is not None else None
        self._depth_unit_mm = depth_unit_mm if depth_unit_mm is not None else 1.0

    def __len__(self) -> int:
        return len(self._files)

    def _first_header(self) -> _PngHeader:
        for file in self._files:
            try:
                return _png_header(_read_file(file, _PNG_HEADER_BYTES))
            except HandfastError as error:
                self._skip(file.name, str(error))
        raise HandfastError(f"{self.name}: none of its {len(self._files)} PNGs can be read; save them again")

    def _loaders(self) -> Iterator[tuple[str, Callable[[], Frame]]]:
        for index, file in enumerate(self._files):
            yield file.name, partial(self._load, index, file)

    def _load(self, index: int, file: Path) -> Frame:
        image = {self._header.kind: _decode_png(_read_file(file), self._header)}
        return Frame(index, index / self.fps, **image, depth_unit_mm=self._depth_unit_mm, camera=self._camera)


class VideoSource(FrameSource):
    """A video file that OpenCV decodes, as grey amplitude at a constant frame rate."""

    def __init__(
        self, path: Path, intrinsics: Sequence[float] | None, fps: float | None, skip_bad_frames: bool
    ):
        capture = cv2.VideoCapture(str(path))
        decoded, picture = capture.read()
        container_fps = capture.get(cv2.CAP_PROP_FPS)
        container_frames = capture.get(cv2.CAP_PROP_FRAME_COUNT)
        capture.release()
        if not decoded:
            raise HandfastError(f"{path}: not a video that can be read; convert it to mp4, or check the copy")
        if fps is None and not (math.isfinite(container_fps) and container_fps > 0):
            raise HandfastError(f"{path}: the video does not say its frame rate; give --fps")
        super().__init__(str(path), fps or container_fps, skip_bad_frames)
        self._path = path
        height, width = picture.shape[:2]
        self._camera = Camera(*intrinsics, width, height) if intrinsics is not None else None
        self._length_ms = 1000 * container_frames / container_fps if container_fps > 0 else 0.0
        self._container_frames = max(0, int(container_frames))

    def __length_hint__(self) -> int:
        return self._container_frames

    def _loaders(self) -> Iterator[tuple[str, Callable[[], Frame]]]:
        capture = cv2.VideoCapture(str(self._path))
        index, time_ms = 0, 0.0
        try:
            while True:
                decoded, picture = capture.read()
                if not decoded:
                    break
                time_ms = max(capture.get(cv2.CAP_PROP_POS_MSEC), 1000 * index / self.fps)
                yield f"frame {index}", partial(self._frame, index, picture)
                index += 1
        finally:
            capture.release()
        # The decoder ends quietly where a file was cut. Containers round their length, hence the tenth.
        if time_ms < 0.9 * self._length_ms - 2000 / self.fps:
            reason = f"the video breaks off at {time_ms / 1000:.1f} s of {self._length_ms / 1000:.1f} s"
            self._skip(f"frame {index}", reason)

    def _frame(self, index: int, picture: np.ndarray) -> Frame:
        grey = cv2.cvtColor(picture, cv2.COLOR_BGR2GRAY)
        return Frame(index, index / self.fps, amplitude=grey, camera=self._camera)


class RecordingSource(FrameSource):
    """A recording as ``write_recording`` writes it."""

    def __init__(self, path: Path, skip_bad_frames: bool):
        try:
            with zipfile.ZipFile(path) as archive:
                meta = json.loads(archive.read("recording.json"))
                self._headers = {
                    image: _png_header(archive.open(_member(image, 0)).read(_PNG_HEADER_BYTES))
                    for image in ("amplitude", "depth")
                    if _member(image, 0) in archive.namelist()
                }
        except (HandfastError, zipfile.BadZipFile, KeyError, ValueError, OSError, RuntimeError) as error:
            raise HandfastError(
                f"{path}: not a handfast recording, or cut off ({error}); copy or record it again"
            ) from error
        try:
            form = meta["format"], meta["version"]
            if form != (_RECORDING_FORMAT, _RECORDING_VERSION):
                raise HandfastError(
                    f"{path}: expected {_RECORDING_FORMAT} version {_RECORDING_VERSION}, got {form}; "
                    f"update handfast or record again"
                )
            self._camera = Camera(**meta["camera"]) if meta["camera"] is not None else None
            self._depth_unit_mm = float(meta["depth_unit_mm"])
            self._time_s = tuple(float(t) for t in meta["time_s"])
        except (KeyError, TypeError, ValueError) as error:
            raise HandfastError(f"{path}: recording.json is broken ({error!r}); record it again") from error
        if not self._time_s or not all(map(math.isfinite, self._time_s)):
            raise HandfastError(f"{path}: expected the time of one frame or more, got none; record it again")
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
            except (zipfile.BadZipFile, KeyError, EOFError, RuntimeError, zlib.error) as error:
                raise HandfastError(f"{image} cannot be read ({error})") from error
            images[image] = _decode_png(data, header)
        return Frame(
            index, self._time_s[index], **images, depth_unit_mm=self._depth_unit_mm, camera=self._camera
        )


def write_recording(path: str | Path, frames: Iterable[Frame]) -> None:
    """Write frames of one sensor as a recording, without loss; the same frames give the same bytes.

    A recording is a ZIP file, stored without further compression, of ``recording.json`` (format, version,
    camera, depth_unit_mm, time_s of each frame) and ``amplitude/000000.png``, ``depth/000000.png`` and so
    on, of which either may be absent. Reading numbers the frames from 0.

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


def _png_files(folder: Path) -> list[Path]:
    """The folder's PNGs in natural order of names."""
    try:
        files = [f for f in folder.iterdir() if f.suffix.lower() == ".png" and not f.name.startswith(".")]
    except OSError as error:
        raise HandfastError(f"{folder}: cannot be read ({error.strerror}); check its permissions") from error
    if not files:
        raise HandfastError(f"{folder}: expected a folder of PNG images, found none; give {_EXPECTED}")
    return sorted(files, key=lambda file: (_natural(file.name), file.name))


def _natural(name: str) -> list[str | int]:
    """Text and numbers in turn, so that frame_2 sorts before frame_10."""
    return [int(part) if i % 2 else part for i, part in enumerate(re.split(r"([0-9]+)", name))]


def _read_file(file: Path, n_bytes: int = -1) -> bytes:
    try:
        with open(file, "rb") as stream:
            return stream.read(n_bytes)
    except OSError as error:
        raise HandfastError(f"cannot be read ({error.strerror})") from error


def _png_header(data: bytes) -> _PngHeader:
    """What a PNG's first 26 bytes say."""
    if len(data) < _PNG_HEADER_BYTES or not data.startswith(_PNG_SIGNATURE) or data[12:16] != b"IHDR":
        raise HandfastError("is not a PNG, or cut off in its header")
    width, height, bits, colour_type = struct.unpack_from(">IIBB", data, 16)
    if (bits, colour_type) not in _PNG_KINDS:
        raise HandfastError(
            f"expected 8-bit grey, 8-bit RGB or 16-bit grey, got {bits}-bit of PNG colour type {colour_type}"
        )
    return _PngHeader(_PNG_KINDS[bits, colour_type], width, height)


def _decode_png(data: bytes, expected: _PngHeader) -> np.ndarray:
    """A whole PNG of the expected kind and size -> (H, W) uint8 or uint16.

    Some versions of OpenCV fill in what a cut-off PNG lacks, so every chunk is checked first, up to the
    last one, IEND (ISO/IEC 15948, 5.3).
    """
    if (header := _png_header(data)) != expected:
        raise HandfastError(f"expected {expected} as in the first frame, got {header}")
    at, chunk = len(_PNG_SIGNATURE), b""
    while chunk != b"IEND":
        if at + 12 > len(data):
            raise HandfastError(f"PNG is cut off after {len(data)} bytes")
        length, chunk = struct.unpack_from(">I4s", data, at)
        end = at + 8 + length
        if end + 4 > len(data):
            raise HandfastError(f"PNG is cut off after {len(data)} bytes")
        if zlib.crc32(data[at + 4 : end]) != int.from_bytes(data[end : end + 4]):
            raise HandfastError(f"PNG is damaged at byte {at}")
        at = end + 4
    try:
        image = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_ANYDEPTH)  # colour becomes grey
    except cv2.error:
        image = None
    if image is None:
        raise HandfastError("PNG cannot be decoded")
    return image
