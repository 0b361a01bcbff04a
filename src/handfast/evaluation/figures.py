"""Figures in files. Needs the extra ``plots``."""

import io
import warnings
from pathlib import Path
from typing import TYPE_CHECKING

from handfast.errors import HandfastError
from handfast.files import check_ending, write_whole

if TYPE_CHECKING:
    from matplotlib.figure import Figure

ENDINGS = (".png", ".pdf", ".svg")
# Colours that remain distinct for the colour-blind (Okabe and Ito 2008); the dashes change when they run out.
COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000")
DASHES = ("-", "--", ":", "-.")
INK, FAINT = "#333333", "#E3E3E3"


def figure_type() -> type["Figure"]:
    """matplotlib's. Raises HandfastError where it is not installed."""
    try:
        from matplotlib.figure import Figure
    except ImportError as error:
        raise HandfastError('plots need matplotlib: pip install "handfast[plots]"') from error
    return Figure


def style_of(index: int) -> dict[str, str]:
    """Of line number ``index``."""
    return {
        "color": COLOURS[index % len(COLOURS)],
        "linestyle": DASHES[index // len(COLOURS) % len(DASHES)],
    }


def check_plot(path: Path) -> None:
    """HandfastError where a figure could not be written: for another ending, and without matplotlib."""
    check_ending(path, *ENDINGS)
    figure_type()


def write_figure(figure: "Figure", path: Path) -> None:
    """Write a figure as what the path ends in, whole or not at all. Raises HandfastError if that fails."""
    content = io.BytesIO()
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Glyph")  # a box for a letter that the font lacks will do
        figure.savefig(content, format=path.suffix.lower().removeprefix("."))
    write_whole(path, content.getvalue())
