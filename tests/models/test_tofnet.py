"""Every net, whatever its encoder: shapes, independence of images, reach of the gradient, and what ships."""

import pytest
import torch

from handfast.models import MODELS
from handfast.models.tofnet import ToFNet, ToFNetHeads

VISIBILITY = {"summary", "visibility"}
DECODER = {"upsample_to_quarter", "skip", "to_maps", "upsample_to_half"}


def encoder_of(net):
    return {"tier1", "tier2", "tier3"} if isinstance(net, ToFNet) else {"backbone", "reduce"}


def heads_of(net, auxiliary_keypoints=17):
    channels = net.summary[0].in_channels, net.summary[0].out_channels
    return ToFNetHeads(net.keypoints_per_hand, *channels, auxiliary_keypoints, net.image_channels)


def noise(net, images):
    return torch.rand(images, net.image_channels, 120, 160)


def train_step(net, heads):
    """Prediction and auxiliary prediction for noise."""
    image = noise(net, 2)
    features = net.features(image)
    prediction = net.predict(features)
    return prediction, heads(image, features, prediction.heatmaps)


def some_loss(*outputs):
    return sum((out * torch.randn_like(out)).sum() for out in outputs if out is not None)


def silent(module):
    """The names of the parameters without a gradient."""
    return {name for name, p in module.named_parameters() if p.grad is None or not p.grad.any()}


def test_outputs_are_maps_at_half_resolution_and_visibility(net):
    keypoints = net.keypoints_per_hand
    prediction = net(noise(net, 2))
    assert prediction.heatmaps.shape == (2, 2, keypoints, 60, 80)
    assert prediction.visibility.shape == (2, 2, 1 + keypoints)


def test_batched_equals_single(net):
    net.eval()
    images = noise(net, 3)
    batched = net(images)
    for i, image in enumerate(images):
        single = net(image[None])
        torch.testing.assert_close(batched.heatmaps[i], single.heatmaps[0], rtol=1e-4, atol=1e-5)
        torch.testing.assert_close(batched.visibility[i], single.visibility[0], rtol=1e-4, atol=1e-5)


def test_each_map_looks_at_the_whole_image(net):
    """Dilation gives tier 3 a receptive field of the image: a far corner moves the opposite one."""
    for module in net.modules():
        if isinstance(module, torch.nn.BatchNorm2d):
            module.momentum = (
                None  # take the batch's statistics at once; at its start the net is all but silent
            )
    net(noise(net, 8))
    net.eval()
    image = noise(net, 1)
    changed = image.clone()
    changed[..., :16, :16] = 1 - changed[..., :16, :16]
    difference = (net(changed).heatmaps - net(image).heatmaps).detach().abs()
    assert torch.all(difference[..., 40:, 60:].amax((-2, -1)) > 0)


def test_what_presence_is_told_from_answers_to_the_image(tofnet):
    """However large the features are, no unit of the summary is silent for all images."""
    images = noise(tofnet, 32)
    features = tofnet.train().features(images)
    with torch.no_grad():
        tofnet.summary[0].weight.mul_(100)
        summary = tofnet.features(images).summary
    assert features.summary.gt(0).any(dim=0).all() and summary.gt(0).any(dim=0).all()


def test_a_net_is_encoder_decoder_and_visibility_and_nothing_else(net):
    parts = {name.split(".")[0] for name in net.state_dict()}
    assert parts | {"skip"} == encoder_of(net) | DECODER | VISIBILITY
    assert ("skip" in parts) == (net.skip is not None)


def test_what_ships_needs_all_its_parameters_and_none_of_the_heads(net):
    heads = heads_of(net)
    prediction, _ = train_step(net, heads)
    some_loss(*prediction).backward()
    assert not silent(net)
    assert silent(heads) == {name for name, _ in heads.named_parameters()}


@pytest.mark.parametrize("auxiliary_keypoints", [0, 17])
def test_training_reaches_every_parameter(tofnet, auxiliary_keypoints):
    heads = heads_of(tofnet, auxiliary_keypoints)
    prediction, auxiliary = train_step(tofnet, heads)
    some_loss(*prediction, *auxiliary).backward()
    assert not silent(tofnet) and not silent(heads)


def test_each_auxiliary_task_alone_teaches_the_encoder(net):
    encoder = [p for name, p in net.named_parameters() if name.split(".")[0] in encoder_of(net)]
    assert any(net.shared_weight is p for p in encoder)
    _, auxiliary = train_step(net, heads_of(net))
    for name, output in auxiliary._asdict().items():
        gradients = torch.autograd.grad(some_loss(output), encoder, retain_graph=True)
        assert all(gradient.any() for gradient in gradients), name


def test_encoder_features_are_taught_without_the_decoder_and_decoded_ones_with_it(tofnet):
    _, auxiliary = train_step(tofnet, heads_of(tofnet))
    decoder = [tofnet.upsample_to_quarter.convolution.weight, tofnet.to_maps.weight]
    reached = {
        name: [
            gradient is not None
            for gradient in torch.autograd.grad(
                some_loss(output), decoder, retain_graph=True, allow_unused=True
            )
        ]
        for name, output in auxiliary._asdict().items()
    }
    assert reached.pop("deep_quarter") == [True, False] and reached.pop("deep_half") == [True, True]
    assert all(parts == [False, False] for parts in reached.values())


def test_the_head_at_half_resolution_teaches_all_maps_each_keypoint():
    """The groups of the decoder do not: there a map that is lost stays lost (section 4)."""
    net = MODELS["tofnet-tof8"]()
    prediction, auxiliary = train_step(net, heads_of(net))
    for heatmaps, taught in ((prediction.heatmaps, 1), (auxiliary.deep_half, 16)):
        loss = some_loss(heatmaps[:, 0, 0])
        (gradient,) = torch.autograd.grad(loss, net.to_maps.weight, retain_graph=True)
        assert gradient.flatten(1).any(dim=1).sum() == taught


def test_heads_are_per_hand_and_at_their_resolution(tofnet):
    keypoints = tofnet.keypoints_per_hand
    _, auxiliary = train_step(tofnet, heads_of(tofnet))
    assert auxiliary.deep_eighth.shape == (2, 2, keypoints, 15, 20)
    assert auxiliary.deep_quarter.shape == (2, 2, keypoints, 30, 40)
    assert auxiliary.deep_half.shape == (2, 2, keypoints, 60, 80)
    assert auxiliary.auxiliary.shape == (2, 2, 17, 30, 40)
    assert auxiliary.orientation.shape == (2, 2, 8) and auxiliary.key_pose.shape == (2, 2, 9)
    assert auxiliary.segmentation.shape == (2, 3, 30, 40)


def test_colours_are_told_apart():
    """And a net for grey has the weights that it had: one channel, wherever it sees the image."""
    net, grey = MODELS["tofnet-rgb"](), MODELS["tofnet-hand21"]()
    heads = heads_of(net)
    image = noise(net, 4)
    features = net.features(image)
    segmentation = heads.segmentation(image, features.eighth)
    swapped = image.flip(1)
    assert not torch.allclose(net.features(swapped).eighth, features.eighth)
    assert not torch.allclose(heads.segmentation(swapped, features.eighth), segmentation)
    shapes, grey_shapes = ({n: tuple(p.shape) for n, p in m.state_dict().items()} for m in (net, grey))
    assert {n for n in shapes if shapes[n] != grey_shapes[n]} == {"tier1.0.0.weight"}
    assert shapes.keys() == grey_shapes.keys() and grey_shapes["tier1.0.0.weight"] == (16, 1, 3, 3)
