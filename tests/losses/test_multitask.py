"""Losses against hand-worked values and against the codecs' targets."""

import math

import numpy as np
import pytest
import torch

from handfast.codecs import gaussian_targets, input_to_map
from handfast.losses import total_loss
from handfast.losses.multitask import (
    LossWeights,
    Targets,
    circular_cross_entropy,
    class_cross_entropy,
    heatmap_cross_entropy,
    multitask_losses,
    segmentation_cross_entropy,
    visibility_loss,
)
from handfast.models.tofnet import AuxiliaryPrediction, Prediction

STRIDE, SIGMA_PX = 2, 1.0


@pytest.fixture
def maps():
    """Heat-maps (3, 2, 4, 12, 16), key-points within their input and weights of one."""
    generator = torch.Generator().manual_seed(0)
    heatmaps = torch.randn(3, 2, 4, 12, 16, generator=generator)
    keypoints_px = torch.rand(3, 2, 4, 2, generator=generator) * 23
    return heatmaps, keypoints_px, torch.ones(3, 2, 4)


def of_maps(heatmaps, keypoints_px, weight):
    return heatmap_cross_entropy(heatmaps, keypoints_px, weight, STRIDE, SIGMA_PX)


def test_heatmap_loss_is_the_cross_entropy_with_the_codecs_targets(maps):
    heatmaps, keypoints_px, weight = maps
    targets = gaussian_targets(input_to_map(keypoints_px.numpy(), STRIDE), 12, 16, SIGMA_PX)
    log_probability = torch.log_softmax(heatmaps.flatten(3), dim=3).numpy().reshape(heatmaps.shape)
    expected = -(targets * log_probability).sum((-2, -1)).mean() * 4  # summed over four key-points
    assert of_maps(heatmaps, keypoints_px, weight).item() == pytest.approx(expected, rel=1e-5)


def test_heatmap_loss_is_least_for_the_targets_themselves(maps):
    _, keypoints_px, weight = maps
    targets = torch.from_numpy(gaussian_targets(input_to_map(keypoints_px.numpy(), STRIDE), 12, 16, SIGMA_PX))
    best = torch.log(targets + 1e-20)
    entropy = -(targets * best).sum((-2, -1)).mean().item() * 4
    assert of_maps(best, keypoints_px, weight).item() == pytest.approx(entropy, rel=1e-4)
    assert of_maps(best + 0.1 * torch.randn_like(best), keypoints_px, weight).item() > entropy


def test_a_keypoint_without_label_has_no_influence_and_no_gradient(maps):
    heatmaps, keypoints_px, weight = maps
    weight[1, 0] = 0
    keypoints_px[1, 0] = torch.nan
    before = of_maps(heatmaps, keypoints_px, weight)
    heatmaps[1, 0] += 5 * torch.randn(4, 12, 16)
    heatmaps.requires_grad_()
    after = of_maps(heatmaps, keypoints_px, weight)
    assert after.item() == pytest.approx(before.item())
    after.backward()
    assert torch.all(heatmaps.grad[1, 0] == 0) and torch.all(heatmaps.grad[0, 0] != 0)


def test_weights_multiply_a_keypoints_loss(maps):
    heatmaps, keypoints_px, weight = maps
    one = torch.zeros_like(weight)
    one[..., 2] = 1
    alone = of_maps(heatmaps, keypoints_px, one).item() / 4
    plain = of_maps(heatmaps, keypoints_px, weight).item()
    assert of_maps(heatmaps, keypoints_px, weight + one).item() == pytest.approx(plain + alone, rel=1e-5)


def test_a_batch_without_hands_costs_nothing_and_differentiates(maps):
    heatmaps, keypoints_px, weight = maps
    heatmaps.requires_grad_()
    absent = torch.zeros(3, 2, dtype=torch.bool)
    logits = torch.zeros(3, 2, 8, requires_grad=True)
    label = torch.zeros(3, 2, dtype=torch.long)
    loss = of_maps(heatmaps, keypoints_px, 0 * weight) + circular_cross_entropy(logits[absent], label[absent])
    loss.backward()
    assert loss.item() == 0 and torch.all(heatmaps.grad == 0) and torch.all(logits.grad == 0)


def test_visibility_of_absent_hands_does_not_count():
    present = torch.tensor([[True, False]])
    visible = torch.tensor([[[True, False], [True, True]]])
    logits = torch.tensor([[[0.0, 0.0, 0.0], [0.0, 9.0, -9.0]]])
    assert visibility_loss(logits, present, visible, present).item() == pytest.approx(2 * math.log(2))
    sure = torch.tensor([[[20.0, 20.0, -20.0], [-20.0, 9.0, -9.0]]])
    assert visibility_loss(sure, present, visible, present).item() == pytest.approx(0, abs=1e-6)


