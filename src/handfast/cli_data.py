"""The ``handfast data`` commands."""

import json
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console
from rich.markup import escape
from rich.progress import track
from rich.table import Table

from handfast.cli_common import Json
from handfast.errors import HandfastError
from handfast.files import check_ending, write_whole

if TYPE_CHECKING:
    from handfast.data.datasets.check import Report

# As in cli.py, the commands import what they run.

SHEET_COLUMNS, SHEET_PICTURE_PX = 4, (480, 360)

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
    table = _table("name", "data set", "splits", "licence")
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
        _write_sheet(report, out)
    if as_json:
        print(json.dumps(_facts(name, path, report)))
    else:
        _print_report(DATASETS[name].title, report)
    raise typer.Exit(0 if report.complete else 1 if report.usable else 2)


def _with_bar(split: str, indices: Sequence[int]) -> Iterable[int]:
    """The indices, with a bar on stderr, if that is a terminal, of how many have been taken."""
    console = Console(stderr=True)
    return track(indices, description=split, console=console, transient=True, disable=not console.is_terminal)


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
    table = _table("split", "samples", "original", "read", "")
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


def _table(*columns: str) -> Table:
    table = Table(box=None, pad_edge=False, padding=(0, 3, 0, 0))
    for column in columns:
        table.add_column(
            column, overflow="fold", justify="right" if column in ("samples", "original") else "left"
        )
    return table


def _write_sheet(report: "Report", path: Path) -> None:
    """The samples kept, with their labels, in rows; whole or not at all."""
    from handfast.tracking.drawing import contact_sheet, draw_caption, draw_labels, png_bytes

    pictures = []
    for split, key, sample in report.kept:
        picture = draw_labels(sample, *SHEET_PICTURE_PX)
        draw_caption(picture, f"{split}   {key[-40:]}")
        pictures.append(picture)
    write_whole(path, png_bytes(contact_sheet(pictures, SHEET_COLUMNS)))
