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
from handfast.data.datasets.bench import open_bench
from handfast.data.generate import in_processes, make, plan
from handfast.errors import HandfastError
from handfast.export.onnx import export_onnx
from handfast.models import MODELS
from handfast.models.cost import network_cost
from handfast.reproduce.measure import measure_model
from handfast.reproduce.measure_adaptive import measure_adaptive
from handfast.reproduce.measure_dense import measure_levels, time_stages
from handfast.reproduce.measure_refinement import measure_refinement
from handfast.reproduce.tables import Result, Row, Table, read_result, result_path, write_result
from handfast.runtime.model import load_model
from handfast.sensors.depth_crop import CROP_PX
from handfast.training.ace import AceRecipe
from handfast.training.checkpoint import load_checkpoint, read_tensors
from handfast.training.dense_regression import DenseRecipe
from handfast.training.dirnet import DIRNetRecipe
from handfast.training.families import load_recipe
from handfast.training.hardware import hardware_facts, is_first_process
from handfast.training.log import LOG_FILE
from handfast.training.loop import MODEL_FILE
from handfast.training.recipe import Recipe
from handfast.training.runs import runs_of, train_recipe

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
    """A run to make with one seed. path: where its result goes. needs: as the row's, with the same seed."""

    row: Row
    recipe: Recipe
    path: Path
    needs: Mapping[str, "Job"]

    def __str__(self) -> str:
        return f"{self.row.run}, seed {self.recipe.seed}"


def train_on(recipe: Recipe, data: Path, run_dir: Path, devices: int) -> None:
    """Train, or go on where a run stopped."""
    train_recipe(recipe, data, None, run_dir, devices, say=lambda line: None)


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

    seeds: none for each row's own. A result whose recipe has changed since is made again. What a row needs is
    trained before it, as far as it is not. say: gets a line whenever something begins or ends. Raises
    HandfastError for what is wrong with recipes and folders.
    """
    if table.timed:
        _time(table, scale, folders.results, devices, say)
        return
    lacking = []
    for job in _jobs(table, rows, seeds, scale, folders.results):
        if _is_measured(job, table):
            say(f"{job}: finished")
        else:
            lacking.append(job)
    if not lacking:
        return
    make_data(table.benchmark, scale, folders.data, say)
    card_sha256 = hashlib.sha256((folders.data / CARD).read_bytes()).hexdigest()

    def run_dir_of(job: Job) -> Path:
        name = f"{job.path.stem}-{job.recipe.hash[:6]}-{card_sha256[:6]}"
        return (folders.runs / table.paper / scale / name).resolve()

    jobs = {each.path: each for job in lacking for each in _with_needed(job)}
    for number, job in enumerate(jobs.values(), start=1):
        say(f"{job}: training, {number} of {len(jobs)}")
        run_dir = run_dir_of(job)
        checkpoints = {value: str(run_dir_of(needed) / MODEL_FILE) for value, needed in job.needs.items()}
        trainer(dataclasses.replace(job.recipe, **checkpoints), folders.data, run_dir, devices)
        if is_first_process() and not _is_measured(job, table):
            say(f"{job}: measuring")
            result = _measured(job, scale, folders.data, card_sha256, run_dir, devices)
            write_result(job.path, result)
            say(f"{job}: done after {result.seconds:,.0f} s of training")


def _time(table: Table, scale: str, results: Path, devices: int, say: Callable[[str], None]) -> None:
    """Make the one result of a table in which nothing is trained."""
    run = next(iter(table.rows.values())).run
    path = result_path(results, table.paper, scale, run, 0)
    if path.exists():
        say(f"{run}: finished")
    elif is_first_process():
        parameters, macs = network_cost(MODELS[table.timed], 1, 1, CROP_PX, CROP_PX)
        result = Result(
            run=run,
            scale=scale,
            seed=0,
            recipe_hash="",
            recipe={},
            data={"card_sha256": ""},
            score=time_stages(table.timed, macs / 1e9),
            parameters=parameters,
            macs=macs,
            flops=2 * macs,
            weight_bytes=4 * parameters,
            samples_seen=0,
            seconds=0.0,
            hardware=hardware_facts() | {"devices": devices},
            handfast=__version__,
            torch=version("torch"),
        )
        write_result(path, result)


def recipe_of(row: Row, scale: str, seed: int) -> Recipe:
    """What a row trains at a scale. Where it needs another row's checkpoint it names that row and what that
    trains, wherever the file will be."""
    recipe = varied(load_recipe(row.recipe), row.changes)
    if scale == "small":
        recipe = varied(recipe, {"epochs": recipe.epochs / 2} if row.small is None else row.small)
    needed = {
        value: f"{other.run} {recipe_of(other, scale, 0).hash[:6]}" for value, other in row.needs.items()
    }
    return dataclasses.replace(recipe, seed=seed, **needed)


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


def _steps(run_dir: Path) -> int:
    """Of a run whose training is over."""
    return read_tensors(run_dir / MODEL_FILE)[1]["step"]


def _jobs(
    table: Table, rows: Mapping[str, Row], seeds: Sequence[int], scale: str, results: Path
) -> list[Job]:
    """One for each run, which rows may share."""
    jobs = {}
    for seed in seeds or sorted({seed for row in rows.values() for seed in row.seeds}):
        for row in rows.values():
            if seed in (seeds or row.seeds):
                job = _job(table, row, seed, scale, results)
                jobs.setdefault(job.path, job)
    return list(jobs.values())


def _job(table: Table, row: Row, seed: int, scale: str, results: Path) -> Job:
    path = result_path(results, table.paper, scale, row.run, seed)
    needs = {value: _job(table, needed, seed, scale, results) for value, needed in row.needs.items()}
    return Job(row, recipe_of(row, scale, seed), path, needs)


def _with_needed(job: Job) -> Iterator[Job]:
    """What a job needs, and then itself."""
    for needed in job.needs.values():
        yield from _with_needed(needed)
    yield job


def _is_measured(job: Job, table: Table) -> bool:
    return job.path.exists() and read_result(job.path, table).recipe_hash == job.recipe.hash


def _measured(job: Job, scale: str, data: Path, card_sha256: str, run_dir: Path, devices: int) -> Result:
    """The result of a run whose training is over."""
    recipe, card = job.recipe, read_card(data)
    net, net_card = load_checkpoint(run_dir / MODEL_FILE)
    match recipe:
        case DenseRecipe():
            score = measure_levels(net, net_card, data, run_dir)
            cost = asdict(score[f"l{max(net.levels)}"])
        case DIRNetRecipe():
            score = measure_refinement(recipe, data, run_dir)
            cost = asdict(score[f"loop-{recipe.loops}"])
        case AceRecipe():
            score = measure_adaptive(recipe, data, run_dir)
            cost = asdict(next(iter(score.values())))
        case _:
            cost = export_onnx(net, net_card, run_dir / "model.onnx", early_out_logit=None)
            score = measure_model(
                load_model(run_dir / "model.onnx", "onnxruntime"),
                open_bench(data, "test"),
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
        samples_seen=sum(_steps(run_dir / name) * run.batch_size for name, run in runs_of(recipe).items()),
        seconds=sum(seconds_trained(run_dir / name / LOG_FILE) for name in runs_of(recipe)),
        hardware=hardware_facts() | {"devices": devices},
        handfast=__version__,
        torch=version("torch"),
    )
