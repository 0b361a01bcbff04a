"""What is measured is what the nets do when they run: their joints, their encoders, their cost."""

import numpy as np
import pytest
import torch
from torch import nn

from handfast.data.colour_clips import open_whole_clips
from handfast.models import MODELS
from handfast.models.ace import AceNet
from handfast.models.cost import network_cost
from handfast.models.hourglass import HourglassEncoder
from handfast.reproduce import measure_adaptive
from handfast.reproduce.adaptive_score import RENEWED, WITHOUT_GATE
from handfast.reproduce.measure_adaptive import encoders_in, macs_by_rate, reading
from handfast.reproduce.rows import varied
from handfast.training.ace import AceRecipe, follow, joint_errors_mm
from handfast.training.checkpoint import save_checkpoint
from handfast.training.families import load_recipe
from handfast.training.loop import MODEL_FILE, model_card
from handfast.training.task import image_tensor

pytestmark = pytest.mark.usefixtures("one_thread")

GATED = ["ace-hourglass-half", "ace-hourglass-neural-half", "ace-hourglass-neural-temporal-half"]


def recipe_for(model):
    return varied(load_recipe("fan2020"), {"model": model, "data": {"frames": 4, "look": {"input_px": 128}}})


@pytest.fixture(scope="module")
def net_of(clips):
    """A function from a model's name to one that has seen the clips, and whose gate tells them apart."""

    def net_of(model):
        torch.manual_seed(0)
        net = MODELS[model]()
        for module in net.modules():
            if isinstance(module, nn.BatchNorm1d | nn.BatchNorm2d):
                module.momentum = 1.0
        with torch.no_grad():
            for encoder in encoders_in(net):
                encoder(clips[0].flatten(0, 1))
            if isinstance(net, AceNet):
                for parameter in [*net.gate.parameters(), *net.lstm.parameters()]:
                    parameter.mul_(3 if model == "ace-hourglass-half" else 8)
        return net.eval()

    return net_of


@pytest.fixture(scope="module")
def clips(dotted_folder):
    batch = open_whole_clips(dotted_folder, "test", 128).batch(0, 2)
    return image_tensor(batch["image"]), batch["joints_m"]


def measured(model, net, data, run_dir):
    recipe = recipe_for(model)
    assert isinstance(recipe, AceRecipe)
    run_dir.mkdir(exist_ok=True)
    save_checkpoint(run_dir / MODEL_FILE, net, model_card(recipe, "fake", 1, {}))
    return measure_adaptive.measure_adaptive(recipe, data, run_dir)


def close(score, errors_mm, p_fine):
    assert score.error_mm == pytest.approx(errors_mm.mean(), rel=1e-4)
    assert score.p_fine == pytest.approx(p_fine, abs=1e-6)


@pytest.mark.parametrize("model", GATED)
def test_a_gate_is_measured_as_it_runs(model, dotted_folder, clips, net_of, tmp_path, monkeypatch):
    net, (clip, joints_m) = net_of(model), clips
    monkeypatch.setattr(measure_adaptive, "THRESHOLDS", (0.5, 0.78))
    parts = measured(model, net, dotted_folder, tmp_path)
    assert [part for part in parts if part.startswith("lambda")] == ["lambda-0.5", "lambda-0.78"]
    shares = []
    for threshold in (0.5, 0.78):
        joints_cm, uses_fine = follow(net, clip, threshold)
        score = parts[f"lambda-{threshold}"]
        shares.append(uses_fine.float().mean().item())
        close(score, joint_errors_mm(joints_cm, joints_m), shares[-1])
        assert score.frames == 12 and score.macs == pytest.approx(
            macs_by_rate(net, 128)(shares[-1]), rel=1e-6
        )
    assert any(0 < share < 1 for share in shares)
    quarters = [parts[name] for name in ("slowest", "slower", "faster", "fastest") if name in parts]
    pieces = [follow(net, piece, 0.5) for piece in clip.split(recipe_for(model).data.frames, dim=1)]
    renewed_cm, renewed = (torch.cat(of_pieces, dim=1) for of_pieces in zip(*pieces, strict=True))
    close(parts[RENEWED], joint_errors_mm(renewed_cm, joints_m), renewed.float().mean().item())
    later = follow(net, clip, 0.5)[1][:, 1:].float()  # without the first frames
    assert sum(score.frames for score in quarters) == later.numel() == 10
    used = sum(score.frames * score.p_fine for score in quarters)
    assert used == pytest.approx(later.sum().item(), abs=1e-4)
    assert [score.motion_mm for score in quarters] == sorted(score.motion_mm for score in quarters)


