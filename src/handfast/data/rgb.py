"""Colour photographs of meshes: a lamp with soft shadows, light from all around, and a camera.

The samples of a pixel are spread over its area and over the exposure (Cook, Porter and Carpenter 1984,
"Distributed ray tracing"): edges are smooth and what moves is blurred. All light is linear red, green, blue.
"""

from dataclasses import dataclass, replace

import cv2
import numpy as np

from handfast.data.render import interpolate, rasterise, vertex_normals
from handfast.geometry import Camera, transform
from handfast.jit import jit

# Where in a pixel, px, and when in the exposure, -0.5 to 0.5, the samples are taken.
_SAMPLES = ((-0.125, -0.375, -0.375), (0.375, -0.125, -0.125), (-0.375, 0.125, 0.125), (0.125, 0.375, 0.375))
_SHADOW_PX, _SHADOW_TESTS = 448, 4
# A surface shades itself where it is this much behind what the lamp sees, m.
_SHADOW_GAP_M = 0.004
# Light enters skin and leaves it beside: shading wraps around the edge of shadow, red the most (Green 2004,
# "Real-time approximations to subsurface scattering", GPU Gems).
_SKIN_WRAP = (0.32, 0.16, 0.11)
_CONTRAST = np.float32(0.4)


@dataclass(frozen=True, eq=False)
class Surface:
    """What is in a scene: V vertices, F faces.

    vertices_m (V, 3) in camera space. faces (F, 3). texture (V, 3): column and row in px and layer of a pile
    of textures; between two layers they mix, and up to layer 1 they are skin. gloss (V,): 0 matt, 1 polished.
    openness (V,): the share of the light from all around that gets there. label (F,) uint8.
    """

    vertices_m: np.ndarray
    faces: np.ndarray
    texture: np.ndarray
    gloss: np.ndarray
    openness: np.ndarray
    label: np.ndarray

    def moved(self, T: np.ndarray) -> "Surface":
        """In other axes, by a rigid T (4, 4)."""
        return replace(self, vertices_m=transform(T, self.vertices_m))


@dataclass(frozen=True, eq=False)
class Light:
    """A lamp, and light from above and below. Colours (3,) are what a white surface facing it sends back.

    position_m (3,): where the lamp is. target_m (3,), reach_m: it throws shadows within this ball, and its
    colour is that at the target. softness_m: how wide a shadow's edge is. up (3,): a unit vector.
    """

    position_m: np.ndarray
    target_m: np.ndarray
    reach_m: float
    softness_m: float
    lamp: np.ndarray
    up: np.ndarray
    sky: np.ndarray
    ground: np.ndarray

    def moved(self, T: np.ndarray) -> "Light":
        """In other axes, by a rigid T (4, 4)."""
        position_m, target_m = transform(T, np.stack([self.position_m, self.target_m]))
        return replace(self, position_m=position_m, target_m=target_m, up=T[:3, :3] @ self.up)


@dataclass(frozen=True, eq=False)
class Exposure:
    """What a camera makes of light.

    gain (3,): per colour, white balance included. shutter: the share of the time between frames that it is
    open. blur_px: of the lens. shot_noise, read_noise: the standard deviation at white, and of black.
    vignette: how much darker corners are, 0..1.
    """

    gain: np.ndarray
    shutter: float
    blur_px: float
    shot_noise: float
    read_noise: float
    vignette: float


def join_surfaces(surfaces: list[Surface]) -> Surface:
    """One surface of many."""
    starts = np.cumsum([0, *(len(s.vertices_m) for s in surfaces[:-1])])
    return Surface(
        np.concatenate([s.vertices_m for s in surfaces]),
        np.concatenate([s.faces + start for s, start in zip(surfaces, starts, strict=True)]).astype(np.int32),
        *(
            np.concatenate([getattr(s, name) for s in surfaces])
            for name in ("texture", "gloss", "openness", "label")
        ),
    )


