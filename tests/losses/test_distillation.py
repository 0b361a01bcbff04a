"""Distances from a teacher: nothing where the two agree, and hand-worked cases."""

import math

import pytest
import torch

from handfast.losses.distillation import distillation_losses
from handfast.losses.multitask import Targets
from handfast.models.tofnet import Prediction

PARTS = ("heatmaps", "visibility")


@pytest.fixture
def targets():
    """Of two images, three key-points a hand: the second has a right hand alone, which hides its last."""
    present = torch.tensor([[True, True], [False, True]])
    weight = torch.ones(2, 2, 3)
    weight[1, 1, 2] = 0
    nothing = torch.zeros(0)
    return Targets(nothing, weight, nothing, nothing, nothing, present, nothing, nothing, nothing, nothing)


def prediction(seed, size=(4, 5)):
    generator = torch.Generator().manual_seed(seed)
    return Prediction(
        torch.randn(2, 2, 3, *size, generator=generator), torch.randn(2, 2, 4, generator=generator)
    )


def test_who_says_the_same_has_nothing_to_learn(targets):
    said = prediction(0)
    shifted = said._replace(heatmaps=said.heatmaps + 3)  # the same probabilities
    losses = distillation_losses(shifted, said, targets)
    assert losses.keys() == {"teacher_keypoints", "teacher_visibility"}
    assert all(loss.item() == pytest.approx(0, abs=1e-5) for loss in losses.values())
    assert all(loss > 0.1 for loss in distillation_losses(prediction(1), said, targets).values())


def test_a_divergence_by_hand(targets):
    """Maps of two cells, 1/2 and 1/2, by who says 3/4 and 1/4; presence 1/2 by who says 3/4."""
    flat = Prediction(torch.zeros(2, 2, 3, 1, 2), torch.zeros(2, 2, 4))
    sure = Prediction(torch.zeros(2, 2, 3, 1, 2), torch.zeros(2, 2, 4))
    sure.heatmaps[..., 0] = math.log(3)
    sure.visibility[..., 0] = math.log(3)
    divergence = 0.75 * math.log(1.5) + 0.25 * math.log(0.5)
    losses = distillation_losses(flat, sure, targets)
    assert losses["teacher_keypoints"].item() == pytest.approx(3 * divergence, rel=1e-5)
    assert losses["teacher_visibility"].item() == pytest.approx(divergence, rel=1e-5)
    targets.weight[0, 0, 0] = 2  # a fingertip, of eight key-points with a label
    losses = distillation_losses(flat, sure, targets)
    assert losses["teacher_keypoints"].item() == pytest.approx(3 * divergence * 9 / 8, rel=1e-5)


def test_what_has_no_label_is_not_learnt(targets):
    said, other = prediction(0), prediction(1)
    before = distillation_losses(other, said, targets)
    other.heatmaps[1, 0] = torch.nan  # no such hand
    other.heatmaps[1, 1, 2] = torch.nan
    other.visibility[1, 0, 1:] = torch.nan
    assert distillation_losses(other, said, targets) == before
    targets.present[:] = False
    none = distillation_losses(prediction(1), said, targets)
    assert none["teacher_keypoints"] == 0 and none["teacher_visibility"] > 0  # that there is none


def test_a_teacher_pulls_towards_itself(targets):
    said = prediction(0)
    maps, visibility = (part.clone().requires_grad_() for part in prediction(1))
    losses = distillation_losses(Prediction(maps, visibility), said, targets)
    sum(losses.values()).backward()
    assert not maps.grad[1, 0].any()
    with torch.no_grad():
        closer = Prediction(maps - maps.grad, visibility - visibility.grad)
    for name, loss in distillation_losses(closer, said, targets).items():
        assert loss < losses[name]
