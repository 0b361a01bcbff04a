import struct

import cv2
import numpy as np
import pytest

from handfast.data.datasets.reading import (
    check_ahead,
    hand_label,
    read_as_stored,
    read_colour,
    read_grey,
    read_json,
)
from handfast.errors import HandfastError
from handfast.geometry import Camera

CAMERA = Camera(100.0, 100.0, 20.0, 15.0, 40, 30)
COLOUR = np.random.default_rng(0).integers(0, 255, (20, 30, 3), dtype=np.uint8)
READERS = {
    "colour": lambda path: read_colour(path, (None, None)),
    "grey": lambda path: read_grey(path, (20, 30)),
    "stored": read_as_stored,
}


@pytest.fixture
def joints_m():
    return np.tile([0.1, -0.05, 0.5], (21, 1))


@pytest.mark.parametrize("reader", READERS)
@pytest.mark.parametrize("ending", [".jpg", ".png"])
@pytest.mark.parametrize("keep", [0, 1, 30, 0.5, 0.9, -2])
def test_a_picture_that_is_cut_off_is_refused_in_one_line(tmp_path, capfd, reader, ending, keep):
    path = tmp_path / f"picture{ending}"
    content = cv2.imencode(ending, COLOUR[..., 0] if reader == "grey" else COLOUR)[1].tobytes()
    path.write_bytes(content)
    assert READERS[reader](path).shape[:2] == (20, 30)
    path.write_bytes(content[: int(keep * len(content)) if isinstance(keep, float) else keep])
    with pytest.raises(HandfastError, match=rf"picture\{ending}: not a readable picture"):
        READERS[reader](path)
    assert capfd.readouterr() == ("", "")


def test_a_camera_s_note_on_which_way_is_up_does_not_turn_the_picture(tmp_path):
    """Orientation 6: to be shown a quarter turned."""
    path = tmp_path / "picture.jpg"
    jpeg = cv2.imencode(".jpg", COLOUR)[1].tobytes()
    exif = b"Exif\0\0II*\0" + struct.pack("<IHHHIII", 8, 1, 0x0112, 3, 1, 6, 0)
    path.write_bytes(jpeg[:2] + b"\xff\xe1" + struct.pack(">H", len(exif) + 2) + exif + jpeg[2:])
    assert cv2.imread(str(path)).shape == (30, 20, 3)
    plain = cv2.imdecode(np.frombuffer(jpeg, np.uint8), cv2.IMREAD_COLOR)
    np.testing.assert_array_equal(read_as_stored(path), plain)
    np.testing.assert_array_equal(read_colour(path, (20, 30)), plain[..., ::-1])


def test_a_label_projects(joints_m):
    label = hand_label("frame 3", CAMERA, joints_m, "left")
    assert label.side == "left" and label.labelled is None and label.vertices_m is None
    np.testing.assert_allclose(label.keypoints_px, np.tile([40, 5], (21, 1)))
    np.testing.assert_allclose(label.keypoints_m, joints_m, atol=1e-7)


def test_what_has_no_label_becomes_zero_wherever_it_lies(joints_m):
    labelled = np.arange(21) != 4
    joints_m[4, 2] = -3
    label = hand_label("frame 3", CAMERA, joints_m, "left", labelled=labelled, vertices_m=joints_m[:2])
    assert (label.labelled == labelled).all()
    assert not label.keypoints_m[4].any() and not label.keypoints_px[4].any()
    np.testing.assert_allclose(label.keypoints_px[labelled], np.tile([40, 5], (20, 1)))
    np.testing.assert_allclose(label.vertices_m, joints_m[:2], atol=1e-7)


@pytest.mark.parametrize("z_m", [-0.5, 0.0, 10.0, 500.0])
def test_points_behind_the_camera_or_in_other_units_are_refused(joints_m, z_m):
    strange_m = joints_m.copy()
    strange_m[4, 2] = z_m
    message = rf"frame 3: expected points 0 to 10 m ahead of the camera, got one at z = {z_m:g} m"
    with pytest.raises(HandfastError, match=message):
        hand_label("frame 3", CAMERA, strange_m, "left")
    with pytest.raises(HandfastError, match=message):
        hand_label("frame 3", CAMERA, joints_m, "left", vertices_m=strange_m)
    check_ahead("frame 3", np.empty((0, 3)))


def test_json_of_another_type_than_its_reader_expects_is_named(tmp_path):
    path = tmp_path / "labels.json"
    path.write_text('[{"x": 1}]')
    with pytest.raises(HandfastError, match=r"labels\.json: expected JSON with points"):
        read_json(path, "points", object_hook=float)
