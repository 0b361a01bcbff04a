"""Rooms made from numbers: walls, furniture, a table, what stands on it, and the textures of all that.

Room axes are those of a level camera at the origin: x right, y down, z into the room, metres.
"""

from dataclasses import replace
from enum import IntEnum
from functools import cache

import cv2
import numpy as np

from handfast.data.meshes import revolved, unit_ball, unit_box
from handfast.data.rgb import Surface
from handfast.geometry import rotation_from_axis_angle

THINGS = 8


class Layer(IntEnum):
    """The textures of a clip. From THING on, THINGS layers of different colours."""

    PALM = 0
    BACK = 1
    SLEEVE = 2
    WALL = 3
    FLOOR = 4
    WOOD = 5
    WHITE = 6
    DARK = 7
    GLOW = 8
    LEAF = 9
    THING = 10


# Linear red, green, blue of what people like to have about: greys and browns, and some strong colours.
_DYES = (
    (0.75, 0.74, 0.70), (0.45, 0.45, 0.45), (0.15, 0.15, 0.16), (0.03, 0.03, 0.03), (0.55, 0.42, 0.28),
    (0.25, 0.13, 0.06), (0.50, 0.03, 0.03), (0.70, 0.22, 0.03), (0.72, 0.50, 0.05), (0.06, 0.25, 0.06),
    (0.03, 0.22, 0.22), (0.05, 0.15, 0.45), (0.02, 0.03, 0.12), (0.35, 0.45, 0.60), (0.60, 0.30, 0.33),
)  # fmt: skip
# Texture coordinates of a place within a solid: oblique, so that no side of a box is seen edge-on.
OBLIQUE = np.array([[1.0, 0.13], [0.17, 1.0], [0.71, 0.63]])
_SECTORS = 18
# Radii and heights from top to bottom of what stands on tables; a corner is two points, so that it is sharp.
_PROFILES = {
    "bottle": (
        (0, 0.3, 0.3, 0.3, 0.35, 0.9, 1, 1, 1, 0),
        (1, 1, 1, 0.72, 0.6, 0.4, 0.25, -1, -1, -1),
    ),
    "cup": ((0, 0.8, 0.92, 0.92, 1, 1, 0.8, 0.8, 0), (-0.9, -0.9, 0.95, 0.95, 1, 1, -1, -1, -1)),
    "can": ((0, 0.9, 0.9, 1, 1, 0.95, 0.95, 0), (1, 1, 1, 0.93, -0.95, -1, -1, -1)),
    "rod": ((0, 1, 1, 1, 1, 0), (1, 1, 1, -1, -1, -1)),
    "bowl": ((0, 0.7, 0.95, 1, 0.85, 0.4, 0.4, 0), (-0.8, -0.6, 1, 1, -0.5, -1, -1, -1)),
}


@cache
def profile(name: str) -> tuple[np.ndarray, np.ndarray]:
    """A turned solid along y, within -1..1: bottle, cup, can, rod or bowl."""
    radii, heights = _PROFILES[name]
    # The top is where y is least.
    return revolved(radii[::-1], [-h for h in heights[::-1]], _SECTORS)


@cache
def sharp_box() -> tuple[np.ndarray, np.ndarray]:
    """The cube -1..1 whose sides share no corner, so that each has normals of its own."""
    vertices, faces = unit_box()
    corners = np.concatenate([faces[0::2], faces[1::2, 2:]], axis=1)
    quads = np.arange(24).reshape(6, 4)
    return vertices[corners.ravel()], np.concatenate([quads[:, [0, 1, 2]], quads[:, [0, 2, 3]]])


def thing(
    rng: np.random.Generator,
    unit: tuple[np.ndarray, np.ndarray],
    axes_m: np.ndarray,
    centre_m: np.ndarray,
    layer: int,
    gloss: float = 0.0,
    px_per_m: float = 400.0,
) -> Surface:
    """``solid_surface`` with any patch of its texture."""
    surface = solid_surface(unit, axes_m, centre_m, layer, gloss, px_per_m)
    patch_px = np.array([*rng.uniform(0, 1000, 2), 0])
    return replace(surface, texture=surface.texture + patch_px)


