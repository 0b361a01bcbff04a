"""A table's figure in a file. Each table names what draws it. Needs the extra ``plots``."""

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from handfast.errors import HandfastError
from handfast.evaluation.curves import COLOURS, DASHES, FAINT, INK
from handfast.evaluation.figures import ENDINGS, figure_type, write_figure
from handfast.files import check_ending
from handfast.reproduce.tables import Result, Table

if TYPE_CHECKING:
    from matplotlib.axes import Axes


def plot(table: Table, found: Mapping[str, list[Result]], path: Path) -> None:
    """Draw rows into a .png, .pdf or .svg file, which appears whole or not at all.

    Raises HandfastError for a table without a figure, without matplotlib, for another ending, and if the file
    cannot be written.
    """
    check_ending(path, *ENDINGS)
    if table.draw is None:
        raise HandfastError(f"--plot: {table.path} has no figure; its numbers are in the table")
    figure = figure_type()(dpi=160, layout="constrained")
    table.draw(figure, table, found)
    figure.legend(loc="outside right center", fontsize=9, frameon=False, labelcolor=INK)
    write_figure(figure, path)


def style_of(index: int) -> dict[str, str]:
    """Of line number ``index``."""
    return {
        "color": COLOURS[index % len(COLOURS)],
        "linestyle": DASHES[index // len(COLOURS) % len(DASHES)],
    }


def in_percent(axes: "Axes") -> None:
    """Shares of 0 to 100 along y."""
    axes.set_ylim(0, 101)
    axes.yaxis.set_major_formatter("{x:.0f} %")
    plain(axes)


def plain(axes: "Axes") -> None:
    """A faint grid and nothing else about it."""
    axes.grid(color=FAINT, linewidth=0.8)
    axes.tick_params(which="both", length=0, labelcolor=INK)
    axes.spines[["top", "right", "left"]].set_visible(False)
