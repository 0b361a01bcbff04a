"""A table as measured, beside the paper's own: on the terminal, as JSON, as PCK curves."""

import io
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path

from rich.console import Console
from rich.markup import escape
from rich.table import Table as RichTable

from handfast.errors import HandfastError
from handfast.evaluation.curves import COLOURS, DASHES, FAINT, INK
from handfast.evaluation.keypoints import PCK_THRESHOLDS_PX
from handfast.files import check_ending, write_whole
from handfast.reproduce.tables import Result, Summary, Table, data_of, judge, summarise

PLOT_ENDINGS = (".png", ".pdf", ".svg")
# What a table may show of a summary: heading, and a number as it is printed.
_COLUMNS: dict[str, tuple[str, Callable[[float], str]]] = {
    "error_px": ("px", lambda error_px: f"{error_px:.3f}"),
    "parameters": ("parameters", lambda parameters: f"{parameters / 1e6:.3f} M"),
    "flops": ("GFLOP", lambda flops: f"{flops / 1e9:.3f}"),
    "error_percent_of_hand": ("% hand", lambda percent: f"{percent:.1f}"),
    "wrong_side_rate": ("wrong side", lambda rate: f"{100 * rate:.1f} %"),
    "ghost_rate": ("ghosts", lambda rate: f"{100 * rate:.1f} %"),
    "surface_error_mm": ("2.5D mm", lambda error_mm: f"{error_mm:.1f}"),
}


def as_json(table: Table, scale: str, found: Mapping[str, list[Result]], rows: Sequence[str]) -> dict:
    """The rows measured so far, those that are not, and the claims that they bear out."""
    summaries = _summaries(table, found)
    return {
        "table": table.path,
        "scale": scale,
        "rows": [summaries[name].facts() for name in rows if name in summaries],
        "missing": [name for name in rows if name not in summaries],
        "claims": [asdict(judge(claim, summaries)) for claim in table.claims],
        "data": data_of(found),
    }


def print_table(table: Table, scale: str, found: Mapping[str, list[Result]], rows: Sequence[str]) -> None:
    """The same, to read."""
    summaries = _summaries(table, found)
    console = Console(highlight=False)
    console.print(f"{table.path}, {scale}: {table.title}", soft_wrap=True)
    grid = RichTable(box=None, pad_edge=False, padding=(0, 2, 0, 0))
    grid.add_column("row", no_wrap=True)
    headings = [heading for what in table.compared for heading in ("paper", _COLUMNS[what][0])]
    for heading in (*headings, "±", "seeds", *(_COLUMNS[what][0] for what in table.also)):
        grid.add_column(heading, justify="right")
    for name in rows:
        facts = summaries[name].facts() if name in summaries else {}
        beside = [(numbers, what) for what in table.compared for numbers in (table.rows[name].paper, facts)]
        grid.add_row(
            name,
            *(_shown(numbers, what) for numbers, what in beside),
            f"{facts['error_px_std']:.3f}" if facts.get("error_px_std") is not None else "–",
            str(facts.get("seeds", 0)),
            *(_shown(facts, what) for what in table.also),
        )
    console.print(grid)
    for verdict in (judge(claim, summaries) for claim in table.claims):
        console.print(f"{verdict.verdict}: {escape(verdict.claim)} ({escape(verdict.found)})", soft_wrap=True)
    if len(data_of(found)) > 1:
        console.print(
            "note: the rows were made on different data; their result files name it", soft_wrap=True
        )


def plot_pck(table: Table, found: Mapping[str, list[Result]], path: Path) -> None:
    """Draw the PCK curve of each row into a .png, .pdf or .svg file, which appears whole or not at all.

    Raises HandfastError without matplotlib, for another ending, and if the file cannot be written.
    """
    check_ending(path, *PLOT_ENDINGS)
    try:
        from matplotlib.figure import Figure
    except ImportError as error:
        raise HandfastError('plots need matplotlib: pip install "handfast[plots]"') from error

    figure = Figure(figsize=(9, 4.5), dpi=160, layout="constrained")
    axes = figure.subplots()
    axes.set_title(f"{table.path}: visible key-points within the threshold (PCK)", loc="left", fontsize=10)
    for index, summary in enumerate(_summaries(table, found).values()):
        axes.plot(
            PCK_THRESHOLDS_PX,
            [100 * share for share in summary.score["pck"]],
            label=f"{summary.row}: mean {summary.error_px:.2f} px",
            color=COLOURS[index % len(COLOURS)],
            linestyle=DASHES[index // len(COLOURS) % len(DASHES)],
        )
    axes.set_xlabel("threshold (px at 160 x 120)")
    axes.set_xlim(0, PCK_THRESHOLDS_PX[-1])
    axes.set_xticks(range(0, PCK_THRESHOLDS_PX[-1] + 1, 5))
    axes.set_ylim(0, 101)
    axes.yaxis.set_major_formatter("{x:.0f} %")
    axes.grid(color=FAINT, linewidth=0.8)
    axes.tick_params(length=0, labelcolor=INK)
    axes.spines[["top", "right", "left"]].set_visible(False)
    figure.legend(loc="outside right center", fontsize=9, frameon=False, labelcolor=INK)
    content = io.BytesIO()
    figure.savefig(content, format=path.suffix.lower().removeprefix("."))
    write_whole(path, content.getvalue())


def _summaries(table: Table, found: Mapping[str, list[Result]]) -> dict[str, Summary]:
    return {name: summarise(name, table.rows[name], of_row) for name, of_row in found.items()}


def _shown(numbers: Mapping[str, float | None], what: str) -> str:
    """A number, or a dash where there is none."""
    value = numbers.get(what)
    return "–" if value is None else _COLUMNS[what][1](value)
