"""A z-buffer rasteriser on one core: triangles in camera space to depth, face and shading images.

Rasterisation in homogeneous coordinates (Olano and Greer 1997, "Triangle scan conversion using 2D homogeneous
coordinates"): over the image, a triangle's inverse depth and barycentric weights over depth are linear, also
where it reaches behind the camera. So its edges and the near plane are half planes of the image, and clipping
makes no new triangles. Several meshes are one call: concatenate them, and tell them apart by the face image.

In the kernels a corner is K v = z (x px, y px, 1), and a plane (3,) means its product with (x px, y px, 1).
"""

from dataclasses import dataclass

import numpy as np

from handfast.geometry import Camera
from handfast.jit import jit

# Edges are moved out by this much: more than float32 corners round, so that neighbours leave no crack.
_SLACK_PX = 1e-4


@dataclass(frozen=True, eq=False)
class Raster:
    """depth_m: (H, W) float32 along z, 0 = nothing. face: (H, W) int32 index of triangle, -1 = nothing."""

    depth_m: np.ndarray
    face: np.ndarray


@dataclass(frozen=True, eq=False)
class Shading:
    """cos_incidence: (H, W) float32, |normal . view|. albedo: (H, W) float32. label: (H, W) uint8."""

    cos_incidence: np.ndarray
    albedo: np.ndarray
    label: np.ndarray


def rasterise(vertices_m: np.ndarray, faces: np.ndarray, camera: Camera, near_m: float = 0.05) -> Raster:
    """Draw triangles, both windings, clipped at z = ``near_m`` > 0; the nearest wins, the first of equals.

    vertices_m: (V, 3) in camera space. faces: (F, 3) indices into them. A pixel is its centre; a centre on an
    edge belongs to the triangle. The same input gives the same bytes.
    """
    corners, faces = _corners(vertices_m, camera), np.ascontiguousarray(faces, np.int32)
    return Raster(*_rasterise(corners, faces, camera.height, camera.width, float(near_m)))


def shade(
    raster: Raster,
    vertices_m: np.ndarray,
    faces: np.ndarray,
    camera: Camera,
    face_albedo: np.ndarray,
    face_label: np.ndarray,
    normals: np.ndarray | None = None,
) -> Shading:
    """Look up the surface of what ``rasterise`` drew from the same mesh and camera; 0 where it drew nothing.

    face_albedo: (F,). face_label: (F,), 0..255. normals: (V, 3) as from ``vertex_normals``, interpolated over
    each face; None shades each face flat.
    """
    albedo, label = np.ascontiguousarray(face_albedo, np.float32), np.ascontiguousarray(face_label, np.uint8)
    normals = np.empty((0, 3)) if normals is None else np.ascontiguousarray(normals, np.float64)
    corners, faces = _corners(vertices_m, camera), np.ascontiguousarray(faces, np.int32)
    return Shading(*_shade(raster.face, corners, faces, camera.K, albedo, label, normals))


def interpolate(
    raster: Raster, vertices_m: np.ndarray, faces: np.ndarray, camera: Camera, values: np.ndarray
) -> np.ndarray:
    """(H, W, C) float32: what each vertex carries, (V, C), spread over what ``rasterise`` drew; 0 elsewhere.

    Linear over each triangle in space, hence right in perspective. Same mesh and camera as in ``rasterise``.
    """
    corners, faces = _corners(vertices_m, camera), np.ascontiguousarray(faces, np.int32)
    return _interpolate(raster.face, corners, faces, np.ascontiguousarray(values, np.float32))


def vertex_normals(vertices: np.ndarray, faces: np.ndarray) -> np.ndarray:
    """(V, 3), (F, 3) -> (V, 3) float64 unit normals, faces weighted by area; 0 for a vertex of no face.

    The normal of a face (a, b, c) is along (b - a) x (c - a).
    """
    return _vertex_normals(np.ascontiguousarray(vertices, np.float64), np.ascontiguousarray(faces, np.int32))


def visible(points_m: np.ndarray, raster: Raster, camera: Camera, tolerance_m: float) -> np.ndarray:
    """(N, 3) m in camera space -> (N,) bool: in the image, and behind no surface by more than the tolerance.

    The surface is the farthest of the four pixels around the point, so that a slanted surface does not hide
    its own points; nothing is infinitely far.
    """
    return _visible(_corners(points_m, camera), raster.depth_m, float(tolerance_m))


def _corners(vertices: np.ndarray, camera: Camera) -> np.ndarray:
    return np.ascontiguousarray(vertices, np.float64) @ camera.K.T


