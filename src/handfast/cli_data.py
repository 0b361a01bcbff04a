"""The ``handfast data`` commands."""

import json
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console
from rich.markup import escape

from handfast.cli_common import Json, column_table, print_facts, with_bar, write_sheet
from handfast.errors import HandfastError
from handfast.files import check_ending

if TYPE_CHECKING:
    from handfast.data.datasets.check import Report

# As in cli.py, the commands import what they run.

SHEET_COLUMNS = 4

app = typer.Typer(
    no_args_is_help=True,
    help="Public data sets: which can be read, whether a copy is complete, what a network finds in one.",
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
    name: Annotated[str, typer.Argument(help="Data set; handfast data list names them.", metavar="NAME")],
    path: Annotated[
        Path, typer.Argument(help="Its folder; for coco also an annotation file.", metavar="PATH")
    ],
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


@app.command(
    epilog="[bold]Example[/]\n\n"
    "handfast data predict nyu nyu/dataset --model nyu.onnx --out found.txt --labels labelled.txt\n\n"
    "handfast score found.txt labelled.txt --dataset nyu"
)
def predict(
    name: Annotated[str, typer.Argument(help="Data set: nyu or icvl.", metavar="NAME")],
    path: Annotated[Path, typer.Argument(help="Its folder.", metavar="DIR")],
    model: Annotated[
        str, typer.Option(help="What handfast export wrote of a dense-... network.", metavar="FILE")
    ],
    out: Annotated[
        Path, typer.Option(help="The file to write what the network finds into.", metavar="FILE.txt")
    ],
    labels: Annotated[
        Path | None,
        typer.Option(help="The file to write the labels into, in the same form.", metavar="FILE.txt"),
    ] = None,
    backend: Annotated[
        str, typer.Option(help="What runs the network: onnxruntime or openvino.", metavar="NAME")
    ] = "onnxruntime",
    as_json: Json = False,
) -> None:
    """Find the joints in all test frames of a data set, for handfast score.

    Hands are cut out by the box of the labelled joints.
    Files are as published ones: a frame a line, of each joint u px, v px and depth mm.
    """
    from handfast.evaluation.score import CONVENTIONS, write_points_mm
    from handfast.reproduce.predictions import open_test, predict
    from handfast.runtime.dense import load_dense

    for file in (out, labels):
        if file is not None:
            check_ending(file, ".txt")
    if labels is not None and labels.resolve() == out.resolve():
        raise HandfastError(f"--labels: {labels} is --out too; choose another file")
    frames = open_test(name, path)
    found = predict(
        load_dense(model, backend), name, frames, lambda done: with_bar(done, "frames", len(frames))
    )
    write_points_mm(out, found.found_mm, CONVENTIONS[name])
    if labels is not None:
        write_points_mm(labels, found.labelled_mm, CONVENTIONS[name])
    facts = {"dataset": name, "model": model, "frames": len(frames), "out": str(out)}
    if labels is not None:
        facts["labels"] = str(labels)
    if as_json:
        print(json.dumps(facts | {"without_hand": found.without_hand}))
    else:
        print_facts([*facts.items(), ("without a hand", ", ".join(found.without_hand) or "none")])


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
