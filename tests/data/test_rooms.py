import numpy as np
import pytest

from handfast.data.render import rasterise
from handfast.data.rgb import join_surfaces
from handfast.data.rooms import (
    THINGS,
    Layer,
    paint_room,
    profile,
    sample_room,
    sample_table,
    sharp_box,
    standing,
    two_tone,
)
from handfast.geometry import Camera, rotation_from_axis_angle

CAMERA = Camera(70, 70, 31.5, 31.5, 64, 64)


def volume(unit):
    a, b, c = (unit[0][unit[1][:, i]] for i in range(3))
    return np.einsum("fi,fi->f", a, np.cross(b, c)).sum() / 6


@pytest.mark.parametrize("kind", ["bottle", "cup", "can", "rod", "bowl"])
def test_turned_solids_fill_their_box_and_are_wound_outwards(kind):
    vertices, _ = profile(kind)
    assert np.allclose(np.abs(vertices).max(0), 1, atol=0.02)
    assert 0.3 < volume(profile(kind)) < 2 * np.pi


def test_the_sides_of_a_sharp_box_share_no_corner():
    vertices, faces = sharp_box()
    assert volume(sharp_box()) == pytest.approx(8)
    sides = [set(faces[i : i + 1].ravel()) | set(faces[i + 6]) for i in range(6)]
    assert len(vertices) == 24 and sum(map(len, sides)) == 24
    for side in sides:
        corners = vertices[sorted(side)]
        assert (np.ptp(corners, axis=0) == 0).sum() == 1


@pytest.mark.parametrize("seed", range(6))
def test_a_room_is_closed_wherever_a_camera_looks(seed):
    room = join_surfaces(sample_room(np.random.default_rng(seed)))
    for down_rad in (-0.2, 0.0, 0.8):
        turned = room.vertices_m @ rotation_from_axis_angle(np.array([down_rad, 0, 0])).T
        assert (rasterise(turned, room.faces, CAMERA).face >= 0).all()


def test_nothing_on_a_table_sinks_into_it():
    for seed in range(6):
        pieces = sample_table(np.random.default_rng(seed), 0.4)
        assert len(pieces) > 3
        for piece in pieces[1:]:
            assert piece.vertices_m[:, 1].max() == pytest.approx(0.4)


def test_what_stands_stands_on_its_foot():
    bottle = standing(np.random.default_rng(0), "bottle", np.array([0.1, 0.3, 0.9]))
    x, y, _ = bottle.vertices_m.T
    assert y.max() == pytest.approx(0.3) and y.min() < 0.15
    # The neck is on top.
    assert np.ptp(x[y < y.min() + 0.01]) < 0.5 * np.ptp(x[y > 0.29])


def test_every_texture_that_a_room_uses_is_painted():
    rng = np.random.default_rng(1)
    textures = paint_room(rng, rng.uniform(0.1, 1.9, (5, 40, 50)).astype(np.float32))
    assert textures.shape == (Layer.THING + THINGS - Layer.WALL, 40, 50, 3)
    assert textures.min() > 0 and np.isfinite(textures).all()
    # What shines is brighter than all that does not.
    glow = textures[Layer.GLOW - Layer.WALL]
    assert glow.min() > 1 > np.delete(textures, Layer.GLOW - Layer.WALL, axis=0).max()
    for seed in range(8):
        rng = np.random.default_rng(seed)
        layers = join_surfaces(sample_room(rng) + sample_table(rng, 0.5)).texture[:, 2]
        assert Layer.WALL <= layers.min() and layers.max() < Layer.THING + THINGS


def test_two_tones_run_from_the_one_to_the_other():
    low, high = np.array([0.1, 0.2, 0.3]), np.array([0.5, 0.2, 0.0])
    painted = two_tone(np.array([[0.1, 1.0, 1.9]]), low, high)
    assert np.allclose(painted[0], [low, (low + high) / 2, high])
