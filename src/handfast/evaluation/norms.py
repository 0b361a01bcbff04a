"""How much the blocks of stacked networks weigh, side by side (pruned_hourglass2019, figure 3). Needs the
extra ``plots``."""

from collections.abc import Mapping, Sequence
from pathlib import Path

from handfast.evaluation.figures import COLOURS, FAINT, INK, check_plot, figure_type, write_figure


def plot_norms(norms: Sequence[Mapping[str, float]], path: Path, title: str) -> None:
    """Draw each stack's sums of absolute weights, by the blocks' names, which all stacks have, into a .png,
    .pdf or .svg file, which appears whole or not at all.

    Raises HandfastError without matplotlib, for another ending, and if the file cannot be written.
    """
    check_plot(path)
    names = list(norms[0])
    figure = figure_type()(figsize=(9, 4.6), dpi=160, layout="constrained")
    axes = figure.subplots()
    axes.set_title(title, loc="left", fontsize=10, color=INK)
    width = 0.8 / len(norms)
    for index, blocks in enumerate(norms):
        shift = width * (index - (len(norms) - 1) / 2)
        label = f"stack {index + 1}, in all {sum(blocks.values()):,.0f}"
        places = [block + shift for block in range(len(names))]
        axes.bar(places, list(blocks.values()), width, label=label, color=COLOURS[index % len(COLOURS)])
    axes.set_xticks(range(len(names)), names, rotation=90)
    axes.set_ylabel("sum of absolute weights", fontsize=9, color=INK)
    axes.legend(fontsize=9, frameon=False, labelcolor=INK)
    axes.grid(axis="y", color=FAINT, linewidth=0.8)
    axes.set_axisbelow(True)
    axes.tick_params(length=0, labelsize=8, labelcolor=INK)
    axes.spines[["top", "right", "left"]].set_visible(False)
    write_figure(figure, path)
