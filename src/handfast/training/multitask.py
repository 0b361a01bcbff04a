"""ToFNet with its training-only heads: what a training step runs, and the labels to hold against it."""

import numpy as np
import torch
from torch import Tensor, nn

from handfast.errors import HandfastError
from handfast.losses import Targets
from handfast.models import MODELS
from handfast.models.tofnet import AuxiliaryPrediction, Prediction, ToFNetHeads
from handfast.skeleton import SKELETONS, Skeleton
from handfast.training.recipe import Recipe

Batch = dict[str, np.ndarray]


class MultiTaskToFNet(nn.Module):
    """``net`` is what ships, ``heads`` the auxiliary tasks (section 4)."""

    def __init__(self, recipe: Recipe) -> None:
        super().__init__()
        self.net = MODELS[recipe.model]()
        self.skeleton = SKELETONS[recipe.skeleton]
        self.auxiliary_skeleton = SKELETONS[recipe.auxiliary_skeleton] if recipe.auxiliary_skeleton else None
        self.recipe = recipe
        if len(self.skeleton) != self.net.keypoints_per_hand:
            raise HandfastError(
                f"recipe: {recipe.model} predicts {self.net.keypoints_per_hand} key-points a hand, "
                f"skeleton {recipe.skeleton} has {len(self.skeleton)}; choose a matching pair"
            )
        self.heads = ToFNetHeads(
            len(self.skeleton),
            self.net.upsample_to_quarter.convolution.in_channels,
            self.net.visibility.in_features,
            len(self.auxiliary_skeleton) if self.auxiliary_skeleton else 0,
        )

    def forward(self, image: Tensor) -> tuple[Prediction, AuxiliaryPrediction]:
        features = self.net.features(image)
        prediction = self.net.predict(features)
        return prediction, self.heads(image, features, prediction.heatmaps)

    def tensors(self, batch: Batch) -> tuple[Tensor, Targets]:
        """A batch of labels in hand21 -> ``forward``'s image and the losses' targets, on the CPU.

        batch: image (b, 120, 160) uint8; keypoints_px (b, 2, 21, 2) float32 input pixels; in_image and
        visible (b, 2, 21) bool; present (b, 2) bool; orientation and key_pose (b, 2) int64; segmentation
        (b, 120, 160) uint8, 0 background, 1 left, 2 right hand; rendered (b,) bool.
        """
        keypoints_px, weight = _select(batch, self.skeleton, self.recipe)
        if self.auxiliary_skeleton:
            auxiliary = _select(batch, self.auxiliary_skeleton, self.recipe)
        else:
            auxiliary = keypoints_px[:, :, :0], weight[:, :, :0]
        arrays = Targets(
            keypoints_px,
            weight,
            *auxiliary,
            visible=self.skeleton.select_visible(batch["visible"]),
            present=batch["present"],
            orientation=batch["orientation"],
            key_pose=batch["key_pose"],
            segmentation=batch["segmentation"].astype(np.int64),
            rendered=batch["rendered"],
        )
        return image_tensor(batch["image"]), Targets(*map(torch.from_numpy, arrays))


def _select(batch: Batch, skeleton: Skeleton, recipe: Recipe) -> tuple[np.ndarray, np.ndarray]:
    """-> key-points (b, 2, K, 2) and their weights (b, 2, K): 0 outside the image, more for fingertips, less
    for what is hidden, whose place can often only be guessed."""
    labelled = skeleton.select_visible(batch["in_image"]) & batch["present"][..., None]
    weight = np.ones(len(skeleton), np.float32)
    weight[list(skeleton.tips)] = recipe.losses.fingertip
    seen = skeleton.select_visible(batch["visible"])
    weight = labelled * weight * np.where(seen, 1, recipe.hidden_weight).astype(np.float32)
    keypoints_px = skeleton.select(batch["keypoints_px"])
    if recipe.lone_hand_teaches_both:
        alone = np.flatnonzero(batch["present"].sum(axis=1) == 1)
        absent = batch["present"][alone].argmin(axis=1)
        keypoints_px[alone, absent] = keypoints_px[alone, 1 - absent]
        weight[alone, absent] = weight[alone, 1 - absent]
    return keypoints_px, weight


def image_tensor(image: np.ndarray) -> Tensor:
    """(b, 120, 160) uint8 -> (b, 1, 120, 160) float32, 0..1."""
    return torch.from_numpy(image)[:, None].float() / 255
