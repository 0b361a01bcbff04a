"""How far off are tracked hands in real infrared frames?

    python -m handfast.evaluation.real_ir FOLDER [--model NAME|FILE] [--json] [--overlay SHEET.png]

FOLDER holds 8-bit PNGs and bones.json: camera intrinsics and, a frame a row, 17 tracked bones (centre in
metres, orientation). A bone's centre is the midpoint between neighbouring joints, so each is compared with
the midpoint of two of our key-points. The bone called wrist lies in the forearm, between no two joints of a
hand, and is left out: 16 bones a frame. Each frame is tracked by itself; of several hands the surest counts.
A hand not found counts as the diagonal of the frame's hand box for every bone.
"""

import argparse
import json
from pathlib import Path

import numpy as np

from handfast.errors import HandfastError
from handfast.files import check_ending, write_whole
from handfast.geometry import Camera
from handfast.packaged import DEFAULT_MODEL
from handfast.runtime.model import load_model
from handfast.sensors.sources import open_source
from handfast.skeleton import FINGERS, HAND21
from handfast.tracking.drawing import contact_sheet, draw_hands, frame_as_picture, png_bytes
from handfast.tracking.tracker import Tracker

# Bone -> the two key-points whose midpoint it is.
BONE_ENDS = {"palm": ("wrist", "middle_mcp")} | {
    f"{finger}_{bone}": (f"{finger}_{joints[i]}", f"{finger}_{joints[i + 1]}")
    for finger in FINGERS
    for joints in [("cmc", "mcp", "ip", "tip") if finger == "thumb" else ("mcp", "pip", "dip", "tip")]
    for i, bone in enumerate(("proximal", "middle", "distal"))
}
_ENDS = np.array([[HAND21.keypoints.index(end) for end in ends] for ends in BONE_ENDS.values()])


def bone_centres(keypoints_px: np.ndarray) -> np.ndarray:
    """hand21 (21, 2) px -> (16, 2) px centres of the bones of BONE_ENDS."""
    return keypoints_px[_ENDS].mean(axis=1)


def read_bones(folder: Path) -> np.ndarray:
    """bones.json -> (frames, 16, 2) px.

    Raises HandfastError when the file is missing or lacks bones.
    """
    path = folder / "bones.json"
    try:
        data = json.loads(path.read_text())
        camera = Camera(**data["intrinsics"])
        columns = [data["bones"].index(bone) for bone in BONE_ENDS]
        poses = np.array(data["poses"], dtype=float)
        return camera.project(poses[:, columns, :3])
    except (OSError, KeyError, ValueError, TypeError, IndexError) as error:
        raise HandfastError(
            f"{path}: expected intrinsics, bones and poses of tracked bones ({error})"
        ) from error


def frame_error_px(keypoints_px: np.ndarray | None, truth_px: np.ndarray) -> np.ndarray:
    """Key-points (21, 2) or None against bone centres (16, 2) -> error of each bone (16,) px."""
    if keypoints_px is None:
        return np.full(len(truth_px), np.linalg.norm(np.ptp(truth_px, axis=0)))
    return np.linalg.norm(bone_centres(keypoints_px) - truth_px, axis=1)


def evaluate(folder: Path, model: str) -> tuple[np.ndarray, int, list[np.ndarray]]:
    """Errors (frames, 16) px, how many hands were found, and an overlay a frame."""
    truth = read_bones(folder)
    frames = list(open_source(folder))
    if len(frames) != len(truth):
        raise HandfastError(f"{folder}: {len(frames)} images but {len(truth)} rows of bones; they must agree")
    network = load_model(model)
    errors, found, overlays = [], 0, []
    for frame, bones in zip(frames, truth, strict=True):
        hands = Tracker(network).step(frame)
        surest = max(hands, key=lambda hand: hand.score, default=None)
        found += surest is not None
        errors.append(frame_error_px(surest.keypoints_px if surest else None, bones))
        overlays.append(draw_hands(frame_as_picture(frame), hands))
    return np.array(errors), found, overlays


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("folder", type=Path)
    parser.add_argument("--model", default=DEFAULT_MODEL)
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    parser.add_argument("--overlay", type=Path, help="write a contact sheet of the frames here")
    options = parser.parse_args()
    try:
        if options.overlay:
            check_ending(options.overlay, ".png")
        errors, found, overlays = evaluate(options.folder, options.model)
        if options.overlay:
            write_whole(options.overlay, png_bytes(contact_sheet(overlays, 4)))
    except HandfastError as error:
        parser.exit(2, f"error: {error}\n")
    result = {
        "mean_px": round(float(errors.mean()), 3),
        "median_px": round(float(np.median(errors)), 3),
        "frames": len(errors),
        "found": found,
    }
    if options.json:
        print(json.dumps(result))
    else:
        for name, column in zip(BONE_ENDS, errors.T, strict=True):
            print(f"{name:16} {column.mean():6.2f} px")
        print(f"{found} of {len(errors)} hands found")
        print(f"mean {result['mean_px']} px, median {result['median_px']} px")


if __name__ == "__main__":
    main()