def solid_surface(
    unit: tuple[np.ndarray, np.ndarray],
    axes_m: np.ndarray,
    centre_m: np.ndarray,
    layer: int,
    gloss: float = 0.0,
    px_per_m: float = 400.0,
    label: int = 0,
) -> Surface:
    """A unit solid stretched by the columns of axes_m (3, 3) about a centre (3,)."""
    vertices, faces = unit
    texture_px = (vertices * np.linalg.norm(axes_m, axis=0)) @ OBLIQUE * px_per_m
    count = len(vertices)
    return Surface(
        vertices @ axes_m.T + centre_m,
        faces,
        np.concatenate([texture_px, np.full((count, 1), float(layer))], axis=1),
        np.full(count, gloss),
        np.ones(count),
        np.full(len(faces), label, np.uint8),
    )


def any_thing(rng: np.random.Generator) -> int:
    """The layer of some thing's colour."""
    return Layer.THING + int(rng.integers(THINGS))


def paint_room(rng: np.random.Generator, patterns: np.ndarray) -> np.ndarray:
    """Layers from WALL on, (n, h, w, 3) float32 reflectance. patterns: (T, h, w), from 0.1 to 1.9."""
    wood = np.array([0.45, 0.26, 0.13]) * rng.uniform(0.35, 1.5)
    wall = _pale(rng)
    # Two colours for each layer, in the order of Layer.
    pairs = [
        (wall, wall * rng.uniform(0.75, 0.97)),
        (_dull(rng), _dull(rng)),
        (wood, wood * rng.uniform(0.5, 0.8)),
        (np.full(3, 0.8), np.full(3, rng.uniform(0.6, 0.78))),
        (np.full(3, 0.03), rng.uniform(0.03, 0.07, 3)),
        # A window or a screen sends back more than any paint could.
        (rng.uniform(1.5, 4.0) * np.array([0.9, 1.0, 1.1]), np.array([1.2, 1.4, 1.5])),
        (rng.uniform(0.02, 0.06, 3), np.array([0.1, 0.25, 0.05]) * rng.uniform(0.5, 1.5)),
    ]
    for _ in range(THINGS):
        colour = sample_dye(rng)
        pairs.append((colour, sample_dye(rng) if rng.random() < 0.25 else colour * rng.uniform(0.7, 1.0)))
    chosen = patterns[rng.integers(len(patterns), size=len(pairs))]
    # Boards are drawn out along their grain.
    wooden = chosen[Layer.WOOD - Layer.WALL]
    wooden[:] = cv2.resize(wooden[: len(wooden) // 12], wooden.shape[::-1])
    return np.stack([two_tone(pattern, *pair) for pattern, pair in zip(chosen, pairs, strict=True)])


def two_tone(pattern: np.ndarray, low: np.ndarray, high: np.ndarray) -> np.ndarray:
    """A pattern (h, w) from 0.1 to 1.9 -> (h, w, 3) float32 from one colour to another."""
    share = ((pattern - 0.1) / 1.8)[..., None].astype(np.float32)
    return np.float32(low) + share * np.float32(high - low)


def _pale(rng: np.random.Generator) -> np.ndarray:
    return rng.uniform(0.35, 0.8) * (1 - rng.uniform(0, 0.25, 3))


def _dull(rng: np.random.Generator) -> np.ndarray:
    return rng.uniform(0.1, 0.5) * (1 - rng.uniform(0, 0.4, 3))


def sample_dye(rng: np.random.Generator) -> np.ndarray:
    """A colour that things are made in, paler or darker."""
    colour = np.array(_DYES[rng.integers(len(_DYES))])
    return np.clip(
        (colour + rng.uniform(0, 0.15)) * rng.uniform(0.5, 1.3) * (1 + 0.2 * rng.random(3)), 0.02, 0.85
    )


def sample_room(rng: np.random.Generator) -> list[Surface]:
    """A back wall with three things at it, side walls, a floor and a ceiling."""
    back, half = rng.uniform(1.3, 3.0), rng.uniform(1.3, 2.2)
    floor, ceiling = rng.uniform(0.8, 1.2), rng.uniform(-1.7, -1.25)
    middle, tall = (floor + ceiling) / 2, (floor - ceiling) / 2
    pieces = [
        _block(rng, (4, tall, 0.02), (0, middle, back), Layer.WALL, px_per_m=150),
        _block(rng, (0.02, tall, 4), (-half, middle, 0), Layer.WALL, px_per_m=150),
        _block(rng, (0.02, tall, 4), (half, middle, 0), Layer.WALL, px_per_m=150),
        _block(rng, (4, 0.02, 4), (0, floor, 0), Layer.FLOOR, px_per_m=150),
        _block(rng, (4, 0.02, 4), (0, ceiling, 0), Layer.WHITE, px_per_m=60),
    ]
    furniture = (_window, _shelf, _pictures, _door, _desk, _plant, _curtain)
    for x, number in zip(
        half * (np.array([-0.62, 0.0, 0.62]) + rng.uniform(-0.12, 0.12, 3)),
        rng.choice(len(furniture), 3, replace=False),
        strict=True,
    ):
        pieces += furniture[number](rng, x, back, floor)
    return pieces


def sample_table(rng: np.random.Generator, height_m: float) -> list[Surface]:
    """A table from under the camera on, height_m below it, and what lies and stands there."""
    far = rng.uniform(0.9, 1.4)
    layer = rng.choice([Layer.WOOD, Layer.WHITE, any_thing(rng)])
    pieces = [_block(rng, (1.5, 0.02, far), (0, height_m + 0.02, 0), layer, gloss=rng.uniform(0, 0.3))]
    for _ in range(rng.integers(3, 9)):
        place = np.array([rng.uniform(-0.45, 0.45), height_m, rng.uniform(0.25, far - 0.1)])
        kind = rng.choice(["book", "paper", "bottle", "cup", "can", "bowl", "box"])
        if kind in ("book", "paper", "box"):
            half = {
                "book": (rng.uniform(0.06, 0.12), rng.uniform(0.006, 0.03), rng.uniform(0.09, 0.15)),
                "paper": (0.105, 0.0015, 0.148),
                "box": rng.uniform(0.03, 0.1, 3),
            }[kind]
            turn = rotation_from_axis_angle(np.array([0, rng.uniform(-1.5, 1.5), 0]))
            layer = Layer.WHITE if kind == "paper" else any_thing(rng)
            pieces.append(thing(rng, sharp_box(), turn * half, place - (0, half[1], 0), layer, px_per_m=700))
        else:
            pieces.append(standing(rng, kind, place))
    return pieces


def standing(rng: np.random.Generator, kind: str, foot_m: np.ndarray) -> Surface:
    """A bottle, cup, can or bowl that stands on foot_m (3,)."""
    radius = {"bottle": 0.035, "cup": 0.04, "can": 0.033, "bowl": 0.075}[kind] * rng.uniform(0.85, 1.2)
    half = {"bottle": 0.11, "cup": 0.048, "can": 0.06, "bowl": 0.03}[kind] * rng.uniform(0.85, 1.2)
    axes = np.diag([radius, half, radius])
    gloss = rng.uniform(0, 0.8)
    return thing(rng, profile(kind), axes, foot_m - (0, half, 0), any_thing(rng), gloss, px_per_m=700)


def _block(
    rng: np.random.Generator,
    half_m: tuple[float, float, float],
    centre_m: tuple[float, float, float],
    layer: int,
    gloss: float = 0.0,
    px_per_m: float = 400.0,
) -> Surface:
    """A box along the axes of the room."""
    return thing(rng, sharp_box(), np.diag(half_m), np.array(centre_m), layer, gloss, px_per_m)


def _window(rng: np.random.Generator, x: float, back: float, floor: float) -> list[Surface]:
    wide, tall, y = rng.uniform(0.25, 0.5), rng.uniform(0.35, 0.6), rng.uniform(-0.4, 0.0)
    pane = _block(rng, (wide, tall, 0.01), (x, y, back - 0.03), Layer.GLOW, px_per_m=60)
    bars = [((0.025, tall + 0.04, 0.03), (x + side * wide, y, back - 0.03)) for side in (-1, 0, 1)] + [
        ((wide, 0.025, 0.03), (x, y + side * tall, back - 0.03)) for side in (-1, 1)
    ]
    return [pane, *(_block(rng, half, centre, Layer.WHITE) for half, centre in bars)]


def _shelf(rng: np.random.Generator, x: float, back: float, floor: float) -> list[Surface]:
    wide, step, deep = rng.uniform(0.3, 0.5), rng.uniform(0.26, 0.36), 0.13
    z = back - deep
    pieces = [
        _block(rng, (0.012, 0.6 + floor / 2, deep), (x + side * wide, floor / 2 - 0.6, z), Layer.WOOD)
        for side in (-1, 1)
    ]
    for y in np.arange(floor - 0.05, -1.1, -step):
        pieces.append(_block(rng, (wide, 0.012, deep), (x, y, z), Layer.WOOD))
        left = x - wide + 0.015
        while left < x + wide - 0.08 and rng.random() < 0.96:
            half, tall = rng.uniform(0.008, 0.03), rng.uniform(0.3, 0.46) * step
            middle = (left + half, y - 0.012 - tall, z - rng.uniform(0.0, 0.04))
            pieces.append(_block(rng, (half, tall, 0.09), middle, any_thing(rng), px_per_m=900))
            left += 2 * half + (rng.exponential(0.1) if rng.random() < 0.1 else 0.001)
    return pieces


def _pictures(rng: np.random.Generator, x: float, back: float, floor: float) -> list[Surface]:
    pieces = []
    for _ in range(rng.integers(1, 4)):
        wide, tall = rng.uniform(0.08, 0.28, 2)
        px, py = x + rng.uniform(-0.25, 0.25), rng.uniform(-0.7, 0.2)
        frame = rng.choice([Layer.WOOD, Layer.WHITE, Layer.DARK])
        pieces.append(_block(rng, (wide, tall, 0.012), (px, py, back - 0.03), frame))
        inner = (wide - 0.02, tall - 0.02, 0.014)
        pieces.append(_block(rng, inner, (px, py, back - 0.032), any_thing(rng), px_per_m=600))
    return pieces


def _door(rng: np.random.Generator, x: float, back: float, floor: float) -> list[Surface]:
    layer = rng.choice([Layer.WOOD, Layer.WHITE, any_thing(rng)])
    y = floor - 1.0
    knob = thing(
        rng, unit_ball(), 0.03 * np.eye(3), np.array([x + 0.33, y + 0.05, back - 0.08]), Layer.DARK, 1.0
    )
    return [
        _block(rng, (0.46, 1.05, 0.02), (x, y, back - 0.02), Layer.WHITE),
        _block(rng, (0.4, 1.0, 0.025), (x, y, back - 0.03), layer, px_per_m=200),
        knob,
    ]


def _desk(rng: np.random.Generator, x: float, back: float, floor: float) -> list[Surface]:
    """With a screen on it."""
    top, z = rng.uniform(0.25, 0.5), back - 0.35
    wide, tall = rng.uniform(0.2, 0.32), rng.uniform(0.13, 0.19)
    screen_y = top - tall - 0.1
    pieces = [
        _block(rng, (0.6, 0.015, 0.3), (x, top, z), Layer.WOOD),
        _block(rng, (0.55, (floor - top) / 2, 0.02), (x, (floor + top) / 2, z), Layer.WOOD),
        _block(rng, (wide, tall, 0.015), (x, screen_y, z + 0.1), Layer.DARK, gloss=0.5),
        _block(rng, (0.03, 0.08, 0.02), (x, top - 0.05, z + 0.12), Layer.DARK),
    ]
    if rng.random() < 0.5:
        pane = (wide - 0.015, tall - 0.015, 0.016)
        pieces.append(_block(rng, pane, (x, screen_y, z + 0.098), Layer.GLOW, px_per_m=300))
    for side in (-1, 1):
        kind = rng.choice(["bottle", "cup", "can", "bowl"])
        pieces.append(standing(rng, kind, np.array([x + side * rng.uniform(0.35, 0.5), top - 0.015, z])))
    return pieces


def _plant(rng: np.random.Generator, x: float, back: float, floor: float) -> list[Surface]:
    z, top = back - 0.35, rng.uniform(0.2, 0.6)
    pot = thing(
        rng, profile("cup"), np.diag([0.13, 0.14, 0.13]), np.array([x, top + 0.14, z]), any_thing(rng)
    )
    stand = _block(rng, (0.2, (floor - top) / 2, 0.2), (x, (floor + top + 0.28) / 2 + 0.02, z), Layer.WOOD)
    leaves = []
    for _ in range(rng.integers(25, 45)):
        turn = rotation_from_axis_angle(rng.normal(0, 0.9, 3))
        centre = np.array([x, top - 0.15, z]) + rng.normal(0, (0.09, 0.11, 0.08))
        leaves.append(thing(rng, unit_ball(5, 6), turn * (0.025, 0.1, 0.008), centre, Layer.LEAF, gloss=0.15))
    return [pot, stand, *leaves]


def _curtain(rng: np.random.Generator, x: float, back: float, floor: float) -> list[Surface]:
    layer, folds = any_thing(rng), rng.integers(6, 14)
    wide = rng.uniform(0.03, 0.06)
    return [
        thing(
            rng,
            profile("rod"),
            np.diag([wide, 1.3, wide * rng.uniform(0.5, 1.0)]),
            np.array([x + (fold - folds / 2) * 1.6 * wide, floor - 1.3, back - 0.1]),
            layer,
            px_per_m=200,
        )
        for fold in range(folds)
    ]
