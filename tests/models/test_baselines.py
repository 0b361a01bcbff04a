"""The baselines: what they cost, how they start, and what happens without their libraries."""

import subprocess
import sys

import pytest
import torch
from torch.utils.flop_counter import FlopCounterMode

from handfast.errors import HandfastError
from handfast.models import MODELS
from handfast.models.baselines import DilatedDepthwise

COSTS = {"densenet121": (7_016_834, 4_845_010_048), "mobilenetv2": (1_835_330, 1_133_275_648)}


@pytest.mark.parametrize(("name", "parameters", "flops"), [(name, *cost) for name, cost in COSTS.items()])
def test_costs_are_the_documented_ones(build, name, parameters, flops):
    net = build(name).eval()
    with FlopCounterMode(display=False) as counter, torch.inference_mode():
        net(torch.zeros(1, 1, 120, 160))
    assert sum(p.numel() for p in net.parameters()) == parameters
    assert counter.get_total_flops() == flops


@pytest.mark.parametrize("name", COSTS)
def test_decoder_and_visibility_are_those_of_tofnet(build, name):
    def shapes(net, encoder):
        return {
            key: tensor.shape for key, tensor in net.state_dict().items() if key.split(".")[0] not in encoder
        }

    expected = shapes(MODELS["tofnet-tof8"](), ("tier1", "tier2", "tier3"))
    assert expected and shapes(build(name), ("backbone", "reduce")) == expected


@pytest.mark.parametrize("name", COSTS)
def test_statistics_are_kept_over_many_batches(build, name):
    """After ten batches of noise and then black images, the noise is not forgotten."""
    net = build(name)
    norm = next(module for module in net.backbone.modules() if isinstance(module, torch.nn.BatchNorm2d))
    with torch.no_grad():
        for _ in range(10):
            net(torch.rand(2, 1, 120, 160))
        before = norm.running_var.clone()
        net(torch.zeros(2, 1, 120, 160))
    assert torch.all(norm.running_var > 0.8 * before)


@pytest.mark.parametrize("dilation", [2, 4])
@pytest.mark.parametrize("size", [(15, 20), (3, 5), (8, 8)])
def test_a_dilated_convolution_trains_as_it_infers(dilation, size):
    plain = torch.nn.Conv2d(6, 6, 3, padding=dilation, dilation=dilation, groups=6, bias=False)
    image = torch.randn(2, 6, *size, requires_grad=True)
    expected, found = plain(image), DilatedDepthwise(plain).train()(image)
    torch.testing.assert_close(found, expected)
    torch.testing.assert_close(DilatedDepthwise(plain).eval()(image), expected)
    weights = torch.randn_like(expected)
    for gradient, wanted in zip(
        torch.autograd.grad(found, (image, plain.weight), weights),
        torch.autograd.grad(expected, (image, plain.weight), weights),
        strict=True,
    ):
        torch.testing.assert_close(gradient, wanted, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize(
    ("name", "module"), [("densenet121", "monai.networks.nets"), ("mobilenetv2", "transformers")]
)
def test_without_its_library_a_baseline_says_what_to_install(monkeypatch, name, module):
    monkeypatch.setitem(sys.modules, module, None)
    with pytest.raises(HandfastError, match=rf"{name} needs .*pip install 'handfast\[baselines\]'"):
        MODELS[name]()


def test_the_models_are_imported_without_the_libraries():
    program = "import handfast.models, sys; sys.exit(bool({'monai', 'transformers'} & sys.modules.keys()))"
    assert subprocess.run([sys.executable, "-c", program], check=False).returncode == 0
