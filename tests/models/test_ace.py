"""ACE: what the gates measure, when the encoders run, and what reaches whom in training."""

import pytest
import torch
from torch import nn

from handfast.errors import HandfastError
from handfast.models.ace import (
    GATES,
    AceNet,
    Encoding,
    VanillaLstm,
    adaptive_macs,
    gaussian_similarity,
    gumbel_noise,
    gumbel_softmax,
)
from handfast.models.hourglass import HourglassEncoder

K, F, H = 3, 8, 16


class TinyEncoder(nn.Module):
    """No heat-maps; an image is five numbers. Counts what it is shown."""

    joints, feature_size = K, F

    def __init__(self):
        super().__init__()
        self.features, self.to_joints = nn.Linear(5, F), nn.Linear(F, 3 * K)
        self.seen = 0

    def forward(self, image):
        self.seen += len(image)
        features = 0.3 * self.features(image).tanh()
        return Encoding(None, self.to_joints(features).unflatten(1, (K, 3)), features)


def tiny_net(gate="gaussian"):
    torch.manual_seed(0)
    net = AceNet(TinyEncoder(), TinyEncoder(), gate, features=F, hidden=H)
    with torch.no_grad():
        for parameter in net.lstm.parameters():
            parameter.mul_(4)  # so that the past matters
    return net


def clips(b, frames, seed=0):
    return torch.randn(b, frames, 5, generator=torch.Generator().manual_seed(seed))


def seeded(seed=0):
    return torch.Generator().manual_seed(seed)


@torch.inference_mode()
def follow(net, clip, *threshold):
    """(b, T, ...) -> joints (b, T, K, 3) and, of a net with a gate, where the fine encoder ran (b, T)."""
    state, steps = net.initial_state(len(clip)), []
    for image in clip.unbind(1):
        joints_cm, state, *uses_fine = net.step(image, state, *threshold)
        steps.append((joints_cm, *uses_fine))
    return [torch.stack(part, 1) for part in zip(*steps, strict=True)]


def gate_values(net, clip):
    """G_fine of each frame if the fine encoder always runs: thresholds among these split the frames."""
    values = []
    hook = net.gate.register_forward_hook(lambda module, inputs, output: values.append(output))
    follow(net, clip, -1.0)
    hook.remove()
    return torch.stack(values, 1)


# The Gaussian kernel


def test_the_gate_is_one_for_what_it_expects_and_falls_with_the_distance():
    expected = torch.randn(1, F)
    distances = torch.linspace(0, 0.5, 20)
    similar = gaussian_similarity(expected, expected + distances[:, None])
    assert similar[0] == 1
    assert (similar.diff() < 0).all()
    assert similar[-1] < 1e-6


def test_equation_8_by_hand():
    found = gaussian_similarity(torch.zeros(1, 2), torch.tensor([[0.1, -0.2]]))
    assert found.item() == pytest.approx((0.367879 + 0.018316) / 2, abs=1e-6)


def test_the_gaussian_gate_compares_with_an_affine_map_of_the_past():
    net = tiny_net()
    state = net.initial_state(2)
    expected = net.gate.expected(torch.cat([layer.bias.relu() for layer in net.gate.mapped]))
    torch.testing.assert_close(net.gate(state, expected.expand(2, F)), torch.zeros(2))
    assert (net.gate(state, expected + torch.full((2, F), 0.1)) - (1 - 0.367879)).abs().max() < 1e-5


def test_the_past_is_the_hidden_state_and_its_differences():
    net = tiny_net()
    state, hidden = net.initial_state(1), []
    for image in clips(1, 4).unbind(1):
        _, state, _ = net.step(image, state, 0.5)
        hidden.append(state.h)
    h, velocity, acceleration = state.history()
    assert torch.equal(h, hidden[3])
    torch.testing.assert_close(velocity, hidden[3] - hidden[2])
    torch.testing.assert_close(acceleration, hidden[3] - 2 * hidden[2] + hidden[1])


def test_the_state_of_a_track_is_4_kib():
    state = AceNet(*([WideEncoder()] * 2), "gaussian").initial_state(1)
    assert sum(part.numel() * part.element_size() for part in state) == 4096


class WideEncoder(nn.Module):
    joints, feature_size = 21, 256


# Gumbel-softmax


def test_cold_samples_are_one_hot_and_as_frequent_as_pi_says():
    for g_fine in (0.1, 0.5, 0.8):
        noise = gumbel_noise((20_000, 2), seeded())
        z = gumbel_softmax(torch.full((20_000,), g_fine), noise, temperature=0.01)
        assert ((z < 0.01) | (z > 0.99)).float().mean() > 0.95
        pi = -torch.log(torch.tensor([1 - g_fine, g_fine]))  # pi of fine: -log(1 - G_fine); then of coarse
        expected = (pi[0] / pi.sum()).item()
        assert z.mean().item() == pytest.approx(expected, abs=4 * (0.25 / 20_000) ** 0.5)


