"""Videos and cameras as sources."""

import operator

import cv2
import numpy as np
import pytest

from handfast.errors import HandfastError
from handfast.geometry import Camera
from handfast.sensors.sources import CameraSource, open_source
from source_fixtures import CAMERA, INTRINSICS, PICTURE, grey, write_video


def test_video_is_read_as_grey_amplitude(tmp_path):
    pictures = write_video(tmp_path / "clip.avi", 30)
    source = open_source(tmp_path / "clip.avi", intrinsics=INTRINSICS)
    assert (source.fps, operator.length_hint(source)) == (20.0, 30)
    frames = list(source)
    assert [f.time_s for f in frames] == [i / 20 for i in range(30)]
    for frame, picture in zip(frames, pictures, strict=True):
        np.testing.assert_allclose(frame.amplitude, picture[..., 0], atol=3)
        assert frame.colour is None
        assert frame.camera == Camera(*INTRINSICS, width=64, height=48)
    assert [f.time_s for f in open_source(tmp_path / "clip.avi", fps=10)][:3] == [0.0, 0.1, 0.2]


@pytest.mark.parametrize("dark", [5, 70])
def test_video_is_in_colour_from_its_first_frame_if_it_is_once_there_is_light(tmp_path, dark):
    pictures = [np.full((48, 64, 3), 16, np.uint8)] * dark + [
        np.full((48, 64, 3), (30, 60, 200), np.uint8)
    ] * 5
    video = cv2.VideoWriter(str(tmp_path / "clip.avi"), cv2.VideoWriter_fourcc(*"MJPG"), 20.0, (64, 48))
    for picture in pictures:
        video.write(picture)
    video.release()
    frames = list(open_source(tmp_path / "clip.avi"))
    assert len(frames) == dark + 5
    for frame, picture in zip(frames, pictures, strict=True):
        np.testing.assert_allclose(frame.colour, picture[..., ::-1], atol=6)
        luma = picture[0, 0] @ [0.114, 0.587, 0.299]
        np.testing.assert_allclose(frame.amplitude, luma, atol=4)


