"""What the commands share: options, and tables of what they found."""

from typing import Annotated

import typer
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from handfast.errors import HandfastError

DEFAULT_MODEL = "tofnet-hand21"

Model = Annotated[str, typer.Option(help="Packaged model, or a model file.", metavar="NAME|FILE")]
Json = Annotated[bool, typer.Option("--json", help="Print one JSON object as the last line of stdout.")]


def parse_intrinsics(text: str | None) -> tuple[float, ...] | None:
    """What --intrinsics gives, fx,fy,cx,cy. Raises HandfastError for anything but four numbers."""
    if text is None:
        return None
    try:
        fx, fy, cx, cy = (float(part) for part in text.split(","))
    except ValueError as error:
        raise HandfastError(
            f"--intrinsics: expected four numbers fx,fy,cx,cy in pixels, got {text!r}"
        ) from error
    return fx, fy, cx, cy


def print_facts(rows: list[tuple[str, str]]) -> None:
    """What was found, a fact a line."""
    table = Table(show_header=False, box=None, pad_edge=False, padding=(0, 3, 0, 0))
    table.add_column(style="bold")
    table.add_column(overflow="fold")
    for what, value in rows:
        table.add_row(what, escape(value))
    Console(highlight=False).print(table)
