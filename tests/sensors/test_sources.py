import operator
import struct
import zlib

import cv2
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from handfast.errors import HandfastError
from handfast.geometry import Camera
from handfast.sensors.images import infrared_image
from handfast.sensors.sources import CameraSource, open_source

INTRINSICS = (300.0, 310.0, 15.5, 11.5)
CAMERA = Camera(*INTRINSICS, width=32, height=24)


def grey(seed: int, dtype=np.uint8, shape=(24, 32)) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, np.iinfo(dtype).max, shape, dtype=dtype, endpoint=True)


def png(image: np.ndarray) -> bytes:
    return cv2.imencode(".png", image)[1].tobytes()


def jpeg(image: np.ndarray) -> bytes:
    return cv2.imencode(".jpg", image)[1].tobytes()


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
    np.testing.assert_array_equal(plain.amplitude, grey(0))  # as programs save what happens to be grey
    np.testing.assert_array_equal(plain.colour, np.repeat(grey(0)[..., None], 3, axis=2))
    assert black.colour.shape == (24, 32, 3) and not black.amplitude.any()


def test_transparency_and_how_to_turn_a_png_are_left_out(tmp_path):
    with_alpha = grey(1, shape=(24, 32, 4))
    turned = png(PICTURE)
    chunk = b"eXIf" + b"MM\0*\0\0\0\x08\0\1\x01\x12\0\3\0\0\0\1\0\6\0\0\0\0\0\0"
    chunk = struct.pack(">I", len(chunk) - 4) + chunk + struct.pack(">I", zlib.crc32(chunk))
    (tmp_path / "0.png").write_bytes(png(with_alpha))
    (tmp_path / "1.png").write_bytes(turned[:33] + chunk + turned[33:])
    (tmp_path / "2.png").write_bytes(grey_png_with_alpha(grey(2)))
    first, second, third = open_source(tmp_path)
    np.testing.assert_array_equal(first.colour, with_alpha[..., 2::-1])
    np.testing.assert_array_equal(second.colour, PICTURE[..., ::-1])
    np.testing.assert_array_equal(third.amplitude, grey(2))
    for name in ("0.png", "1.png"):
        (tmp_path / name).unlink()
    (alone,) = open_source(tmp_path)
    assert alone.colour is None


def grey_png_with_alpha(image: np.ndarray) -> bytes:
    """OpenCV writes none."""
    height, width = image.shape
    rows = np.dstack([image, np.full_like(image, 90)]).reshape(height, 2 * width)
    header = struct.pack(">IIBBBBB", width, height, 8, 4, 0, 0, 0)
    data = zlib.compress(np.pad(rows, ((0, 0), (1, 0))).tobytes())
    chunks = [b"IHDR" + header, b"IDAT" + data, b"IEND"]
    packed = [struct.pack(">I", len(c) - 4) + c + struct.pack(">I", zlib.crc32(c)) for c in chunks]
    return b"".join([b"\x89PNG\r\n\x1a\n", *packed])


def test_infrared_of_16_bits_is_scaled_to_8(tmp_path):
    images = [np.minimum(grey(i, np.uint16), 4095) // (1 + i) for i in range(2)]
    fill(tmp_path, images)
    source = open_source(tmp_path, infrared=True, intrinsics=INTRINSICS)
    for frame, image in zip(source, images, strict=True):
        np.testing.assert_array_equal(frame.amplitude, infrared_image(image))
        assert frame.depth is None and frame.camera == CAMERA
    with pytest.raises(HandfastError, match="--infrared if they are infrared"):
        open_source(tmp_path)
    with pytest.raises(HandfastError, match="--depth-unit-mm"):
        open_source(tmp_path, infrared=True, depth_unit_mm=1.0)


def test_pictures_of_two_sensors_in_one_folder_are_refused(tmp_path):
    fill(tmp_path, [PICTURE, grey(0, np.uint16)])
    with pytest.raises(HandfastError, match=r"1\.png: expected amplitude .* got depth .*folder of its own"):
        list(open_source(tmp_path))


def test_folders_in_a_folder_are_named(tmp_path):
    (tmp_path / "depth").mkdir()
    fill(tmp_path / "depth", [grey(0)])
    with pytest.raises(HandfastError, match=r"found none; there are some in .*depth: give that"):
        open_source(tmp_path)


def test_frames_of_a_folder_are_known_by_their_files(tmp_path):
    for number in (3, 10, 7):
        (tmp_path / f"depth_{number}.png").write_bytes(png(grey(number)))
    files = [frame.file for frame in open_source(tmp_path)]
    assert files == ["depth_3.png", "depth_7.png", "depth_10.png"]


@pytest.mark.parametrize("shape", [(24, 32), (24, 32, 3)])
def test_a_folder_of_jpegs(tmp_path, shape):
    images = [cv2.GaussianBlur(grey(i, shape=shape), (9, 9), 4) for i in range(3)]
    for i, image in enumerate(images):
        (tmp_path / f"{i}.jpg").write_bytes(jpeg(image))
    for frame, image in zip(open_source(tmp_path), images, strict=True):
        assert (frame.colour is None) == (image.ndim == 2)
        seen = frame.amplitude if frame.colour is None else frame.colour[..., ::-1]
        np.testing.assert_allclose(seen.astype(int), image, atol=25)
    (tmp_path / "preview.png").write_bytes(png(PICTURE))
    assert [frame.file for frame in open_source(tmp_path)] == ["0.jpg", "1.jpg", "2.jpg"]
    for name in ("a", "b", "c"):
        (tmp_path / f"{name}.png").write_bytes(png(PICTURE))
    assert [frame.file for frame in open_source(tmp_path)] == ["a.png", "b.png", "c.png", "preview.png"]


def test_whether_a_folder_is_in_colour_is_seen_in_its_pictures(tmp_path):
    grey_as_colour = np.repeat(grey(0)[..., None], 3, axis=2)
    fill(tmp_path, [grey_as_colour] * 3)
    assert not open_source(tmp_path).in_colour()
    fill(tmp_path, [grey_as_colour, PICTURE])
    assert open_source(tmp_path).in_colour()
    fill(tmp_path, [np.zeros_like(PICTURE)] * 7)  # before there was light
    (tmp_path / "8.png").write_bytes(png(PICTURE))
    assert open_source(tmp_path).in_colour()
    (tmp_path / "8.png").unlink()
    fill(tmp_path, [grey(0, np.uint16)] * 7)
    assert not open_source(tmp_path, intrinsics=INTRINSICS, depth_unit_mm=1.0).in_colour()


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
    "16-bit with alpha": (png(grey(1, np.uint16, (24, 32, 4))), "got 16-bit RGB with alpha"),
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
    with pytest.raises(HandfastError, match=r"none of its 2 images can be read; 0\.png: is not a PNG"):
        open_source(tmp_path, skip_bad_frames=True)


PNG, JPEG = png(grey(5)), jpeg(grey(5))


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
        "empty": "expected a folder of PNGs or JPEGs, found none; give a",
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
    for path in (tmp_path, tmp_path / "clip.avi", "camera:0", "rtsp://nowhere/"):
        with pytest.raises(HandfastError, match="--depth-unit-mm is for 16-bit PNGs or arrays"):
            open_source(path, depth_unit_mm=0.125)
        with pytest.raises(HandfastError, match="--infrared is for 16-bit PNGs or arrays"):
            open_source(path, infrared=True)
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
