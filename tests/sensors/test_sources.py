import struct
import zlib

import cv2
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from handfast.errors import HandfastError
from handfast.sensors.images import infrared_image
from handfast.sensors.sources import open_source
from source_fixtures import CAMERA, INTRINSICS, PICTURE, grey, write_video


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
