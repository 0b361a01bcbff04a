import pytest

from handfast.bench.measure import Report, Row
from handfast.bench.plot import plot_speeds

pytest.importorskip("matplotlib")

ROWS = (
    Row("naive", True, 20.0, 125.0, 1.5, 0.7),
    Row("openvino", False, problem="pip install openvino"),
    Row("c", True, 0.16, 1.0, 193.0, 85.0),
)


@pytest.mark.parametrize(("peak_gflops", "ratio"), [(227.0, "125 x c"), (None, "20 ms")])
def test_each_engine_with_a_time_has_a_bar_and_the_rest_none(tmp_path, peak_gflops, ratio):
    path = tmp_path / "bench.svg"
    plot_speeds(Report(peak_gflops, ROWS), path, "a network")
    texts = [line for line in path.read_text(encoding="utf-8").splitlines() if "<!--" in line]
    drawn = "".join(texts)
    assert "<!-- naive -->" in drawn and "<!-- c -->" in drawn and "openvino" not in drawn
    assert ratio in drawn and ("peak" in drawn) == (peak_gflops is not None)
