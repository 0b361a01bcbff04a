"""JPEG files of a camera, which are read if they are whole."""

import struct

import cv2
import numpy as np

from handfast.errors import HandfastError
from handfast.sensors.png import PictureHeader, check_header

_START, _SCAN, _END = 0xD8, 0xDA, 0xD9
_ALONE = {0x01, *range(0xD0, 0xD8)}  # markers without a length


def read_header(data: bytes) -> PictureHeader:
    """What a whole JPEG shows: its size is that of the picture once it is turned as its EXIF says."""
    height, width = _picture(data).shape[:2]
    return PictureHeader("amplitude", width, height)


def decode(data: bytes, expected: PictureHeader) -> np.ndarray:
    """A whole JPEG of the expected size -> (H, W) uint8 or, in colour, (H, W, 3) uint8 BGR."""
    image = _picture(data)
    check_header(PictureHeader("amplitude", image.shape[1], image.shape[0]), expected)
    return image


def _picture(data: bytes) -> np.ndarray:
    _check_whole(data)
    try:
        image = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_ANYCOLOR)
    except cv2.error:
        image = None
    if image is None:
        raise HandfastError("JPEG cannot be decoded")
    return image


def _check_whole(data: bytes) -> None:
    """OpenCV fills in what a cut-off JPEG lacks: behind the marker where its scan starts there must be the
    one at its end, which a scan's own bytes never look like (ISO/IEC 10918-1, B.1.1)."""
    if not data.startswith(bytes([0xFF, _START, 0xFF])):
        raise HandfastError("is not a JPEG, or cut off in its header")
    at = 2
    while at + 4 <= len(data):
        ff, marker, length = struct.unpack_from(">BBH", data, at)
        if ff != 0xFF:
            raise HandfastError(f"JPEG is damaged at byte {at}")
        if marker == _SCAN:
            if data.find(bytes([0xFF, _END]), at) < 0:
                break
            return
        if marker == 0xFF:  # filled up
            at += 1
        else:
            at += 2 if marker in _ALONE else 2 + length
    raise HandfastError(f"JPEG is cut off after {len(data)} bytes")
