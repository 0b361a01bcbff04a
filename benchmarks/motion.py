"""Do hands in clips move as fast as people's?

.venv/bin/python benchmarks/motion.py CLIPS POSES [--split NAME] [--json]

CLIPS is a bench-rgb. POSES holds leap_clips.npz, recordings of gestures, each with the palm's place,
direction and normal by time. Both are looked at 30 times a second: how fast the palm moves and how fast it
turns, as percentiles over all moments. Seen by who has them, hands move with their owner's head as well.
"""

import argparse
import json
from itertools import islice
from pathlib import Path

import numpy as np

from handfast.data.cards import finished_card
from handfast.data.colour_frames import PARTS
from handfast.data.datasets.bench import open_bench
from handfast.errors import HandfastError
from handfast.skeleton import HAND21

PERCENTILES = (10, 25, 50, 75, 90, 99)
RATE_HZ = 30.0
_WRIST, _INDEX, _MIDDLE, _PINKY = (
    HAND21.keypoints.index(name) for name in ("wrist", "index_mcp", "middle_mcp", "pinky_mcp")
)


def speeds(place_m: np.ndarray, along: np.ndarray, across: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """A palm's place, and two directions in it, (T, 3) each, at RATE_HZ -> m/s and rad/s, (T - 1,) each."""
    x = along / np.linalg.norm(along, axis=1, keepdims=True)
    z = np.cross(x, across)
    z /= np.linalg.norm(z, axis=1, keepdims=True)
    R = np.stack([x, np.cross(z, x), z], axis=2)
    cosine = (np.einsum("tij,tij->t", R[1:], R[:-1]) - 1) / 2
    turned_rad = np.arccos(np.clip(cosine, -1, 1))
    return RATE_HZ * np.linalg.norm(np.diff(place_m, axis=0), axis=1), RATE_HZ * turned_rad


def recorded(path: Path) -> tuple[np.ndarray, np.ndarray]:
    """Those of all recordings, one after the other."""
    arrays = np.load(path, allow_pickle=False)
    found = []
    for name in sorted(key.removesuffix("__time_s") for key in arrays if key.endswith("__time_s")):
        time_s, palm = arrays[f"{name}__time_s"], arrays[f"{name}__palm"].astype(float)
        moments_s = np.arange(time_s[0], time_s[-1], 1 / RATE_HZ)
        if len(moments_s) > 1:
            flat = palm.reshape(len(palm), 9)
            even = np.stack([np.interp(moments_s, time_s, column) for column in flat.T], axis=1)
            place_mm, along, normal = even.reshape(-1, 3, 3).transpose(1, 0, 2)
            found.append(speeds(1e-3 * place_mm, along, normal))
    return tuple(np.concatenate(of_all) for of_all in zip(*found, strict=True))


def rendered(folder: Path, split: str) -> dict[str, tuple[np.ndarray, np.ndarray]]:
    """Those of all clips of each part."""
    found: dict[str, list] = {part: [] for part in PARTS}
    samples = iter(open_bench(folder, split, "bench-rgb"))
    frames = finished_card(folder, split).clip_frames
    while clip := [sample.hands[0] for sample in islice(samples, frames)]:
        part = next(part for part, side in PARTS.items() if side == clip[0].side)
        joints_m = np.array([hand.keypoints_m for hand in clip])
        along = joints_m[:, _MIDDLE] - joints_m[:, _WRIST]
        across = joints_m[:, _PINKY] - joints_m[:, _INDEX]
        found[part].append(speeds(joints_m[:, _MIDDLE], along, across))
    return {
        part: tuple(np.concatenate(of_all) for of_all in zip(*of_part, strict=True))
        for part, of_part in found.items()
    }


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("clips", type=Path, metavar="CLIPS")
    parser.add_argument("poses", type=Path, metavar="POSES")
    parser.add_argument("--split", default="train")
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    options = parser.parse_args()
    try:
        found = {"recorded": recorded(options.poses / "leap_clips.npz")} | rendered(
            options.clips, options.split
        )
    except (HandfastError, OSError) as error:
        parser.exit(2, f"error: {error}\n")
    facts = {
        name: {
            "m_per_s": np.percentile(moves, PERCENTILES).round(3).tolist(),
            "rad_per_s": np.percentile(turns, PERCENTILES).round(2).tolist(),
        }
        for name, (moves, turns) in found.items()
    }
    if options.json:
        print(json.dumps({"percentiles": PERCENTILES} | facts))
        return
    print(f"{'percentile':28}" + "".join(f"{percentile:8}" for percentile in PERCENTILES))
    for name, of_name in facts.items():
        for unit, values in of_name.items():
            print(
                f"{name + ', ' + unit.replace('_per_', '/'):28}" + "".join(f"{value:8}" for value in values)
            )


if __name__ == "__main__":
    main()
