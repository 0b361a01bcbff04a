"""JPEGs are read if they are whole, turned as they say."""

import struct

import cv2
import numpy as np
import pytest

from handfast.errors import HandfastError
from handfast.sensors.jpeg import decode, read_header
from handfast.sensors.png import PictureHeader

PICTURE = cv2.GaussianBlur(np.random.default_rng(0).integers(0, 256, (24, 32, 3), np.uint8), (9, 9), 4)


def jpeg(image: np.ndarray, *options: int) -> bytes:
    return cv2.imencode(".jpg", image, options)[1].tobytes()


KINDS = {
    "in colour": jpeg(PICTURE),
    "grey": jpeg(PICTURE[..., 0]),
    "progressive": jpeg(PICTURE, cv2.IMWRITE_JPEG_PROGRESSIVE, 1),
    "restarted": jpeg(PICTURE, cv2.IMWRITE_JPEG_RST_INTERVAL, 1),
    "with a tail": jpeg(PICTURE) + b"of the camera's maker",
}


@pytest.mark.parametrize("kind", KINDS)
def test_what_was_written_is_decoded(kind):
    data = KINDS[kind]
    header = read_header(data)
    assert header == PictureHeader("amplitude", 32, 24)
    image = decode(data, header)
    assert image.dtype == np.uint8
    np.testing.assert_allclose(image.astype(int), PICTURE[..., 0] if kind == "grey" else PICTURE, atol=25)


@pytest.mark.parametrize("kind", [kind for kind in KINDS if kind != "with a tail"])
def test_none_that_is_cut_off_is_ever_decoded(kind):
    data = KINDS[kind]
    for at in range(0, len(data) - 1, 7):
        with pytest.raises(HandfastError, match=r"cut off|damaged"):
            decode(data[:at], PictureHeader("amplitude", 32, 24))


def test_it_is_turned_as_its_exif_says():
    tag = b"Exif\0\0MM\0*\0\0\0\x08\0\1\x01\x12\0\3\0\0\0\1\0\6\0\0\0\0\0\0"
    turned = KINDS["in colour"][:2] + b"\xff\xe1" + struct.pack(">H", len(tag) + 2) + tag
    turned += KINDS["in colour"][2:]
    header = read_header(turned)
    assert (header.width, header.height) == (24, 32)
    upright = cv2.rotate(PICTURE, cv2.ROTATE_90_CLOCKWISE)
    np.testing.assert_allclose(decode(turned, header).astype(int), upright, atol=25)
    with pytest.raises(HandfastError, match=r"expected .* 32 x 24 px .* got amplitude of 24 x 32 px"):
        decode(turned, PictureHeader("amplitude", 32, 24))


@pytest.mark.parametrize("data", [b"", b"\xff\xd8", b"not a JPEG", b"\xff\xd8\xff" + bytes(100)])
def test_what_is_no_jpeg(data):
    with pytest.raises(HandfastError, match=r"is not a JPEG|cut off|damaged"):
        read_header(data)
