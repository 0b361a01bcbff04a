"""Each model meets the benchmark that shows what it sees, and is measured as it runs."""

import numpy as np
import pytest
import torch

from handfast.data.datasets.bench import open_bench
from handfast.data.datasets.samples import Samples
from handfast.errors import HandfastError
from handfast.export.ace import export_ace
from handfast.models.ace import AceNet
from handfast.models.hourglass import HourglassEncoder
from handfast.reproduce.evaluate import evaluate
from handfast.reproduce.measure import measure_model
from handfast.runtime.dense import BACKENDS
from handfast.runtime.model import load_model, read_card

pytestmark = pytest.mark.usefixtures("one_thread")


@pytest.fixture(scope="module")
def ace_folder(tmp_path_factory):
    """An exported ACE of small encoders, whose gate is closed or open as the threshold is 1 or 0."""
    torch.manual_seed(0)
    net = AceNet(HourglassEncoder(32, 8), HourglassEncoder(64, 8), "gaussian", features=256, hidden=32)
    folder = tmp_path_factory.mktemp("ace")
    card = {
        "name": "ace-narrow", "family": "ace", "config": {"gate": "gaussian"}, "skeleton": "hand21",
        "input": {"image": "colour crop", "height": 64, "width": 64},
        "licence": "Apache-2.0", "trained_on": "noise", "metrics": {},
    }  # fmt: skip
    for threshold in (0.0, 1.0):
        export_ace(net.eval(), card | {"threshold": threshold}, folder / f"{threshold}")
    return folder


def test_key_points_are_measured_frame_by_frame(tof_folder):
    evaluation = evaluate("tofnet-tof8", tof_folder, "test", frames=3)
    samples = open_bench(tof_folder, "test")
    some = Samples(samples.keys[:3], samples.read)
    model = load_model("tofnet-tof8")
    expected = measure_model(model, some, "amplitude", knows_presence=True)
    assert evaluation.score == expected and expected.frames == 3
    assert (evaluation.model, evaluation.backend) == ("tofnet-tof8", model.backend)
    assert evaluation.title == "bench-tof small, test: 3 frames" and evaluation.errors_mm is None


def test_colour_networks_on_whole_images_see_clips(dotted_folder):
    score = evaluate("tofnet-rgb", dotted_folder, "test").score
    assert (score.frames, score.hands, score.ghost_rate) == (12, 12, None)


def test_dense_regression_costs_what_its_card_says(dense_onnx, depth_folder):
    evaluation = evaluate(dense_onnx, depth_folder, "validation")
    score, card = evaluation.score, read_card(dense_onnx)
    assert score.frames == 4 and evaluation.errors_mm.shape == (4, 14)
    assert score.error_mm == pytest.approx(evaluation.errors_mm.mean(), abs=1e-6)
    assert (score.gflops, score.loops, score.p_fine) == (round(card.flops / 1e9, 6), None, None)


def test_of_dirnet_the_loops_that_it_took_are_counted(dirnet_folder, dotted_folder):
    score, card = evaluate(dirnet_folder, dotted_folder, "test").score, read_card(dirnet_folder)
    assert (card.exit_rule, score.loops, score.p_fine) == ({"name": "never"}, 3.0, None)
    assert score.gflops == pytest.approx((card.flops + 3 * card.loop_flops) / 1e9, abs=2e-6)


@pytest.mark.parametrize(("threshold", "p_fine"), [(0.0, 1.0), (1.0, 0.0)])
def test_of_ace_the_share_of_the_fine_encoder(threshold, p_fine, ace_folder, dotted_folder):
    folder = ace_folder / f"{threshold}"
    score, card = evaluate(folder, dotted_folder, "test", frames=4).score, read_card(folder)
    assert (score.frames, score.p_fine, score.loops) == (4, p_fine, None)
    assert score.gflops == pytest.approx((card.flops + p_fine * card.fine_flops) / 1e9, abs=2e-6)


def test_what_is_done_is_watched(tof_folder, dotted_folder, dirnet_folder):
    seen = []

    def watch(done, what, total):
        done = list(done)
        seen.append((what, total, len(done)))
        return done

    evaluate("tofnet-tof8", tof_folder, "test", watch=watch)
    evaluate(dirnet_folder, dotted_folder, "test", frames=7, watch=watch)
    assert seen == [("frames", 5, 5), ("clips", 2, 2)]


def test_more_frames_than_there_are_is_all(depth_folder, dense_onnx):
    assert evaluate(dense_onnx, depth_folder, "test", frames=1000).score.frames == 5


@pytest.mark.parametrize(
    ("model", "benchmark", "needed"),
    [
        ("tofnet-hand21", "depth_folder", "sees amplitude, expected bench-tof or mix-tof, got bench-depth"),
        ("tofnet-rgb", "tof_folder", "sees colour, expected bench-rgb, got bench-tof"),
        ("dense-hand21", "tof_folder", "sees depth crop, expected bench-depth, got bench-tof"),
        ("dirnet", "depth_folder", "sees colour crop, expected bench-rgb, got bench-depth"),
    ],
)
def test_another_benchmark_is_refused(model, benchmark, needed, request):
    with pytest.raises(HandfastError, match=f"model {model} {needed}; make one with `handfast synth "):
        evaluate(model, request.getfixturevalue(benchmark), "test")


def test_an_unfinished_split_is_refused(tof_folder):
    with pytest.raises(HandfastError, match="split 'final': expected one of train, validation, test"):
        evaluate("tofnet-tof8", tof_folder, "final")


def test_engines_agree(dense_onnx, depth_folder):
    pytest.importorskip("openvino")
    first, second = (evaluate(dense_onnx, depth_folder, "test", backend=each) for each in BACKENDS)
    assert (first.backend, second.backend) == BACKENDS
    np.testing.assert_allclose(first.errors_mm, second.errors_mm, atol=0.05)
