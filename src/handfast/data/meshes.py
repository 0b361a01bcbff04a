"""Simple closed meshes for everything in a scene that is not a hand."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache

import numpy as np


@dataclass(frozen=True, eq=False)
class Mesh:
    """vertices_m (V, 3) in camera space, faces (F, 3), albedo (F,) 0..1, label (F,) uint8."""

    vertices_m: np.ndarray
    faces: np.ndarray
    albedo: np.ndarray
    label: np.ndarray


_NOTHING = Mesh(np.empty((0, 3)), np.empty((0, 3), int), np.empty(0), np.empty(0, np.uint8))


def join(meshes: list[Mesh]) -> Mesh:
    """One mesh of many, or of none."""
    meshes = [_NOTHING, *meshes]
    starts = np.cumsum([0, *(len(m.vertices_m) for m in meshes[:-1])])
    return Mesh(
        np.concatenate([m.vertices_m for m in meshes]),
        np.concatenate([m.faces + start for m, start in zip(meshes, starts, strict=True)]),
        np.concatenate([m.albedo for m in meshes]),
        np.concatenate([m.label for m in meshes]),
    )


def solid(
    unit: tuple[np.ndarray, np.ndarray],
    axes_m: np.ndarray,
    centre_m: np.ndarray,
    albedo: float,
    label: int = 0,
) -> Mesh:
    """A unit mesh (vertices, faces) stretched by the columns of axes_m (3, 3) about a centre (3,)."""
    vertices, faces = unit
    count = len(faces)
    return Mesh(
        vertices @ axes_m.T + centre_m, faces, np.full(count, albedo), np.full(count, label, np.uint8)
    )


@cache
def unit_box() -> tuple[np.ndarray, np.ndarray]:
    """The cube -1..1."""
    vertices = np.array([[x, y, z] for x in (-1, 1) for y in (-1, 1) for z in (-1, 1)], float)
    quads = [(0, 1, 3, 2), (4, 6, 7, 5), (0, 4, 5, 1), (2, 3, 7, 6), (0, 2, 6, 4), (1, 5, 7, 3)]
    return vertices, np.array([t for a, b, c, d in quads for t in ((a, b, c), (a, c, d))])


@cache
def unit_ball(rings: int = 7, sectors: int = 10) -> tuple[np.ndarray, np.ndarray]:
    """The unit ball, poles along y."""
    return revolved(
        [np.sin(t) for t in np.linspace(0, np.pi, rings)], np.cos(np.linspace(0, np.pi, rings)), sectors
    )


@cache
def unit_tube() -> tuple[np.ndarray, np.ndarray]:
    """A closed cylinder of radius 1 along y from -1 to 1."""
    return revolved([0, 1, 1, 0], [1, 1, -1, -1], sectors=10)


def revolved(radii: Sequence[float], heights: Sequence[float], sectors: int) -> tuple[np.ndarray, np.ndarray]:
    """A profile turned about the y axis: vertices and faces, wound outwards where heights fall."""
    turn = 2 * np.pi * np.arange(sectors) / sectors
    rings = [
        np.stack([r * np.cos(turn), np.full(sectors, h), r * np.sin(turn)], 1)
        for r, h in zip(radii, heights, strict=True)
    ]
    faces = []
    for ring in range(len(rings) - 1):
        for a in range(sectors):
            b, c, d = (a + 1) % sectors, a + sectors, (a + 1) % sectors + sectors
            faces += [(a + ring * sectors, b + ring * sectors, c + ring * sectors)]
            faces += [(b + ring * sectors, d + ring * sectors, c + ring * sectors)]
    return np.concatenate(rings), np.array(faces)
