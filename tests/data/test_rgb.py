from dataclasses import replace

import numpy as np
import pytest

from handfast.data.rgb import Exposure, Light, join_surfaces, photograph, radiance
from handfast.data.rooms import sharp_box, solid_surface
from handfast.geometry import Camera

CAMERA = Camera(60, 60, 31.5, 31.5, 64, 64)
WHITE = np.ones((4, 8, 8, 3), np.float32)
PLAIN = 3  # a layer that is not skin
WALL = solid_surface(sharp_box(), np.diag([2, 2, 0.01]), np.array([0, 0, 1.01]), PLAIN)
DARK = np.zeros(3)
LAMP = Light(
    position_m=np.array([0.0, 0, 0]),
    target_m=np.array([0.0, 0, 1]),
    reach_m=0.5,
    softness_m=0.005,
    lamp=np.ones(3),
    up=np.array([0.0, -1, 0]),
    sky=DARK,
    ground=DARK,
)
EXPOSURE = Exposure(np.ones(3), 0.5, 0.5, 0.0, 0.0, 0.0)


def seen(surface, light=LAMP, motion_m=(0.0, 0, 0), textures=WHITE, shutter=1.0):
    return radiance(surface, np.zeros_like(surface.vertices_m) + motion_m, textures, light, CAMERA, shutter)


def plate(x, z, layer=PLAIN):
    return solid_surface(sharp_box(), np.diag([0.1, 0.1, 0.001]), np.array([x, 0, z]), layer)


def test_a_white_wall_before_the_lamp_sends_back_its_light():
    middle = seen(WALL, replace(LAMP, lamp=np.array([1.0, 0.5, 0.25])))[32, 32]
    assert np.allclose(middle, [1.0, 0.5, 0.25], rtol=0.01)


def test_light_falls_with_the_square_of_distance_and_the_cosine():
    light = seen(WALL)[..., 0]
    # At column 61.5 the wall is half a metre to the side: cos^3 of the angle in all.
    assert light[32, 61] / light[32, 32] == pytest.approx((1 / (1 + (29.5 / 60) ** 2)) ** 1.5, rel=0.02)


def test_light_from_all_around_comes_from_above_and_below():
    sky, ground = np.array([0.0, 0, 1]), np.array([1.0, 0, 0])
    light = seen(WALL, replace(LAMP, lamp=DARK, sky=sky, ground=ground))
    assert np.allclose(light, [0.5, 0, 0.5], atol=1e-5)
    floor = solid_surface(sharp_box(), np.diag([2, 0.01, 2]), np.array([0, 0.5, 0]), PLAIN)
    assert np.allclose(seen(floor, replace(LAMP, lamp=DARK, sky=sky, ground=ground))[60, 32], sky, atol=1e-5)


def test_a_plate_throws_its_shadow_and_none_elsewhere():
    lamp = replace(LAMP, position_m=np.array([-0.5, 0.0, 0.0]))
    shaded, bare = seen(join_surfaces([WALL, plate(0.0, 0.5)]), lamp), seen(WALL, lamp)
    # From x = -0.5 the plate at 0.5 m puts its shadow on the wall about x = 0.5 m, column 61.
    assert shaded[32, 60].max() < 0.05 < bare[32, 60].min()
    assert np.allclose(shaded[5, 5:20], bare[5, 5:20])


def test_softer_lamps_make_wider_edges():
    lamp = replace(LAMP, position_m=np.array([-0.4, 0.0, 0.0]))
    scene = join_surfaces([WALL, plate(-0.05, 0.5)])

    def partly(softness_m):
        shadow = seen(scene, replace(lamp, softness_m=softness_m))[..., 0] / seen(WALL, lamp)[..., 0]
        return int(((shadow > 0.1) & (shadow < 0.9))[:, 40:].sum())

    assert partly(0.06) > 1.5 * partly(0.002)


def test_closed_places_get_less_light_from_all_around():
    half = replace(WALL, openness=np.full(len(WALL.vertices_m), 0.5))
    ambient = replace(LAMP, lamp=DARK, sky=np.ones(3), ground=np.ones(3))
    assert np.allclose(seen(half, ambient), 0.5 * seen(WALL, ambient))