# No fastmath below: contraction and reordering would make the bytes depend on the machine.
@jit(error_model="numpy")
def _rasterise(corners, faces, height, width, near):
    depth, face = np.zeros((height, width), np.float32), np.full((height, width), -1, np.int32)
    for f in range(len(faces)):
        i, j, k = faces[f]
        z = (corners[i, 2], corners[j, 2], corners[k, 2])
        if max(z) < near:
            continue
        # The near plane may cut a triangle anywhere: then try each row.
        cut = min(z) < near
        left, top, right, bottom = (-np.inf, -np.inf, np.inf, np.inf) if cut else _bounds(corners, i, j, k)
        x0, x1 = max(np.ceil(left - _SLACK_PX), 0.0), min(np.floor(right + _SLACK_PX), width - 1.0)
        y0, y1 = max(np.ceil(top - _SLACK_PX), 0.0), min(np.floor(bottom + _SLACK_PX), height - 1.0)
        if not (x0 <= x1 and y0 <= y1):
            continue
        w, b, c = _planes(corners, i, j, k)
        a = _subtract(_subtract(w, b), c)
        farthest, nearest = 1.0 / max(z), 1.0 / max(min(z), near)
        for y in range(int(y0), int(y1) + 1):
            lo, hi = x0, x1
            for p in (a, b, c):
                lo, hi = _clip(lo, hi, p[0], p[1] * y + p[2] + _SLACK_PX * (abs(p[0]) + abs(p[1])))
            w_row = w[1] * y + w[2]
            if cut:
                lo, hi = _clip(lo, hi, -w[0], 1.0 / near - w_row)
            if not lo <= hi:
                continue
            start, stop = int(np.ceil(lo)), int(hi) + 1
            depths, owners = depth[y, start:stop], face[y, start:stop]
            for n in range(stop - start):
                # Seen almost edge-on, the slack of a triangle can reach far out of its range of depth.
                inverse = np.float32(min(max(w[0] * (start + n) + w_row, farthest), nearest))
                # Until all is drawn the image holds inverse depth: linear, and 0 is infinitely far.
                nearer = inverse > depths[n]
                depths[n] = inverse if nearer else depths[n]
                owners[n] = f if nearer else owners[n]
    inverses = depth.ravel()
    for pixel in range(len(inverses)):
        if inverses[pixel] > 0:
            inverses[pixel] = np.float32(1.0) / inverses[pixel]
    return depth, face


@jit(inline="always", error_model="numpy")
def _clip(lo, hi, slope, offset):
    """The part of [lo, hi] where slope * x + offset >= 0; lo > hi if none, or if they are NaN."""
    if slope > 0:
        lo = max(lo, -offset / slope)
    elif slope < 0:
        hi = min(hi, -offset / slope)
    elif not offset >= 0:
        hi = lo - 1
    return lo, hi


@jit(error_model="numpy")
def _bounds(corners, i, j, k):
    """Left, top, right, bottom in px."""
    u = (corners[i, 0] / corners[i, 2], corners[j, 0] / corners[j, 2], corners[k, 0] / corners[k, 2])
    v = (corners[i, 1] / corners[i, 2], corners[j, 1] / corners[j, 2], corners[k, 1] / corners[k, 2])
    return min(u), min(v), max(u), max(v)


@jit(error_model="numpy")
def _planes(corners, i, j, k):
    """The planes of inverse depth, and of the barycentric weights of j and k over depth.

    A point z r of the triangle a, b, c, r = (x px, y px, 1), with n = (b - a) x (c - a) and d = n . a, has
    1 / z = n . r / d,  weight_b / z = (c x a) . r / d,  weight_c / z = (a x b) . r / d.
    All are NaN for a triangle seen edge-on, which covers nothing.
    """
    a = (corners[i, 0], corners[i, 1], corners[i, 2])
    # Edges in place of corners give the same products with less cancellation.
    ab, ac = _subtract(corners[j], a), _subtract(corners[k], a)
    n = _cross(ab, ac)
    d = _dot(n, a)
    scale = 1.0 / d if d != 0 else np.nan
    return _scaled(n, scale), _scaled(_cross(ac, a), scale), _scaled(_cross(a, ab), scale)


