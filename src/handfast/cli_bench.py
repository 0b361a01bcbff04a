"""The ``handfast bench`` command."""

import json
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console
from rich.markup import escape

from handfast.cli_common import Json, column_table, training_libraries, with_bar
from handfast.errors import HandfastError
from handfast.files import check_ending, write_whole
from handfast.packaged import DEFAULT_MODEL

if TYPE_CHECKING:
    from handfast.bench.gate import GateReport
    from handfast.bench.loops import LoopReport
    from handfast.bench.measure import Report, Row
    from handfast.bench.stages import StageRow

# As in cli.py, the command imports what it runs.

BENCH_EXAMPLES = (
    "[bold]Examples[/]\n\nhandfast bench tofnet-tof8\n\n"
    "handfast bench tofnet-tof8 --backends c,c-int8,onnxruntime --json\n\n"
    "handfast bench tofnet-hand21 --seconds 10 --save bench.json --plot bench.png\n\n"
    "handfast bench dense-1stack-l3 --backends torch,openvino\n\n"
    "handfast bench dirnet --json\n\n"
    "handfast bench ace --p-fine 0.18"
)
ALL_BACKENDS = "c,c-int8,onnxruntime,openvino,litert,ncnn,executorch,torch,naive,im2col"
DENSE_BACKENDS = "torch,onnxruntime,openvino"
FOLDER_BACKENDS = "onnxruntime,openvino"
DENSE, DIRNET, ACE = "dense regression", "DIR-Net", "ACE"


