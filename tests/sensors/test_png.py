import cv2
import numpy as np
import pytest

from handfast.errors import HandfastError
from handfast.sensors.png import PictureHeader, decode, read_header


def png(image):
    return cv2.imencode(".png", image)[1].tobytes()


@pytest.mark.parametrize(
    ("dtype", "shape", "kind"),
    [(np.uint8, (6, 8), "amplitude"), (np.uint8, (6, 8, 3), "amplitude"), (np.uint16, (6, 8), "depth")],
)
def test_what_was_written_is_decoded_to_the_bit(dtype, shape, kind):
    image = np.random.default_rng(0).integers(0, np.iinfo(dtype).max, shape, dtype=dtype)
    header = read_header(png(image)[:26])
    assert header == PictureHeader(kind, 8, 6) and str(header) == f"{kind} of 8 x 6 px"
    decoded = decode(png(image), header)
    assert decoded.dtype == dtype
    np.testing.assert_array_equal(decoded, image)


def test_one_of_another_kind_than_the_first_is_refused():
    depth, grey = np.zeros((6, 8), np.uint16), np.zeros((6, 8), np.uint8)
    with pytest.raises(
        HandfastError, match="expected amplitude of 8 x 6 px as in the first frame, got depth"
    ):
        decode(png(depth), read_header(png(grey)))
