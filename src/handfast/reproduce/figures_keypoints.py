"""The curves of key-point nets."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from handfast.evaluation.figures import style_of
from handfast.evaluation.keypoints import PCK_THRESHOLDS_PX
from handfast.reproduce.plots import in_percent
from handfast.reproduce.tables import Result, Table, summarise

if TYPE_CHECKING:
    from matplotlib.figure import Figure


def draw_pck(figure: "Figure", table: Table, found: Mapping[str, list[Result]]) -> None:
    """The share of key-points within each threshold."""
    summaries = (summarise(table, name, of_row) for name, of_row in found.items())
    curves = {f"{row.row}: mean {row.value:.2f} px": row.score["pck"] for row in summaries}
    draw_shares(figure, table.path, curves)


def draw_shares(figure: "Figure", title: str, curves: Mapping[str, Sequence[float]]) -> None:
    """By label, the shares of key-points within each of PCK_THRESHOLDS_PX."""
    figure.set_size_inches(9, 4.5)
    axes = figure.subplots()
    axes.set_title(f"{title}: visible key-points within the threshold (PCK)", loc="left", fontsize=10)
    for index, (label, shares) in enumerate(curves.items()):
        axes.plot(PCK_THRESHOLDS_PX, [100 * share for share in shares], label=label, **style_of(index))
    axes.set_xlabel("threshold (px at 160 x 120)")
    axes.set_xlim(0, PCK_THRESHOLDS_PX[-1])
    axes.set_xticks(range(0, PCK_THRESHOLDS_PX[-1] + 1, 5))
    in_percent(axes)
