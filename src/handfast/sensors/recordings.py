"""Recordings: the frames of a sensor in one file, as they were."""

import json
import math
import os
import zipfile
import zlib
from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import partial
from pathlib import Path

import cv2
import numpy as np

from handfast.errors import HandfastError
from handfast.geometry import Camera, camera_of
from handfast.sensors import png
from handfast.sensors.frame_source import DEFAULT_FPS, FrameSource, as_images
from handfast.structures import Frame

RECORDING_SUFFIX = ".zip"
_FORMAT, _VERSION = "handfast-recording", 1
_DAMAGED_ZIP = (zipfile.BadZipFile, KeyError, EOFError, RuntimeError, zlib.error)


class RecordingSource(FrameSource):
    """A recording as ``write_recording`` writes it. intrinsics: (fx, fy, cx, cy) px, for one without."""

    def __init__(self, path: Path, intrinsics: Sequence[float] | None, skip_bad_frames: bool):
        try:
            with zipfile.ZipFile(path) as archive:
                meta = json.loads(archive.read("recording.json"))
                self._headers = {
                    image: png.read_header(archive.open(_member(image, 0)).read(png.HEADER_BYTES))
                    for image in ("amplitude", "depth")
                    if _member(image, 0) in archive.namelist()
                }
                if not self._headers:
                    raise HandfastError("no images in it")
        except (HandfastError, ValueError, OSError, *_DAMAGED_ZIP) as error:
            raise HandfastError(
                f"{path}: not a handfast recording, or cut off ({error}); copy or record it again"
            ) from error
        try:
            form = meta["format"], meta["version"]
            if form != (_FORMAT, _VERSION):
                wanted = f"{_FORMAT} version {_VERSION}"
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
        if intrinsics is not None:
            if self._camera is not None:
                raise HandfastError(f"{path}: the recording holds its own intrinsics; drop --intrinsics")
            header = next(iter(self._headers.values()))
            self._camera = camera_of(intrinsics, header.width, header.height)

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
            images |= as_images(image, png.decode(data, header))
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
        if not images:
            raise HandfastError(
                f"frame {index}: a recording keeps amplitude and depth, this has colour alone"
            )
        if not math.isfinite(frame.time_s):
            raise HandfastError(f"frame {index}: expected a time in seconds, got {frame.time_s}")
        form = (*images, frame.shape, frame.depth_unit_mm, frame.camera)
        sensor = sensor or form
        if form != sensor:
            raise HandfastError(f"frame {index}: expected {sensor} as in the first frame, got {form}")
        for name, image in images.items():
            _write_member(archive, _member(name, index), cv2.imencode(".png", image)[1].tobytes())
        time_s.append(float(frame.time_s))
    if sensor is None:
        raise HandfastError("a recording needs one frame or more, got none")
    *_, depth_unit_mm, camera = sensor
    meta = {
        "format": _FORMAT,
        "version": _VERSION,
        "camera": None if camera is None else {name: _plain(value) for name, value in vars(camera).items()},
        "depth_unit_mm": float(depth_unit_mm),
        "time_s": time_s,
    }
    _write_member(archive, "recording.json", json.dumps(meta, allow_nan=False).encode())


def _plain(number: float | int) -> float | int:
    """As JSON has it: NumPy's numbers are none of Python's."""
    return number.item() if isinstance(number, np.generic) else number


def _write_member(archive: zipfile.ZipFile, name: str, data: bytes) -> None:
    info = zipfile.ZipInfo(name)  # dated 1980: the time of writing would change the bytes
    info.external_attr = 0o644 << 16
    archive.writestr(info, data)


def _member(image: str, index: int) -> str:
    return f"{image}/{index:06d}.png"
