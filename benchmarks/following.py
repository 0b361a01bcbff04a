"""What looking at a hand from one distance instead of three costs and saves (``handfast track --fast``).

.venv/bin/python benchmarks/following.py [--clips N] [--model NAME|FILE] [--json]

Clips are those of the validation people of bench-tof-clips, 60 frames of one hand each in views of all
kinds, followed from their first frames, both ways in turns. A hand counts when half of its key-points can be
seen; jitter is how far the errors of neighbouring frames are apart.
"""

import argparse
import json
import time

import numpy as np
from rich.progress import track

from handfast.data.benchmarks import BENCHMARKS
from handfast.errors import HandfastError
from handfast.evaluation.tracked import Match, matched, score_matches
from handfast.packaged import DEFAULT_MODEL
from handfast.runtime.model import Model, load_model
from handfast.structures import HandSample
from handfast.tracking.tracker import Tracker

MIN_VISIBLE = 0.5


def follow(tracker: Tracker, samples: list[HandSample]) -> tuple[list[Match], list[float], int, float]:
    """A clip's hands beside what is found of them, the jitter of each find by its hand's size, finds that are
    no hand, and the seconds it took."""
    tracker.forget()
    matches, jitter, ghosts, seconds = [], [], 0, 0.0
    before = None
    for sample in samples:
        start_s = time.process_time()
        finds = tracker.step(sample.frame)
        seconds += time.process_time() - start_s
        of_frame, others = matched(sample.hands, finds, tracker.model.skeleton)
        of_frame = [match for match in of_frame if match.label.visible.mean() >= MIN_VISIBLE]
        matches += of_frame
        ghosts += others
        now = None
        if len(of_frame) == 1 and of_frame[0].find is not None:
            ((label, find, _, size_px),) = of_frame
            now = find.keypoints_px - tracker.model.skeleton.select(label.keypoints_px)
            if before is not None:
                jitter.append(float(np.linalg.norm(now - before, axis=1).mean()) / size_px)
        before = now
    return matches, jitter, ghosts, seconds


def measure(model: Model, clips: int) -> dict[str, dict[str, float]]:
    benchmark = BENCHMARKS["bench-tof-clips"]
    world = benchmark.make_world(benchmark.seed)
    trackers = {"steady": Tracker(model), "fast": Tracker(model, fast=True)}
    found = {name: ([], [], [], []) for name in trackers}
    frames = 0
    for clip in track(range(clips), description="clips", transient=True):
        samples = list(benchmark.clip(world, "validation", clip))
        frames += len(samples)
        for name, tracker in trackers.items():
            matches, jitter, ghosts, seconds = follow(tracker, samples)
            found[name][0].extend(matches)
            found[name][1].extend(jitter)
            found[name][2].append(ghosts)
            found[name][3].append(seconds)
    rows = {}
    for name, (matches, jitter, ghosts, seconds) in found.items():
        score = score_matches(matches, frames, sum(ghosts))
        rows[name] = {
            "hands": score.hands,
            "missed_rate": score.missed_rate,
            "wrong_side_rate": score.wrong_side_rate,
            "error_percent_of_hand": score.error_percent_of_hand,
            "jitter_percent_of_hand": round(100 * float(np.mean(jitter)), 3),
            "ghosts_a_frame": score.ghosts_a_frame,
            "ms_a_frame": round(1e3 * sum(seconds) / frames, 2),
        }
    return rows


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--clips", type=int, default=20)
    parser.add_argument("--model", default=DEFAULT_MODEL)
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    options = parser.parse_args()
    if options.clips < 1:
        parser.error("--clips: expected 1 or more")
    try:
        rows = measure(load_model(options.model), options.clips)
    except HandfastError as error:
        parser.exit(2, f"error: {error}\n")
    if options.json:
        print(json.dumps(rows))
        return
    for name, row in rows.items():
        print(
            f"{name:>6}: {row['ms_a_frame']} ms a frame, {100 * row['missed_rate']:.1f} % of {row['hands']} "
            f"hands missed, {100 * row['wrong_side_rate']:.1f} % with the wrong side, error"
            f" {row['error_percent_of_hand']:.2f} % of the hand, jitter {row['jitter_percent_of_hand']:.2f} %"
        )


if __name__ == "__main__":
    main()
