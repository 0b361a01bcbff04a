"""Trains and measures the rows of a table that have no result yet. Can be cut off anywhere and goes on."""

import dataclasses
import hashlib
import json
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from importlib.metadata import version
from itertools import pairwise
from pathlib import Path
from typing import Any

from handfast import __version__
from handfast.data.benchmarks import BENCHMARKS
from handfast.data.cards import CARD, read_card
from handfast.data.generate import in_processes, make, plan
from handfast.errors import HandfastError
from handfast.export.onnx import export_onnx
from handfast.reproduce.measure import measure_model
from handfast.reproduce.tables import SCALES, Result, Row, Table, read_result, result_path, write_result
from handfast.runtime.model import load_model
from handfast.training.checkpoint import load_checkpoint
from handfast.training.families import load_recipe, open_data
from handfast.training.hardware import hardware_facts, is_first_process
from handfast.training.loop import MODEL_FILE, train
from handfast.training.recipe import Recipe

# A longer time between two lines of a run's log was an interruption.
LONGEST_GAP_S, LONGEST_GAP_MEDIANS = 60.0, 10.0

# Trains a recipe on a data folder in a run folder, which gets a checkpoint, on so many devices.
Trainer = Callable[[Recipe, Path, Path, int], None]


@dataclass(frozen=True)
class Folders:
    """data: the benchmark. runs: a folder in it for each run, to go on from. results: a small file each."""

    data: Path
    runs: Path
    results: Path


@dataclass(frozen=True)
class Job:
    """A row to train with one seed. path: where its result goes."""

    name: str
    row: Row
    recipe: Recipe
    path: Path

    def __str__(self) -> str:
        return f"{self.name}, seed {self.recipe.seed}"


def train_on(recipe: Recipe, data: Path, run_dir: Path, devices: int) -> None:
    """Train, or go on where a run stopped."""
    train(recipe, open_data(recipe, data), run_dir, devices=devices)


def reproduce(
    table: Table,
    rows: Mapping[str, Row],
    seeds: Sequence[int],
    scale: str,
    folders: Folders,
    devices: int,
    say: Callable[[str], None],
    trainer: Trainer = train_on,
) -> None:
    """Make the results that rows of a table lack: the first seed of every row, then the others.

    seeds: none for each row's own. A result whose recipe has changed since is made again. say: gets a line
    whenever something begins or ends. Raises HandfastError for what is wrong with recipes and folders.
    """
    jobs = []
    for job in _jobs(table, rows, seeds, scale, folders.results):
        if job.path.exists() and read_result(job.path).recipe_hash == job.recipe.hash:
            say(f"{job}: finished")
        else:
            jobs.append(job)
    if jobs:
        make_data(table.benchmark, scale, folders.data, say)
    for number, job in enumerate(jobs, start=1):
        say(f"{job}: training, {number} of {len(jobs)}")
        card_sha256 = hashlib.sha256((folders.data / CARD).read_bytes()).hexdigest()
        run_name = f"{job.path.stem}-{job.recipe.hash[:6]}-{card_sha256[:6]}"
        run_dir = folders.runs / table.paper / scale / run_name
        trainer(job.recipe, folders.data, run_dir, devices)
        if is_first_process():
            result = _measured(job, scale, folders.data, card_sha256, run_dir, devices)
            write_result(job.path, result)
            say(f"{job}: {result.score.error_px:.3f} px after {result.seconds:,.0f} s")


def recipe_of(row: Row, scale: str, seed: int) -> Recipe:
    """What a row trains at a scale."""
    recipe = varied(load_recipe(row.recipe), row.changes)
    return dataclasses.replace(recipe, seed=seed, epochs=recipe.epochs * SCALES[scale])


def varied(record: Any, changes: Mapping[str, Any]) -> Any:
    """A frozen record with other values; a mapping among them changes the record that is there."""
    values = {
        name: varied(getattr(record, name), value) if isinstance(value, Mapping) else value
        for name, value in changes.items()
    }
    return dataclasses.replace(record, **values)


def make_data(benchmark: str, size: str, folder: Path, say: Callable[[str], None]) -> None:
    """Make what a folder lacks of a benchmark. Raises HandfastError if it holds something else."""
    if (folder / CARD).exists():
        there = read_card(folder)
        if (there.benchmark, there.size) != (benchmark, size):
            raise HandfastError(
                f"{folder}: expected {benchmark} {size}, got {there.benchmark} {there.size}; "
                "choose another --data"
            )
        if all(there.layout(split).keys() == there.splits[split].shards.keys() for split in there.splits):
            return
    card, jobs = plan(BENCHMARKS[benchmark], size, folder, made_by=__version__)
    for number, _ in enumerate(make(folder, card, jobs, in_processes(os.cpu_count() or 1)), start=1):
        say(f"{folder}: {benchmark} {size}, shard {number} of {len(jobs)}")


def seconds_trained(log: Path) -> float:
    """How long a run took by its log, interruptions left out."""
    times_s = [json.loads(line)["time_s"] for line in log.read_text(encoding="utf-8").splitlines()]
    gaps_s = sorted(later - earlier for earlier, later in pairwise(times_s))
    if not gaps_s:
        return 0.0
    longest_s = max(LONGEST_GAP_S, LONGEST_GAP_MEDIANS * gaps_s[len(gaps_s) // 2])
    return round(sum(gap_s for gap_s in gaps_s if gap_s <= longest_s), 1)


def _jobs(
    table: Table, rows: Mapping[str, Row], seeds: Sequence[int], scale: str, results: Path
) -> Iterator[Job]:
    for seed in seeds or sorted({seed for row in rows.values() for seed in row.seeds}):
        for name, row in rows.items():
            if seed in (seeds or row.seeds):
                path = result_path(results, table.paper, scale, row.run, seed)
                yield Job(name, row, recipe_of(row, scale, seed), path)


def _measured(job: Job, scale: str, data: Path, card_sha256: str, run_dir: Path, devices: int) -> Result:
    """The result of a run whose training is over."""
    recipe, card = job.recipe, read_card(data)
    net, net_card = load_checkpoint(run_dir / MODEL_FILE)
    cost = export_onnx(net, net_card, run_dir / "model.onnx", early_out_logit=None)
    score = measure_model(
        load_model(run_dir / "model.onnx"),
        data,
        picture="depth" if recipe.data.picture == "depth" else "amplitude",
        knows_presence=recipe.losses.visibility > 0,
    )
    return Result(
        run=job.row.run,
        scale=scale,
        seed=recipe.seed,
        recipe_hash=recipe.hash,
        recipe=asdict(recipe),
        data={
            "benchmark": card.benchmark,
            "size": card.size,
            "seed": card.seed,
            "made_by": card.made_by,
            "card_sha256": card_sha256,
        },
        score=score,
        **{what: cost[what] for what in ("parameters", "macs", "flops", "weight_bytes")},
        samples_seen=net_card["step"] * recipe.batch_size,
        seconds=seconds_trained(run_dir / "metrics.jsonl"),
        hardware=hardware_facts() | {"devices": devices},
        handfast=__version__,
        torch=version("torch"),
    )
