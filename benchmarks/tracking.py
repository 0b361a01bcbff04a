"""How well are hands found in single frames of people whom the networks have not seen?

.venv/bin/python benchmarks/tracking.py [--benchmark NAME] [--frames N] [--model NAME|FILE] [--depth]
    [--min-score SCORE] [--json]

Frames are those of the validation people of mix-tof, views of all kinds, or of bench-tof, what a head-worn
camera sees, each tracked by itself, which is the hard case: following a clip is easier. A hand counts when at
least half of its key-points can be seen and it is at least 25 px large; it is found when the mean error of a
hand's key-points is below half of its size.
"""

import argparse
import json
import time
from dataclasses import replace

import numpy as np
from rich.progress import track

from handfast.data.benchmarks import BENCHMARKS, Benchmark
from handfast.errors import HandfastError
from handfast.evaluation.tracked import matched
from handfast.packaged import DEFAULT_MODEL
from handfast.runtime.model import Model, load_model
from handfast.tracking.tracker import Tracker

MIN_VISIBLE, MIN_SIZE_PX = 0.5, 25.0


def measure(
    model: Model, benchmark: Benchmark, frames: int, use_depth: bool, min_score: float
) -> dict[str, float | int | None]:
    """What ``Tracker`` finds in so many frames, beside what is there."""
    world = benchmark.make_world(benchmark.seed)
    ghosts = empty = empty_with_ghost = 0
    counted, seconds = [], []
    for clip in track(range(frames), description="frames", transient=True):
        (sample,) = benchmark.clip(world, "validation", clip)
        frame = replace(sample.frame, amplitude=None) if use_depth else sample.frame
        start_s = time.perf_counter()
        poses = Tracker(model).step(frame)
        seconds.append(time.perf_counter() - start_s)
        poses = [pose for pose in poses if pose.score >= min_score]
        matches, others = matched(sample.hands, poses, model.skeleton)
        counted += [m for m in matches if m.label.visible.mean() >= MIN_VISIBLE and m.size_px >= MIN_SIZE_PX]
        ghosts += others
        empty += not sample.hands
        empty_with_ghost += not sample.hands and len(poses) > 0
    found = [match for match in counted if match.find is not None]
    errors = [np.nanmean(match.error_px) / match.size_px for match in found]
    return {
        "frames": frames,
        "hands": len(counted),
        "found": round(len(found) / max(len(counted), 1), 3),
        "side_right": round(sum(m.find.side == m.label.side for m in found) / max(len(found), 1), 3),
        "median_error_of_size": round(float(np.median(errors)), 3) if errors else None,
        "ghosts_a_frame": round(ghosts / frames, 3),
        "empty_frames_with_ghost": round(empty_with_ghost / max(empty, 1), 3),
        "median_ms": round(1e3 * float(np.median(seconds)), 1),
    }


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--benchmark", choices=("mix-tof", "bench-tof"), default="mix-tof")
    parser.add_argument("--frames", type=int, default=400)
    parser.add_argument("--model", default=DEFAULT_MODEL)
    parser.add_argument("--depth", action="store_true", help="track the depth images instead of amplitude")
    parser.add_argument("--min-score", type=float, default=0.0, help="leave out hands that are less sure")
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    options = parser.parse_args()
    if options.frames < 1:
        parser.error("--frames: expected 1 or more")
    try:
        model = load_model(options.model)
    except HandfastError as error:
        parser.exit(2, f"error: {error}\n")
    benchmark = BENCHMARKS[options.benchmark]
    result = measure(model, benchmark, options.frames, options.depth, options.min_score)
    if options.json:
        print(json.dumps(result))
        return
    print(f"{result['hands']} hands in {options.frames} frames: {100 * result['found']:.0f} % found")
    print(
        f"of those {100 * result['side_right']:.0f} % with the right side, median error "
        f"{100 * (result['median_error_of_size'] or 0):.0f} % of the hand's size"
    )
    print(
        f"{result['ghosts_a_frame']} finds a frame that are no hand, "
        f"in {100 * result['empty_frames_with_ghost']:.0f} % of the frames without hands"
    )
    print(f"{result['median_ms']} ms a frame without a past")


if __name__ == "__main__":
    main()
