"""The ``handfast bench`` command."""

import json
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console
from rich.markup import escape

from handfast.cli_common import DEFAULT_MODEL, Json, column_table, with_bar
from handfast.errors import HandfastError
from handfast.files import check_ending, write_whole

if TYPE_CHECKING:
    from handfast.bench.measure import Report

# As in cli.py, the command imports what it runs.

BENCH_EXAMPLES = (
    "[bold]Examples[/]\n\nhandfast bench tofnet-tof8\n\n"
    "handfast bench tofnet-tof8 --backends c,c-int8,onnxruntime --json\n\n"
    "handfast bench tofnet-hand21 --seconds 10 --save bench.json --plot bench.png"
)
ALL_BACKENDS = "c,c-int8,onnxruntime,openvino,litert,ncnn,executorch,torch,naive,im2col"


def bench(
    model: Annotated[
        str, typer.Argument(help="Packaged model, or a model file.", metavar="NAME|FILE")
    ] = DEFAULT_MODEL,
    backends: Annotated[
        str, typer.Option(help="What to measure, in this order.", metavar="NAME,...")
    ] = ALL_BACKENDS,
    rounds: Annotated[int, typer.Option(help="In how many rounds they take turns.", min=1)] = 20,
    seconds: Annotated[float, typer.Option(help="How long each runs in all.", min=0.01)] = 3.0,
    save: Annotated[
        Path | None, typer.Option(help="Keep results and facts of the machine in this .json.", metavar="FILE")
    ] = None,
    plot: Annotated[
        Path | None,
        typer.Option(help="Also draw the speeds into this .png, .pdf or .svg.", metavar="FILE"),
    ] = None,
    as_json: Json = False,
) -> None:
    """Time a model in many engines: one image at a time, on one core.

    They take turns beside a loop of multiply-adds, which says what the core can do.
    Each is checked first: what computes something else gets no time.
    """
    from handfast.bench.backends import BACKENDS
    from handfast.bench.machine import machine_facts
    from handfast.bench.measure import measure
    from handfast.bench.plot import check_plot, plot_speeds
    from handfast.bench.task import read_task

    chosen = list(dict.fromkeys(backends.split(",")))
    unknown = [name for name in chosen if name not in BACKENDS]
    if unknown:
        raise HandfastError(f"--backends: expected some of {', '.join(BACKENDS)}, got {', '.join(unknown)}")
    if save is not None:
        check_ending(save, ".json")
    if plot is not None:
        check_plot(plot)
    task = read_task(model)
    report = measure(task, {name: BACKENDS[name] for name in chosen}, rounds, seconds, with_bar)
    facts = asdict(report)
    packages = dict.fromkeys(package for name in chosen for package in BACKENDS[name].packages)
    machine = machine_facts(packages)
    if save is not None:
        made_with = {"model": model, "rounds": rounds, "seconds": seconds, "machine": machine}
        write_whole(save, (json.dumps(made_with | facts, indent=1) + "\n").encode())
    if plot is not None:
        title = f"{task.name}, an image at a time on one core: {machine['processor']}, {machine['date']}"
        plot_speeds(report, plot, title)
    if as_json:
        print(json.dumps(facts))
    else:
        _print_report(report)


def _print_report(report: "Report") -> None:
    console = Console(highlight=False)
    numbers = ("ms", "x c", "GFLOP/s", "% of peak", "arena bytes", "weight bytes")
    table = column_table("", *numbers, numbers=numbers)
    for row in report.rows:
        if row.problem is None:
            table.add_row(
                row.backend,
                _written(row.ms, ".3f"),
                _written(row.ratio_to_c, ".2f"),
                _written(row.gflops, ".1f"),
                _written(row.peak_percent, ".1f"),
                _written(row.arena_bytes, ","),
                _written(row.weight_bytes, ","),
            )
    console.print(table)
    for row in report.rows:
        if row.problem is not None:
            state = "no time" if row.installed else "not installed"
            console.print(f"{row.backend}: {state}: {escape(row.problem)}", soft_wrap=True)
    if report.peak_gflops is not None:
        console.print(f"peak of this core, multiply-adds of 32-bit floats: {report.peak_gflops:.0f} GFLOP/s")


def _written(number: float | None, form: str) -> str:
    return "" if number is None else format(number, form)
