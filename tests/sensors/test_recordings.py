"""Recordings come back as they were, and broken ones are refused."""

import json
import os
import zipfile

import cv2
import numpy as np
import pytest

from handfast.errors import HandfastError
from handfast.geometry import Camera
from handfast.sensors.recordings import write_recording
from handfast.sensors.sources import open_source
from handfast.structures import Frame

INTRINSICS = (300.0, 310.0, 15.5, 11.5)
CAMERA = Camera(*INTRINSICS, width=32, height=24)


def grey(seed: int, dtype=np.uint8) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, np.iinfo(dtype).max, (24, 32), dtype=dtype, endpoint=True)


def png(image: np.ndarray) -> bytes:
    return cv2.imencode(".png", image)[1].tobytes()


def frames_of(amplitude: bool, depth: bool, camera: Camera | None = CAMERA) -> list[Frame]:
    return [
        Frame(
            i,
            0.1 + i / 3,
            grey(i) if amplitude else None,
            grey(i, np.uint16) if depth else None,
            depth_unit_mm=0.1 + 0.2 if depth else 1.0,
            camera=camera,
        )
        for i in range(4)
    ]


@pytest.mark.parametrize("amplitude, depth, camera", [(1, 1, CAMERA), (1, 0, None), (0, 1, CAMERA)])
def test_recording_round_trip_is_exact(tmp_path, amplitude, depth, camera):
    frames = frames_of(amplitude, depth, camera)
    write_recording(tmp_path / "a.zip", frames)
    source = open_source(tmp_path / "a.zip")
    assert len(source) == 4
    assert source.fps == pytest.approx(3)
    for read, written in zip(source, frames, strict=True):
        assert (read.index, read.time_s) == (written.index, written.time_s)
        assert (read.camera, read.depth_unit_mm) == (written.camera, written.depth_unit_mm)
        for image in ("amplitude", "depth"):
            np.testing.assert_array_equal(getattr(read, image), getattr(written, image))
    write_recording(tmp_path / "b.zip", source)
    assert (tmp_path / "a.zip").read_bytes() == (tmp_path / "b.zip").read_bytes()
    assert sorted(os.listdir(tmp_path)) == ["a.zip", "b.zip"]


def test_recording_is_a_plain_zip(tmp_path):
    write_recording(tmp_path / "a.zip", frames_of(True, True))
    with zipfile.ZipFile(tmp_path / "a.zip") as archive:
        assert {i.compress_type for i in archive.infolist()} == {zipfile.ZIP_STORED}
        assert {"recording.json", "amplitude/000003.png", "depth/000000.png"} <= set(archive.namelist())
        assert json.loads(archive.read("recording.json"))["time_s"] == [0.1 + i / 3 for i in range(4)]


def test_failed_recording_leaves_the_old_one(tmp_path):
    write_recording(tmp_path / "a.zip", frames_of(True, True))
    old = (tmp_path / "a.zip").read_bytes()
    for frames in ([], [*frames_of(True, True), *frames_of(True, False)]):
        with pytest.raises(HandfastError):
            write_recording(tmp_path / "a.zip", frames)
    assert os.listdir(tmp_path) == ["a.zip"]
    assert (tmp_path / "a.zip").read_bytes() == old
    with pytest.raises(HandfastError, match="cannot be written"):
        write_recording(tmp_path / "a.zip" / "b.zip", frames_of(True, True))


def test_numbers_of_numpy_are_written_as_any(tmp_path):
    camera = Camera(*map(np.float32, INTRINSICS), width=np.int64(32), height=np.int64(24))
    write_recording(tmp_path / "a.zip", [Frame(0, np.float32(0.5), grey(0), camera=camera)])
    (frame,) = open_source(tmp_path / "a.zip")
    assert (frame.time_s, frame.camera) == (0.5, CAMERA)


def test_colour_alone_is_not_recorded(tmp_path):
    frame = Frame(0, 0.0, colour=np.zeros((24, 32, 3), np.uint8))
    with pytest.raises(HandfastError, match="keeps amplitude and depth, this has colour alone"):
        write_recording(tmp_path / "a.zip", [frame])
    assert not list(tmp_path.iterdir())


