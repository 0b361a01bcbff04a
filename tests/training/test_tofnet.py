"""From labels in hand21 to targets of the recipe's skeleton, and scores by hand."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from handfast.data.batches import Mix
from handfast.errors import HandfastError
from handfast.losses.multitask import multitask_losses
from handfast.models.tofnet import Prediction
from handfast.skeleton import HAND21, TOF8
from handfast.training.tofnet import MultiTaskToFNet, ToFNetRecipe, validate


def test_targets_are_the_skeletons_points(recipe, data):
    batch = data.batch(0, 4)
    batch["present"][:] = [True, True]
    image, targets = MultiTaskToFNet(recipe).tensors(batch)
    assert image.shape == (4, 1, 120, 160) and image.dtype == torch.float32
    assert image.max() == batch["image"].max() / 255

    index_tip, tof8_index_tip = HAND21.keypoints.index("index_tip"), TOF8.keypoints.index("index_tip")
    np.testing.assert_array_equal(
        targets.keypoints_px[:, :, tof8_index_tip].numpy(), batch["keypoints_px"][:, :, index_tip]
    )
    labelled = batch["in_image"][:, :, index_tip] & batch["present"]
    seen = np.where(batch["visible"][:, :, index_tip], 1, recipe.hidden_weight)
    np.testing.assert_allclose(targets.weight[:, :, tof8_index_tip].numpy(), 2.0 * labelled * seen)
    assert targets.auxiliary_keypoints_px.shape == (4, 2, 17, 2)
    assert targets.weight.dtype == targets.auxiliary_weight.dtype == torch.float32


def test_colour_goes_into_channels(data):
    recipe = ToFNetRecipe(model="tofnet-rgb", skeleton="hand21", steps=5)
    assert recipe.in_colour and recipe.interface()["input"]["image"] == "colour"
    batch = data.batch(0, 2)
    batch["image"] = np.random.default_rng(0).integers(0, 256, (2, 120, 160, 3), dtype=np.uint8)
    task = MultiTaskToFNet(recipe)
    image, targets = task.tensors(batch)
    np.testing.assert_allclose(image[1, 2], batch["image"][1, :, :, 2] / 255, rtol=1e-6)
    losses = task.losses(task(image), targets)
    sum(losses.values()).backward()
    of_channels = task.net.tier1[0][0].weight.grad.abs().sum(dim=(0, 2, 3))
    assert of_channels.shape == (3,) and (of_channels > 0).all()
    assert np.isfinite(validate(task.net.eval(), [batch], HAND21)["presence_accuracy"])


def test_grey_recipes_are_as_before_and_colour_takes_no_sensors_picture(recipe):
    assert not recipe.in_colour and recipe.interface()["input"]["image"] == "amplitude"
    with pytest.raises(HandfastError, match=r"tofnet-rgb sees colour, got data.picture 'depth'"):
        ToFNetRecipe(model="tofnet-rgb", skeleton="hand21", steps=5, data=Mix(picture="depth"))


def test_a_mixed_keypoint_needs_all_its_joints_in_the_image(recipe, data):
    batch = data.batch(0, 4)
    batch["present"][:] = True
    batch["in_image"][:] = True
    batch["visible"][:] = True
    batch["in_image"][:, :, HAND21.keypoints.index("middle_mcp")] = False
    _, targets = MultiTaskToFNet(recipe).tensors(batch)
    weight = dict(zip(TOF8.keypoints, targets.weight[0, 0].tolist(), strict=True))
    assert weight["hand_centre"] == weight["middle_mcp"] == 0
    assert weight["wrist_centre"] == 1 and weight["thumb_tip"] == 2


def test_a_hand_that_is_alone_teaches_both_slots(recipe, data):
    batch = data.batch(0, 3)
    batch["present"] = np.array([[True, False], [False, True], [True, True]])
    batch["in_image"][:] = True
    _, targets = MultiTaskToFNet(recipe).tensors(batch)
    left, right = targets.keypoints_px.unbind(dim=1)
    own = TOF8.select(batch["keypoints_px"])
    for hand in (left, right):
        np.testing.assert_array_equal(hand[0].numpy(), own[0, 0])
        np.testing.assert_array_equal(hand[1].numpy(), own[1, 1])
    np.testing.assert_array_equal(targets.keypoints_px[2].numpy(), own[2])
    assert (targets.weight > 0).all()
    np.testing.assert_array_equal(targets.present.numpy(), batch["present"])


def test_or_its_own_only(recipe, data):
    batch = data.batch(0, 2)
    batch["present"] = np.array([[True, False], [False, True]])
    batch["in_image"][:] = True
    own = replace(recipe, lone_hand_teaches_both=False)
    _, targets = MultiTaskToFNet(own).tensors(batch)
    np.testing.assert_array_equal((targets.weight > 0).all(dim=-1).numpy(), batch["present"])
    np.testing.assert_array_equal((targets.weight == 0).all(dim=-1).numpy(), ~batch["present"])


def test_hidden_keypoints_can_be_left_out(recipe, data):
    recipe = replace(recipe, hidden_weight=0.0, lone_hand_teaches_both=False)
    _, targets = MultiTaskToFNet(recipe).tensors(data.batch(0, 4))
    assert targets.visible.any() and not (targets.weight[~targets.visible] > 0).any()


def test_photos_only_teach_keypoints_and_presence(recipe, data):
    """Whatever else a photo's batch says does not change the losses."""
    batch = data.batch(0, 4)
    batch["rendered"][:] = [True, False, True, False]
    task = MultiTaskToFNet(recipe).eval()

    def losses():
        image, targets = task.tensors(batch)
        return multitask_losses(*task(image), targets, recipe.sigma_px)

    before = losses()
    for name in ("orientation", "key_pose", "segmentation"):
        batch[name][[1, 3]] = (batch[name][[1, 3]] + 1) % 3
    after = losses()
    assert all(torch.equal(before[name], after[name]) for name in before)


