"""A person's hand with its arm and sleeve, as a colour camera sees it."""

from dataclasses import dataclass
from functools import cache

import numpy as np

from handfast.data.render import vertex_normals
from handfast.data.rgb import Surface, join_surfaces
from handfast.data.rooms import OBLIQUE, Layer, profile, sample_dye, solid_surface, two_tone
from handfast.data.scenes import BARE_ARM, Person, place_hand
from handfast.data.skin import Complexion, paint_skin, sample_complexion, texture_px
from handfast.hand_model.model import HandAsset
from handfast.skeleton import HAND21

_PALM_CENTRE_M = np.array([0.0, 0.085, -0.01])
_SKIN_GLOSS = 0.25
_CLOTH_PX_PER_M = 900.0
_BONE_RADIUS_M = 0.009
# The forearm's mesh ends in a ragged cut, within which the upper arm begins.
_CUT_M = 0.02
_UPPER_ARM_M = 0.4
_BEND = 0.5


@dataclass(frozen=True, eq=False)
class Looks:
    """What a colour camera sees of a person: skin, two colours of sleeve (2, 3), the seed of details."""

    complexion: Complexion
    fabric: np.ndarray
    seed: int


def sample_looks(rng: np.random.Generator) -> Looks:
    """Any complexion, and a sleeve whose two colours are seldom far from each other."""
    complexion, colour = sample_complexion(rng), sample_dye(rng)
    other = sample_dye(rng) if rng.random() < 0.3 else colour * rng.uniform(0.6, 0.9)
    return Looks(complexion, np.stack([colour, other]), int(rng.integers(2**32)))


def paint_looks(looks: Looks, asset: HandAsset, patterns: np.ndarray) -> np.ndarray:
    """The layers PALM, BACK and SLEEVE, (3, h, w, 3) float32. patterns: (T, h, w), from 0.1 to 1.9."""
    rng = np.random.default_rng(looks.seed)
    skin = paint_skin(looks.complexion, asset, rng)
    return np.concatenate([skin, two_tone(patterns[rng.integers(len(patterns))], *looks.fabric)[None]])


def place_arm(
    asset: HandAsset,
    person: Person,
    side: str,
    angles_rad: np.ndarray,
    rotation: np.ndarray,
    palm_m: np.ndarray,
) -> tuple[np.ndarray, Surface]:
    """A hand turned by rotation (3, 3), hand frame -> camera, its palm's centre at palm_m (3,), with its arm.

    Returns key-points (21, 3) m and a surface with the labels of ``scenes.Scene``.
    """
    # The key-pose is not asked for here.
    posed, mesh = place_hand(asset, person, side, angles_rad, 0, rotation, palm_m)
    shift = palm_m - rotation @ _PALM_CENTRE_M - posed.keypoints_m[0]
    keypoints_m, vertices_m = posed.keypoints_m + shift, mesh.vertices_m + shift
    openness = _openness(vertices_m, vertex_normals(vertices_m, mesh.faces), keypoints_m)
    is_sleeve = mesh.label == 0
    parts = [
        Surface(
            vertices_m, mesh.faces[own], texture, np.full(len(openness), gloss), openness, mesh.label[own]
        )
        for own, texture, gloss in (
            (~is_sleeve, _skin_texture(asset), _SKIN_GLOSS),
            (is_sleeve, _sleeve_texture(asset), 0.0),
        )
    ]
    return keypoints_m, join_surfaces([*parts, _upper_arm(asset, person, vertices_m, keypoints_m[0])])


@cache
def _skin_texture(asset: HandAsset) -> np.ndarray:
    """(V, 3): the palm's picture on the palm's side, the back's on the back, a mix at the edges."""
    normals = vertex_normals(asset.vertices_m, asset.faces)
    back = np.clip(0.5 + 1.5 * normals[:, 2:], Layer.PALM, Layer.BACK)
    return np.concatenate([texture_px(asset.vertices_m), back], axis=1)


@cache
def _sleeve_texture(asset: HandAsset) -> np.ndarray:
    """(V, 3): the cloth moves with the arm."""
    cloth_px = asset.vertices_m @ OBLIQUE * _CLOTH_PX_PER_M
    return np.concatenate([cloth_px, np.full((len(cloth_px), 1), float(Layer.SLEEVE))], axis=1)


def _openness(vertices_m: np.ndarray, normals: np.ndarray, keypoints_m: np.ndarray) -> np.ndarray:
    """(V,) share of the light from all around that the hand itself leaves to its skin.

    Each joint and bone is a ball, which hides a share cos (r / d)^2 of what a surface would get (Bunnell
    2005, "Dynamic ambient occlusion and indirect lighting", GPU Gems 2); those under the skin hide nothing.
    """
    parents, children = np.array(HAND21.edges).T
    balls_m = np.concatenate([keypoints_m, (keypoints_m[parents] + keypoints_m[children]) / 2])
    # normal . (ball - vertex) and |ball - vertex|^2 as products of matrices.
    towards = normals @ balls_m.T - np.einsum("vi,vi->v", normals, vertices_m)[:, None]
    squared = (vertices_m**2).sum(1)[:, None] - 2 * vertices_m @ balls_m.T + (balls_m**2).sum(1)
    squared = np.maximum(squared, _BONE_RADIUS_M**2)
    hidden = np.maximum(towards, 0) * _BONE_RADIUS_M**2 / (squared * np.sqrt(squared))
    # The balls do not fill the hand: half as much again.
    return np.exp(-1.5 * hidden.sum(1))


def _upper_arm(asset: HandAsset, person: Person, vertices_m: np.ndarray, wrist_m: np.ndarray) -> Surface:
    """What carries the arm on where the forearm's mesh ends, bent down."""
    forearm_m = -asset.vertices_m[:, 1].min()
    cut_m = vertices_m[asset.vertices_m[:, 1] < _CUT_M - forearm_m]
    end_m = cut_m.mean(0)
    y = (end_m - wrist_m) / np.linalg.norm(end_m - wrist_m) + (0.0, _BEND, 0.0)
    y /= np.linalg.norm(y)
    x = np.cross(y, np.eye(3)[np.abs(y).argmin()])
    x /= np.linalg.norm(x)
    radius = np.linalg.norm(np.cross(cut_m - end_m, y), axis=1).mean()
    axes = np.stack([radius * x, _UPPER_ARM_M / 2 * y, radius * np.cross(x, y)], axis=1)
    layer, label = (Layer.BACK, BARE_ARM) if person.sleeve_start_m > forearm_m else (Layer.SLEEVE, 0)
    return solid_surface(profile("rod"), axes, end_m + (_UPPER_ARM_M / 2 - _CUT_M) * y, layer, label=label)
