"""A gate timed: what is run for a frame, and what a report makes of the times."""

import shutil
from dataclasses import replace

import numpy as np
import pytest
import torch

from handfast.bench import gate
from handfast.bench.gate import always_fine, measure_gate, opened_for
from handfast.errors import HandfastError
from handfast.export.ace import export_ace
from handfast.models.ace import AceNet
from handfast.models.hourglass import HourglassEncoder
from handfast.runtime.ace import load_ace

TAKES_S = {"coarse": 1.25, "fine": 10.0, "recur": 0.5}
BOTH = ["gaussian", "neural-temporal"]


def unwatched(items, what, total):
    return items


@pytest.fixture(scope="module")
def folders(tmp_path_factory):
    """By gate."""
    made = {}
    for name in BOTH:
        torch.manual_seed(0)
        net = AceNet(HourglassEncoder(32, 4), HourglassEncoder(32, 4), name).eval()
        card = {
            "name": "ace-narrow", "family": "ace", "config": {"gate": name}, "skeleton": "hand21",
            "input": {"image": "colour crop", "height": 32, "width": 32}, "licence": "Apache-2.0",
            "trained_on": "noise", "metrics": {"clips_p_fine": 0.25},
        }  # fmt: skip
        made[name] = tmp_path_factory.mktemp("ace") / "net"
        export_ace(net, card, made[name])
    return made


def noting(model):
    """The model, and a list of the graphs that it runs."""
    ran = []

    def note(graph, engine):
        return lambda inputs: ran.append(graph) or engine(inputs)

    return replace(model, engines={g: note(g, e) for g, e in model.engines.items()}), ran


def follow(model, frames):
    state, image = None, np.zeros((32, 32, 3), np.uint8)
    for _ in range(frames):
        _, state = model.step(image, state)


@pytest.mark.parametrize("name", BOTH)
@pytest.mark.parametrize("p_fine", [0.0, 0.1, 0.25, 1.0])
def test_the_gate_is_asked_but_opens_as_often_as_it_is_told(folders, name, p_fine):
    model, ran = noting(load_ace(folders[name]))
    model = opened_for(model, p_fine)
    follow(model, 10)
    first = ran.count("fine")
    follow(model, 30)
    assert ran.count("fine") == round(40 * p_fine) and abs(first - 10 * p_fine) < 1
    assert ran.count("coarse") == ran.count("recur") == 40


@pytest.mark.parametrize("name", BOTH)
def test_always_fine_runs_nothing_else_from_the_second_frame_on(folders, name):
    model, ran = noting(load_ace(folders[name]))
    follow(always_fine(model), 3)
    assert ran == ["coarse"] + ["fine", "recur"] * 3


def test_a_report_is_of_all_frames(folders, monkeypatch):
    """By a clock that only the graphs move: in every fourth frame the fine one as well."""
    clock_s = [0.0]
    monkeypatch.setattr(gate, "processor_s", lambda: clock_s[0])
    monkeypatch.setattr(gate, "perf_counter", lambda: clock_s[0])

    def slow(graph, engine):
        def run(inputs):
            clock_s[0] += TAKES_S[graph]
            return engine(inputs)

        return run

    load = gate.load_ace

    def load_slow(*arguments):
        model = load(*arguments)
        return replace(model, engines={g: slow(g, e) for g, e in model.engines.items()})

    monkeypatch.setattr(gate, "load_ace", load_slow)
    (report,) = measure_gate(str(folders["gaussian"]), None, ["onnxruntime"], 2, 2000, unwatched)
    assert (report.backend, report.p_fine, report.problem) == ("onnxruntime", 0.25, None)
    assert (report.coarse_ms, report.fine_ms, report.recur_ms) == (1250, 10000, 500)
    assert report.mean_ms == pytest.approx(1750 + 2500, rel=0.01)
    assert (report.p99_ms, report.always_fine_p99_ms, report.p99_limit_ms) == (11750, 10500, 11750)
    assert report.always_fine_ms == 10500
    assert report.mean_share == pytest.approx(4250 / 10500, rel=0.01)


def test_a_bare_name_needs_a_share_and_is_exported_first():
    with pytest.raises(HandfastError, match="say so with --p-fine"):
        measure_gate("ace-hourglass-half", None, ["onnxruntime"], 1, 0.01, unwatched)
    (report,) = measure_gate("ace-hourglass-half", 0.5, ["onnxruntime"], 1, 0.01, unwatched)
    assert report.p_fine == 0.5 and min(report.coarse_ms, report.fine_ms, report.mean_ms) > 0


def test_a_folder_of_that_name_is_what_is_meant(folders, tmp_path, monkeypatch):
    shutil.copytree(folders["gaussian"], tmp_path / "ace-hourglass-half")
    monkeypatch.chdir(tmp_path)
    (report,) = measure_gate("ace-hourglass-half", None, ["onnxruntime"], 1, 0.01, unwatched)
    assert report.p_fine == 0.25  # as its card says


@pytest.mark.parametrize("p_fine", [-0.1, 1.5, float("nan")])
def test_what_is_no_share_is_refused(folders, p_fine):
    with pytest.raises(HandfastError, match="--p-fine: expected a share from 0 to 1, got"):
        measure_gate(str(folders["gaussian"]), p_fine, ["onnxruntime"], 1, 0.01, unwatched)


def test_other_networks_are_refused():
    with pytest.raises(HandfastError, match="expected a folder of ACE, got tofnet-tof8"):
        measure_gate("tofnet-tof8", 0.1, ["onnxruntime"], 1, 0.01, unwatched)