class Oracle(torch.nn.Module):
    """Predicts fixed maps: each key-point's peak, and presence as told."""

    def __init__(self, keypoints_px, presence_logit):
        super().__init__()
        self.unused = torch.nn.Parameter(torch.zeros(1))
        b = len(keypoints_px)
        self.heatmaps = torch.full((b, 2, 21, 60, 80), -30.0)
        x, y = ((keypoints_px - 0.5) / 2).astype(int).transpose(3, 0, 1, 2)
        hands, sides, joints = np.indices(x.shape)
        self.heatmaps[hands, sides, joints, y, x] = 0
        self.visibility = torch.zeros(b, 2, 22)
        self.visibility[..., 0] = torch.as_tensor(presence_logit)

    def forward(self, image):
        return Prediction(self.heatmaps, self.visibility)


def test_validation_scores_by_hand(data):
    batch = data.batch(0, 4)
    batch["present"] = np.array([[True, False], [False, True], [True, True], [False, False]])
    batch["in_image"][:] = True
    at_px = np.random.default_rng(0).integers(1, 50, (4, 2, 21, 2)) * 2 + 0.5  # centres of cells
    batch["keypoints_px"] = (at_px + np.where(np.arange(21) == 0, 9.0, 1.0)[:, None] * [1, 0]).astype(
        np.float32
    )
    batch["keypoints_px"][~batch["present"]] = 1e6  # never looked at
    presence_logit = np.float32([[1, -1], [2, 1], [1, 1], [-1, 3]])  # second: both, the wrong side likelier
    metrics = validate(Oracle(at_px, presence_logit), [batch], HAND21)
    assert metrics["error_mean_px"] == pytest.approx((9 + 20) / 21, abs=1e-4)
    assert metrics["error_median_px"] == pytest.approx(1, abs=1e-4)
    assert metrics["presence_accuracy"] == 6 / 8
    assert metrics["side_accuracy"] == 1 / 2
