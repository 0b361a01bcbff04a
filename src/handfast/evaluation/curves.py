"""The two curves that hand-pose papers draw, for any number of methods. Needs the extra ``plots``."""

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from handfast.evaluation.figures import FAINT, INK, check_plot, figure_type, style_of, write_figure
from handfast.evaluation.metrics import fraction_of_frames, mean_error, pck, pck_auc

if TYPE_CHECKING:
    from matplotlib.figure import Figure

FRAMES_TO_MM, PCK_TO_MM = 80, 50


def plot_curves(errors_mm: Mapping[str, np.ndarray], path: Path, title: str) -> None:
    """Draw the curves into a .png, .pdf or .svg file, which appears whole or not at all.

    Raises HandfastError without matplotlib, for another ending, and if the file cannot be written.
    """
    check_plot(path)
    write_figure(draw_curves(errors_mm, title), path)


def draw_curves(errors_mm: Mapping[str, np.ndarray], title: str) -> "Figure":
    """Each method's share of frames with all joints within a threshold, and its PCK, in %, side by side.

    errors_mm: method -> (N, J). Raises HandfastError without matplotlib.
    """
    legend_rows = -(-len(errors_mm) // 2)
    figure = figure_type()(figsize=(10.5, 4.5 + 0.22 * legend_rows), dpi=160, layout="constrained")
    figure.get_layout_engine().set(wspace=0.06, w_pad=0.1, h_pad=0.08)
    figure.suptitle(title, x=0.012, ha="left", fontsize=12, fontweight="bold", color=INK)
    by_frame, by_joint = figure.subplots(1, 2)
    _prepare(by_frame, "Frames with all joints within the threshold", FRAMES_TO_MM)
    _prepare(by_joint, "Key-points within the threshold (PCK)", PCK_TO_MM)
    frame_steps, joint_steps = np.linspace(0, FRAMES_TO_MM, 321), np.linspace(0, PCK_TO_MM, 201)
    for index, (method, errors) in enumerate(errors_mm.items()):
        style = style_of(index) | {"linewidth": 1.8}
        # A label that began with an underscore would be left out of the legend.
        label = f" {method}: mean {mean_error(errors):.2f} mm, AUC 0-50 {pck_auc(errors, 0, 50):.3f}"
        by_frame.plot(frame_steps, 100 * fraction_of_frames(errors, frame_steps), label=label, **style)
        by_joint.plot(joint_steps, 100 * pck(errors, joint_steps), **style)
    legend = figure.legend(
        loc="outside lower center", ncols=2, fontsize=9, frameon=False, labelcolor=INK, handlelength=2.4
    )

    for text in legend.get_texts():
        text.set_parse_math(False)  # names of files are no formulas
    return figure


def _prepare(axes, title: str, to_mm: float) -> None:
    axes.set_title(title, loc="left", fontsize=10, color=INK)
    axes.set_xlabel("threshold (mm)", fontsize=9, color=INK)
    axes.set_xlim(0, to_mm)
    axes.set_ylim(0, 101)  # leaves a curve at 100 % its whole width
    axes.set_yticks(range(0, 101, 20))
    axes.yaxis.set_major_formatter("{x:.0f} %")
    axes.grid(color=FAINT, linewidth=0.8)
    axes.set_axisbelow(True)
    axes.tick_params(length=0, labelsize=9, labelcolor=INK)
    axes.spines[["top", "right", "left"]].set_visible(False)
    axes.spines["bottom"].set_color(INK)
