"""How often is a hand seen in pictures that show none?

.venv/bin/python benchmarks/ghosts.py PICTURES [--model NAME|FILE] [--frames N] [--save DIR] [--json]

PICTURES holds photos without hands, .png or .jpg, in folders of any depth. A camera that turns slowly over
each makes a clip of it, which is tracked. --save writes a picture of each clip in which something was found.
"""

import argparse
import json
from pathlib import Path

import cv2
import numpy as np
from rich.progress import track

from handfast.errors import HandfastError
from handfast.packaged import COLOUR_FINDER
from handfast.structures import Frame
from handfast.tracking.drawing import draw_hands
from handfast.tracking.tracker import Tracker

LONGER_SIDE_PX = 720
SHIFT_PX = (6, 4)  # from frame to frame


def clip(path: Path, frames: int) -> list[np.ndarray]:
    """(H, W, 3) uint8 RGB each; none of a file that is no picture, or too narrow to move over."""
    picture = cv2.imread(str(path))
    if picture is None:
        return []
    scale = LONGER_SIDE_PX / max(picture.shape[:2])
    picture = cv2.resize(picture, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA)
    x_px, y_px = SHIFT_PX
    height, width = picture.shape[0] - y_px * frames, picture.shape[1] - x_px * frames
    if min(height, width) <= 0:
        return []
    views = [picture[y_px * i : y_px * i + height, x_px * i : x_px * i + width] for i in range(frames)]
    return [cv2.cvtColor(view, cv2.COLOR_BGR2RGB) for view in views]


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("folder", type=Path, metavar="PICTURES")
    parser.add_argument("--model", default=COLOUR_FINDER)
    parser.add_argument("--frames", type=int, default=12, help="of each clip")
    parser.add_argument("--save", type=Path, metavar="DIR")
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    options = parser.parse_args()
    paths = sorted(p for p in options.folder.rglob("*") if p.suffix.lower() in (".png", ".jpg", ".jpeg"))
    if not paths:
        parser.exit(2, f"error: {options.folder}: no pictures in it\n")
    try:
        tracker = Tracker(options.model)
    except HandfastError as error:
        parser.exit(2, f"error: {error}\n")
    rows = {}
    for path in track(paths, "pictures", transient=True):
        tracker.forget()
        name, seen = path.relative_to(options.folder).as_posix(), []
        for i, picture in enumerate(clip(path, options.frames)):
            hands = tracker.step(Frame(i, i / 30, colour=picture))
            seen.append(max((hand.score for hand in hands), default=0.0))
            if hands and options.save is not None:
                options.save.mkdir(parents=True, exist_ok=True)
                overlay = draw_hands(cv2.cvtColor(picture, cv2.COLOR_RGB2BGR), hands)
                cv2.imwrite(str(options.save / f"{name.replace('/', '-')}.png"), overlay)
        if seen:
            rows[name] = seen
    if not rows:
        parser.exit(2, f"error: {options.folder}: none of its pictures can be read\n")
    with_ghost = {name: seen for name, seen in rows.items() if any(seen)}
    frames = sum(map(len, rows.values()))
    result = {
        "model": options.model,
        "pictures": len(rows),
        "with_ghost": len(with_ghost),
        "frames": frames,
        "frames_with_ghost": sum(score > 0 for seen in rows.values() for score in seen),
    }
    if options.json:
        print(json.dumps(result))
        return
    for name, seen in with_ghost.items():
        print(f"{name}: {sum(score > 0 for score in seen)} of {len(seen)} frames, score {max(seen):.2f}")
    print(
        f"{len(with_ghost)} of {len(rows)} pictures and {result['frames_with_ghost']} of {frames} frames "
        "with a hand that is none"
    )


if __name__ == "__main__":
    main()
