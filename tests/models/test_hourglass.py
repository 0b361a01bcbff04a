"""ACE's pose encoder: its cost, what it averages, and what its joints come of."""

import pytest
import torch

from handfast.errors import HandfastError
from handfast.models.ace import FEATURE_RANGE, AceNet, VanillaLstm
from handfast.models.cost import network_cost
from handfast.models.hourglass import HourglassEncoder

COSTS = {  # parameters; FLOPs as the net has and as table 1 prints them, in G
    (64, 32): (1_097_748, 0.270, 0.28),
    (128, 32): (1_232_916, 1.080, 1.10),
    (256, 64): (2_509_012, 6.411, 6.96),
}


@pytest.mark.parametrize(("layout", "expected"), COSTS.items())
def test_costs_are_near_the_published_ones(layout, expected):
    parameters, macs = network_cost(lambda: HourglassEncoder(*layout), 1, 3, layout[0], layout[0])
    assert (parameters, round(2 * macs / 1e9, 3)) == expected[:2]
    assert 2 * macs / 1e9 == pytest.approx(expected[2], rel=0.15)


def hourglass(input_px=64):
    """A narrow encoder with statistics that a batch has left in it, in evaluation mode."""
    torch.manual_seed(0)
    encoder = HourglassEncoder(input_px, 4, feature_size=8)
    encoder(torch.rand(4, 3, input_px, input_px))
    return encoder.eval()


@torch.inference_mode()
def test_an_encoder_averages_large_images_down_to_its_size():
    encoder = hourglass()
    small = torch.rand(2, 3, 64, 64)
    large = small.repeat_interleave(4, dim=-1).repeat_interleave(4, dim=-2)
    checks = torch.tensor([[0.1, -0.1], [-0.1, 0.1]]).repeat(128, 128)  # gone in the mean of each 4 x 4
    for found, expected in zip(encoder(large + checks), encoder(small), strict=True):
        torch.testing.assert_close(found, expected, rtol=1e-3, atol=1e-5)


@torch.inference_mode()
@pytest.mark.parametrize("input_px", [32, 64, 128])
def test_heatmaps_are_a_quarter_as_wide_and_features_bounded(input_px):
    encoder = hourglass(input_px)
    encoding = encoder(torch.rand(2, 3, input_px, input_px))
    assert encoding.heatmaps.shape == (2, 21, input_px // 4, input_px // 4)
    assert encoding.joints_cm.shape == (2, 21, 3)
    assert 0 < encoding.features.abs().max() <= FEATURE_RANGE


def test_joints_come_of_heatmaps_features_and_early_layers():
    """Figure 2a: each of the four reaches the joints by itself."""
    encoder = hourglass()
    regression = encoder.to_features[0]
    seen = []
    regression.register_forward_pre_hook(lambda module, inputs: seen.append(inputs[0]))
    encoding = encoder(torch.rand(1, 3, 64, 64))
    maps = seen[0]
    assert torch.equal(maps[:, :21], encoding.heatmaps)
    (gradient,) = torch.autograd.grad(encoding.joints_cm.square().sum(), maps)
    assert all(part.any() for part in gradient.split([21, 8, 8, 128], dim=1))


def test_the_papers_net_takes_one_clip_for_both_encoders():
    torch.manual_seed(0)
    net = AceNet(HourglassEncoder(32, 4), HourglassEncoder(64, 4), "gaussian")
    output = net(torch.rand(1, 2, 3, 64, 64), torch.Generator().manual_seed(0))
    assert [encoding.heatmaps.shape[-1] for encoding in output.encodings] == [8, 16]
    assert output.encodings[0].heatmaps.shape[:3] == (1, 2, 21)
    vanilla = VanillaLstm([HourglassEncoder(32, 4), HourglassEncoder(64, 4)])
    assert len(vanilla(torch.rand(1, 2, 3, 64, 64)).encodings) == 2


@torch.inference_mode()
def test_the_papers_net_knows_fine_from_coarse_step_by_step():
    torch.manual_seed(0)
    net = AceNet(HourglassEncoder(32, 4), HourglassEncoder(64, 4), "gaussian")
    clip = torch.rand(2, 3, 3, 64, 64)
    net(clip, torch.Generator().manual_seed(0))
    net.eval()
    state = net.initial_state(2)
    coarse_cm, _, _ = net.step(clip[:, 0], state, 2.0)
    fine_cm, _, uses_fine = net.step(clip[:, 0], state, -1.0)
    assert uses_fine.all()
    assert (coarse_cm - fine_cm).abs().max() > 1e-4


@pytest.mark.parametrize("input_px", [0, 16, 96, 100])
def test_other_sizes_are_refused(input_px):
    with pytest.raises(HandfastError, match="input_px: expected a power of two from 32 up"):
        HourglassEncoder(input_px, 32)