def test_video_that_breaks_off(tmp_path):
    write_video(tmp_path / "clip.avi", 60)
    data = (tmp_path / "clip.avi").read_bytes()
    (tmp_path / "clip.avi").write_bytes(data[: len(data) // 2])
    with pytest.raises(HandfastError, match=r"frame \d\d: the video breaks off at \d\.\d s of 3\.0 s"):
        list(open_source(tmp_path / "clip.avi"))
    for fps in (None, 5.0, 100.0):
        source = open_source(tmp_path / "clip.avi", fps=fps, skip_bad_frames=True)
        assert 10 < len(list(source)) < 40
        assert len(source.skipped) == 1


@pytest.mark.parametrize("content", [b"", b"noise" * 1000])
def test_unreadable_video(tmp_path, content):
    (tmp_path / "clip_01.mp4").write_bytes(content)
    with pytest.raises(HandfastError, match="not a video that can be read"):
        open_source(tmp_path / "clip_01.mp4")


class Capture:
    """A camera or a video, as OpenCV opens one, that shows these pictures, at these times if it tells,
    and then no more."""

    def __init__(self, pictures, fps=25.0, times_ms=(), pixels=b"I420"):
        self.pictures, self.fps, self.times_ms, self.pixels = iter(pictures), fps, iter(times_ms), pixels
        self.time_ms = 0.0

    def read(self):
        picture = next(self.pictures, None)
        self.time_ms = next(self.times_ms, 0.0)
        return picture is not None, picture

    def get(self, what):
        told = {
            cv2.CAP_PROP_FPS: self.fps,
            cv2.CAP_PROP_POS_MSEC: self.time_ms,
            cv2.CAP_PROP_CODEC_PIXEL_FORMAT: float(int.from_bytes(self.pixels, "little", signed=True)),
        }
        return told.get(what, 0.0)

    def release(self):
        pass


@pytest.mark.parametrize(
    ("times_ms", "expected_s"),
    [
        ((70.0, 103.5, 270.0, 303.5), [0.0, 0.0335, 0.2, 0.2335]),  # slower in the dark, as phones do
        ((), [0.0, 0.04, 0.08, 0.12]),  # not told
        ((0.0, 40.0, 40.0, 90.0), [0.0, 0.04, 0.08, 0.09]),  # told twice
    ],
)
def test_frames_of_a_video_have_the_times_that_it_tells(monkeypatch, tmp_path, times_ms, expected_s):
    (tmp_path / "clip.mp4").touch()
    monkeypatch.setattr(cv2, "VideoCapture", lambda _: Capture([PICTURE] * 4, 25.0, times_ms))
    assert [f.time_s for f in open_source(tmp_path / "clip.mp4")] == pytest.approx(expected_s)
    evenly = open_source(tmp_path / "clip.mp4", fps=10.0)
    assert [f.time_s for f in evenly] == [0.0, 0.1, 0.2, 0.3]


@pytest.mark.parametrize("pixels", [b"Y1\0\x10", b"Y1\0\x0c", b"\x10\x001Y"])
def test_a_video_of_16_bits_is_no_infrared(monkeypatch, tmp_path, pixels):
    (tmp_path / "depth.mkv").touch()
    monkeypatch.setattr(cv2, "VideoCapture", lambda _: Capture([PICTURE], pixels=pixels))
    with pytest.raises(HandfastError, match=r"holds 16-bit images, .* save them as a folder of PNGs"):
        open_source(tmp_path / "depth.mkv")


def test_a_camera_in_the_network_is_opened_by_its_address(monkeypatch):
    opened = []
    monkeypatch.setattr(cv2, "VideoCapture", lambda address: opened.append(address) or Capture([PICTURE] * 2))
    source = open_source("http://192.168.4.1:81/stream")
    assert isinstance(source, CameraSource) and len(list(source)) == 1
    assert opened == ["http://192.168.4.1:81/stream"]
    monkeypatch.setattr(cv2, "VideoCapture", lambda _: Capture([]))
    with pytest.raises(HandfastError, match=r"rtsp://nowhere/: no camera .*; check its address"):
        open_source("rtsp://nowhere/")


@pytest.mark.parametrize(
    ("first", "expected"),
    [(PICTURE, True), (np.zeros_like(PICTURE), True), (np.repeat(grey(0)[..., None], 3, axis=2), False)],
)
def test_a_camera_is_in_colour_unless_it_shows_grey(first, expected):
    assert CameraSource("camera:0", Capture([first]), None, None).in_colour() == expected


def test_camera_frames_are_in_colour_and_have_the_time_of_the_clock():
    pictures = [np.full((24, 32, 3), (10, 60, 20 * i), np.uint8) for i in range(6)]
    clock = iter([100.0, 100.25, 101.5, 101.75, 200.0, 200.5, 201.0])
    source = CameraSource("camera:0", Capture(pictures), INTRINSICS, None, lambda: next(clock))
    assert (source.name, source.fps, operator.length_hint(source)) == ("camera:0", 25.0, 0)
    frames = iter(source)
    first = [next(frames) for _ in range(3)]  # the one before said how large they are
    assert [(f.index, f.time_s, f.camera) for f in first] == [
        (0, 0.25, CAMERA),
        (1, 1.5, CAMERA),
        (2, 1.75, CAMERA),
    ]
    for frame, picture in zip(first, pictures[1:], strict=False):
        np.testing.assert_array_equal(frame.colour, picture[..., ::-1])
        np.testing.assert_allclose(frame.amplitude, picture[0, 0] @ [0.114, 0.587, 0.299], atol=1)
    assert not source.stopped
    # Another pass goes on with what there is to see by then, until the camera is unplugged.
    assert [(f.index, f.time_s, f.colour[0, 0, 0]) for f in source] == [(0, 0.5, 80), (1, 1.0, 100)]
    assert source.stopped and source.skipped == []


@pytest.mark.parametrize(
    ("own_fps", "fps", "expected"),
    [(60.0, None, 60.0), (0.0, None, 30.0), (np.nan, None, 30.0), (60, 12, 12)],
)
def test_camera_that_does_not_tell_its_rate(own_fps, fps, expected):
    assert CameraSource("camera:0", Capture([PICTURE], own_fps), None, fps).fps == expected


def test_camera_is_opened_by_number(monkeypatch):
    opened = []

    def open_capture(number):
        opened.append(number)
        return Capture([PICTURE] * 2)

    monkeypatch.setattr(cv2, "VideoCapture", open_capture)
    (frame,) = open_source("camera:12", fps=10.0)
    assert opened == [12] and frame.shape == (24, 32) and frame.camera is None


def test_no_camera(monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(cv2, "VideoCapture", lambda number: Capture([]))
    with pytest.raises(HandfastError, match="camera:3: no camera that gives pictures; plug it in"):
        open_source("camera:3")
    for name in ("camera", "camera:", "camera:-1", "camera:front", "camera:99999"):
        with pytest.raises(HandfastError, match=r"no such file or folder; give .* camera:0 or the address"):
            open_source(name)
