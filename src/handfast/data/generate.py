"""Make synthetic shards on all cores; a second call goes on where the first was stopped.

python -m handfast.data.generate runs/data/train --frames 100000 --seed 1
python -m handfast.data.generate runs/data/validation --frames 2000 --seed 2 --split validation
"""

import argparse
import os
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from multiprocessing import get_context
from pathlib import Path

from rich.progress import track

from handfast.data.shards import SHARD_FRAMES, SPLITS, write_card, write_shard


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("folder", type=Path)
    parser.add_argument("--frames", type=int, default=50_000, help=f"rounded up to shards of {SHARD_FRAMES}")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--split", choices=SPLITS, default="train", help="which of the synthetic people")
    parser.add_argument("--workers", type=int, default=os.cpu_count())
    options = parser.parse_args()
    options.folder.mkdir(parents=True, exist_ok=True)
    shards = range(-(-options.frames // SHARD_FRAMES))
    make = partial(_one, options.folder, options.seed, options.split)
    with ProcessPoolExecutor(options.workers, mp_context=get_context("spawn")) as pool:
        for _ in track(pool.map(make, shards), total=len(shards), description="shards"):
            pass
    write_card(options.folder, options.seed, options.split, len(shards) * SHARD_FRAMES)


def _one(folder: Path, seed: int, split: str, shard: int) -> None:
    write_shard(folder, shard, seed, split)


if __name__ == "__main__":
    main()
