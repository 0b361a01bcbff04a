"""What was measured as a bar chart. Needs the extra ``plots``."""

from pathlib import Path

from handfast.bench.measure import Report, Row
from handfast.evaluation.figures import COLOURS, FAINT, INK, figure_type, write_figure

OWN_COLOUR, OTHERS_COLOUR = COLOURS[0], "#9AA5B1"


def plot_speeds(report: Report, path: Path, title: str) -> None:
    """Draw the GFLOP/s of each engine that has a time, the fastest first, beside the peak, into a file that
    ``figures.check_plot`` allows; it appears whole or not at all. Raises HandfastError if it cannot be
    written.
    """
    rows = sorted((row for row in report.rows if row.ms is not None), key=lambda row: row.ms, reverse=True)
    figure = figure_type()(figsize=(9, 1.4 + 0.36 * len(rows)), dpi=160, layout="constrained")
    axes = figure.subplots()
    axes.set_title(title, loc="left", fontsize=10, color=INK)
    colours = [OWN_COLOUR if row.backend in ("c", "c-int8") else OTHERS_COLOUR for row in rows]
    bars = axes.barh([row.backend for row in rows], [row.gflops for row in rows], color=colours, height=0.72)
    over_lines = {"facecolor": "white", "edgecolor": "none", "pad": 1}
    axes.bar_label(bars, [_label(row) for row in rows], padding=5, fontsize=9, color=INK, bbox=over_lines)
    if report.peak_gflops is not None:
        axes.axvline(report.peak_gflops, color=COLOURS[1], linestyle="--", linewidth=1.4)
        peak = f"peak of the core, floats: {report.peak_gflops:.0f} "
        axes.annotate(peak, (report.peak_gflops, -0.3), ha="right", fontsize=9, color=COLOURS[1])
    axes.margins(x=0.22)
    axes.set_xlim(left=0)
    axes.set_xlabel("GFLOP/s: 2 x MAC of the network, in the time of an image", fontsize=9, color=INK)
    axes.grid(axis="x", color=FAINT, linewidth=0.8)
    axes.set_axisbelow(True)
    axes.tick_params(length=0, labelsize=9, labelcolor=INK)
    axes.spines[["top", "right", "bottom"]].set_visible(False)
    write_figure(figure, path)


def _label(row: Row) -> str:
    """Its time, and how many times as long as that of the generated C."""
    ratio = "" if row.ratio_to_c is None or row.backend == "c" else f"   {row.ratio_to_c:.3g} x c"
    return f"{row.ms:.3g} ms{ratio}"