def test_a_time_that_is_no_number_is_not_recorded(tmp_path):
    frame = Frame(0, float("nan"), amplitude=np.zeros((24, 32), np.uint8))
    with pytest.raises(HandfastError, match="frame 0: expected a time in seconds, got nan"):
        write_recording(tmp_path / "a.zip", [frame])
    assert not list(tmp_path.iterdir())


def rewrite(path, change) -> None:
    """Write a recording's members again as ``change(name, data)`` says; None leaves one out."""
    with zipfile.ZipFile(path) as archive:
        members = {name: change(name, archive.read(name)) for name in archive.namelist()}
    with zipfile.ZipFile(path, "w") as archive:
        for name, data in members.items():
            if data is not None:
                archive.writestr(name, data)


BAD_META = {
    "not JSON": (b"{", "not a handfast recording"),
    "another format": (b'{"format": "x", "version": 1}', "expected handfast-recording version 1"),
    "not an object": (b"[1]", "recording.json is broken"),
    "without times": (b'{"format": "handfast-recording", "version": 1}', "recording.json is broken"),
    "no frame": (
        b'{"format":"handfast-recording","version":1,"camera":null,"depth_unit_mm":1,"time_s":[]}',
        "expected the times of its frames",
    ),
    "a time that is none": (
        b'{"format":"handfast-recording","version":1,"camera":null,"depth_unit_mm":1,"time_s":[NaN]}',
        "expected the times of its frames",
    ),
}


@pytest.mark.parametrize("case", BAD_META)
def test_recording_with_bad_description(tmp_path, case):
    meta, expected = BAD_META[case]
    write_recording(tmp_path / "a.zip", frames_of(True, False))
    rewrite(tmp_path / "a.zip", lambda name, data: meta if name == "recording.json" else data)
    with pytest.raises(HandfastError, match=expected):
        open_source(tmp_path / "a.zip")


@pytest.mark.parametrize("change", [lambda data: None, lambda data: data[:-20], lambda data: png(grey(0))])
def test_recording_with_a_bad_image(tmp_path, change):
    write_recording(tmp_path / "a.zip", frames_of(True, True))
    rewrite(tmp_path / "a.zip", lambda name, data: change(data) if name == "depth/000002.png" else data)
    with pytest.raises(HandfastError, match=r"frame 2: .*--skip-bad-frames"):
        list(open_source(tmp_path / "a.zip"))
    source = open_source(tmp_path / "a.zip", skip_bad_frames=True)
    assert [f.index for f in source] == [0, 1, 3]
    assert len(source.skipped) == 1


def test_recording_whose_description_is_damaged(tmp_path):
    write_recording(tmp_path / "a.zip", frames_of(True, False))
    with zipfile.ZipFile(tmp_path / "a.zip") as archive:
        members = {name: archive.read(name) for name in archive.namelist()}
    with zipfile.ZipFile(tmp_path / "a.zip", "w", zipfile.ZIP_DEFLATED) as archive:
        for name, data in members.items():
            archive.writestr(name, data)
        start = archive.getinfo("recording.json").header_offset + 30 + len("recording.json")
    data = bytearray((tmp_path / "a.zip").read_bytes())
    data[start] = 0xFF  # no kind of deflated block
    (tmp_path / "a.zip").write_bytes(data)
    with pytest.raises(HandfastError, match="not a handfast recording, or cut off"):
        open_source(tmp_path / "a.zip")


def test_recording_cut_off_or_given_options(tmp_path):
    write_recording(tmp_path / "a.zip", frames_of(True, True))
    with pytest.raises(HandfastError, match="drop these options"):
        open_source(tmp_path / "a.zip", fps=30.0)
    data = (tmp_path / "a.zip").read_bytes()
    (tmp_path / "a.zip").write_bytes(data[: len(data) // 2])
    with pytest.raises(HandfastError, match="not a handfast recording, or cut off"):
        open_source(tmp_path / "a.zip")