@pytest.mark.parametrize(("model", "p_fine"), [("lstm-coarse-half", 0), ("lstm-mix-half", 1)])
def test_so_is_an_lstm_without(model, p_fine, dotted_folder, clips, net_of, tmp_path):
    net, (clip, joints_m) = net_of(model), clips
    (score,) = measured(model, net, dotted_folder, tmp_path).values()
    close(score, joint_errors_mm(follow(net, clip)[0], joints_m), p_fine)


@pytest.mark.parametrize(("model", "p_fine"), [("hourglass-coarse-half", 0), ("hourglass-fine-half", 1)])
def test_so_is_an_encoder_alone(model, p_fine, dotted_folder, clips, net_of, tmp_path):
    net, (clip, joints_m) = net_of(model), clips
    parts = measured(model, net, dotted_folder, tmp_path)
    with torch.inference_mode():
        joints_cm = net(clip.flatten(0, 1)).joints_cm
    close(parts[WITHOUT_GATE], joint_errors_mm(joints_cm, joints_m.reshape(-1, 21, 3)), p_fine)
    assert parts[WITHOUT_GATE].macs == network_cost(MODELS[model], 1, 3, 128, 128)[1]


def test_motion_is_how_far_joints_go(dotted_folder, clips, net_of, tmp_path):
    _, joints_m = clips
    (score,) = measured(
        "hourglass-coarse-half", net_of("hourglass-coarse-half"), dotted_folder, tmp_path
    ).values()
    moved_mm = 1000 * np.linalg.norm(joints_m[:, 1:] - joints_m[:, :-1], axis=-1).mean(axis=-1)
    expected = np.concatenate([moved_mm[:, :1], moved_mm], axis=1).mean()
    assert score.motion_mm == pytest.approx(expected, abs=1e-5)
    assert score.hidden_share == 0


def test_the_rest_of_a_net_reads_what_encoders_said(clips, net_of):
    net, clip = net_of("ace-hourglass-half"), clips[0][:, :2]
    with torch.inference_mode():
        said = torch.stack([encoder(clip.flatten(0, 1)).features for encoder in encoders_in(net)], 1)
    joints_cm, _ = follow(reading(net), said.unflatten(0, (2, 2)), 0.5)
    # In centimetres; sums of another order differ by a micrometre.
    torch.testing.assert_close(joints_cm, follow(net, clip, 0.5)[0], atol=1e-3, rtol=0)
    assert isinstance(net.coarse, HourglassEncoder)  # the net itself is left alone


def test_the_cost_of_a_frame():
    """That of the encoders, and the LSTM and the gates' layers by hand."""
    models = ("ace-hourglass-half", "ace-hourglass-neural-temporal-half", "lstm-mix-half", "lstm-fine-half")
    with torch.device("meta"):
        ace, temporal, mix, fine_alone = (macs_by_rate(MODELS[name]().eval(), 128) for name in models)
    coarse, fine = (
        network_cost(MODELS[f"hourglass-{r}-half"], 1, 3, 128, 128)[1] for r in ("coarse", "fine")
    )
    lstm = 4 * 256 * (256 + 256) + 256 * 63
    assert ace(0.25) == coarse + 0.25 * fine + lstm + 6 * 256 * 256
    assert temporal(0.25) == 0.75 * coarse + 0.25 * fine + lstm + 3 * 256
    assert mix(1.0) == coarse + fine + lstm
    assert fine_alone(1.0) == fine + lstm
