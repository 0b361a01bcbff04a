"""The ``handfast data`` commands."""

import json
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console
from rich.markup import escape

from handfast.cli_common import Json, column_table, with_bar, write_sheet
from handfast.errors import HandfastError
from handfast.files import check_ending

if TYPE_CHECKING:
    from handfast.data.datasets.check import Report

# As in cli.py, the commands import what they run.

SHEET_COLUMNS = 4

app = typer.Typer(
    no_args_is_help=True, help="Public data sets: which ones can be read, and is a copy complete."
)


@app.command("list", epilog="[bold]Example[/]\n\nhandfast data list --json")
def list_(as_json: Json = False) -> None:
    """List the data sets that can be read, and under which licence they come."""
    from handfast.data.datasets import DATASETS

    if as_json:
        facts = ("title", "homepage", "licence")
        listed = {
            name: {fact: getattr(dataset, fact) for fact in facts} | {"splits": dict(dataset.splits)}
            for name, dataset in DATASETS.items()
        }
        print(json.dumps(listed))
        return
    table = column_table("name", "data set", "splits", "licence")
    for name, dataset in DATASETS.items():
        table.add_row(name, *map(escape, (dataset.title, ", ".join(dataset.splits), dataset.licence)))
    Console(highlight=False).print(table)


@app.command(
    epilog="[bold]Examples[/]\n\nhandfast data check freihand FreiHAND_pub_v2 --out sheet.png\n\n"
    "handfast data check coco annotations/person_keypoints_default.json --json"
)
def check(
    name: Annotated[str, typer.Argument(help="Data set; handfast data list names them.")],
    path: Annotated[Path, typer.Argument(help="Its folder; for coco also an annotation file.")],
    out: Annotated[
        Path | None, typer.Option(help="Picture of some samples with their labels.", metavar="SHEET.png")
    ] = None,
    as_json: Json = False,
) -> None:
    """Say whether a copy of a data set is complete.

    Counts the samples of every split and reads a few of each.
    The exit code is 0 if all is there, 1 if something is missing or cannot be read, 2 if nothing can be used.
    """
    from handfast.data.datasets import DATASETS
    from handfast.data.datasets.check import check_folder

    if name not in DATASETS:
        raise HandfastError(f"{name!r}: unknown data set; expected one of {', '.join(DATASETS)}")
    if out is not None:
        check_ending(out, ".png")
    report = check_folder(DATASETS[name], path, watch=_with_bar)
    if out is not None and report.kept:
        captioned = ((f"{split}   {key[-40:]}", sample) for split, key, sample in report.kept)
        write_sheet(out, captioned, SHEET_COLUMNS)
    if as_json:
        print(json.dumps(_facts(name, path, report)))
    else:
        _print_report(DATASETS[name].title, report)
    raise typer.Exit(0 if report.complete else 1 if report.usable else 2)


def _with_bar(split: str, indices: Sequence[int]) -> Iterable[int]:
    return with_bar(indices, split, len(indices))


def _facts(name: str, path: Path, report: "Report") -> dict:
    return {
        "dataset": name,
        "path": str(path),
        "complete": report.complete,
        "usable": report.usable,
        "splits": [
            {
                "split": split.split,
                "samples": split.samples,
                "expected": split.expected,
                "complete": split.complete,
                "problem": split.problem,
                "read": split.read,
                "unreadable": [{"sample": key, "reason": reason} for key, reason in split.unreadable],
            }
            for split in report.splits
        ],
    }


def _print_report(title: str, report: "Report") -> None:
    console = Console(highlight=False)
    table = column_table("split", "samples", "original", "read", "", numbers=("samples", "original"))
    for split in report.splits:
        table.add_row(
            split.split,
            f"{split.samples:,}",
            "" if split.expected is None else f"{split.expected:,}",
            f"{split.read - len(split.unreadable)} of {split.read}",
            "complete" if split.complete else "incomplete" if split.usable else "unusable",
        )
    console.print(table)
    for split in report.splits:
        if split.problem is not None:
            console.print(f"{split.split}: {escape(split.problem)}", soft_wrap=True)
        for key, reason in split.unreadable:
            console.print(f"{split.split}: {escape(key)}: {escape(reason)}", soft_wrap=True)
    verdict = "complete" if report.complete else "incomplete" if report.usable else "cannot be used"
    console.print(f"{escape(title)}: {verdict}")
