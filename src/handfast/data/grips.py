"""Things that a hand holds: where they are in it, and what they look like."""

from dataclasses import dataclass

import numpy as np

from handfast.data.rgb import Surface, join_surfaces
from handfast.data.rooms import Layer, any_thing, profile, sharp_box, thing
from handfast.skeleton import FINGERS, HAND21_NAMES

# How things are held, and the poses that fingers change between meanwhile.
GRIPS = {"wrapped": ("c",), "pinched": ("pinch", "ok"), "in_fist": ("fist", "thumbs_up")}
_LEAST_M, _MOST_M = 0.003, 0.042
_VESSELS_M = {"bottle": 0.11, "can": 0.065, "cup": 0.055, "box": 0.08}  # half of how long
_PX_PER_M = 900.0


@dataclass(frozen=True, eq=False)
class Held:
    """grip: one of GRIPS. surface: the thing in the axes of ``grip_frame``."""

    grip: str
    surface: Surface


def grip_frame(grip: str, keypoints_m: np.ndarray) -> np.ndarray:
    """Key-points (21, 3) -> T (4, 4): the axes of a held thing and its middle.

    y is along it, from the index finger's side to the little finger's, x out of the hand.
    """
    at = dict(zip(HAND21_NAMES, keypoints_m, strict=True))
    knuckles = at["pinky_mcp"] - at["index_mcp"]
    if grip == "pinched":
        # As a spoon: from the fingertips over the side of the index finger.
        middle = (at["thumb_tip"] + at["index_tip"]) / 2
        along = at["index_mcp"] - middle
    else:
        fingers = FINGERS[1:]
        inner = [at[f"{finger}_{joint}"] for finger in fingers for joint in ("mcp", "tip")]
        if grip == "wrapped":
            inner += [at["thumb_tip"]] * len(fingers)
        else:
            inner += [at[f"{finger}_pip"] for finger in fingers]
        middle, along = np.mean(inner, axis=0), knuckles
    y = along / np.linalg.norm(along)
    z = np.cross(knuckles if grip == "pinched" else middle - at["middle_mcp"], y)
    z /= np.linalg.norm(z)
    T = np.eye(4)
    T[:3, :3], T[:3, 3] = np.stack([np.cross(y, z), y, z], axis=1), middle
    return T


def sample_held(rng: np.random.Generator, grip: str, spot_m: np.ndarray, room_m: float) -> Held:
    """Something to hold for which the hand leaves room_m around a line along the grip's axis.

    spot_m (2,): where that line is, x and z in the axes of the grip.
    """
    radius_m = float(np.clip(room_m, _LEAST_M, _MOST_M))
    if grip == "wrapped":
        surface = _vessel(rng, radius_m)
    elif grip == "pinched":
        surface = _tool(rng, min(radius_m, 0.004), beyond=rng.uniform(0.1, 0.5))
    else:
        surface = _tool(rng, min(radius_m, 0.014), beyond=rng.uniform(0.9, 1.3))
    T = np.eye(4)
    T[[0, 2], 3] = spot_m
    return Held(grip, surface.moved(T))


def _vessel(rng: np.random.Generator, radius_m: float) -> Surface:
    """A bottle, a can or a cup; or a box, between thumb and fingers and far out of the hand, as a book is."""
    kind = str(rng.choice(list(_VESSELS_M)))
    layer, gloss = any_thing(rng), rng.uniform(0, 0.9)
    half_m = _VESSELS_M[kind] * rng.uniform(0.85, 1.25)
    shift_m = rng.uniform(-0.5, 0.2) * half_m
    if kind == "box":
        out_m = rng.uniform(0.02, 0.1)
        axes, middle = ((radius_m + out_m) / 2, half_m, 0.7 * radius_m), ((out_m - radius_m) / 2, shift_m, 0)
        return thing(rng, sharp_box(), np.diag(axes), np.array(middle), layer, gloss, _PX_PER_M)
    axes, middle = (radius_m, min(half_m, 5 * radius_m), radius_m), (0, shift_m, 0)
    return thing(rng, profile(kind), np.diag(axes), np.array(middle), layer, gloss, _PX_PER_M)


def _tool(rng: np.random.Generator, radius_m: float, beyond: float) -> Surface:
    """A handle, a share of whose half is beyond the index finger's side, and there a blade or a spoon."""
    layer, gloss = any_thing(rng), rng.uniform(0, 0.9)
    half_m, end_m, wide_m = rng.uniform((0.06, 0.02, 0.008), (0.095, 0.06, 0.04))
    top_m = -beyond * half_m
    handle = (radius_m, half_m, radius_m)
    is_blade = rng.random() < 0.5
    end = (wide_m, end_m, 0.0015 if is_blade else rng.uniform(0.003, wide_m))
    end_layer = layer if rng.random() < 0.5 else Layer.WHITE
    return join_surfaces(
        [
            thing(rng, unit, np.diag(axes), np.array([0, middle_m, 0]), colour, gloss, _PX_PER_M)
            for unit, axes, middle_m, colour in (
                (profile("rod"), handle, top_m + half_m, layer),
                (sharp_box() if is_blade else profile("bowl"), end, top_m - end_m, end_layer),
            )
        ]
    )
