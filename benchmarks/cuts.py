"""How many cuts between clips are found, and how many are seen where there is none?

.venv/bin/python benchmarks/cuts.py CLIPS [--every N] [--split NAME] [--json]

CLIPS is a bench-rgb or a bench-tof-clips. Each clip is gone through, as of a camera that shows every Nth
frame; and each clip's last frame is followed by every other clip's first one: another person, another room.
"""

import argparse
import json
from itertools import permutations
from pathlib import Path

import numpy as np
from rich.progress import track

from handfast.data.cards import finished_card
from handfast.data.colour_frames import CLIPS, load_clips
from handfast.errors import HandfastError
from handfast.tracking.continuity import Continuity, Passage

INTERVAL_S = 1 / 30


def passages(pictures: list[np.ndarray]) -> list[Passage]:
    continuity = Continuity()
    return [continuity.passage(i * INTERVAL_S, picture) for i, picture in enumerate(pictures)][1:]


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("folder", type=Path, metavar="CLIPS")
    parser.add_argument("--every", type=int, default=1, metavar="N")
    parser.add_argument("--split", default="test")
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    options = parser.parse_args()
    try:
        benchmark = finished_card(options.folder, options.split).benchmark
        kinds = [kind for kind, (name, _) in CLIPS.items() if name == benchmark]
        if not kinds:
            raise HandfastError(f"{options.folder}: expected clips, got {benchmark}")
        card, frames = load_clips(options.folder, options.split, kinds[0])
    except HandfastError as error:
        parser.exit(2, f"error: {error}\n")
    length = card.clip_frames
    ends, within, false = [], 0, 0
    for first in track(range(0, len(frames), length), description="clips", transient=True):
        pictures = [frames.picture(i) for i in range(first, first + length, options.every)]
        seen = passages(pictures)
        within, false = within + len(seen), false + seen.count(Passage.CUT)
        ends.append((pictures[-1], pictures[0]))
    cuts = [passages([ends[a][0], ends[b][1]])[0] for a, b in permutations(range(len(ends)), 2)]
    result = {
        "benchmark": f"{card.benchmark} {card.size}, {options.split}",
        "every": options.every,
        "cuts": len(cuts),
        "found": round(cuts.count(Passage.CUT) / len(cuts), 3),
        "passages": within,
        "false": false,
    }
    if options.json:
        print(json.dumps(result))
        return
    print(f"{result['benchmark']}, every {options.every}. frame")
    print(f"{100 * result['found']:.1f} % of {len(cuts)} cuts found, {false} of {within} passages called one")


if __name__ == "__main__":
    main()
