"""How often does a sampled hand's skin cut through itself, and how deep?

.venv/bin/python benchmarks/collisions.py [--hands N] [--json]

Digits against each other and against the palm, on the skinned mean hand. A vertex is inside another part if
that part's surface winds about it by more than a half; its depth is the way to the part's nearest surface
point. Skin in soft contact gives way by up to 3 mm, which is allowed when poses are drawn.
"""

import argparse
import json

import numpy as np
from numba import njit, prange
from rich.progress import track

from handfast.hand_model.collision import SOFT_CONTACT_M
from handfast.hand_model.model import BONES, FINGER_BONES, joint_rotations, load_hand_asset, pose_hand
from handfast.hand_model.pose_prior import load_pose_prior, sample_pose

DEPTHS_MM = (3, 5, 8)
PALM = 5


@njit(cache=True, parallel=True)
def depths_inside_m(points, triangles, surface):
    """(n,) m: how far points (n, 3) lie inside a surface of triangles (t, 3, 3), 0 outside.

    surface (s, 3): points on it. The winding number is the sum of solid angles (van Oosterom, Strackee 1983).
    """
    depths = np.zeros(len(points))
    for i in prange(len(points)):
        p = points[i]
        angle = 0.0
        for t in range(len(triangles)):
            a, b, c = triangles[t, 0] - p, triangles[t, 1] - p, triangles[t, 2] - p
            la, lb, lc = np.sqrt((a * a).sum()), np.sqrt((b * b).sum()), np.sqrt((c * c).sum())
            volume = (a * np.cross(b, c)).sum()
            angle += 2 * np.arctan2(
                volume, la * lb * lc + (a * b).sum() * lc + (b * c).sum() * la + (c * a).sum() * lb
            )
        if angle > 2 * np.pi:
            nearest = np.inf
            for s in range(len(surface)):
                nearest = min(nearest, ((surface[s] - p) ** 2).sum())
            depths[i] = np.sqrt(nearest)
    return depths


def parts_of(asset):
    """Each digit's outer two bones and the palm -> vertex indices of each, and the faces that they span."""
    strongest = asset.bone_indices[np.arange(len(asset.bone_indices)), asset.bone_weights.argmax(axis=1)]
    palm = [i for i, bone in enumerate(BONES) if "palm" in bone]
    bones = [*FINGER_BONES[:, 1:], np.array(palm)]
    vertices = [np.flatnonzero(np.isin(strongest, part)) for part in bones]
    # A digit's surface reaches down to the knuckle, so that what lies in it is wound about.
    surfaces = [*FINGER_BONES, np.array(palm)]
    faces = [asset.faces[np.isin(strongest[asset.faces], part).all(axis=1)] for part in surfaces]
    return vertices, faces


def deepest_mm(vertices_m, parts, faces):
    """The deepest that any digit's vertex lies inside another digit or the palm, mm."""
    deepest = 0.0
    for digit in range(5):
        for other in (o for o in range(6) if o != digit and not (digit == 0 and o == PALM)):
            triangles = vertices_m[faces[other]]
            middles = (triangles + np.roll(triangles, 1, axis=1)) / 2
            surface = np.concatenate([triangles, middles, triangles.mean(axis=1, keepdims=True)], axis=1)
            surface = surface.reshape(-1, 3)
            points = vertices_m[parts[digit]]
            near = ((points >= surface.min(axis=0)) & (points <= surface.max(axis=0))).all(axis=1)
            if near.any():
                deepest = max(deepest, depths_inside_m(points[near], triangles, surface).max())
    return 1e3 * deepest


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--hands", type=int, default=1000)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    options = parser.parse_args()
    asset, prior, rng = load_hand_asset(), load_pose_prior(), np.random.default_rng(options.seed)
    parts, faces = parts_of(asset)
    depths_mm = []
    for _ in track(range(options.hands), description="hands", transient=True):
        angles, _ = sample_pose(prior, rng)
        _, vertices_m = pose_hand(asset, joint_rotations(asset, angles), np.zeros(10))
        depths_mm.append(deepest_mm(vertices_m, parts, faces))
    shares = {f"deeper_than_{mm}_mm": round(float(np.mean(np.array(depths_mm) > mm)), 4) for mm in DEPTHS_MM}
    result = {"hands": options.hands, "soft_contact_mm": 1e3 * SOFT_CONTACT_M, **shares}
    if options.json:
        print(json.dumps(result))
    else:
        print("share of hands whose skin cuts into itself by more than")
        for mm in DEPTHS_MM:
            print(f"{mm} mm: {100 * result[f'deeper_than_{mm}_mm']:.1f} %")


if __name__ == "__main__":
    main()
