"""Makes a benchmark's shards: in this process, in several, or on a Ray cluster. The bytes are the same.

Whoever makes a shard returns its bytes and only the caller's process writes, so that a cluster shares no
disk.
"""

import os
import signal
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ProcessPoolExecutor, as_completed
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass, replace
from functools import cache
from multiprocessing import get_context, parent_process
from pathlib import Path
from threading import Thread
from typing import Any

import cv2

from handfast.data.benchmarks import SIZES, SPLITS, Benchmark
from handfast.data.cards import CARD, Card, Split, read_card, read_shard, write_card, write_shard
from handfast.data.shards import encode_shard
from handfast.errors import HandfastError


@dataclass(frozen=True)
class ShardJob:
    """A shard to make."""

    benchmark: Benchmark
    split: str
    name: str
    clips: range

    @property
    def frames(self) -> int:
        return len(self.clips) * self.benchmark.clip_frames


# Makes shards, in any order.
Runner = Callable[[list[ShardJob]], Iterable[tuple[ShardJob, bytes]]]


def plan(benchmark: Benchmark, size: str, folder: Path, made_by: str) -> tuple[Card, list[ShardJob]]:
    """What a folder holds of a benchmark, every shard of it checked, and what it lacks.

    A folder without a card gets one. made_by: the version of handfast. Raises HandfastError for an unknown
    size, a folder with something else in it, a shard that is not as it was made, and a folder that cannot be
    written to.
    """
    card = _begin(benchmark, size, folder, made_by)
    jobs = []
    for split in card.splits:
        for name, clips in card.layout(split).items():
            if name in card.splits[split].shards and (folder / split / name).exists():
                read_shard(folder, card, split, name)
            else:
                jobs.append(ShardJob(benchmark, split, name, clips))
    return card, jobs


def make(folder: Path, card: Card, jobs: list[ShardJob], run: Runner) -> Iterator[ShardJob]:
    """Make shards, and yield each when it is in its place and in the card on disk.

    Raises HandfastError when something cannot be written.
    """
    for job, content in run(jobs):
        card = write_shard(folder, card, job.split, job.name, content)
        yield job


def make_shard(job: ShardJob) -> bytes:
    """The tar of a shard, from the seed alone."""
    benchmark = job.benchmark
    world = _world(benchmark.make_world, benchmark.seed)
    return encode_shard(
        (sample, clip, benchmark.person(job.split, clip))
        for clip in job.clips
        for sample in benchmark.clip(world, job.split, clip)
    )


def in_processes(workers: int) -> Runner:
    """Runs that many processes on this machine; one is the caller's own."""

    def run(jobs: list[ShardJob]) -> Iterator[tuple[ShardJob, bytes]]:
        if workers == 1:
            yield from ((job, make_shard(job)) for job in jobs)
            return
        pool = ProcessPoolExecutor(min(workers, len(jobs) or 1), get_context("spawn"), _begin_worker)
        try:
            pending = {pool.submit(_make_in_worker, job): job for job in jobs}
            for future in as_completed(pending):
                # Taken out of the dict, or it would keep every shard in memory.
                yield pending.pop(future), future.result()
        except BrokenProcessPool as error:
            raise HandfastError(
                "a worker process died, perhaps for want of memory; call again with fewer --workers to go on"
            ) from error
        finally:
            pool.shutdown(cancel_futures=True)

    return run


def on_ray(address: str) -> Runner:
    """Runs on a Ray cluster: its address, 'auto' for the one of this machine, 'local' for a new one here.

    Raises HandfastError if Ray is not installed, and when it runs, without a cluster there.
    """
    try:
        import ray
    except ImportError as error:
        raise HandfastError("--ray needs Ray: pip install 'handfast[cluster]'") from error

    def run(jobs: list[ShardJob]) -> Iterator[tuple[ShardJob, bytes]]:
        try:
            ray.init(address=address, log_to_driver=False)
        except (ConnectionError, ValueError) as error:
            raise HandfastError(f"--ray {address}: expected a running cluster, got: {error}") from error
        try:
            make_on_ray = ray.remote(_make_in_worker)
            pending = {make_on_ray.remote(job): job for job in jobs}
            while pending:
                (ready,), _ = ray.wait(list(pending))
                yield pending.pop(ready), ray.get(ready)
        except ray.exceptions.RayTaskError:
            raise  # what was raised in the task, with its traceback
        except ray.exceptions.RayError as error:
            raise HandfastError(f"--ray {address}: lost a worker ({error}); call again to go on") from error
        finally:
            ray.shutdown()

    return run


def _begin(benchmark: Benchmark, size: str, folder: Path, made_by: str) -> Card:
    """The card of what is in the folder, or a new one."""
    if size not in SIZES:
        raise HandfastError(f"size {size!r}: expected one of {', '.join(SIZES)}")
    card = Card(
        benchmark=benchmark.name,
        title=benchmark.title,
        size=size,
        seed=benchmark.seed,
        made_by=made_by,
        description=dict(benchmark.description),
        clip_frames=benchmark.clip_frames,
        shard_clips=benchmark.shard_clips,
        splits={
            split: Split(tuple(people), benchmark.clips[size][split], {}) for split, people in SPLITS.items()
        },
    )
    if not (folder / CARD).exists():
        write_card(folder, card)
        return card
    there = read_card(folder)
    emptied = {name: replace(split, shards={}) for name, split in there.splits.items()}
    if replace(there, splits=emptied) != card:
        raise HandfastError(
            f"{folder}: holds {there.benchmark} {there.size} of handfast {there.made_by}, not "
            f"{card.benchmark} {card.size} of {card.made_by}; choose another --out"
        )
    return there


def _begin_worker() -> None:
    """An interrupt ends a worker without a word, and it does not outlive the caller."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    Thread(target=_end_with_caller, daemon=True).start()


def _end_with_caller() -> None:
    parent_process().join()
    os._exit(1)


def _make_in_worker(job: ShardJob) -> bytes:
    cv2.setNumThreads(1)  # the other workers have the other cores
    return make_shard(job)


@cache
def _world(make_world: Callable[[int], Any], seed: int) -> Any:
    return make_world(seed)
