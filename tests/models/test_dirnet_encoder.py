"""DIR-Net's body as an encoder: it sees what DIR-Net sees, and starts from its checkpoints."""

import pytest
import torch

from handfast.errors import HandfastError
from handfast.models import MODELS
from handfast.models.cost import network_cost
from handfast.models.dirnet_encoder import DIRNetEncoder
from handfast.training.checkpoint import initialise_from


@pytest.fixture(scope="module")
def started():
    """The fine encoder of ace, begun with the packaged DIR-Net, and how many tensors came from it."""
    encoder = MODELS["ace-fine"]()
    return encoder.eval(), initialise_from(encoder, "dirnet")


@torch.inference_mode()
def test_it_encodes_as_the_net_that_it_starts_from_does_with_one_normalisation(started):
    encoder, copied = started
    net = MODELS["dirnet"]()
    initialise_from(net, "dirnet")
    net.eval()
    body = {name for name in encoder.state_dict() if not name.startswith("to_")}
    assert copied == len(body) == len([name for name in net.state_dict() if name in body])
    image = torch.rand(2, 3, 128, 128)
    features = net.extract(image)
    _, encoded = net.refine(features, 0)
    for _ in range(2):
        _, encoded = net.refine(net.attend(features, encoded), 0)
    expected = encoder.to_features(encoded.mean(dim=(2, 3)))
    torch.testing.assert_close(encoder(image).features, 0.3 * expected)


def test_training_leaves_its_normalisation_as_it_was():
    torch.manual_seed(0)
    encoder = DIRNetEncoder(64, loops=1, base_channels=4, feature_size=8).train()
    before = {name: tensor.clone() for name, tensor in encoder.named_buffers()}
    encoder(torch.rand(4, 3, 64, 64))
    changed = {name for name, tensor in encoder.named_buffers() if not torch.equal(tensor, before[name])}
    assert changed and all(name.startswith("to_features") for name in changed)


@torch.inference_mode()
def test_larger_images_are_averaged_down(started):
    encoder, _ = started
    image = torch.rand(1, 3, 128, 128)
    large = image.repeat_interleave(2, 2).repeat_interleave(2, 3)
    torch.testing.assert_close(encoder(large).joints_cm, encoder(image).joints_cm)


def test_the_light_pair_is_light():
    for role, most_flops in {"coarse": 13e6, "fine": 87e6}.items():
        _, macs = network_cost(MODELS[f"ace-{role}"], 1, 3, 128, 128)
        assert 0.9 * most_flops < 2 * macs < most_flops


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ((48, 1), "expected a multiple of 32, got 48"),
        ((0, 1), "expected a multiple of 32, got 0"),
        ((64, 6), r"loops: expected 0\.\.5, got 6"),
    ],
)
def test_sizes_that_cannot_be_are_refused(values, message):
    with pytest.raises(HandfastError, match=message):
        DIRNetEncoder(*values)
