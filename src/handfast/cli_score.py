"""The ``handfast score`` command."""

import json
from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.markup import escape

from handfast.cli_common import Json, column_table

# As in cli.py, the command imports what it runs.

SCORE_EXAMPLES = (
    "[bold]Examples[/]\n\n"
    "handfast score predictions.txt.gz groundtruth.txt.gz --dataset nyu --json\n\n"
    "handfast score first.npy second.npy groundtruth.npy --dataset stb --plot curves.png"
)


def score(
    predictions: Annotated[
        list[Path], typer.Argument(help="Saved predictions, one file a method.", metavar="PREDICTIONS")
    ],
    groundtruth: Annotated[Path, typer.Argument(help="The labels, in the same form.", metavar="GROUNDTRUTH")],
    dataset: Annotated[
        str, typer.Option(help="Whose joints: nyu, icvl, ...; an unknown name lists all.", metavar="NAME")
    ],
    plot: Annotated[
        Path | None, typer.Option(help="Also draw the curves into this .png, .pdf or .svg.", metavar="FILE")
    ] = None,
    as_json: Json = False,
) -> None:
    """Score saved predictions against the labels of a data set.

    Files are text (.txt, .gz), a frame a line, three numbers a joint; or .npy or .npz, frames x joints x 3.
    The numbers are u px, v px and depth mm for nyu, icvl and msra15, x, y and z in mm for the others.
    Errors are in mm.
    """
    from handfast.evaluation.score import errors_by_method, summarise

    errors = errors_by_method(predictions, groundtruth, dataset)
    scores = {method: asdict(summarise(errors_mm)) for method, errors_mm in errors.items()}
    first = next(iter(scores.values()))
    title = f"{dataset}: {first['frames']:,} frames, {first['joints']} joints"
    if plot is not None:
        from handfast.evaluation.curves import plot_curves

        plot_curves(errors, plot, title)
    if not as_json:
        _print_scores(title, scores)
    elif len(scores) == 1:
        print(json.dumps(first))
    else:
        print(json.dumps({"methods": [{"name": method, **facts} for method, facts in scores.items()]}))


def _print_scores(title: str, scores: dict[str, dict]) -> None:
    headings = ("mean mm", "median mm", "AUC 20-50", "AUC 0-50")
    table = column_table("method", *headings, numbers=headings)
    for method, facts in scores.items():
        numbers = (facts[name] for name in ("mean_mm", "median_mm", "auc_20_50", "auc_0_50"))
        table.add_row(escape(method), *(f"{number:.3f}" for number in numbers))
    console = Console(highlight=False)
    console.print(title)
    console.print(table)
