import operator

import cv2
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from handfast.errors import HandfastError
from handfast.geometry import Camera
from handfast.sensors.sources import CameraSource, open_source

INTRINSICS = (300.0, 310.0, 15.5, 11.5)
CAMERA = Camera(*INTRINSICS, width=32, height=24)


def grey(seed: int, dtype=np.uint8, shape=(24, 32)) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, np.iinfo(dtype).max, shape, dtype=dtype, endpoint=True)


def png(image: np.ndarray) -> bytes:
    return cv2.imencode(".png", image)[1].tobytes()


def fill(folder, images) -> None:
    for i, image in enumerate(images):
        (folder / f"{i}.png").write_bytes(png(image))


def test_folder_is_read_in_natural_order_and_other_files_are_ignored(tmp_path):
    images = {name: grey(i) for i, name in enumerate(["1.png", "2.png", "10.PNG", "a2.png", "a10.png"])}
    for name in ["a10.png", "10.PNG", "2.png", "a2.png", "1.png"]:
        (tmp_path / name).write_bytes(png(images[name]))
    (tmp_path / "bones.json").write_text("{}")
    (tmp_path / "LICENSE").write_text("free")
    (tmp_path / "._1.png").write_text("what a Mac leaves behind")
    source = open_source(tmp_path)
    frames = list(source)
    assert len(source) == len(frames) == 5
    assert (source.fps, source.name, source.skipped) == (30.0, str(tmp_path), [])
    for i, (frame, image) in enumerate(zip(frames, images.values(), strict=True)):
        assert (frame.index, frame.time_s) == (i, i / 30)
        assert frame.depth is None and frame.camera is None
        np.testing.assert_array_equal(frame.amplitude, image)


PICTURE = grey(0, shape=(24, 32, 3))


def test_colour_comes_with_its_grey(tmp_path):
    red = np.zeros((24, 32, 3), np.uint8)
    red[..., 2] = 200
    fill(tmp_path, [red, grey(0), np.zeros_like(red)])
    coloured, plain, black = open_source(tmp_path, fps=10.0, intrinsics=INTRINSICS)
    np.testing.assert_allclose(coloured.amplitude, 0.299 * 200, atol=1)
    np.testing.assert_array_equal(coloured.colour, red[..., ::-1])
    assert coloured.camera == CAMERA
    assert plain.colour is None and (plain.amplitude == grey(0)).all()
    assert black.colour.shape == (24, 32, 3) and not black.amplitude.any()


def test_depth_folder_keeps_every_bit(tmp_path):
    images = [grey(i, np.uint16) for i in range(3)]
    fill(tmp_path, images)
    frames = list(open_source(tmp_path, intrinsics=INTRINSICS, depth_unit_mm=0.125, fps=50))
    for i, (frame, image) in enumerate(zip(frames, images, strict=True)):
        np.testing.assert_array_equal(frame.depth, image)
        assert (frame.amplitude, frame.depth_unit_mm, frame.camera) == (None, 0.125, CAMERA)
        assert frame.time_s == i / 50


@pytest.mark.parametrize("options", [{}, {"intrinsics": INTRINSICS}, {"depth_unit_mm": 1.0}])
def test_depth_needs_intrinsics_and_unit_at_once(tmp_path, options):
    fill(tmp_path, [grey(0, np.uint16)])
    with pytest.raises(HandfastError, match="--intrinsics fx,fy,cx,cy and --depth-unit-mm"):
        open_source(tmp_path, **options)


BAD_IMAGES = {
    "cut off": (png(grey(1))[:-40], "cut off"),
    "without its end": (png(grey(1))[:-12], "cut off"),
    "empty": (b"", "not a PNG"),
    "text": (b"not an image at all, but long enough", "not a PNG"),
    "16-bit": (png(grey(1, np.uint16)), "expected amplitude of 32 x 24 px .* got depth"),
    "16-bit colour": (png(grey(1, np.uint16, (24, 32, 3))), "got 16-bit RGB"),
    "with alpha": (png(grey(1, shape=(24, 32, 4))), "got 8-bit RGB with alpha"),
    "of another size": (
        png(grey(1, shape=(24, 31))),
        "expected amplitude of 32 x 24 px .* got amplitude of 31 x 24",
    ),
}


