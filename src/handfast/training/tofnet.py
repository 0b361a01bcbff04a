"""How ToFNet is trained: its recipe, what a step runs with the training-only heads, and its validation."""

from collections.abc import Iterable
from dataclasses import dataclass, field

import numpy as np
import torch
from torch import Tensor, nn

from handfast.codecs import decode_heatmaps, map_to_input
from handfast.data.batches import Mix
from handfast.errors import HandfastError
from handfast.losses.multitask import LossWeights, Targets, multitask_losses
from handfast.models import MODELS
from handfast.models.tofnet import (
    HEATMAP_STRIDE,
    INPUT_HEIGHT,
    INPUT_WIDTH,
    AuxiliaryPrediction,
    Prediction,
    ToFNetHeads,
)
from handfast.skeleton import SKELETONS, Skeleton
from handfast.training.recipe import Recipe, check_choice, check_not_negative
from handfast.training.task import Batch, Task, image_tensor


@dataclass(frozen=True, kw_only=True)
class ToFNetRecipe(Recipe):
    """auxiliary_skeleton: the key-points of the auxiliary decoder, "" for none. sigma_px: of the Gaussian
    targets, in map pixels, 0 for one-hot targets. hidden_weight: the weight of key-points that cannot be
    seen, 0 to leave them out. lone_hand_teaches_both: a hand that is alone trains the maps of both slots, for
    where its joints are does not depend on which hand it is. losses: equation 1. data: what batches are made
    of.
    """

    auxiliary_skeleton: str = ""
    sigma_px: float = 1.0
    hidden_weight: float = 0.3
    lone_hand_teaches_both: bool = True
    losses: LossWeights = field(default_factory=LossWeights)
    data: Mix = field(default_factory=Mix)

    def __post_init__(self) -> None:
        super().__post_init__()
        check_choice("auxiliary_skeleton", self.auxiliary_skeleton, ("", *SKELETONS))
        check_not_negative(self, "sigma_px", "hidden_weight")
        if self.in_colour and self.data.picture != "any":
            raise HandfastError(
                f"recipe: {self.model} sees colour, got data.picture {self.data.picture!r}; leave it out"
            )

    @property
    def in_colour(self) -> bool:
        """Whether the net's image is a colour picture."""
        return MODELS[self.model].keywords.get("image_channels", 1) == 3

    def interface(self) -> dict:
        of_sensor = "depth" if self.data.picture == "depth" else "amplitude"
        return {
            "input": {
                "image": "colour" if self.in_colour else of_sensor,
                "height": INPUT_HEIGHT,
                "width": INPUT_WIDTH,
                "range": [0.0, 1.0],
            },
            "heatmap_stride": HEATMAP_STRIDE,
        }


class MultiTaskToFNet(Task):
    """``net`` is what ships, ``heads`` the auxiliary tasks (section 4)."""

    def __init__(self, recipe: ToFNetRecipe) -> None:
        super().__init__()
        self.net = MODELS[recipe.model]()
        self.weights = recipe.losses.of_tasks()
        if not recipe.auxiliary_skeleton:
            del self.weights["auxiliary_keypoints"]
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
            self.net.image_channels,
        )

    def forward(self, image: Tensor) -> tuple[Prediction, AuxiliaryPrediction]:
        features = self.net.features(image)
        prediction = self.net.predict(features)
        return prediction, self.heads(image, features, prediction.heatmaps)

    @property
    def shared_weight(self) -> Tensor:
        return self.net.shared_weight

    def losses(
        self, predictions: tuple[Prediction, AuxiliaryPrediction], targets: Targets
    ) -> dict[str, Tensor]:
        return multitask_losses(*predictions, targets, self.recipe.sigma_px)

    def validate(self, net: nn.Module, batches: Iterable[Batch]) -> dict[str, float]:
        return validate(net, batches, self.skeleton)

    def tensors(self, batch: Batch) -> tuple[Tensor, Targets]:
        """A batch of labels in hand21 -> ``forward``'s image and the losses' targets, on the CPU.

        batch: image (b, 120, 160), in colour (b, 120, 160, 3), uint8; keypoints_px (b, 2, 21, 2) float32
        input pixels; in_image and visible (b, 2, 21) bool; present (b, 2) bool; orientation and key_pose
        (b, 2) int64; segmentation (b, 120, 160) uint8, 0 background, 1 left, 2 right hand; rendered (b,)
        bool.
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
        return _image(batch), Targets(*map(torch.from_numpy, arrays))


def _select(batch: Batch, skeleton: Skeleton, recipe: ToFNetRecipe) -> tuple[np.ndarray, np.ndarray]:
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


def _image(batch: Batch) -> Tensor:
    """-> (b, c, 120, 160)"""
    image = batch["image"]
    return image_tensor(image if image.ndim == 4 else image[..., None])


@torch.inference_mode()
def validate(net: nn.Module, batches: Iterable[Batch], skeleton: Skeleton) -> dict[str, float]:
    """Score ``net``, which must be in evaluation mode, on labelled batches.

    Returns mean and median key-point error over present hands' key-points in the image; the share of hand
    slots whose presence is right; among images of one hand, how often the likelier side is the right one.
    """
    errors, presence, sides = [], [], []
    device = next(net.parameters()).device
    for batch in batches:
        prediction = net(_image(batch).to(device))
        points_px, _ = decode_heatmaps(prediction.heatmaps.float().cpu().numpy())
        error_px = np.linalg.norm(
            map_to_input(points_px, HEATMAP_STRIDE) - skeleton.select(batch["keypoints_px"]), axis=-1
        )
        present = batch["present"]
        errors.append(error_px[skeleton.select_visible(batch["in_image"]) & present[..., None]])
        presence_logit = prediction.visibility[..., 0].float().cpu().numpy()
        presence.append((presence_logit > 0) == present)
        single = present.sum(axis=1) == 1
        sides.append(presence_logit[single].argmax(axis=1) == present[single].argmax(axis=1))
    error_px = np.concatenate(errors)
    return {
        "error_mean_px": _mean(error_px),
        "error_median_px": float(np.median(error_px)) if error_px.size else float("nan"),
        "presence_accuracy": _mean(np.concatenate(presence)),
        "side_accuracy": _mean(np.concatenate(sides)),
    }


def _mean(values: np.ndarray) -> float:
    return float(values.mean()) if values.size else float("nan")