def test_hot_samples_are_even():
    z = gumbel_softmax(torch.full((100,), 0.9), gumbel_noise((100, 2), seeded()), temperature=1e4)
    torch.testing.assert_close(z, torch.full((100,), 0.5), atol=1e-3, rtol=0)


def test_sure_gates_give_finite_samples_and_gradients():
    g_fine = torch.tensor([0.0, 1.0, 1e-9], requires_grad=True)
    z = gumbel_softmax(g_fine, gumbel_noise((3, 2), seeded()), 1.0)
    z.sum().backward()
    assert z[0] < 0.01 and z[1] > 0.99
    assert g_fine.grad.isfinite().all()


def test_the_same_seed_draws_the_same():
    net, clip = tiny_net(), clips(2, 4)
    first, second, other = (net(clip, seeded(seed)).z_fine for seed in (1, 1, 2))
    assert torch.equal(first, second) and not torch.equal(first, other)


# Training


@pytest.mark.parametrize("gate", GATES)
def test_training_reaches_every_parameter(gate):
    net = tiny_net(gate)
    output = net(clips(4, 5), seeded())
    assert output.joints_cm.shape == (4, 5, K, 3) and output.z_fine.shape == (4, 5)
    parts = [output.joints_cm, output.z_fine, *(encoding.joints_cm for encoding in output.encodings)]
    sum((part * torch.randn_like(part)).sum() for part in parts).backward()
    assert not {name for name, p in net.named_parameters() if p.grad is None or not p.grad.any()}


@pytest.mark.parametrize("gate", GATES)
def test_the_gate_learns_through_its_samples(gate):
    """The pose error alone, and the rate alone, move the gate."""
    net = tiny_net(gate)
    for output in ("joints_cm", "z_fine"):
        net.zero_grad()
        getattr(net(clips(4, 5), seeded()), output).square().mean().backward()
        assert all(p.grad is not None and p.grad.isfinite().all() for p in net.gate.parameters())
        assert any(p.grad.any() for p in net.gate.parameters()), output


@pytest.mark.parametrize("gate", GATES)
def test_a_rate_can_be_learnt(gate):
    """Eq. 13's second term brings the samples' mean to gamma_g, here of hands that keep still."""
    net, clip, generator = tiny_net(gate), clips(8, 1).expand(-1, 6, -1), seeded()
    optimiser = torch.optim.Adam(net.parameters(), lr=0.01)
    rates = []
    for _ in range(100):
        rate = net(clip, generator).z_fine.mean(1)
        optimiser.zero_grad()
        (rate - 0.3).square().mean().backward()
        optimiser.step()
        rates.append(rate.mean().item())
    assert rates[0] > 0.4
    assert sum(rates[-20:]) / 20 == pytest.approx(0.3, abs=0.05)


def test_clips_of_a_batch_are_independent():
    net = tiny_net()
    noise = gumbel_noise((3, 4, 2), seeded())
    together = net(clips(3, 4), seeded())
    for i in range(3):
        state = net.initial_state(1)
        for t in range(4):
            image = clips(3, 4)[i : i + 1, t]
            coarse, fine = net.coarse(image), net.fine(image)
            z = gumbel_softmax(net.gate(state, coarse.features), noise[i : i + 1, t], 1.0)
            mixed = (1 - z) * coarse.features + z * fine.features
            joints_cm, state = net.lstm(mixed, state)
            torch.testing.assert_close(together.z_fine[i, t], z[0])
            torch.testing.assert_close(together.joints_cm[i, t], joints_cm[0])
            torch.testing.assert_close(together.encodings[1].joints_cm[i, t], fine.joints_cm[0])


# Inference


@pytest.mark.parametrize("gate", GATES)
def test_above_one_the_threshold_leaves_the_coarse_lstm(gate):
    net, clip = tiny_net(gate), clips(3, 6)
    alone = VanillaLstm([net.coarse], features=F, hidden=H)
    alone.lstm = net.lstm
    net.fine.seen = 0
    joints_cm, uses_fine = follow(net, clip, 1.1)
    assert not uses_fine.any() and net.fine.seen == 0
    torch.testing.assert_close(joints_cm, follow(alone, clip)[0])


@pytest.mark.parametrize("gate", ["gaussian", "neural"])
def test_below_zero_the_threshold_mixes_every_frame_as_the_gate_weighs(gate):
    net, clip = tiny_net(gate), clips(2, 5)
    joints_cm, uses_fine = follow(net, clip, -0.1)
    assert uses_fine.all()
    state = net.initial_state(2)
    for t in range(5):
        coarse, fine = net.coarse(clip[:, t]).features, net.fine(clip[:, t]).features
        weight = net.gate(state, coarse)[:, None]
        assert (0 < weight).all() and (weight < 1).all()
        expected, state = net.lstm(weight * fine + (1 - weight) * coarse, state)
        torch.testing.assert_close(joints_cm[:, t], expected)