@pytest.mark.parametrize("case", BAD_IMAGES)
def test_bad_image_in_the_middle(tmp_path, case):
    data, reason = BAD_IMAGES[case]
    images = [grey(i) for i in range(4)]
    fill(tmp_path, images)
    (tmp_path / "2.png").write_bytes(data)

    before = []
    with pytest.raises(HandfastError, match=f"2.png: .*{reason}.*--skip-bad-frames") as raised:
        before.extend(open_source(tmp_path))
    assert "\n" not in str(raised.value)
    assert [f.index for f in before] == [0, 1]

    source = open_source(tmp_path, skip_bad_frames=True)
    for _ in range(2):  # each pass starts its list again
        assert [(f.index, f.time_s) for f in source] == [(0, 0.0), (1, 1 / 30), (3, 3 / 30)]
        ((file, why),) = source.skipped
        assert file == "2.png"
        assert "--skip" not in why


def test_bad_first_image(tmp_path):
    fill(tmp_path, [grey(i) for i in range(2)])
    (tmp_path / "0.png").write_bytes(b"")
    with pytest.raises(HandfastError, match=r"0\.png"):
        open_source(tmp_path)
    source = open_source(tmp_path, skip_bad_frames=True)
    assert [f.index for f in source] == [1]
    (tmp_path / "1.png").write_bytes(b"")
    with pytest.raises(HandfastError, match="none of its 2 PNGs"):
        open_source(tmp_path, skip_bad_frames=True)


PNG = png(grey(5))


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=60)
@given(st.integers(0, len(PNG) - 1), st.integers(1, 255), st.booleans())
def test_no_damaged_png_is_ever_decoded(tmp_path, at, flip, cut):
    damaged = PNG[:at] if cut else PNG[:at] + bytes([PNG[at] ^ flip]) + PNG[at + 1 :]
    (tmp_path / "0.png").write_bytes(PNG)
    (tmp_path / "1.png").write_bytes(damaged)
    source = open_source(tmp_path, skip_bad_frames=True)
    assert [f.index for f in source] == [0]


def test_bad_places_and_options(tmp_path):
    (tmp_path / "empty").mkdir()
    (tmp_path / "notes.txt").write_text("FFmpeg would draw this text as a video")
    (tmp_path / "one.png").write_bytes(PNG)
    for path, expected in {
        "missing": "no such file or folder",
        "empty": "expected a folder of PNG images, found none",
        "notes.txt": "got a .txt file",
        "one.png": "expected a folder of PNGs.* got a .png file",
    }.items():
        with pytest.raises(HandfastError, match=expected):
            open_source(tmp_path / path)
    for option, value in {
        "intrinsics": (1.0, 1.0, float("nan"), 1.0),
        "depth_unit_mm": 0.0,
        "fps": float("inf"),
    }.items():
        with pytest.raises(HandfastError, match=option):
            open_source(tmp_path, **{option: value})
    write_video(tmp_path / "clip.avi", 2)
    for path in (tmp_path, tmp_path / "clip.avi", "camera:0"):
        with pytest.raises(HandfastError, match="--depth-unit-mm is for folders of 16-bit PNGs"):
            open_source(path, depth_unit_mm=0.125)
    with pytest.raises(HandfastError, match="four numbers"):
        open_source(tmp_path, intrinsics=(1.0, 2.0, 3.0))


def write_video(path, n_frames: int) -> list[np.ndarray]:
    """Smooth grey pictures, which survive compression."""
    pictures = [np.full((48, 64, 3), 20 + 3 * i, np.uint8) for i in range(n_frames)]
    video = cv2.VideoWriter(str(path), cv2.VideoWriter_fourcc(*"MJPG"), 20.0, (64, 48))
    for picture in pictures:
        video.write(picture)
    video.release()
    return pictures


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
    """A camera, as OpenCV opens one, that shows these pictures and then no more."""

    def __init__(self, pictures, fps=25.0):
        self.pictures, self.fps = iter(pictures), fps

    def read(self):
        picture = next(self.pictures, None)
        return picture is not None, picture

    def get(self, what):
        return self.fps if what == cv2.CAP_PROP_FPS else 0.0


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
        with pytest.raises(HandfastError, match=r"no such file or folder; give .* or camera:0"):
            open_source(name)
