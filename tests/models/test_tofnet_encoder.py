"""ToFNet as ACE's coarse encoder: its cost, what it sees, and that it goes with another encoder."""

import pytest
import torch

from handfast.errors import HandfastError
from handfast.models import MODELS
from handfast.models.ace import FEATURE_RANGE
from handfast.models.cost import network_cost
from handfast.models.tofnet_encoder import ToFNetEncoder
from handfast.training.checkpoint import checkpoint_path, initialise_from, read_tensors


def tofnet(input_px=64):
    """An encoder with statistics that a batch has left in it, in evaluation mode."""
    torch.manual_seed(0)
    encoder = ToFNetEncoder(input_px, feature_size=8)
    encoder(torch.rand(4, 3, input_px, input_px))
    return encoder.eval()


def test_it_costs_about_what_the_papers_net_does():
    parameters, macs = network_cost(MODELS["ace-tof-coarse"], 1, 3, 128, 128)
    assert (parameters, round(2 * macs / 1e6, 1)) == (369_036, 41.7)
    assert network_cost(MODELS["ace-tof-fine"], 1, 3, 128, 128)[1] > 30 * macs


@torch.inference_mode()
def test_it_sees_the_mean_of_colours_and_averages_large_images():
    encoder = tofnet()
    grey = torch.rand(2, 1, 64, 64)
    shift = torch.rand(2, 1, 64, 64) / 10
    coloured = torch.cat([grey + shift, grey - shift, grey], dim=1)
    large = coloured.repeat_interleave(2, dim=-1).repeat_interleave(2, dim=-2)
    for found, expected in zip(encoder(large), encoder(grey.expand(-1, 3, -1, -1)), strict=True):
        torch.testing.assert_close(found, expected, rtol=1e-3, atol=1e-5)


@torch.inference_mode()
@pytest.mark.parametrize("input_px", [64, 128, 192])
def test_heatmaps_are_half_as_wide_and_features_bounded(input_px):
    encoding = tofnet(input_px)(torch.rand(2, 3, input_px, input_px))
    assert encoding.heatmaps.shape == (2, 21, input_px // 2, input_px // 2)
    assert encoding.joints_cm.shape == (2, 21, 3)
    assert 0 < encoding.features.abs().max() <= FEATURE_RANGE


def test_the_packaged_net_starts_its_tiers():
    encoder = tofnet()
    assert initialise_from(encoder, "tofnet-tof8") > 50
    packaged, _ = read_tensors(checkpoint_path("tofnet-tof8"))
    own = encoder.state_dict()
    for name, tensor in packaged.items():
        if name.startswith("tier"):
            torch.testing.assert_close(own[name], tensor)


def test_heatmaps_start_near_nothing():
    torch.manual_seed(0)
    heatmaps = ToFNetEncoder(64)(torch.rand(2, 3, 64, 64)).heatmaps
    assert 0 < heatmaps.abs().max() < 0.2


def test_it_takes_turns_with_an_hourglass():
    torch.manual_seed(0)
    net = MODELS["ace-tof"]()
    clip = torch.rand(1, 2, 3, 128, 128)
    output = net(clip, torch.Generator().manual_seed(0))
    assert [encoding.heatmaps.shape[-1] for encoding in output.encodings] == [64, 32]
    net.eval()
    with torch.inference_mode():
        _, _, opened = net.step(clip[:, 0], net.initial_state(1), -1.0)
        _, _, shut = net.step(clip[:, 0], net.initial_state(1), 2.0)
    assert opened.all() and not shut.any()


@pytest.mark.parametrize("input_px", [0, 32, 96])
def test_other_sizes_are_refused(input_px):
    with pytest.raises(HandfastError, match="input_px: expected a multiple of 64"):
        ToFNetEncoder(input_px)
