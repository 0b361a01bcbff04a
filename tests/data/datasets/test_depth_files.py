import cv2
import numpy as np
import pytest

from handfast.data.datasets.depth_files import parse_joints, read_depth, read_named_rows, read_rows
from handfast.errors import HandfastError
from handfast.geometry import Camera

CAMERA = Camera(100.0, 100.0, 20.0, 15.0, 40, 30)


def test_rows_keep_their_line_numbers_past_blank_lines(tmp_path):
    path = tmp_path / "labels.txt"
    path.write_text("a.png 1 2 \n\n   \nb.png\t3 4\nc.png\n")
    assert read_rows(path, "labels") == [(1, "a.png 1 2"), (4, "b.png\t3 4"), (5, "c.png")]
    assert read_named_rows(path, "labels") == [
        (1, "a.png", "1 2"),
        (4, "b.png", "3 4"),
        (5, "c.png", ""),
    ]


def test_a_table_that_is_missing_or_no_text_is_named(tmp_path):
    path = tmp_path / "labels.txt"
    with pytest.raises(HandfastError, match=r"labels\.txt: missing; it should hold joints"):
        read_rows(path, "joints")
    path.write_bytes(b"\xff\xfe\x00\x80")
    with pytest.raises(HandfastError, match=r"labels\.txt: expected text with joints"):
        read_rows(path, "joints")


def test_joints_are_parsed_row_by_row(tmp_path):
    points = parse_joints(tmp_path / "t", [(1, "1 2 3 4 5 6"), (3, "-1e1 0 0 .5 0 7")], 2)
    assert points.tolist() == [[[1, 2, 3], [4, 5, 6]], [[-10, 0, 0], [0.5, 0, 7]]]
    assert parse_joints(tmp_path / "t", [], 2).shape == (0, 2, 3)


@pytest.mark.parametrize(
    ("row", "message"),
    [
        ("1 2 3 4 5", "labels, line 9: expected 2 joints x 3 numbers, got 5"),
        ("1 2 3 4 5 6 7", "labels, line 9: .* got 7"),
        ("1 2 3 4 5 six", "labels: expected numbers, got .*six"),
        ("1 2 3 4 5 nan", "labels, line 9: expected finite numbers"),
        ("1 2 3 4 5 inf", "labels, line 9: expected finite numbers"),
    ],
)
def test_a_broken_row_is_named(tmp_path, row, message):
    with pytest.raises(HandfastError, match=message):
        parse_joints(tmp_path / "labels", [(7, "1 2 3 4 5 6"), (9, row)], 2)


@pytest.mark.parametrize("image", [np.zeros((30, 40), np.uint8), np.zeros((40, 30), np.uint16)])
def test_depth_of_another_size_or_type_is_refused(tmp_path, image):
    path = tmp_path / "depth.png"
    cv2.imwrite(str(path), image)
    with pytest.raises(HandfastError, match=r"depth\.png: expected 16-bit depth of 40 x 30"):
        read_depth(path, CAMERA)
