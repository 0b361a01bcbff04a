"""What ACE needs of any encoder."""

import pytest
import torch

from handfast.models.dirnet_encoder import DIRNetEncoder
from handfast.models.hourglass import HourglassEncoder
from handfast.models.tofnet_encoder import ToFNetEncoder

ENCODERS = {
    "hourglass": lambda: HourglassEncoder(64, 4, feature_size=8),
    "dirnet": lambda: DIRNetEncoder(64, loops=1, base_channels=4, feature_size=8),
    "tofnet": lambda: ToFNetEncoder(64, feature_size=8),
}


@pytest.fixture(params=ENCODERS)
def encoder(request):
    """One with statistics that a batch has left in it, in evaluation mode."""
    torch.manual_seed(0)
    encoder = ENCODERS[request.param]()
    encoder(torch.rand(4, 3, 64, 64))
    return encoder.eval()


def made(encoding):
    """What there is of an encoding: not every encoder makes heat-maps."""
    return [part for part in encoding if part is not None]


@torch.inference_mode()
def test_a_batch_of_images_is_its_images_one_by_one(encoder):
    images = torch.rand(3, 3, 64, 64)
    together = encoder(images)
    for i in range(3):
        for found, expected in zip(made(encoder(images[i : i + 1])), made(together), strict=True):
            torch.testing.assert_close(found[0], expected[i], rtol=1e-3, atol=1e-5)


def test_training_reaches_every_parameter(encoder):
    outputs = made(encoder.train()(torch.rand(4, 3, 64, 64)))
    sum((out * torch.randn_like(out)).sum() for out in outputs).backward()
    assert not {name for name, p in encoder.named_parameters() if p.grad is None or not p.grad.any()}
