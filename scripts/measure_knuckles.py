"""How long a finger's first bone is against the other two, in recordings of real hands.

    python scripts/measure_knuckles.py POSES

POSES holds handy_poses.json (25 joints of WebXR, mm, the tip on the skin) and leap_clips.npz (four joints a
finger, m, the last one inside the fingertip). ``hand_model.model.KNUCKLE_SHARES`` puts the key-points of the
knuckles where the mean of both has them.
"""

import json
import sys
from pathlib import Path

import numpy as np

FINGERS = ("thumb", "index", "middle", "ring", "pinky")
# From Leap's last joint to the skin.
TIP_M = 0.006


def webxr_joints(path: Path) -> np.ndarray:
    """-> (N, 5, 4, 3) m: knuckle, two joints, tip; WebXR's fingers also have a metacarpal, its thumb none."""
    poses = [np.array(pose["joints_mm"]) for pose in json.loads(path.read_text(encoding="utf-8"))]
    whole = np.stack([pose for pose in poses if pose.shape == (25, 3)]) * 1e-3
    return np.concatenate([whole[:, None, 1:5], whole[:, 5:].reshape(-1, 4, 5, 3)[:, :, 1:]], axis=1)


def leap_joints(path: Path) -> np.ndarray:
    """-> (N, 5, 4, 3) m."""
    with np.load(path, allow_pickle=False) as clips:
        return np.concatenate([clips[name] for name in clips.files if name.endswith("__joints_m")])


def first_bone_ratio(joints_m: np.ndarray, tip_m: float) -> np.ndarray:
    """(5,): the medians' ratio. tip_m: what the last bone lacks."""
    first, second, third = np.median(np.linalg.norm(np.diff(joints_m, axis=2), axis=-1), axis=0).T
    return first / (second + third + tip_m)


def main() -> None:
    folder = Path(sys.argv[1])
    webxr = first_bone_ratio(webxr_joints(folder / "handy_poses.json"), 0.0)
    leap = first_bone_ratio(leap_joints(folder / "leap_clips.npz"), TIP_M)
    for finger, a, b in zip(FINGERS, webxr, leap, strict=True):
        print(f"{finger:8} WebXR {a:.2f}  Leap {b:.2f}  mean {(a + b) / 2:.3f}")


if __name__ == "__main__":
    main()