def radiance(
    surface: Surface,
    motion_m: np.ndarray,
    textures: np.ndarray,
    light: Light,
    camera: Camera,
    shutter: float,
) -> np.ndarray:
    """The light that reaches each pixel, (H, W, 3) float32; 0 where there is no surface.

    motion_m: (V, 3), by how much vertices move from frame to frame. textures: (L, h, w, 3) float32
    reflectance, continued as in a mirror beyond their edges.
    """
    normals = vertex_normals(surface.vertices_m, surface.faces)
    scalars = np.stack([surface.gloss, surface.openness], axis=1)
    values = np.concatenate([surface.vertices_m, normals, surface.texture, scalars], axis=1, dtype=np.float32)
    to_lamp, lamp_camera = _lamp_camera(light)
    shadow = rasterise((surface.vertices_m - light.position_m) @ to_lamp.T, surface.faces, lamp_camera)
    lamp_px = np.float32(lamp_camera.K @ to_lamp)
    spread_px = light.softness_m / light.reach_m * _SHADOW_PX / 2
    colours = np.float32([light.lamp, light.sky, light.ground, _SKIN_WRAP])
    places = np.float32([light.position_m, light.target_m, light.up])
    total = np.zeros((camera.height, camera.width, 3), np.float32)
    for number, (x, y, moment) in enumerate(_SAMPLES):
        moved = surface.vertices_m + (moment * shutter) * motion_m
        shifted = replace(camera, cx=camera.cx - x, cy=camera.cy - y)
        raster = rasterise(moved, surface.faces, shifted)
        seen = interpolate(raster, moved, surface.faces, shifted, values)
        tests_px = spread_px * _disc(_SHADOW_TESTS * len(_SAMPLES))[number :: len(_SAMPLES)]
        _add_light(total, raster.face, seen, textures, shadow.depth_m, lamp_px, tests_px, colours, places)
    return total / np.float32(len(_SAMPLES))


def photograph(light: np.ndarray, exposure: Exposure, rng: np.random.Generator) -> np.ndarray:
    """Light (H, W, 3) -> a camera's picture (H, W, 3) uint8 RGB: lens, noise, tone curve."""
    height, width = light.shape[:2]
    image = cv2.GaussianBlur(light, (0, 0), exposure.blur_px) * np.float32(exposure.gain)
    y, x = np.mgrid[-1 : 1 : height * 1j, -1 : 1 : width * 1j].astype(np.float32)
    image *= (1 - exposure.vignette / 2 * (x**2 + y**2))[..., None]
    # A pixel borrows two of its colours from its neighbours, so noise comes in small coloured clouds.
    noise = rng.standard_normal(light.shape, np.float32)
    noise = 0.6 * noise + cv2.GaussianBlur(noise, (0, 0), 0.8)
    image += noise * np.sqrt(exposure.shot_noise**2 * image + exposure.read_noise**2)
    # Near 0 as it is, towards 1 ever more slowly.
    tone = (1 - np.exp(-np.maximum(image, 0) * np.float32(1.1))) ** np.float32(1 / 2.2)
    # Then more contrast in the middle, as cameras give pictures.
    tone += _CONTRAST * (tone * tone * (3 - 2 * tone) - tone)
    return np.round(255 * tone).astype(np.uint8)


def _disc(count: int) -> np.ndarray:
    """(N, 2) float32 points spread evenly over the unit disc (Vogel 1979), any part of them so too."""
    number = np.arange(count)
    radius, angle = np.sqrt((number + 0.5) / count), number * np.pi * (3 - np.sqrt(5))
    return np.stack([radius * np.cos(angle), radius * np.sin(angle)], axis=1).astype(np.float32)


def _lamp_camera(light: Light) -> tuple[np.ndarray, Camera]:
    """The rotation (3, 3) into the axes of a camera in the lamp's place that sees what throws shadows."""
    forward = light.target_m - light.position_m
    distance = np.linalg.norm(forward)
    forward = forward / distance
    right = np.cross(forward, np.eye(3)[np.abs(forward).argmin()])
    right /= np.linalg.norm(right)
    focal_px = _SHADOW_PX / 2 * distance / light.reach_m
    middle = (_SHADOW_PX - 1) / 2
    camera = Camera(focal_px, focal_px, middle, middle, _SHADOW_PX, _SHADOW_PX)
    return np.stack([right, np.cross(forward, right), forward]), camera


