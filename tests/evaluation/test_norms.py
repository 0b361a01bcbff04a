import pytest

from handfast.errors import HandfastError
from handfast.evaluation.norms import plot_norms

NORMS = [{"skip": 3.0, "down": 2.0}, {"skip": 1.0, "down": 2.5}]


def test_every_block_and_stack_is_drawn(tmp_path):
    pytest.importorskip("matplotlib")
    plot_norms(NORMS, tmp_path / "new" / "norms.svg", "two stacks")
    drawn = (tmp_path / "new" / "norms.svg").read_text()
    for text in ("two stacks", "skip", "down", "stack 1, in all 5", "stack 2, in all 4"):
        assert f"<!-- {text} -->" in drawn


def test_another_ending_is_refused(tmp_path):
    with pytest.raises(HandfastError, match=r"ends in \.png"):
        plot_norms(NORMS, tmp_path / "norms.gif", "two stacks")
    assert not list(tmp_path.iterdir())
