"""Loops timed: what a row says, and that each is of what it says."""

from dataclasses import replace

import pytest

from handfast.bench import loops
from handfast.bench.loops import measure_loops
from handfast.errors import HandfastError
from handfast.runtime.dirnet import load_dirnet
from handfast.training.checkpoint import load_checkpoint, save_checkpoint


def unwatched(items, what, total):
    return items


def test_a_row_is_of_the_loops_that_it_says(dirnet_folder, monkeypatch):
    """With totals that are known: 10 ms, and 6 more a loop."""

    def times(runs, rounds, turn_s):
        for run in runs.values():
            run()
        return {(backend, number): 0.010 + 0.006 * number for backend, number in runs}

    monkeypatch.setattr(loops, "quietest_medians_s", times)
    (report,) = measure_loops(str(dirnet_folder), ["onnxruntime"], 1, 0.01, unwatched)
    card = load_dirnet(dirnet_folder).card
    for number, row in enumerate(report.rows):
        assert (row.loops, row.macs) == (number, card.macs + number * card.loop_macs)
        assert row.total_ms == pytest.approx(10 + 6 * number)
        assert (row.attend_ms > 0) == (number > 0) and min(row.extract_ms, row.refine_ms, row.pose_ms) > 0
        if number:
            assert row.over_macs == pytest.approx(0.6 / (card.loop_macs / card.macs))
    assert len(report.rows) == 4 and report.rows[0].over_macs is None
    assert report.loop_ms == pytest.approx(6)


def test_a_run_notes_what_each_graph_takes(dirnet_folder, monkeypatch):
    """By a clock that only the graphs move, and that in the second run moves twice as fast."""
    clock_s, pace = [0.0], [1.0]
    monkeypatch.setattr(loops, "processor_s", lambda: clock_s[0])
    takes_s = {"extract": 5.0, "refine": 3.0, "attend": 1.0, "pose": 2.0}

    def slow(graph, engine):
        def run(inputs):
            clock_s[0] += pace[0] * takes_s[graph]
            return engine(inputs)

        return run

    model = load_dirnet(dirnet_folder, loops.NEVER)
    run = loops._Run(replace(model, engines={g: slow(g, e) for g, e in model.engines.items()}), 2)
    run()
    pace[0] = 2.0
    run()
    assert run.parts_ms(17) == {"extract": 5000, "refine": 9000, "attend": 2000, "pose": 2000}
    assert run.parts_ms(35) == {"extract": 10000, "refine": 18000, "attend": 4000, "pose": 4000}


def test_a_checkpoint_and_a_bare_name_are_exported_first(dirnet_checkpoint):
    (report,) = measure_loops(str(dirnet_checkpoint), ["onnxruntime"], 1, 0.01, unwatched)
    assert len(report.rows) == 4 and all(row.total_ms > row.extract_ms > 0 for row in report.rows)
    (report,) = measure_loops("dirnet-loop-point-4", ["onnxruntime"], 1, 0.01, unwatched)
    assert len(report.rows) == 6 and report.rows[0].macs == 77_786_610


def test_a_net_without_loops_has_none_to_time(dirnet_checkpoint, tmp_path):
    net, card = load_checkpoint(dirnet_checkpoint)
    save_checkpoint(tmp_path / "net.safetensors", net, card | {"loops": 0})
    with pytest.raises(HandfastError, match="expected loops to time; it has not learnt any"):
        measure_loops(str(tmp_path / "net.safetensors"), ["onnxruntime"], 1, 0.01, unwatched)


def test_other_networks_are_refused():
    with pytest.raises(HandfastError, match="expected a folder of DIR-Net, got tofnet-tof8"):
        measure_loops("tofnet-tof8", ["onnxruntime"], 1, 0.01, unwatched)
    with pytest.raises(HandfastError, match="model 'dirnet-64': expected tofnet-hand21"):
        measure_loops("dirnet-64", ["onnxruntime"], 1, 0.01, unwatched)
