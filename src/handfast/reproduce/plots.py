"""A table's figure in a file. Each table names what draws it. Needs the extra ``plots``."""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from handfast.errors import HandfastError
from handfast.evaluation import figures
from handfast.evaluation.figures import FAINT, INK
from handfast.reproduce.tables import Result, Table

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure


def check_plot(table: Table, path: Path) -> None:
    """HandfastError where ``plot`` could not draw: a table without a figure, for another ending, and without
    matplotlib."""
    if table.draw is None:
        raise HandfastError(f"--plot: {table.path} has no figure; its numbers are in the table")
    figures.check_plot(path)


def plot(table: Table, found: Mapping[str, list[Result]], path: Path) -> None:
    """Draw rows into a .png, .pdf or .svg file, which appears whole or not at all.

    Raises HandfastError as ``check_plot`` does, if no row is measured, and if the file cannot be written.
    """
    check_plot(table, path)
    if not any(found.values()):
        raise HandfastError(f"--plot: none of these rows of {table.path} is measured; nothing to draw")
    write_drawn(lambda figure: table.draw(figure, table, found), path)


def write_drawn(draw: Callable[["Figure"], None], path: Path) -> None:
    """Write what is drawn into a figure, with a legend beside it. Raises HandfastError where that fails."""
    figure = figures.figure_type()(dpi=160, layout="constrained")
    draw(figure)
    figure.legend(loc="outside right center", fontsize=9, frameon=False, labelcolor=INK)
    figures.write_figure(figure, path)


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