@jit(error_model="numpy")
def _shade(face, corners, faces, K, face_albedo, face_label, normals):
    cos_incidence, albedo = np.zeros(face.shape, np.float32), np.zeros(face.shape, np.float32)
    label = np.zeros(face.shape, np.uint8)
    slopes = (np.arange(face.shape[1]) - K[0, 2]) / K[0, 0]
    last = -1
    for y in range(face.shape[0]):
        slope_y = (y - K[1, 2]) / K[1, 1]
        for x in range(face.shape[1]):
            f = face[y, x]
            if f < 0:
                continue
            if f != last:
                last = f
                i, j, k = faces[f]
                w, b, c = _planes(corners, i, j, k)
                n = (w[0] * K[0, 0], w[1] * K[1, 1], w[0] * K[0, 2] + w[1] * K[1, 2] + w[2])
                if len(normals) > 0:
                    a = _subtract(_subtract(w, b), c)
                    nx = _blend(a, b, c, normals[i, 0], normals[j, 0], normals[k, 0])
                    ny = _blend(a, b, c, normals[i, 1], normals[j, 1], normals[k, 1])
                    nz = _blend(a, b, c, normals[i, 2], normals[j, 2], normals[k, 2])
            if len(normals) > 0:
                # Weights over depth in place of weights: a longer normal, the same direction.
                at = (float(x), float(y), 1.0)
                n = (_dot(nx, at), _dot(ny, at), _dot(nz, at))
            ray = (slopes[x], slope_y, 1.0)
            squares = _dot(n, n) * _dot(ray, ray)
            if squares > 0:
                cos_incidence[y, x] = abs(_dot(n, ray)) / np.sqrt(squares)
            albedo[y, x] = face_albedo[f]
            label[y, x] = face_label[f]
    return cos_incidence, albedo, label


@jit(error_model="numpy")
def _interpolate(face, corners, faces, values):
    spread = np.zeros((*face.shape, values.shape[1]), np.float32)
    last = -1
    for y in range(face.shape[0]):
        for x in range(face.shape[1]):
            f = face[y, x]
            if f < 0:
                continue
            if f != last:
                last = f
                i, j, k = faces[f]
                w, b, c = _planes(corners, i, j, k)
            at = (float(x), float(y), 1.0)
            inverse = _dot(w, at)
            # The slack at an edge reaches past it, and past an edge-on triangle's very far.
            at_j = min(max(_dot(b, at) / inverse, 0.0), 1.0)
            at_k = min(max(_dot(c, at) / inverse, 0.0), 1.0 - at_j)
            for channel in range(values.shape[1]):
                start = values[i, channel]
                to_j, to_k = values[j, channel] - start, values[k, channel] - start
                spread[y, x, channel] = start + at_j * to_j + at_k * to_k
    return spread


@jit(error_model="numpy")
def _vertex_normals(vertices, faces):
    normals = np.zeros_like(vertices)
    for f in range(len(faces)):
        i, j, k = faces[f]
        n = _cross(_subtract(vertices[j], vertices[i]), _subtract(vertices[k], vertices[i]))
        for vertex in (i, j, k):
            for axis in range(3):
                normals[vertex, axis] += n[axis]
    for normal in normals:
        length = np.sqrt(_dot(normal, normal))
        if length > 0:
            normal /= length
    return normals


@jit(error_model="numpy")
def _visible(corners, depth, tolerance):
    height, width = depth.shape
    seen = np.zeros(len(corners), np.bool_)
    for n in range(len(corners)):
        z = corners[n, 2]
        u, v = corners[n, 0] / z, corners[n, 1] / z
        if not (z > 0 and -0.5 <= u < width - 0.5 and -0.5 <= v < height - 0.5):
            continue
        column, row = int(np.floor(u)), int(np.floor(v))
        for r in (max(row, 0), min(row + 1, height - 1)):
            for c in (max(column, 0), min(column + 1, width - 1)):
                seen[n] |= depth[r, c] == 0 or depth[r, c] >= z - tolerance
    return seen


@jit(inline="always")
def _subtract(a, b):
    return a[0] - b[0], a[1] - b[1], a[2] - b[2]


@jit(inline="always")
def _cross(a, b):
    return a[1] * b[2] - a[2] * b[1], a[2] * b[0] - a[0] * b[2], a[0] * b[1] - a[1] * b[0]


@jit(inline="always")
def _dot(a, b):
    return a[0] * b[0] + a[1] * b[1] + a[2] * b[2]


@jit(inline="always")
def _blend(a, b, c, of_a, of_b, of_c):
    return (
        a[0] * of_a + b[0] * of_b + c[0] * of_c,
        a[1] * of_a + b[1] * of_b + c[1] * of_c,
        a[2] * of_a + b[2] * of_b + c[2] * of_c,
    )


@jit(inline="always")
def _scaled(a, scale):
    return a[0] * scale, a[1] * scale, a[2] * scale
