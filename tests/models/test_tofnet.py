"""Every net of the family: shapes, independence of images, reach of the gradient."""

import pytest
import torch

from handfast.models import MODELS
from handfast.models.tofnet import ToFNetHeads

NAMES = tuple(MODELS)


@pytest.fixture(params=NAMES)
def net(request):
    torch.manual_seed(0)
    return MODELS[request.param]()


def test_outputs_are_maps_at_half_resolution_and_visibility(net):
    keypoints = net.keypoints_per_hand
    prediction = net(torch.rand(2, 1, 120, 160))
    assert prediction.heatmaps.shape == (2, 2, keypoints, 60, 80)
    assert prediction.visibility.shape == (2, 2, 1 + keypoints)


def test_batched_equals_single(net):
    net.eval()
    images = torch.rand(3, 1, 120, 160)
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
    net(torch.rand(8, 1, 120, 160))
    net.eval()
    image = torch.rand(1, 1, 120, 160)
    changed = image.clone()
    changed[..., :16, :16] = 1 - changed[..., :16, :16]
    difference = (net(changed).heatmaps - net(image).heatmaps).detach().abs()
    assert torch.all(difference[..., 40:, 60:].amax((-2, -1)) > 0)


def test_what_presence_is_told_from_answers_to_the_image(net):
    """However large the features are, no unit of the summary is silent for all images."""
    images = torch.rand(32, 1, 120, 160)
    features = net.train().features(images)
    with torch.no_grad():
        net.summary[0].weight.mul_(100)
        summary = net.features(images).summary
    assert features.summary.gt(0).any(dim=0).all() and summary.gt(0).any(dim=0).all()


def heads_of(net, auxiliary_keypoints):
    channels = net.summary[0].in_channels, net.summary[0].out_channels
    return ToFNetHeads(net.keypoints_per_hand, *channels, auxiliary_keypoints)


@pytest.mark.parametrize("auxiliary_keypoints", [0, 17])
def test_every_parameter_has_a_gradient(net, auxiliary_keypoints):
    heads = heads_of(net, auxiliary_keypoints)
    image = torch.rand(2, 1, 120, 160)
    features = net.features(image)
    outputs = [out for out in (*net.predict(features), *heads(image, features)) if out is not None]
    sum((out * torch.randn_like(out)).sum() for out in outputs).backward()
    silent = [
        name
        for module in (net, heads)
        for name, parameter in module.named_parameters()
        if parameter.grad is None or not parameter.grad.any()
    ]
    assert not silent


def test_heads_are_per_hand_and_at_their_resolution(net):
    keypoints = net.keypoints_per_hand
    heads = heads_of(net, auxiliary_keypoints=17)
    image = torch.rand(2, 1, 120, 160)
    auxiliary = heads(image, net.features(image))
    assert auxiliary.deep_eighth.shape == (2, 2, keypoints, 15, 20)
    assert auxiliary.deep_quarter.shape == (2, 2, keypoints, 30, 40)
    assert auxiliary.auxiliary.shape == (2, 2, 17, 30, 40)
    assert auxiliary.orientation.shape == (2, 2, 8) and auxiliary.key_pose.shape == (2, 2, 9)
    assert auxiliary.segmentation.shape == (2, 3, 30, 40)
