"""The curves of a table's rows. Needs the extra ``plots``."""

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from handfast.errors import HandfastError
from handfast.evaluation.curves import COLOURS, DASHES, FAINT, INK
from handfast.evaluation.figures import ENDINGS, figure_type, write_figure
from handfast.evaluation.keypoints import PCK_THRESHOLDS_PX
from handfast.files import check_ending
from handfast.reproduce.dense_score import THRESHOLDS_MM
from handfast.reproduce.tables import Result, Table, score_of, summarise

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure


def plot(table: Table, found: Mapping[str, list[Result]], path: Path) -> None:
    """Draw the curves of rows into a .png, .pdf or .svg file, which appears whole or not at all.

    Of key-point nets PCK; of dense regression, figures 4 and 5 of pruned_hourglass2019. Raises HandfastError
    for a table without curves, without matplotlib, for another ending, and if the file cannot be written.
    """
    check_ending(path, *ENDINGS)
    if table.timed:
        raise HandfastError(f"--plot: {table.path} has no curves; its numbers are in the table")
    new_figure = figure_type()
    if table.compared[0] == "error_px":
        figure = new_figure(figsize=(9, 4.5), dpi=160, layout="constrained")
        _draw_pck(figure, table, found)
    else:
        figure = new_figure(figsize=(15, 4.5), dpi=160, layout="constrained")
        _draw_dense(figure, table, found)
    figure.legend(loc="outside right center", fontsize=9, frameon=False, labelcolor=INK)
    write_figure(figure, path)


def _draw_pck(figure: "Figure", table: Table, found: Mapping[str, list[Result]]) -> None:
    axes = figure.subplots()
    axes.set_title(f"{table.path}: visible key-points within the threshold (PCK)", loc="left", fontsize=10)
    for index, (name, of_row) in enumerate(found.items()):
        summary = summarise(table, name, of_row)
        axes.plot(
            PCK_THRESHOLDS_PX,
            [100 * share for share in summary.score["pck"]],
            label=f"{name}: mean {summary.value:.2f} px",
            **_style(index),
        )
    axes.set_xlabel("threshold (px at 160 x 120)")
    axes.set_xlim(0, PCK_THRESHOLDS_PX[-1])
    axes.set_xticks(range(0, PCK_THRESHOLDS_PX[-1] + 1, 5))
    _in_percent(axes)


def _draw_dense(figure: "Figure", table: Table, found: Mapping[str, list[Result]]) -> None:
    """How loss and error fell in the training of each row's first seed, and the share of frames in which all
    joints are near."""
    loss, validation, frames = figure.subplots(1, 3)
    loss.set_title(f"{table.path}: loss in training", loc="left", fontsize=10)
    validation.set_title("validation error (mm)", loc="left", fontsize=10)
    frames.set_title("frames with all joints within the threshold", loc="left", fontsize=10)
    drawn = set()
    for index, (name, of_row) in enumerate(found.items()):
        row, style = table.rows[name], _style(index)
        score = score_of(row, of_row[0])
        if row.run not in drawn:
            loss.plot(*zip(*score.loss, strict=True), **style)
            drawn.add(row.run)
        validation.plot(*zip(*score.validation_mm, strict=True), **style)
        if score.converged_step is not None:
            reached_mm = dict(map(tuple, score.validation_mm))[score.converged_step]
            validation.plot(score.converged_step, reached_mm, "o", markersize=5, color=style["color"])
        summary = summarise(table, name, of_row)
        frames.plot(
            THRESHOLDS_MM,
            [100 * share for share in summary.score["frames_within"]],
            label=f"{name}: mean {summary.value:.2f} mm",
            **style,
        )
    loss.set_xlabel("step")
    validation.set_xlabel("step; dot: within 5 % of the last error")
    for axes in (loss, validation):
        axes.set_yscale("log")
        axes.yaxis.set_major_formatter("{x:,.0f}")
        axes.yaxis.set_minor_formatter("{x:,.0f}")
        _plain(axes)
    frames.set_xlabel("threshold (mm)")
    frames.set_xlim(0, THRESHOLDS_MM[-1])
    _in_percent(frames)


def _style(index: int) -> dict[str, str]:
    return {
        "color": COLOURS[index % len(COLOURS)],
        "linestyle": DASHES[index // len(COLOURS) % len(DASHES)],
    }


def _in_percent(axes: "Axes") -> None:
    axes.set_ylim(0, 101)
    axes.yaxis.set_major_formatter("{x:.0f} %")
    _plain(axes)


def _plain(axes: "Axes") -> None:
    axes.grid(color=FAINT, linewidth=0.8)
    axes.tick_params(which="both", length=0, labelcolor=INK)
    axes.spines[["top", "right", "left"]].set_visible(False)
