"""PNG files of a sensor, checked to the last byte before they are believed."""

import struct
import zlib
from typing import NamedTuple

import cv2
import numpy as np

from handfast.errors import HandfastError


class PngHeader(NamedTuple):
    kind: str  # 'amplitude' or 'depth'
    width: int
    height: int

    def __str__(self) -> str:
        return f"{self.kind} of {self.width} x {self.height} px"


_SIGNATURE = b"\x89PNG\r\n\x1a\n"
HEADER_BYTES = 26
_KINDS = {(8, 0): "amplitude", (8, 2): "amplitude", (16, 0): "depth"}  # by (bit depth, colour type)


_COLOUR_TYPES = {0: "grey", 2: "RGB", 3: "of a palette", 4: "grey with alpha", 6: "RGB with alpha"}


def read_header(data: bytes) -> PngHeader:
    """What a PNG's first 26 bytes say."""
    if len(data) < HEADER_BYTES or not data.startswith(_SIGNATURE) or data[12:16] != b"IHDR":
        raise HandfastError("is not a PNG, or cut off in its header")
    width, height, bits, colour_type = struct.unpack_from(">IIBB", data, 16)
    if (bits, colour_type) not in _KINDS:
        kind = _COLOUR_TYPES.get(colour_type, "of an unknown kind")
        raise HandfastError(f"expected 8-bit grey, 8-bit RGB or 16-bit grey, got {bits}-bit {kind}")
    return PngHeader(_KINDS[bits, colour_type], width, height)


def decode(data: bytes, expected: PngHeader) -> np.ndarray:
    """A whole PNG of the expected kind and size -> (H, W) uint8 or uint16, colour (H, W, 3) uint8 BGR.

    Some versions of OpenCV fill in what a cut-off PNG lacks, so every chunk is checked first, up to the
    last one, IEND (ISO/IEC 15948, 5.3).
    """
    if (header := read_header(data)) != expected:
        raise HandfastError(f"expected {expected} as in the first frame, got {header}")
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
    try:
        image = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_ANYDEPTH | cv2.IMREAD_ANYCOLOR)
    except cv2.error:
        image = None
    if image is None:
        raise HandfastError("PNG cannot be decoded")
    return image
