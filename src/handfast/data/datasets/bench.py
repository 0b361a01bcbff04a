"""The open benchmarks of ``handfast synth``, read as any data set is; docs/benchmarks.md describes them."""

from functools import cache, partial
from pathlib import Path
from threading import Lock

from handfast.data.benchmarks import BENCHMARKS, SPLITS
from handfast.data.cards import finished_card, read_shard
from handfast.data.datasets.samples import DataSet, Samples
from handfast.data.shards import decode_sample, frame_key, locate_frames
from handfast.structures import HandSample


def open_bench(folder: Path, split: str, benchmark: str | None = None) -> Samples:
    """The samples of a split; benchmark: which one it must be, None for any.

    Raises HandfastError for another benchmark, an unknown or unfinished split, and a shard that is missing
    or cut off. A shard's checksum is compared when it is first read from.
    """
    card = finished_card(folder, split, benchmark)
    places = [
        (name, frame_key(clip, index))
        for name, clips in card.layout(split).items()
        for clip in clips
        for index in range(card.clip_frames)
    ]

    reading = Lock()  # Or every thread would read a shard that none has read.

    @cache
    def frames_in(name: str) -> dict[str, dict[str, slice]]:
        return locate_frames(read_shard(folder, card, split, name))

    def read(index: int) -> HandSample:
        name, key = places[index]
        with reading:
            where = frames_in(name)[key]
        with open(folder / split / name, "rb") as shard:
            return decode_sample({file: _read(shard, part) for file, part in where.items()})

    return Samples(tuple(f"{split}/{key}" for _, key in places), read)


def _read(shard, part: slice) -> bytes:
    shard.seek(part.start)
    return shard.read(part.stop - part.start)


BENCHES = {
    name: DataSet(
        title=benchmark.title,
        homepage="docs/benchmarks.md",
        licence="Apache-2.0, as handfast",
        splits=dict.fromkeys(SPLITS),
        open=partial(open_bench, benchmark=name),
    )
    for name, benchmark in BENCHMARKS.items()
}
