"""Nets by name."""

import pytest
import torch

from handfast.models import MODELS

LIBRARIES = {"densenet121": "monai", "mobilenetv2": "transformers"}
KEYPOINT_NETS = [name for name, builder in MODELS.items() if "keypoints_per_hand" in builder.keywords]


@pytest.fixture
def build():
    """A function from a name to a fresh net. The test skips if the net's library is not installed."""

    def build(name):
        if name in LIBRARIES:
            pytest.importorskip(LIBRARIES[name], reason=f"{name} needs {LIBRARIES[name]}: extra baselines")
        torch.manual_seed(0)
        return MODELS[name]()

    return build


@pytest.fixture(params=KEYPOINT_NETS)
def net(request, build):
    return build(request.param)


@pytest.fixture(params=[name for name in KEYPOINT_NETS if name not in LIBRARIES])
def tofnet(request, build):
    return build(request.param)