def test_the_temporal_gate_runs_one_encoder_for_each_image():
    net, clip = tiny_net("neural-temporal"), clips(6, 8)
    threshold = gate_values(net, clip).quantile(0.5).item()  # between two
    net.coarse.seen = net.fine.seen = 0
    _, uses_fine = follow(net, clip, threshold)
    assert 0 < uses_fine.sum() < uses_fine.numel()
    assert net.fine.seen == uses_fine.sum()
    assert net.coarse.seen == (~uses_fine).sum()


def test_the_temporal_gate_takes_fine_features_unmixed():
    net, clip = tiny_net("neural-temporal"), clips(2, 5)
    alone = VanillaLstm([net.fine], features=F, hidden=H)
    alone.lstm = net.lstm
    torch.testing.assert_close(follow(net, clip, -0.1)[0], follow(alone, clip)[0])


@pytest.mark.parametrize("gate", ["gaussian", "neural"])
def test_the_fine_encoder_sees_only_images_that_the_gate_asks_for(gate):
    net, clip = tiny_net(gate), clips(6, 8)
    threshold = gate_values(net, clip).quantile(0.5).item()  # between two
    net.coarse.seen = net.fine.seen = 0
    _, uses_fine = follow(net, clip, threshold)
    assert 0 < uses_fine.sum() < uses_fine.numel()
    assert net.fine.seen == uses_fine.sum()
    assert net.coarse.seen == uses_fine.numel()


@pytest.mark.parametrize("gate", GATES)
def test_tracks_of_a_batch_are_independent(gate):
    net, clip = tiny_net(gate), clips(6, 8)
    threshold = gate_values(net, clip).quantile(0.5).item()  # between two
    joints_cm, uses_fine = follow(net, clip, threshold)
    for i in range(6):
        alone_cm, alone_fine = follow(net, clip[i : i + 1], threshold)
        assert torch.equal(alone_fine[0], uses_fine[i])
        torch.testing.assert_close(alone_cm[0], joints_cm[i])


def test_a_higher_threshold_uses_the_fine_encoder_less():
    net, clip = tiny_net(), clips(6, 8)
    shares = [follow(net, clip, threshold)[1].float().mean().item() for threshold in (0.0, 0.6, 0.8, 0.99)]
    assert shares == sorted(shares, reverse=True) and shares[0] > shares[-1]


# Without a gate


def test_several_encoders_are_averaged_and_steps_are_the_clip():
    torch.manual_seed(0)
    net, clip = VanillaLstm([TinyEncoder(), TinyEncoder()], F, H), clips(2, 5)
    output = net(clip)
    assert output.z_fine is None and len(output.encodings) == 2
    torch.testing.assert_close(follow(net, clip)[0], output.joints_cm)
    features = (net.encoders[0](clip[:, 0]).features + net.encoders[1](clip[:, 0]).features) / 2
    torch.testing.assert_close(output.joints_cm[:, 0], net.lstm(features, net.initial_state(2))[0])


def test_the_average_cost_is_that_of_table_3():
    """The Gaussian gate's and the neural gate's rows, in GFLOPs; the LSTM's share does not show there."""
    assert adaptive_macs(0.28, 6.96, 0, p_fine=0.26, sees_coarse=True) == pytest.approx(2.09, abs=0.01)
    assert adaptive_macs(0.28, 6.96, 0, p_fine=0.32, sees_coarse=True) == pytest.approx(2.54, abs=0.05)
    assert adaptive_macs(2, 10, 1, p_fine=0.25, sees_coarse=False) == 1.5 + 2.5 + 1


# Bad input


@pytest.mark.parametrize(
    ("coarse", "fine"),
    [
        (HourglassEncoder(32, 4, feature_size=F), HourglassEncoder(32, 4, feature_size=2 * F)),
        (HourglassEncoder(32, 4, feature_size=2 * F), HourglassEncoder(32, 4, feature_size=2 * F)),
        (HourglassEncoder(32, 4, feature_size=F), TinyEncoder()),
        (nn.Linear(5, F), nn.Linear(5, F)),
        (TinyEncoder(), nn.Linear(5, F)),
    ],
)
def test_encoders_that_do_not_go_together_are_refused(coarse, fine):
    with pytest.raises(HandfastError, match="encoders: expected the same joints and 8 features"):
        AceNet(coarse, fine, "gaussian", features=F, hidden=H)


def test_no_encoder_and_unknown_gates_are_refused():
    with pytest.raises(HandfastError, match="no encoder"):
        VanillaLstm([])
    with pytest.raises(HandfastError, match="gate: expected one of gaussian, neural, neural-temporal"):
        tiny_net("sigmoid")
