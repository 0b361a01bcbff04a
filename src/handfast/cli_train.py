"""``handfast train`` and ``handfast reproduce``: networks, and the tables of papers."""

import json
import math
import sys
from pathlib import Path
from typing import Annotated

import typer

from handfast.cli_common import Json, print_facts, training_libraries
from handfast.errors import HandfastError

# As in cli.py, the commands import what they run.

TRAIN_EXAMPLES = (
    "[bold]Examples[/]\n\n"
    "handfast train chidananda2019 --data data/tof --run runs/tof8\n\n"
    "handfast train pruned2019-nyu --data nyu/dataset --run runs/nyu\n\n"
    "handfast train my_recipe.toml --data data/mix --photos my_photos --run runs/mine --devices 2"
)
REPRODUCE_EXAMPLES = (
    "[bold]Examples[/]\n\n"
    "handfast reproduce --list\n\n"
    "handfast reproduce chidananda2019/table1 --rows none,all --seeds 0\n\n"
    "handfast reproduce chidananda2019/table2 --from-results --json\n\n"
    "handfast reproduce pruned2019/table1 --plot curves.png"
)

Devices = Annotated[int, typer.Option(help="How many processes share each step, one a device.", metavar="N")]


def train(
    recipe: Annotated[
        str,
        typer.Argument(help="Packaged recipe (an unknown name lists all), or a TOML file.", metavar="RECIPE"),
    ],
    data: Annotated[
        Path, typer.Option(help="Folder made by handfast synth, or the recipe's data set.", metavar="DIR")
    ],
    run: Annotated[Path, typer.Option(help="Folder of the run; one begun before goes on.", metavar="DIR")],
    photos: Annotated[
        Path | None,
        typer.Option(help="Labelled images to mix in: what handfast label wrote, or photos.", metavar="DIR"),
    ] = None,
    scenes: Annotated[
        Path | None,
        typer.Option(help="Pictures without hands, for finders in colour to tell apart.", metavar="DIR"),
    ] = None,
    devices: Devices = 1,
    as_json: Json = False,
) -> None:
    """Train a network.

    The run's folder gets model.safetensors, for handfast export, and metrics.jsonl;
    a recipe of several runs has a folder of each in it.
    Stopped at any moment and called again it goes on and ends the same.
    """
    _check_devices(devices)
    with training_libraries():
        from handfast.training.families import load_recipe
        from handfast.training.hardware import is_first_process
        from handfast.training.loop import MODEL_FILE
        from handfast.training.runs import train_recipe

    metrics = train_recipe(load_recipe(recipe), data, photos, run, devices, _say, scenes)
    if not is_first_process():
        return
    checkpoint = str(run / MODEL_FILE)
    if as_json:
        numbers = {name: value if math.isfinite(value) else None for name, value in metrics.items()}
        print(json.dumps({"recipe": recipe, "checkpoint": checkpoint, **numbers}))
    else:
        rows = [(name, f"{value:.4g}") for name, value in metrics.items()]
        print_facts([("recipe", recipe), ("checkpoint", checkpoint), *rows])


def reproduce(
    table: Annotated[
        str | None, typer.Argument(help="Which table; --list names them.", metavar="PAPER/TABLE")
    ] = None,
    scale: Annotated[
        str | None,
        typer.Option(
            help="small: for two cores; full: the paper's size.",
            metavar="NAME",
            show_default="small, or what there is",
        ),
    ] = None,
    rows: Annotated[str | None, typer.Option(help="Only these rows.", metavar="ROW,ROW")] = None,
    seeds: Annotated[
        str | None, typer.Option(help="Seeds to train with.", metavar="N,N", show_default="each row's own")
    ] = None,
    data: Annotated[
        Path | None,
        typer.Option(
            help="Folder of the benchmark, which is made if it is not there.",
            metavar="DIR",
            show_default="a folder in --runs",
        ),
    ] = None,
    runs: Annotated[Path, typer.Option(help="Folder for the runs, to go on from.", metavar="DIR")] = Path(
        "runs"
    ),
    results: Annotated[
        Path, typer.Option(help="Folder for the results, a small file a run.", metavar="DIR")
    ] = Path("docs/results"),
    devices: Devices = 1,
    from_results: Annotated[
        bool, typer.Option("--from-results", help="Train nothing; show what has been measured.")
    ] = False,
    plot: Annotated[
        Path | None,
        typer.Option(
            help="Also draw the table's figure, if it has one, into this .png, .pdf or .svg.", metavar="FILE"
        ),
    ] = None,
    list_: Annotated[bool, typer.Option("--list", help="List the tables and their rows.")] = False,
    as_json: Json = False,
) -> None:
    """Reproduce a table of a paper: train its rows, measure them, hold them against the paper's numbers.

    Each finished run leaves a small file in --results.
    Runs that have one are skipped and those cut off go on, so that a table can be made over many sittings.
    """
    from handfast.reproduce import plots, printing
    from handfast.reproduce.papers import TABLES, find_table
    from handfast.reproduce.tables import SCALES, chosen_rows, fullest_scale, read_results

    if list_:
        _print_tables({path: list(known.rows) for path, known in TABLES.items()}, as_json)
        return
    if table is None:
        raise HandfastError(f"expected a table, one of {', '.join(TABLES)}; --list shows their rows")
    chosen = find_table(table)
    wanted = chosen_rows(chosen, list(chosen.rows) if rows is None else rows.split(","))
    numbers = _parse_seeds(seeds)
    _check_devices(devices)
    if scale not in (None, *SCALES):
        raise HandfastError(f"--scale: expected one of {', '.join(SCALES)}, got {scale!r}")
    if plot is not None:
        plots.check_plot(chosen, plot)

    if from_results:
        scale = scale or fullest_scale(results, chosen)
    else:
        scale = scale or SCALES[0]
        with training_libraries():
            from handfast.reproduce import rows as making
            from handfast.training.hardware import is_first_process

        folders = making.Folders(data or runs / f"{chosen.benchmark}-{scale}", runs, results)
        if not is_first_process():  # it helps to train, and the first one speaks for it
            making.reproduce(chosen, wanted, numbers, scale, folders, devices, say=lambda line: None)
            return
        making.reproduce(chosen, wanted, numbers, scale, folders, devices, say=_say)
    found = read_results(results, chosen, scale, numbers)
    if plot is not None:
        plots.plot(chosen, {name: found[name] for name in wanted if name in found}, plot)
    if as_json:
        print(json.dumps(printing.as_json(chosen, scale, found, list(wanted))))
    else:
        printing.print_table(chosen, scale, found, list(wanted))


def _say(line: str) -> None:
    """Progress."""
    print(line, file=sys.stderr, flush=True)


def _print_tables(listed: dict[str, list[str]], as_json: bool) -> None:
    if as_json:
        print(json.dumps(listed))
    else:
        print_facts([(path, ", ".join(rows)) for path, rows in listed.items()])


def _check_devices(devices: int) -> None:
    if devices < 1:
        raise HandfastError(f"--devices: expected 1 or more, got {devices}")


def _parse_seeds(text: str | None) -> tuple[int, ...]:
    if text is None:
        return ()
    try:
        seeds = tuple(int(part) for part in text.split(","))
    except ValueError:
        seeds = (-1,)
    if min(seeds) < 0:
        raise HandfastError(f"--seeds: expected whole numbers from 0 on such as 0,1,2, got {text!r}")
    return seeds