def bench(
    model: Annotated[
        str,
        typer.Argument(
            help="Packaged model, model file or folder; of dense-..., dirnet and ace also a checkpoint or a "
            "bare name.",
            metavar="NAME|PATH",
        ),
    ] = DEFAULT_MODEL,
    backends: Annotated[
        str | None,
        typer.Option(
            help=f"What to measure, in this order: {ALL_BACKENDS.replace(',', ', ')}; of dense-... "
            f"{DENSE_BACKENDS.replace(',', ', ')}; of dirnet and ace {FOLDER_BACKENDS.replace(',', ', ')}.",
            metavar="NAME,...",
            show_default="all",
        ),
    ] = None,
    rounds: Annotated[int, typer.Option(help="In how many rounds they take turns.", min=1, metavar="N")] = 20,
    seconds: Annotated[
        float, typer.Option(help="How many seconds each runs in all.", min=0.01, metavar="S")
    ] = 3.0,
    p_fine: Annotated[
        float | None,
        typer.Option(
            help="Of ace, the share of frames, 0 to 1, for which its gate opens.",
            metavar="SHARE",
            show_default="what its card says",
        ),
    ] = None,
    save: Annotated[
        Path | None,
        typer.Option(help="Also keep the results and facts of the machine in this .json.", metavar="FILE"),
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
    Of dense regression the stages are told apart: crop, network, decoding. Of DIR-Net, each number of loops.
    Of ACE, a frame with the gate and one that the fine encoder always sees.
    """
    if save is not None:
        check_ending(save, ".json")
    family = _family(model)
    if p_fine is not None and family != ACE:
        raise HandfastError(f"--p-fine: expected an ACE, got {model}")
    if family is not None and plot is not None:
        raise HandfastError(f"--plot: not for {family}; --save keeps the numbers")
    known = {None: ALL_BACKENDS, DENSE: DENSE_BACKENDS}.get(family, FOLDER_BACKENDS)
    chosen = _chosen(backends or known, known)
    if family is None:
        _bench_engines(model, chosen, rounds, seconds, save, plot, as_json)
    else:
        _bench_parts(family, model, p_fine, chosen, rounds, seconds, save, as_json)


def _family(model: str) -> str | None:
    """One whose parts are timed, by the name, or what a file says of itself; None for any other."""
    if model in ("dirnet", "ace") or not ("." in model or Path(model).exists()):
        named = {"dense": DENSE, "dirnet": DIRNET, "ace": ACE}
        if family := named.get(model.split("-")[0]):
            return family
    if model.endswith(".safetensors"):
        with training_libraries():
            from handfast.training.checkpoint import read_tensors
        _, card = read_tensors(Path(model))
        # Dense regression says what it cannot time.
        return {"dirnet": DIRNET, "ace": ACE}.get(card.get("family"), DENSE)
    from handfast.runtime.model import ON_CROPS
    from handfast.runtime.opening import family_of

    return ON_CROPS.get(family_of(model))


def _chosen(backends: str, known: str) -> list[str]:
    chosen = list(dict.fromkeys(backends.split(",")))
    names = known.split(",")
    if unknown := [name for name in chosen if name not in names]:
        raise HandfastError(f"--backends: expected some of {', '.join(names)}, got {', '.join(unknown)}")
    return chosen


def _save(path: Path, model: str, rounds: int, seconds: float, machine: dict, facts: dict) -> None:
    made_with = {"model": model, "rounds": rounds, "seconds": seconds, "machine": machine}
    write_whole(path, (json.dumps(made_with | facts, indent=1) + "\n").encode())


def _bench_engines(
    model: str,
    chosen: list[str],
    rounds: int,
    seconds: float,
    save: Path | None,
    plot: Path | None,
    as_json: bool,
) -> None:
    from handfast.bench.backends import BACKENDS
    from handfast.bench.machine import machine_facts
    from handfast.bench.measure import measure
    from handfast.bench.plot import plot_speeds
    from handfast.bench.task import read_task
    from handfast.evaluation.figures import check_plot

    if plot is not None:
        check_plot(plot)
    task = read_task(model)
    report = measure(task, {name: BACKENDS[name] for name in chosen}, rounds, seconds, with_bar)
    facts = asdict(report)
    packages = dict.fromkeys(package for name in chosen for package in BACKENDS[name].packages)
    machine = machine_facts(packages)
    if save is not None:
        _save(save, model, rounds, seconds, machine, facts)
    if plot is not None:
        title = f"{task.name}, an image at a time on one core: {machine['processor']}, {machine['date']}"
        plot_speeds(report, plot, title)
    if as_json:
        print(json.dumps(facts))
    else:
        _print_report(report)


def _bench_parts(
    family: str,
    model: str,
    p_fine: float | None,
    chosen: list[str],
    rounds: int,
    seconds: float,
    save: Path | None,
    as_json: bool,
) -> None:
    with training_libraries():
        from handfast.bench.gate import measure_gate
        from handfast.bench.loops import measure_loops
        from handfast.bench.stages import measure_stages
    from handfast.bench.machine import machine_facts

    if family == DENSE:
        found, print_found = measure_stages(model, chosen, rounds, seconds, with_bar), _print_stages
    elif family == DIRNET:
        found, print_found = measure_loops(model, chosen, rounds, seconds, with_bar), _print_loops
    else:
        found, print_found = measure_gate(model, p_fine, chosen, rounds, seconds, with_bar), _print_gate
    facts = {"rows" if family == DENSE else "reports": [asdict(of_backend) for of_backend in found]}
    if save is not None:
        _save(save, model, rounds, seconds, machine_facts(chosen), facts)
    if as_json:
        print(json.dumps(facts))
    else:
        print_found(found)


def _print_stages(rows: Sequence["StageRow"]) -> None:
    columns = ("preprocess_ms", "network_ms", "decode_ms", "total_ms", "fps")
    table = column_table("", *columns, numbers=columns)
    for row in rows:
        if row.problem is None:
            table.add_row(row.backend, *(f"{getattr(row, column):.3g}" for column in columns))
    console = Console(highlight=False)
    console.print(table)
    _print_problems(console, rows)


def _print_gate(reports: Sequence["GateReport"]) -> None:
    console = Console(highlight=False)
    columns = {
        "fine_ms": "fine", "recur_ms": "LSTM", "coarse_ms": "coarse", "coarse_p99_ms": "p99",
        "mean_ms": "a frame", "p99_ms": "p99", "always_fine_ms": "always fine", "always_fine_p99_ms": "p99",
    }  # fmt: skip
    table = column_table("ms", *columns.values(), numbers=columns.values())
    timed = [report for report in reports if report.problem is None]
    for report in timed:
        table.add_row(report.backend, *(f"{getattr(report, column):.3g}" for column in columns))
    console.print(table)
    for report in timed:
        console.print(
            f"{report.backend}: with the fine encoder in {100 * report.p_fine:.0f} % of the frames "
            f"{report.mean_share:.2f} of the time of always fine; p99 {report.p99_ms:.3g} ms, those of "
            f"always fine and of a coarse one together {report.p99_limit_ms:.3g} ms",
            soft_wrap=True,
        )
    _print_problems(console, reports)


def _print_loops(reports: Sequence["LoopReport"]) -> None:
    console = Console(highlight=False)
    columns = ("loops", "extract", "refine", "attend", "pose", "total", "MMAC", "x MACs")
    table = column_table("ms", *columns, numbers=columns)
    for report in reports:
        for row in report.rows:
            parts_ms = (row.extract_ms, row.refine_ms, row.attend_ms, row.pose_ms, row.total_ms)
            table.add_row(
                report.backend,
                str(row.loops),
                *(f"{part_ms:.3f}" for part_ms in parts_ms),
                f"{row.macs / 1e6:.1f}",
                _written(row.over_macs, ".2f"),
            )
    console.print(table)
    for report in reports:
        if report.rows:
            console.print(f"{report.backend}: one more loop takes {report.loop_ms:.3f} ms")
    _print_problems(console, reports)


def _print_problems(console: Console, found: Sequence["Row | StageRow | LoopReport | GateReport"]) -> None:
    """A line for each back end, installed or not, that has a problem."""
    for of_backend in found:
        if of_backend.problem is not None:
            state = "no time" if of_backend.installed else "not installed"
            console.print(f"{of_backend.backend}: {state}: {escape(of_backend.problem)}", soft_wrap=True)


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
    _print_problems(console, report.rows)
    if report.peak_gflops is not None:
        console.print(f"peak of this core, multiply-adds of 32-bit floats: {report.peak_gflops:.0f} GFLOP/s")


def _written(number: float | None, form: str) -> str:
    return "" if number is None else format(number, form)
