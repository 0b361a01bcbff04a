"""PNG files of a sensor, checked to the last byte before they are believed."""

import struct
import zlib
from typing import NamedTuple

import cv2
import numpy as np

from handfast.errors import HandfastError


class PictureHeader(NamedTuple):
    kind: str  # 'amplitude', which colour counts as, or 'depth'
    width: int
    height: int

    def __str__(self) -> str:
        return f"{self.kind} of {self.width} x {self.height} px"


_SIGNATURE = b"\x89PNG\r\n\x1a\n"
HEADER_BYTES = 26
_GREY, _RGB, _PALETTE, _GREY_ALPHA, _RGB_ALPHA = 0, 2, 3, 4, 6
_COLOUR_TYPES = {
    _GREY: "grey",
    _RGB: "RGB",
    _PALETTE: "of a palette",
    _GREY_ALPHA: "grey with alpha",
    _RGB_ALPHA: "RGB with alpha",
}


def read_header(data: bytes) -> PictureHeader:
    """What a PNG's first 26 bytes say."""
    if len(data) < HEADER_BYTES or not data.startswith(_SIGNATURE) or data[12:16] != b"IHDR":
        raise HandfastError("is not a PNG, or cut off in its header")
    width, height, bits, colour_type = struct.unpack_from(">IIBB", data, 16)
    if (bits, colour_type) == (16, _GREY):
        return PictureHeader("depth", width, height)
    if bits > 8 or colour_type not in _COLOUR_TYPES:
        kind = _COLOUR_TYPES.get(colour_type, "of an unknown kind")
        raise HandfastError(f"expected 8 bits, or 16-bit grey, got {bits}-bit {kind}")
    return PictureHeader("amplitude", width, height)


def check_header(header: PictureHeader, expected: PictureHeader) -> None:
    """HandfastError for a picture that is not like the first one of its folder or recording."""
    if header.kind != expected.kind:
        raise HandfastError(
            f"expected {expected} as in the first frame, got {header}; give each kind a folder of its own"
        )
    if header != expected:
        raise HandfastError(f"expected {expected} as in the first frame, got {header}")


def decode(data: bytes, expected: PictureHeader) -> np.ndarray:
    """A whole PNG of the expected kind and size -> (H, W) uint8 or uint16, colour (H, W, 3) uint8 BGR,
    without what it says of transparency or of how to turn it.

    Some versions of OpenCV fill in what a cut-off PNG lacks, so every chunk is checked first, up to the
    last one, IEND (ISO/IEC 15948, 5.3).
    """
    check_header(read_header(data), expected)
    at, chunk = len(_SIGNATURE), b""
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
    as_stored = cv2.IMREAD_ANYDEPTH | cv2.IMREAD_ANYCOLOR | cv2.IMREAD_IGNORE_ORIENTATION
    try:
        image = cv2.imdecode(np.frombuffer(data, np.uint8), as_stored)
    except cv2.error:
        image = None
    if image is None:
        raise HandfastError("PNG cannot be decoded")
    return image[..., 0] if data[25] == _GREY_ALPHA and image.ndim == 3 else image
