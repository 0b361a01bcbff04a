"""The shipped ONNX files, the shipped checkpoints and the code that made them agree."""

from importlib.resources import as_file, files

import numpy as np
import pytest

from handfast.geometry import fit_affine
from handfast.packaged import IN_GREY
from handfast.runtime.model import load_model, read_card
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


def checkpoint(name):
    from handfast.training.checkpoint import load_checkpoint

    with as_file(files("handfast") / "assets" / f"{name}.safetensors") as path:
        return load_checkpoint(path)


@pytest.mark.parametrize("name", IN_GREY)
def test_onnx_equals_torch_on_golden_frames(name, golden_frames):
    net, card = checkpoint(name)
    with torch.inference_mode():
        expected = net(torch.from_numpy(golden_frames[:, None]).float() / 255)
    model = load_model(name)
    assert model.card.name == card["name"] == name
    for got, want in zip(model.run(golden_frames), expected, strict=True):
        np.testing.assert_allclose(got, want.numpy(), atol=1e-4 * max(1, want.abs().max().item()))


@pytest.mark.parametrize("name", [*IN_GREY, "tofnet-rgb"])
def test_cards_state_the_checkpoint_s_parameters(name):
    net, _ = checkpoint(name)
    learned = sum(p.numel() for p in net.parameters())
    # Folding batch normalisation turns a scale and a shift a channel into one bias.
    norms = sum(m.num_features for m in net.modules() if isinstance(m, torch.nn.BatchNorm2d))
    card = load_model(name).card
    assert card.parameters == learned - norms
    assert card.early_out_logit is not None and card.early_out_macs < card.macs
    assert set(card.receptive_field_px) == {"heatmaps", "visibility"}


def test_the_colour_finder_is_its_checkpoint():
    net, card = checkpoint("tofnet-rgb")
    images = np.random.default_rng(0).integers(0, 256, (2, 120, 160, 3), dtype=np.uint8)
    with torch.inference_mode():
        expected = net(torch.from_numpy(images).permute(0, 3, 1, 2).float() / 255)
    model = load_model("tofnet-rgb")
    assert model.card.name == card["name"] == "tofnet-rgb" and model.card.in_colour
    heatmaps, visibility = model.run(images)
    np.testing.assert_allclose(visibility, expected.visibility.numpy(), atol=1e-3)
    if heatmaps.any():  # decoded
        np.testing.assert_allclose(heatmaps, expected.heatmaps.numpy(), atol=1e-3)


def test_dense_regression_is_its_checkpoint():
    from handfast.runtime.dense import load_dense

    net, card = checkpoint("dense-hand21")
    depth = np.random.default_rng(0).random((2, 1, 64, 64), np.float32) * 2 - 1
    with torch.inference_mode():
        expected = net(torch.from_numpy(depth))
    model = load_dense("dense-hand21")
    assert model.card.name == card["name"] == "dense-hand21"
    assert model.card.parameters < sum(p.numel() for p in net.parameters())
    for got, want in zip(model.engine(depth), expected, strict=True):
        np.testing.assert_allclose(got, want.numpy(), atol=1e-4)


def test_dirnet_is_its_checkpoint():
    from handfast.models.dirnet_gate import exit_by_policy, run_adaptive
    from handfast.runtime.dirnet import load_dirnet

    net, card = checkpoint("dirnet")
    assert read_card("dirnet").name == card["name"] == "dirnet"
    net.max_loops = card["loops"]
    model = load_dirnet("dirnet")
    images = np.random.default_rng(0).integers(0, 256, (3, 128, 128, 3), dtype=np.uint8)
    expected, loops = run_adaptive(
        net,
        torch.from_numpy(images).permute(0, 3, 1, 2).float() / 255,
        lambda estimate: exit_by_policy(estimate, temperature=1.0),
    )
    for i, image in enumerate(images):
        hand = model.refine(image)
        assert hand.loops == loops[i]
        np.testing.assert_allclose(hand.joints_m, expected.joints_3d[i].numpy(), atol=1e-5)
        pixels = (1 + expected.joints_2d[i].numpy()) / 2 * 128 - 0.5
        np.testing.assert_allclose(hand.keypoints_px, pixels, atol=1e-2)


def test_ace_is_its_checkpoint():
    """Over a clip of noise, the fine encoder asked for as the card has it, always and never. Two by two
    pixels are alike, so that the coarse one's crop, averaged down, is made of whole levels."""
    from handfast.runtime.ace import load_ace

    net, card = checkpoint("ace")
    assert read_card("ace").name == card["name"] == "ace"
    images = np.random.default_rng(0).integers(0, 256, (4, 64, 64, 3), dtype=np.uint8)
    images = images.repeat(2, axis=1).repeat(2, axis=2)
    for threshold in (None, 0.0, 1.0):
        model = load_ace("ace", threshold)
        theirs, ours = None, net.initial_state(1)
        for image in images:
            hand, theirs = model.step(image, theirs)
            tensor = torch.from_numpy(image).permute(2, 0, 1)[None].float() / 255
            with torch.inference_mode():
                joints_cm, ours, used_fine = net.step(tensor, ours, model.threshold)
            assert hand.used_fine == used_fine.item()
            assert threshold is None or hand.used_fine == (threshold == 0.0)
            np.testing.assert_allclose(100 * hand.joints_m, joints_cm[0].numpy(), atol=1e-3)