def test_skin_glows_red_beyond_the_edge_of_light():
    grazing = replace(LAMP, position_m=np.array([0.0, -3.0, 1.0]))
    skin = replace(WALL, texture=WALL.texture * (1, 1, 0))
    red, green, blue = seen(skin, grazing)[32, 32]
    assert red > green > blue > 0 and np.allclose(seen(WALL, grazing), 0)


def test_textures_are_looked_up_between_texels_and_layers():
    textures = np.zeros((5, 1, 2, 3), np.float32)
    textures[3, :, 1], textures[4] = 1.0, (0.0, 0.5, 0.0)
    at = np.array([0.25, 0.0, 3.0])
    even = replace(WALL, texture=np.tile(at, (len(WALL.vertices_m), 1)))
    assert np.allclose(seen(even, textures=textures)[32, 32], 0.25, atol=0.01)
    mixed = replace(even, texture=even.texture + np.array([0, 0, 0.5]))
    assert np.allclose(seen(mixed, textures=textures)[32, 32], [0.125, 0.375, 0.125], atol=0.01)


def test_what_moves_is_blurred_along_its_motion_and_only_while_the_shutter_is_open():
    ambient = replace(LAMP, lamp=DARK, sky=np.ones(3), ground=np.ones(3))
    still, moving, shut = (
        seen(plate(0.0, 0.6), ambient, (motion_m, 0, 0), shutter=shutter)[..., 0]
        for motion_m, shutter in ((0.0, 1.0), (0.08, 1.0), (0.08, 0.0))
    )
    assert np.array_equal(shut, still)
    partly = [int(((light > 0.01) & (light < 0.99)).sum()) for light in (still, moving)]
    assert partly[1] > partly[0] + 40
    assert moving.sum() == pytest.approx(still.sum(), rel=0.03)
    # About where it is at the middle of the exposure.
    columns = np.arange(64)
    assert (moving.sum(0) @ columns) / moving.sum() == pytest.approx(31.5, abs=0.2)


def test_moving_the_scene_with_its_lamp_changes_nothing_but_the_place():
    T = np.eye(4)
    T[:3, 3] = 0.2, -0.1, 0.3
    light = LAMP.moved(T)
    assert np.allclose(light.position_m, [0.2, -0.1, 0.3]) and np.allclose(light.target_m, [0.2, -0.1, 1.3])
    assert np.allclose(WALL.moved(T).vertices_m, WALL.vertices_m + T[:3, 3])


def test_brighter_light_makes_brighter_pixels_up_to_white():
    levels = [0.0, 0.02, 0.2, 1.0, 20.0]
    rng = np.random.default_rng(0)
    flat = [photograph(np.full((8, 8, 3), level, np.float32), EXPOSURE, rng) for level in levels]
    values = [int(picture[4, 4, 0]) for picture in flat]
    assert values[0] == 0 and values[-1] == 255 and np.all(np.diff(values) > 20)
    assert all(np.ptp(picture) == 0 for picture in flat)


def test_gain_sets_each_colour_and_corners_are_darker():
    light = np.full((33, 33, 3), 0.2, np.float32)
    exposure = replace(EXPOSURE, gain=np.array([1.5, 1.0, 0.5]), vignette=0.4)
    picture = photograph(light, exposure, np.random.default_rng(0)).astype(int)
    red, green, blue = picture[16, 16]
    assert red > green > blue and np.all(picture[0, 0] < picture[16, 16] - 5)


def test_noise_grows_with_the_light():
    exposure = replace(EXPOSURE, shot_noise=0.03, read_noise=0.001)

    def linear_spread(level):
        picture = photograph(np.full((64, 64, 3), level, np.float32), exposure, np.random.default_rng(0))
        calm = photograph(np.full((64, 64, 3), level * 1.1, np.float32), EXPOSURE, np.random.default_rng(0))
        per_light = (float(calm.mean()) - picture.mean()) / (0.1 * level)
        return picture.std() / per_light

    assert linear_spread(0.4) > 1.5 * linear_spread(0.05)
