"""The figures of DIR-Net: accuracy against compute, what takes more loops, and errors after each loop."""

from collections.abc import Mapping
from itertools import pairwise
from typing import TYPE_CHECKING

from handfast.evaluation.figures import COLOURS, INK, style_of
from handfast.reproduce.plots import plain
from handfast.reproduce.refinement_score import HIDDEN_BINS
from handfast.reproduce.tables import Result, Table, summarise

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_LETTERS = {"textcoords": "offset points", "ha": "center", "fontsize": 8, "color": INK}
_ABOVE, _BELOW = _LETTERS | {"xytext": (0, 5)}, _LETTERS | {"xytext": (0, -12)}
# Rows by how their names begin.
_RULES = {
    "gate-": ("learned gate, by temperature", _ABOVE),
    "variance-": ("threshold of variance", _BELOW),
}
_TRAININGS = {"progressive-loop-": "progressive", "end-to-end-loop-": "end to end"}
_BOX = ("whislo", "q1", "med", "q3", "whishi")


def draw_rows(figure: "Figure", table: Table, found: Mapping[str, list[Result]]) -> None:
    """A point for each row; of those that leave the loop when they like, also how often they go on by how
    much of a hand is hidden."""
    scores = {name: summarise(table, name, of_row).score for name, of_row in found.items()}
    adaptive = {name: score for name, score in scores.items() if _varies(score["loops_by_hidden"])}
    figure.set_size_inches(12 if adaptive else 7.5, 4.5)
    trade, *bars = figure.subplots(1, 2 if adaptive else 1, squeeze=False)[0]
    _start_trade(trade, table)
    for index, (name, score) in enumerate(scores.items()):
        colour = style_of(index)["color"]
        trade.plot(
            score["gflops"], score["auc"], "o", color=colour, label=f"{name}: {score['loops']:.2f} loops"
        )
    for axes in bars:
        _draw_loops(axes, adaptive, list(scores))


def _varies(loops_by_hidden: list[float | None]) -> bool:
    return len(set(loops_by_hidden) - {None}) > 1


def _draw_loops(axes: "Axes", adaptive: Mapping[str, dict], names: list[str]) -> None:
    axes.set_title("loops by how much is hidden", loc="left", fontsize=10)
    axes.set_xlabel("share of a hand's joints that are hidden")
    axes.set_ylabel("loops, mean over frames")
    width = 0.8 / len(adaptive)
    for number, (name, score) in enumerate(adaptive.items()):
        for place, loops in enumerate(score["loops_by_hidden"]):
            middle = place - 0.4 + (number + 0.5) * width
            if loops is not None:
                axes.bar(middle, loops, width, color=style_of(names.index(name))["color"])
            text = "no frames" if loops is None else f"{loops:.2f}"
            axes.annotate(text, (middle, loops or 0), **_ABOVE)
    bins = [f"{100 * low:.0f} to {100 * high:.0f} %" for low, high in pairwise(HIDDEN_BINS)]
    axes.set_xticks(range(len(bins)), bins)
    axes.set_xlim(-0.5, len(bins) - 0.5)
    plain(axes)
    axes.grid(visible=False, axis="x")
    axes.set_axisbelow(True)


def draw_trade(figure: "Figure", table: Table, found: Mapping[str, list[Result]]) -> None:
    """Figure 7: a line for each rule of leaving the loop, its setting at each point."""
    figure.set_size_inches(9, 4.5)
    axes = figure.subplots()
    _start_trade(axes, table)
    for index, (rule, (label, where)) in enumerate(_RULES.items()):
        points = {
            name.removeprefix(rule): summarise(table, name, of_row).score
            for name, of_row in found.items()
            if name.startswith(rule)
        }
        if points:
            gflops, aucs = zip(*((score["gflops"], score["auc"]) for score in points.values()), strict=True)
            axes.plot(gflops, aucs, label=label, marker="o", markersize=5, **style_of(index))
        for setting, score in points.items():
            axes.annotate(setting, (score["gflops"], score["auc"]), **where)


def draw_losses(figure: "Figure", table: Table, found: Mapping[str, list[Result]]) -> None:
    """Figure 8: the range of frames' errors after each loop: boxes from 25 to 75 %, whiskers from 5 to 95."""
    figure.set_size_inches(9, 4.5)
    axes = figure.subplots()
    axes.set_title(f"{table.path}: errors of frames after each loop", loc="left", fontsize=10)
    axes.set_xlabel("loops")
    axes.set_ylabel("mean error of a frame's joints (mm)")
    for index, (training, label) in enumerate(_TRAININGS.items()):
        boxes = {
            int(name.removeprefix(training)): summarise(table, name, of_row).score["loss_quantiles"]
            for name, of_row in found.items()
            if name.startswith(training)
        }
        colour, beside = COLOURS[index], 0.36 * (index - 0.5)
        axes.bxp(
            [dict(zip(_BOX, quantiles, strict=True)) for quantiles in boxes.values()],
            positions=[loop + beside for loop in boxes],
            widths=0.3,
            showfliers=False,
            patch_artist=True,
            manage_ticks=False,
            boxprops={"facecolor": colour, "edgecolor": colour, "alpha": 0.45},
            medianprops={"color": colour, "linewidth": 2},
            whiskerprops={"color": colour},
            capprops={"color": colour},
        )
        if boxes:
            axes.plot([], [], color=colour, linewidth=6, alpha=0.45, label=label)  # for the legend
    axes.set_xticks(range(1 + max((int(name.rpartition("-")[2]) for name in found), default=0)))
    axes.set_ylim(bottom=0)
    plain(axes)


def _start_trade(axes: "Axes", table: Table) -> None:
    axes.set_title(f"{table.path}: accuracy against compute", loc="left", fontsize=10)
    axes.set_xlabel("GFLOP a frame (2 x MAC), mean")
    axes.set_ylabel("AUC, 0 to 50 mm")
    axes.margins(0.12)
    plain(axes)
