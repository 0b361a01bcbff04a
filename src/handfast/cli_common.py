"""What the commands share: options, and tables of what they found."""

from typing import Annotated

import typer
from rich.console import Console
from rich.markup import escape
from rich.table import Table

Json = Annotated[bool, typer.Option("--json", help="Print one JSON object as the last line of stdout.")]


def print_facts(rows: list[tuple[str, str]]) -> None:
    """What was found, a fact a line."""
    table = Table(show_header=False, box=None, pad_edge=False, padding=(0, 3, 0, 0))
    table.add_column(style="bold")
    table.add_column(overflow="fold")
    for what, value in rows:
        table.add_row(what, escape(value))
    Console(highlight=False).print(table)
