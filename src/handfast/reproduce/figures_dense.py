"""The curves of dense regression: figures 4 and 5 of pruned_hourglass2019."""

from collections.abc import Mapping
from typing import TYPE_CHECKING

from handfast.evaluation.figures import style_of
from handfast.reproduce.dense_score import THRESHOLDS_MM
from handfast.reproduce.plots import in_percent, plain
from handfast.reproduce.tables import Result, Table, score_of, summarise

if TYPE_CHECKING:
    from matplotlib.figure import Figure


def draw_training(figure: "Figure", table: Table, found: Mapping[str, list[Result]]) -> None:
    """How loss and error fell in the training of each row's first seed, and the share of frames in which all
    joints are near."""
    figure.set_size_inches(15, 4.5)
    loss, validation, frames = figure.subplots(1, 3)
    loss.set_title(f"{table.path}: loss in training", loc="left", fontsize=10)
    validation.set_title("validation error (mm)", loc="left", fontsize=10)
    frames.set_title("frames with all joints within the threshold", loc="left", fontsize=10)
    drawn = set()
    for index, (name, of_row) in enumerate(found.items()):
        row, style = table.rows[name], style_of(index)
        score = score_of(row, of_row[0])
        if row.run not in drawn:
            loss.plot(*zip(*score.loss, strict=True), **style)
            drawn.add(row.run)
        validation.plot(*zip(*score.validation_mm, strict=True), **style)
        summary = summarise(table, name, of_row)
        frames.plot(
            THRESHOLDS_MM,
            [100 * share for share in summary.score["frames_within"]],
            label=f"{name}: mean {summary.value:.2f} mm",
            **style,
        )
    for axes in (loss, validation):
        axes.set_xlabel("step")
        axes.set_yscale("log")
        axes.yaxis.set_major_formatter("{x:,.0f}")
        axes.yaxis.set_minor_formatter("{x:,.0f}")
        plain(axes)
    frames.set_xlabel("threshold (mm)")
    frames.set_xlim(0, THRESHOLDS_MM[-1])
    in_percent(frames)
