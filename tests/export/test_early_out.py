"""Where no hand may be, the decoder is not run; where one may be, all is as without the early-out."""

import json
from importlib.resources import as_file, files

import cv2
import numpy as np
import onnx
import onnxruntime
import pytest
import torch
from torch.utils.flop_counter import FlopCounterMode

from handfast.codecs import decode_heatmaps
from handfast.evaluation.cost import measure_cost
from handfast.export.early_out import EARLY_OUT_LOGIT
from handfast.export.onnx import export_onnx
from handfast.packaged import IN_GREY
from handfast.runtime.model import load_model
from handfast.sensors.images import normalise_exposure
from handfast.sensors.sources import open_source
from handfast.structures import Frame
from handfast.tracking.tracker import FOUND, SHARP, Tracker
from handfast.training.checkpoint import load_checkpoint

DECODER = {
    "tofnet-hand21": ["upsample_to_quarter/convolution", "skip.0", "to_maps", "upsample_to_half/convolution"],
    "tofnet-tof8": ["upsample_to_quarter/convolution", "to_maps", "upsample_to_half/convolution"],
}


def trained(name):
    """A packaged net and its card."""
    with as_file(files("handfast") / "assets" / f"{name}.safetensors") as checkpoint:
        return load_checkpoint(checkpoint)


def demo_pictures():
    """Some frames of the demo clip, hands in all."""
    with as_file(files("handfast") / "assets" / "demo.zip") as clip:
        return [frame.amplitude for frame in open_source(clip)][::30]


class Exported:
    """A trained net, three images (3, 1, 120, 160), of which the first shows a hand and the others noise, and
    the net's file with a threshold in between."""

    def __init__(self, name, path):
        self.name, self.path = name, path
        self.net, card = trained(name)
        self.images = np.random.default_rng(0).random((3, 1, 120, 160), np.float32)
        self.images[0, 0] = normalise_exposure(cv2.resize(demo_pictures()[0], (160, 120))) / 255
        with_hand, *without = self.predict(self.images).visibility[:, :, 0].amax(1).tolist()
        assert with_hand > max(without) + 0.1
        self.card = export_onnx(self.net, card, path, (with_hand + max(without)) / 2)

    def predict(self, images):
        with torch.inference_mode():
            return self.net(torch.as_tensor(images))

    def run(self, images, options=None):
        return onnxruntime.InferenceSession(self.path, options).run(None, {"image": images})


@pytest.fixture(scope="module", params=IN_GREY)
def exported(request, tmp_path_factory):
    return Exported(request.param, tmp_path_factory.mktemp("early_out") / "net.onnx")


def assert_equal(got, want):
    for a, b in zip(got, want, strict=True):
        np.testing.assert_allclose(a, b.numpy(), atol=1e-5 * b.abs().max().item())


@pytest.mark.parametrize("batch", [1, 3])
def test_where_a_hand_may_be_the_whole_batch_is_decoded(exported, batch):
    images = exported.images[:batch]
    assert_equal(exported.run(images), exported.predict(images))


@pytest.mark.parametrize("batch", [1, 2])
def test_where_no_hand_may_be_the_maps_say_nothing(exported, batch):
    images = exported.images[-batch:]
    heatmaps, visibility = exported.run(images)
    expected = exported.predict(images)
    assert heatmaps.shape == expected.heatmaps.shape and heatmaps.dtype == np.float32
    assert not heatmaps.any()
    assert_equal([visibility], [expected.visibility])
    _, score = decode_heatmaps(heatmaps)
    assert (score < 0.1 * SHARP).all()


def convolutions_run(exported, images, folder):
    """How many convolutions ONNX Runtime executed, by its own record."""
    options = onnxruntime.SessionOptions()
    options.enable_profiling = True
    options.profile_file_prefix = str(folder / "profile")
    session = onnxruntime.InferenceSession(exported.path, options)
    session.run(None, {"image": images})
    with open(session.end_profiling(), encoding="utf-8") as file:
        events = json.load(file)
    return sum("Conv" in event.get("args", {}).get("op_name", "") for event in events)


def test_the_decoder_does_not_run_where_no_hand_may_be(exported, tmp_path):
    with_hand = convolutions_run(exported, exported.images[:1], tmp_path)
    without = convolutions_run(exported, exported.images[1:], tmp_path)
    assert with_hand - without == len(DECODER[exported.name])


def test_what_visibility_does_not_need_is_the_decoder(exported):
    cost = measure_cost(onnx.load(exported.path))
    assert [x.name for x in cost.layers if x.branch == "then" and x.parameters] == DECODER[exported.name]
    assert not any(x.parameters or x.macs for x in cost.layers if x.branch == "else")


def test_the_card_states_both_costs(exported):
    net, image = exported.net, torch.zeros(1, 1, 120, 160)
    with FlopCounterMode(display=False) as whole, torch.inference_mode():
        net(image)
    with FlopCounterMode(display=False) as early_out, torch.inference_mode():
        eighth = net.tier3(net.tier2(net.tier1(image)))
        net.visibility(net.summary(eighth.amax((2, 3), keepdim=True)).flatten(1))
    assert exported.card["flops"] == 2 * exported.card["macs"] == whole.get_total_flops()
    flops = exported.card["early_out_flops"]
    assert flops == 2 * exported.card["early_out_macs"] == early_out.get_total_flops()


@pytest.fixture(scope="module")
def frames():
    """Frames of the demo clip, of nothing, and of noise."""
    pictures = demo_pictures()
    noise = np.random.default_rng(0).integers(0, 256, pictures[0].shape, np.uint8)
    pictures += [np.zeros_like(noise), noise]
    return [Frame(i, i / 30, amplitude=picture) for i, picture in enumerate(pictures)]


@pytest.mark.parametrize("name", IN_GREY)
def test_the_tracker_finds_the_same_hands_as_without_the_early_out(name, frames, tmp_path):
    net, card = trained(name)
    found = []
    for file, early_out_logit in ((tmp_path / "plain.onnx", None), (tmp_path / "net.onnx", EARLY_OUT_LOGIT)):
        export_onnx(net, card, file, early_out_logit)
        model = load_model(file)
        found.append([Tracker(model).step(frame) for frame in frames])
    assert any(found[0])
    for plain, early in zip(*found, strict=True):
        assert [hand.side for hand in plain] == [hand.side for hand in early]
        for a, b in zip(plain, early, strict=True):
            np.testing.assert_allclose(a.keypoints_px, b.keypoints_px, atol=1e-2)


def test_hands_told_below_the_threshold_are_none_to_the_tracker():
    """Not even when both slots mean one and the same hand."""
    probability = 1 / (1 + np.exp(-EARLY_OUT_LOGIT))
    assert 1 - (1 - probability) ** 2 < FOUND
