"""What becomes of a hand in space when depth lacks over half of it, or over all of it?

.venv/bin/python benchmarks/torn_hands.py [--people N] [--model NAME|FILE] [--json]
.venv/bin/python benchmarks/torn_hands.py --depth FOLDER --intrinsics FX,FY,CX,CY [--depth-unit-mm MM]

Frames are those of unseen people of bench-depth, or real ones; of the latter what is found in the whole frame
counts as the truth. Each is shown whole, with the left, right, upper and lower half of the box about the
hand's joints erased, and without the hand. A torn frame comes by itself ("new") and after the whole one
("followed"). A find is wrong where its known joints are more than 30 mm off in the mean.
"""

import argparse
import json
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import replace

import numpy as np
from rich.progress import track

from handfast.cli_common import parse_intrinsics
from handfast.data.benchmarks import BENCH_DEPTH
from handfast.errors import HandfastError
from handfast.sensors.sources import open_source
from handfast.structures import Frame, HandPose
from handfast.tracking.dense_tracker import DenseTracker
from handfast.tracking.opening import open_tracker

WRONG_MM = 30.0
MARGIN = 0.12  # about the joints, of the box's width: fingers are wider than their joints
BEYOND_MM = 300.0  # behind a real hand: what is farther away is not erased with it


def real_hands(options: argparse.Namespace, tracker: DenseTracker) -> Iterator[tuple[Frame, np.ndarray]]:
    """Frames with the joints (K, 3) in mm that are found in them."""
    source = open_source(options.depth, intrinsics=options.intrinsics, depth_unit_mm=options.depth_unit_mm)
    for frame in source:
        for _, poses in tracker.track([frame]):
            if poses:
                yield frame, poses[0].xyz_mm


def synthetic_hands(people: int) -> Iterator[tuple[Frame, np.ndarray]]:
    world = BENCH_DEPTH.make_world(BENCH_DEPTH.seed)
    for clip in range(people):
        (sample,) = BENCH_DEPTH.clip(world, "test", clip)
        yield sample.frame, 1e3 * sample.hands[0].keypoints_m.astype(np.float64)


def torn(frame: Frame, joints_mm: np.ndarray) -> dict[str, list[Frame]]:
    """The frame with half of the hand erased, each way, and with all of it."""
    points_px = frame.camera.project(joints_mm[np.isfinite(joints_mm).all(axis=1)])
    low, high = points_px.min(axis=0), points_px.max(axis=0)
    margin = MARGIN * (high - low).max()
    (left, top), (right, bottom) = np.rint(low - margin).astype(int), np.rint(high + margin).astype(int)
    left, top = max(left, 0), max(top, 0)
    x, y = (left + right) // 2, (top + bottom) // 2
    rows, columns = slice(top, bottom), slice(left, right)
    halves = [
        (rows, slice(left, x)),
        (rows, slice(x, right)),
        (slice(top, y), columns),
        (slice(y, bottom), columns),
    ]
    near = 1e3 * frame.depth_m() < np.nanmax(joints_mm[:, 2]) + BEYOND_MM
    return {
        "half": [_without(frame, half, np.ones_like(near)) for half in halves],
        "none": [_without(frame, (rows, columns), near)],
    }


def _without(frame: Frame, part: tuple[slice, slice], near: np.ndarray) -> Frame:
    depth = frame.depth.copy()
    depth[part][near[part]] = 0
    return replace(frame, depth=depth)


def tally(counts: Counter, case: str, poses: Sequence[HandPose], joints_mm: np.ndarray) -> None:
    """Counts a frame of a case, and whether something was found and that was wrong."""
    counts[case, "frames"] += 1
    errors_mm = [np.nanmean(np.linalg.norm(pose.xyz_mm - joints_mm, axis=1)) for pose in poses]
    counts[case, "found"] += bool(errors_mm)
    counts[case, "wrong"] += bool(errors_mm) and bool(min(errors_mm) > WRONG_MM)


def counted(hands: list[tuple[Frame, np.ndarray]], tracker: DenseTracker) -> Counter:
    """By case and "frames", "found" or "wrong"."""
    counts: Counter = Counter()
    for frame, joints_mm in track(hands, description="frames", transient=True):
        ((_, poses),) = tracker.track([frame])
        tally(counts, "whole", poses, joints_mm)
        for kind, frames in torn(frame, joints_mm).items():
            for other in frames:
                ((_, poses),) = tracker.track([other])
                tally(counts, f"{kind}, new", poses, joints_mm)
                _, (_, poses) = tracker.track([frame, other])
                tally(counts, f"{kind}, followed", poses, joints_mm)
    return counts


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--people", type=int, default=100, help="frames of unseen synthetic people")
    parser.add_argument("--model", default="dense-hand21")
    parser.add_argument("--depth", help="a folder of real 16-bit depth images, each with one hand")
    parser.add_argument("--intrinsics", type=parse_intrinsics, metavar="FX,FY,CX,CY")
    parser.add_argument("--depth-unit-mm", type=float, default=1.0)
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    options = parser.parse_args()
    try:
        tracker = open_tracker(options.model)
        hands = real_hands(options, tracker) if options.depth else synthetic_hands(options.people)
        counts = counted(list(hands), tracker)
    except HandfastError as error:
        parser.exit(2, f"error: {error}\n")
    cases = list(dict.fromkeys(case for case, _ in counts))
    rows = {case: {what: counts[case, what] for what in ("frames", "found", "wrong")} for case in cases}
    if options.json:
        print(json.dumps(rows))
        return
    for case, row in rows.items():
        print(f"{case:>15}: {row['found']:4} found in {row['frames']:4}, {row['wrong']:4} of them wrong")


if __name__ == "__main__":
    main()
