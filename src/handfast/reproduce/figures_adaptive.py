"""The figures of ACE: accuracy against compute, and when the fine encoder runs."""

from collections.abc import Mapping
from typing import TYPE_CHECKING

from handfast.evaluation.figures import style_of
from handfast.reproduce.adaptive_score import HIDDEN, MOTIONS
from handfast.reproduce.plots import plain
from handfast.reproduce.tables import Result, Table, summarise

if TYPE_CHECKING:
    from matplotlib.figure import Figure


def draw_trade(figure: "Figure", table: Table, found: Mapping[str, list[Result]]) -> None:
    """The AUC of each row over the compute of a frame."""
    figure.set_size_inches(9, 4.5)
    axes = figure.subplots()
    number = "auc_0_50" if "auc_0_50" in table.compared else "auc"
    range_mm = {"auc": "20 to 50 mm", "auc_0_50": "0 to 50 mm"}[number]
    axes.set_title(f"{table.path}: AUC of PCK, {range_mm}", loc="left", fontsize=10)
    for index, (name, of_row) in enumerate(found.items()):
        score = summarise(table, name, of_row).score
        label = f"{name}: {score[number]:.4f}, fine for {100 * score['p_fine']:.0f} %"
        axes.plot(score["gflops"], score[number], "o", color=style_of(index)["color"], label=label)
    axes.set_xlabel("GFLOP a frame, the mean")
    axes.set_xlim(left=0)
    plain(axes)


def draw_firing(figure: "Figure", table: Table, found: Mapping[str, list[Result]]) -> None:
    """The share of frames that the fine encoder runs for, by motion and by hidden joints."""
    figure.set_size_inches(9, 4.5)
    by_motion, by_hidden = figure.subplots(1, 2, sharey=True)
    by_motion.set_title(f"{table.path}: frames with the fine encoder", loc="left", fontsize=10)
    scores = {name: summarise(table, name, of_row).score for name, of_row in found.items()}
    for axes, names, what, unit, label in (
        (by_motion, MOTIONS, "motion_mm", 1, "by motion"),
        (by_hidden, HIDDEN, "hidden_share", 100, "by hidden joints"),
    ):
        shown = [scores[name] for name in names if name in scores]
        axes.plot(
            [unit * score[what] for score in shown],
            [100 * score["p_fine"] for score in shown],
            "o-",
            color=style_of(axes is by_hidden)["color"],
            label=label,
        )
        axes.yaxis.set_major_formatter("{x:g} %")
        plain(axes)
    by_motion.set_ylim(bottom=0)  # once all is drawn: both share it, and it ends the scaling
    by_motion.set_xlabel("motion of joints from frame to frame (mm)")
    by_hidden.set_xlabel("hidden joints")
    by_hidden.xaxis.set_major_formatter("{x:.0f} %")
