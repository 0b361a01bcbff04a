"""What the figures of DIR-Net show: each row at its numbers, and of a gate how often it goes on."""

import pytest

from handfast.reproduce.figures_refinement import draw_rows
from handfast.reproduce.tables import read_results
from handfast.reproduce.yang2021 import TABLE3


@pytest.fixture
def found(refinement_results):
    return read_results(refinement_results, TABLE3, "small")


@pytest.fixture
def drawn(found):
    """A function that draws so many of the rows -> the figure's axes."""
    figure = pytest.importorskip("matplotlib.figure", reason="needs matplotlib: handfast[plots]").Figure()

    def drawn(names):
        draw_rows(figure, TABLE3, {name: found[name] for name in names})
        return figure.axes

    return drawn


def test_each_row_is_a_point_with_its_loops_in_the_legend(drawn, found):
    trade, _ = drawn(found)
    points = {line.get_label(): tuple(line.get_xydata()[0]) for line in trade.lines}
    scores = {name: of_row[0].score[TABLE3.rows[name].part] for name, of_row in found.items()}
    assert points == {
        f"{name}: {score.loops:.2f} loops": (score.gflops, score.auc) for name, score in scores.items()
    }
    assert [score.loops for score in scores.values()] == [0, 5, 5, 2]


def test_what_a_gate_takes_is_a_bar_for_each_share_of_hidden_joints(drawn, found):
    _, bars = drawn(found)
    assert [tick.get_text() for tick in bars.get_xticklabels()] == [
        "0 to 5 %", "5 to 25 %", "25 to 50 %", "50 to 100 %",
    ]  # fmt: skip
    heights = {round(bar.get_center()[0]): bar.get_height() for bar in bars.patches}
    assert heights == pytest.approx({0: 1.4, 1: 1.8, 3: 3.0})
    texts = {round(text.xy[0]): text.get_text() for text in bars.texts}
    assert texts == {0: "1.40", 1: "1.80", 2: "no frames", 3: "3.00"}
    assert bars.get_xlim() == (-0.5, 3.5)  # those without frames have their place


def test_without_a_gate_there_are_no_bars(drawn, found):
    assert len(drawn([name for name in found if not name.endswith("gate")])) == 1
