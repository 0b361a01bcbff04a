"""What one core does in a second: frames made, read from shards, and degraded for training.

.venv/bin/python benchmarks/synthesis.py [--frames N] [--json]
"""

import argparse
import json
import tempfile
import time
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np

from handfast import __version__
from handfast.data.arrays import load_split
from handfast.data.batches import BatchSource
from handfast.data.benchmarks import BENCH_DEPTH, BENCH_TOF, Benchmark
from handfast.data.cards import finished_card
from handfast.data.generate import in_processes, make, make_shard, plan

READINGS = 3  # the quickest counts


def make_and_read(
    benchmark: Benchmark, frames: int, folder: Path
) -> tuple[dict[str, float], dict[str, np.ndarray]]:
    """Frames a second of one core, and the frames."""
    clips = {"small": {"train": frames, "validation": 0, "test": 0}}
    card, jobs = plan(replace(benchmark, clips=clips), "small", folder, __version__)
    make_shard(replace(jobs[0], clips=range(2)))  # compiles
    start_s = time.process_time()
    list(make(folder, card, jobs, in_processes(1)))
    made_s = time.process_time() - start_s
    card, seconds = finished_card(folder, "train"), []
    for _ in range(READINGS):
        start_s = time.process_time()
        arrays = load_split(folder, card, "train")
        seconds.append(time.process_time() - start_s)
    return {"made_per_core_s": frames / made_s, "read_per_core_s": frames / min(seconds)}, arrays


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--frames", type=int, default=400)
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    options = parser.parse_args()
    cv2.setNumThreads(1)
    with tempfile.TemporaryDirectory() as folder:
        depth, _ = make_and_read(BENCH_DEPTH, options.frames, Path(folder) / "depth")
        tof, arrays = make_and_read(BENCH_TOF, options.frames, Path(folder) / "tof")
    source = BatchSource(arrays, seed=0)
    source.batch(0, 8)
    start_s = time.process_time()
    source.batch(1, options.frames)
    tof["augmented_per_core_s"] = options.frames / (time.process_time() - start_s)
    result = {
        benchmark.name: {what: round(rate, 1) for what, rate in rates.items()}
        for benchmark, rates in ((BENCH_TOF, tof), (BENCH_DEPTH, depth))
    }
    if options.json:
        print(json.dumps(result))
        return
    print("Frames in a second of one core's time:")
    for name, rates in result.items():
        print(f"{name}: " + ", ".join(f"{rate} {what.split('_')[0]}" for what, rate in rates.items()))


if __name__ == "__main__":
    main()