@jit(error_model="numpy")
def _add_light(total, face, seen, textures, shadow, lamp_px, tests_px, colours, places):
    """Add one sample of every pixel to total.

    seen: position, normal, texture, gloss and openness. lamp_px (3, 3): takes what is relative to the lamp to
    its shadow image.
    """
    lamp, sky, ground, wrap = colours
    position, target, up = places
    reach = target - position
    reference = np.sqrt((reach**2).sum())
    for y in range(face.shape[0]):
        for x in range(face.shape[1]):
            if face[y, x] < 0:
                continue
            here = seen[y, x]
            px, py, pz = here[0], here[1], here[2]
            nx, ny, nz = here[3], here[4], here[5]
            length = np.sqrt(nx * nx + ny * ny + nz * nz) + np.float32(1e-9)
            # A surface has no inside: its normal is on the camera's side.
            if nx * px + ny * py + nz * pz > 0:
                length = -length
            nx, ny, nz = nx / length, ny / length, nz / length
            away = np.sqrt(px * px + py * py + pz * pz)
            vx, vy, vz = -px / away, -py / away, -pz / away
            lx, ly, lz = position[0] - px, position[1] - py, position[2] - pz
            distance = np.sqrt(lx * lx + ly * ly + lz * lz)
            lx, ly, lz = lx / distance, ly / distance, lz / distance
            facing = nx * lx + ny * ly + nz * lz
            falloff = min(reference / distance, np.float32(2.0)) ** 2
            lit = _lit(px - position[0], py - position[1], pz - position[2], shadow, lamp_px, tests_px)
            albedo = _look_up(textures, here[6], here[7], here[8])
            is_skin = here[8] < np.float32(1.001)
            upward = np.float32(0.5) + np.float32(0.5) * (nx * up[0] + ny * up[1] + nz * up[2])
            shine = np.float32(0.0)
            if facing > 0 and lit > 0 and here[9] > 0:
                hx, hy, hz = lx + vx, ly + vy, lz + vz
                across = np.sqrt(hx * hx + hy * hy + hz * hz)
                cosine = max((nx * hx + ny * hy + nz * hz) / across, np.float32(0.0))
                sharpness = np.float32(8) + np.float32(60) * here[9]
                shine = np.float32(0.03) * (sharpness + 2) / 4 * here[9] * cosine**sharpness * facing
            for channel in range(3):
                wrapped = wrap[channel] if is_skin else np.float32(0.0)
                direct = max(facing + wrapped, np.float32(0.0)) / (1 + wrapped)
                ambient = ground[channel] + upward * (sky[channel] - ground[channel])
                arriving = lamp[channel] * falloff * lit
                total[y, x, channel] += (
                    albedo[channel] * (arriving * direct + ambient * here[10]) + arriving * shine
                )


@jit(error_model="numpy")
def _lit(x, y, z, shadow, lamp_px, tests_px):
    """The share of the tests around a place relative to the lamp that the lamp's light passes."""
    depth = lamp_px[2, 0] * x + lamp_px[2, 1] * y + lamp_px[2, 2] * z
    column = (lamp_px[0, 0] * x + lamp_px[0, 1] * y + lamp_px[0, 2] * z) / depth
    row = (lamp_px[1, 0] * x + lamp_px[1, 1] * y + lamp_px[1, 2] * z) / depth
    lit = 0
    for i in range(len(tests_px)):
        c = int(np.floor(column + tests_px[i, 0] + np.float32(0.5)))
        r = int(np.floor(row + tests_px[i, 1] + np.float32(0.5)))
        inside = depth > 0 and 0 <= c < shadow.shape[1] and 0 <= r < shadow.shape[0]
        if not inside or shadow[r, c] == 0 or shadow[r, c] > depth - np.float32(_SHADOW_GAP_M):
            lit += 1
    return np.float32(lit) / np.float32(len(tests_px))


@jit(error_model="numpy")
def _look_up(textures, u, v, layer):
    """Linear between texels and between layers: red, green, blue."""
    first = min(max(int(layer), 0), len(textures) - 1)
    share = layer - first
    red = green = blue = np.float32(0.0)
    for step in range(2):
        weight = share if step else 1 - share
        number = first + step
        if weight < np.float32(1e-3) or number >= len(textures):
            continue
        c, r = int(np.floor(u)), int(np.floor(v))
        fu, fv = u - c, v - r
        for dr in range(2):
            for dc in range(2):
                part = weight * (fu if dc else 1 - fu) * (fv if dr else 1 - fv)
                row, column = _mirrored(r + dr, textures.shape[1]), _mirrored(c + dc, textures.shape[2])
                red = np.float32(red + part * textures[number, row, column, 0])
                green = np.float32(green + part * textures[number, row, column, 1])
                blue = np.float32(blue + part * textures[number, row, column, 2])
    return red, green, blue


@jit()
def _mirrored(index, size):
    if 0 <= index < size:  # nearly always, and a division takes long
        return index
    index %= 2 * size
    return index if index < size else 2 * size - 1 - index
