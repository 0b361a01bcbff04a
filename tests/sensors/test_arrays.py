"""Frames out of one array."""

import numpy as np
import pytest

from handfast.errors import HandfastError
from handfast.sensors.images import infrared_image
from handfast.sensors.sources import open_source
from source_fixtures import CAMERA, INTRINSICS, grey


def test_an_array_of_numpy(tmp_path):
    colour = np.stack([grey(i, shape=(24, 32, 3)) for i in range(3)])
    depth = np.stack([grey(i, np.uint16) for i in range(4)])
    np.save(tmp_path / "colour.npy", colour)
    np.save(tmp_path / "grey.npy", colour[..., 0])
    np.save(tmp_path / "depth.npy", depth)
    for frame, image in zip(open_source(tmp_path / "colour.npy", fps=10), colour, strict=True):
        np.testing.assert_array_equal(frame.colour, image)
        np.testing.assert_allclose(frame.amplitude, image @ [0.299, 0.587, 0.114], atol=1)
        assert frame.time_s == frame.index / 10
    source = open_source(tmp_path / "grey.npy", intrinsics=INTRINSICS)
    assert not source.in_colour() and open_source(tmp_path / "colour.npy").in_colour()
    assert len(source) == 3 and all(
        (f.amplitude == c[..., 0]).all() for f, c in zip(source, colour, strict=True)
    )
    assert [f.camera for f in source] == [CAMERA] * 3
    of_depth = list(open_source(tmp_path / "depth.npy", intrinsics=INTRINSICS, depth_unit_mm=0.5))
    assert all((f.depth == d).all() and f.depth_unit_mm == 0.5 for f, d in zip(of_depth, depth, strict=True))
    infrared = list(open_source(tmp_path / "depth.npy", infrared=True))
    np.testing.assert_array_equal(infrared[2].amplitude, infrared_image(depth[2]))
    with pytest.raises(HandfastError, match=r"depth\.npy: images of 16 bits are taken for depth"):
        open_source(tmp_path / "depth.npy")


def test_arrays_in_another_order_of_bytes_or_axes(tmp_path):
    depth = np.stack([grey(i, np.uint16) for i in range(3)])
    for name, stored in (("big", depth.astype(">u2")), ("fortran", np.asfortranarray(depth))):
        np.save(tmp_path / f"{name}.npy", stored)
        frames = open_source(tmp_path / f"{name}.npy", intrinsics=INTRINSICS, depth_unit_mm=1.0)
        assert all((frame.depth == image).all() for frame, image in zip(frames, depth, strict=True))


def test_several_arrays_in_one_file(tmp_path):
    np.savez(tmp_path / "frames.npz", a=np.zeros((2, 24, 32), np.uint8))
    (tmp_path / "frames.npz").rename(tmp_path / "frames.npy")
    with pytest.raises(HandfastError, match="expected one array of frames, got several"):
        open_source(tmp_path / "frames.npy")


@pytest.mark.parametrize(
    "array",
    [
        np.zeros((24, 32), np.uint8),
        np.zeros((2, 24, 32), np.float32),
        np.zeros((2, 24, 32, 4), np.uint8),
        np.zeros((2, 24, 32, 3), np.uint16),
        np.zeros((0, 24, 32), np.uint8),
        np.array([{"frames": 3}]),
    ],
)
def test_arrays_that_are_no_frames(tmp_path, array):
    np.save(tmp_path / "frames.npy", array)
    with pytest.raises(HandfastError, match=r"frames\.npy: (expected frames \(n, H, W\)|not a whole)"):
        open_source(tmp_path / "frames.npy")


def test_an_array_that_is_cut_off(tmp_path):
    np.save(tmp_path / "frames.npy", np.zeros((9, 24, 32), np.uint8))
    data = (tmp_path / "frames.npy").read_bytes()
    for length in (0, 20, 1000):
        (tmp_path / "frames.npy").write_bytes(data[:length])
        with pytest.raises(HandfastError, match="not a whole"):
            open_source(tmp_path / "frames.npy")