def test_without_labels_of_visibility_presence_alone_counts():
    present = torch.tensor([[True, False]])
    visible = torch.tensor([[[True, False], [True, True]]])
    logits = torch.tensor([[[0.0, 9.0, -9.0], [0.0, 9.0, -9.0]]])
    unlabelled = torch.zeros_like(present)
    assert visibility_loss(logits, present, visible, unlabelled).item() == pytest.approx(math.log(2))


def test_orientation_classes_are_a_ring():
    logits = torch.full((1, 8), -20.0)
    logits[0, [7, 0, 1]] = torch.log(torch.tensor([0.15, 0.7, 0.15]))
    entropy = -(2 * 0.15 * math.log(0.15) + 0.7 * math.log(0.7))
    assert circular_cross_entropy(logits, torch.tensor([0])).item() == pytest.approx(entropy, abs=1e-4)
    rolled = circular_cross_entropy(logits.roll(3, dims=1), torch.tensor([3]))
    assert rolled.item() == pytest.approx(entropy, abs=1e-4)


def test_class_cross_entropy_of_equal_logits_is_log_of_the_classes():
    assert class_cross_entropy(torch.zeros(5, 9), torch.arange(5)).item() == pytest.approx(math.log(9))


def test_segmentation_is_read_at_the_middle_of_each_block():
    segmentation = torch.zeros(1, 8, 8, dtype=torch.long)
    segmentation[0, 2, 6] = 2
    logits = torch.zeros(1, 3, 2, 2)
    logits[0, 0] = 30
    logits[0, :, 0, 1] = torch.tensor([0.0, 0.0, 30.0])
    assert segmentation_cross_entropy(logits, segmentation).item() == pytest.approx(0, abs=1e-6)


def test_deep_supervision_asks_for_the_same_place_at_three_resolutions():
    """Maps that are the targets cost their entropy and no more."""
    keypoints_px = torch.rand(1, 2, 3, 2, generator=torch.Generator().manual_seed(0)) * 119
    maps = {
        stride: gaussian_targets(
            input_to_map(keypoints_px.numpy(), stride), 120 // stride, 160 // stride, SIGMA_PX
        )
        for stride in (2, 4, 8)
    }
    eighth, quarter, half = (torch.log(torch.from_numpy(maps[stride]) + 1e-20) for stride in (8, 4, 2))
    unlabelled = torch.zeros(1, 2, dtype=torch.bool)
    classes = torch.zeros(1, 2, dtype=torch.long)
    losses = multitask_losses(
        Prediction(half, torch.zeros(1, 2, 4)),
        AuxiliaryPrediction(
            eighth, quarter, half, None, torch.zeros(1, 2, 8), torch.zeros(1, 2, 9), torch.zeros(1, 3, 30, 40)
        ),
        Targets(
            keypoints_px,
            torch.ones(1, 2, 3),
            keypoints_px[:, :, :0],
            torch.ones(1, 2, 0),
            visible=torch.zeros(1, 2, 3, dtype=torch.bool),
            present=unlabelled,
            orientation=classes,
            key_pose=classes,
            segmentation=torch.zeros(1, 120, 160, dtype=torch.long),
            rendered=unlabelled[:, 0],
        ),
        SIGMA_PX,
    )
    entropy = {
        stride: -(targets * np.log(targets + 1e-20)).sum() / 2  # summed over key-points, mean over hands
        for stride, targets in maps.items()
    }
    assert losses["keypoints"].item() == pytest.approx(entropy[2], rel=1e-4)
    assert losses["deep_supervision"].item() == pytest.approx(sum(entropy.values()), rel=1e-4)


def test_equation_1_has_the_papers_weights_and_zero_disables():
    names = ("keypoints", "auxiliary_keypoints", "visibility", "orientation", "key_pose", "segmentation")
    losses = {name: torch.tensor(1.0, requires_grad=True) for name in (*names, "deep_supervision")}
    assert total_loss(losses, LossWeights().of_tasks()).item() == 1 + 1 + 20 + 20 + 10 + 50 + 1
    total = total_loss(losses, LossWeights(segmentation=0.0).of_tasks())
    total.backward()
    assert total.item() == 53 and losses["segmentation"].grad == 0


def test_targets_survive_numpy_and_torch_alike():
    """The same Gaussian on both sides, at the border too, where it is cut and normalised."""
    keypoints_px = np.float32([[[[0.0, 0.0]], [[31.0, 23.0]]]])
    targets = torch.from_numpy(gaussian_targets(input_to_map(keypoints_px, STRIDE), 12, 16, SIGMA_PX))
    heatmaps = torch.randn(1, 2, 1, 12, 16, generator=torch.Generator().manual_seed(1))
    expected = -(targets * torch.log_softmax(heatmaps.flatten(3), dim=3).view_as(heatmaps)).sum() / 2
    got = of_maps(heatmaps, torch.from_numpy(keypoints_px), torch.ones(1, 2, 1))
    assert got.item() == pytest.approx(expected.item(), rel=1e-5)
