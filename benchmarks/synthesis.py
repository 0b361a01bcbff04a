"""How many labelled frames a second does one core make, and how many training samples does it degrade?

.venv/bin/python benchmarks/synthesis.py [--frames N] [--json]
"""

import argparse
import json
import time

from handfast.data.batches import BatchSource
from handfast.data.shards import pack
from handfast.data.synthesis import make_world, synthesise


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--frames", type=int, default=300)
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    options = parser.parse_args()
    world = make_world(1)
    synthesise(world, 1, 0, 0)  # compiles
    start_s = time.process_time()
    samples = [synthesise(world, 1, i, i % 28) for i in range(options.frames)]
    synthesis_s = time.process_time() - start_s
    source = BatchSource(pack(samples), seed=0)
    source.batch(0, 8)
    start_s = time.process_time()
    source.batch(1, options.frames)
    augmentation_s = time.process_time() - start_s
    result = {
        "frames_per_core_s": round(options.frames / synthesis_s, 1),
        "augmented_per_core_s": round(options.frames / augmentation_s, 1),
    }
    if options.json:
        print(json.dumps(result))
    else:
        print("160x120, a second of one core's time:")
        print(f"{result['frames_per_core_s']} frames made, {result['augmented_per_core_s']} augmented")


if __name__ == "__main__":
    main()
