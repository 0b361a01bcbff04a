"""The shipped ONNX files, the shipped checkpoints and the code that made them agree."""

from importlib.resources import as_file, files

import numpy as np
import pytest

from handfast.geometry import fit_affine
from handfast.runtime.model import PACKAGED, load_model
from handfast.sensors.images import normalise_exposure
from handfast.sensors.sources import open_source

torch = pytest.importorskip("torch", reason="needs the train extra")


@pytest.fixture(scope="module")
def golden_frames():
    """Eight frames of the demo clip as the network sees them."""
    import cv2

    with as_file(files("handfast") / "assets" / "demo.zip") as clip:
        frames = [frame.amplitude for frame in open_source(clip)][::4][:8]
    A = fit_affine(frames[0].shape[1], frames[0].shape[0], 160, 120)
    return np.stack([normalise_exposure(cv2.warpAffine(f, A, (160, 120))) for f in frames])


@pytest.mark.parametrize("name", PACKAGED)
def test_onnx_equals_torch_on_golden_frames(name, golden_frames):
    from handfast.training.checkpoint import load_checkpoint

    with as_file(files("handfast") / "assets" / f"{name}.safetensors") as path:
        net, card = load_checkpoint(path)
    with torch.inference_mode():
        expected = net(torch.from_numpy(golden_frames[:, None]).float() / 255)
    model = load_model(name)
    assert model.card.name == card["name"] == name
    for got, want in zip(model.run(golden_frames), expected, strict=True):
        np.testing.assert_allclose(got, want.numpy(), atol=1e-4 * max(1, want.abs().max().item()))


@pytest.mark.parametrize("name", PACKAGED)
def test_cards_state_the_checkpoint_s_parameters(name):
    from handfast.training.checkpoint import load_checkpoint

    with as_file(files("handfast") / "assets" / f"{name}.safetensors") as path:
        net, _ = load_checkpoint(path)
    learned = sum(p.numel() for p in net.parameters())
    # Folding batch normalisation turns a scale and a shift a channel into one bias.
    norms = sum(m.num_features for m in net.modules() if isinstance(m, torch.nn.BatchNorm2d))
    card = load_model(name).card
    assert card.parameters == learned - norms
    assert card.early_out_logit is not None and card.early_out_macs < card.macs
    assert set(card.receptive_field_px) == {"heatmaps", "visibility"}
