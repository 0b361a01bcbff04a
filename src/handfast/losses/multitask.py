"""The losses of chidananda2019, section 4.

Heat-map losses are summed over a hand's key-points and averaged over hands, which makes them some tens: that
is where the paper's weights for the other losses (20, 20, 10, 50), each a mean of about one, make sense.
"""

import math
from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn import functional as F

from handfast.errors import HandfastError
from handfast.models.tofnet import AuxiliaryPrediction, Prediction


@dataclass(frozen=True)
class LossWeights:
    """The weights of equation 1; 0 stops a task's gradient. fingertip: factor on fingertips' losses."""

    keypoints: float = 1.0
    auxiliary_keypoints: float = 1.0
    visibility: float = 20.0
    orientation: float = 20.0
    key_pose: float = 10.0
    segmentation: float = 50.0
    deep_supervision: float = 1.0
    fingertip: float = 2.0

    def __post_init__(self) -> None:
        for name, weight in vars(self).items():
            if not 0 <= weight < math.inf:
                raise HandfastError(f"losses: {name} must be 0 or more, got {weight}")

    def of_tasks(self) -> dict[str, float]:
        """The weights of the tasks' losses by name."""
        return {name: weight for name, weight in vars(self).items() if name != "fingertip"}


class Targets(NamedTuple):
    """Labels of b images, slot 0 the left hand, 1 the right. Of absent hands nothing is read but key-points
    with a weight, where a hand that is alone teaches both slots.

    keypoints_px: (b, 2, K, 2) float32 input pixels. weight: (b, 2, K) float32, 0 where a key-point has no
    label in the image. auxiliary_*: the same for the auxiliary key-points, A = 0 without them. visible:
    (b, 2, K) and present: (b, 2) bool. orientation, key_pose: (b, 2) int64. segmentation: (b, 120, 160)
    int64. rendered: (b,) bool, false for photos, which only have key-points and presence.
    """

    keypoints_px: Tensor
    weight: Tensor
    auxiliary_keypoints_px: Tensor
    auxiliary_weight: Tensor
    visible: Tensor
    present: Tensor
    orientation: Tensor
    key_pose: Tensor
    segmentation: Tensor
    rendered: Tensor


def heatmap_cross_entropy(
    heatmaps: Tensor, keypoints_px: Tensor, weight: Tensor, stride: int, sigma_px: float
) -> Tensor:
    """Cross entropy over the cells of each map against a Gaussian of ``sigma_px`` map pixels, 0 for one-hot.

    heatmaps: (b, 2, K, H, W) logits. keypoints_px: (b, 2, K, 2) input pixels. weight: (b, 2, K), 0 = no
    label. Returns K times the mean over labelled key-points. Section 4 uses one-hot targets.
    """
    labelled = weight > 0
    logits = heatmaps[labelled].float()
    n, height, width = logits.shape
    centre_px = (keypoints_px[labelled] - (stride - 1) / 2) / stride
    columns = _target(centre_px[:, 0], width, sigma_px)
    rows = _target(centre_px[:, 1], height, sigma_px)
    log_probability = F.log_softmax(logits.flatten(1), dim=1).view(n, height, width)
    # The targets are separable, so they are never written out as maps.
    cross_entropy = -torch.einsum("nh,nhw,nw->n", rows, log_probability, columns)
    return (weight[labelled] * cross_entropy).sum() * (weight.shape[-1] / max(n, 1))


def _target(centre_px: Tensor, size: int, sigma_px: float) -> Tensor:
    """(n,) -> (n, size), rows sum to one."""
    if sigma_px == 0:
        return F.one_hot(centre_px.round().long().clamp(0, size - 1), size).float()
    distance = torch.arange(size, device=centre_px.device) - centre_px[:, None]
    return torch.softmax(-0.5 * (distance / sigma_px) ** 2, dim=1)


def visibility_loss(visibility: Tensor, present: Tensor, visible: Tensor, labelled: Tensor) -> Tensor:
    """Binary cross entropy of a hand's presence, plus that of its key-points' visibility if labelled.

    visibility: (b, 2, 1 + K) logits. present, labelled: (b, 2) bool. visible: (b, 2, K) bool.
    """
    presence = F.binary_cross_entropy_with_logits(visibility[..., 0].float(), present.float())
    of_labelled = F.binary_cross_entropy_with_logits(
        visibility[..., 1:][labelled].float(), visible[labelled].float(), reduction="sum"
    )
    return presence + of_labelled / max(int(labelled.sum()) * visible.shape[-1], 1)


def circular_cross_entropy(logits: Tensor, label: Tensor, neighbour_mass: float = 0.15) -> Tensor:
    """Cross entropy of classes in a ring, whose two neighbours take ``neighbour_mass`` each of the label.

    logits: (n, classes). label: (n,) int64. Softens the approximate orientation labels (section 4).
    """
    hot = F.one_hot(label, logits.shape[-1]).float()
    soft = (1 - 2 * neighbour_mass) * hot + neighbour_mass * (hot.roll(1, dims=-1) + hot.roll(-1, dims=-1))
    return _mean(-(soft * F.log_softmax(logits.float(), dim=-1)).sum(dim=-1))


def class_cross_entropy(logits: Tensor, label: Tensor) -> Tensor:
    """logits: (n, classes). label: (n,) int64."""
    return _mean(F.cross_entropy(logits.float(), label, reduction="none"))


def segmentation_cross_entropy(logits: Tensor, segmentation: Tensor) -> Tensor:
    """logits: (b, 3, H, W). segmentation: (b, s H, s W) int64, read at the middle of each s x s block."""
    stride = segmentation.shape[-1] // logits.shape[-1]
    label = segmentation[:, stride // 2 :: stride, stride // 2 :: stride]
    return _mean(F.cross_entropy(logits.float(), label, reduction="none"))


def _mean(values: Tensor) -> Tensor:
    """The mean, 0 of nothing: a batch may have no hand."""
    return values.sum() / max(values.numel(), 1)


def multitask_losses(
    prediction: Prediction, auxiliary: AuxiliaryPrediction, targets: Targets, sigma_px: float
) -> dict[str, Tensor]:
    """Each loss of equation 1 by its name in ``LossWeights``, unweighted."""
    labelled = targets.present & targets.rendered[:, None]

    def of_maps(heatmaps: Tensor, stride: int) -> Tensor:
        return heatmap_cross_entropy(heatmaps, targets.keypoints_px, targets.weight, stride, sigma_px)

    losses = {
        "keypoints": of_maps(prediction.heatmaps, 2),
        "deep_supervision": of_maps(auxiliary.deep_eighth, 8)
        + of_maps(auxiliary.deep_quarter, 4)
        + of_maps(auxiliary.deep_half, 2),
        "visibility": visibility_loss(prediction.visibility, targets.present, targets.visible, labelled),
        "orientation": circular_cross_entropy(auxiliary.orientation[labelled], targets.orientation[labelled]),
        "key_pose": class_cross_entropy(auxiliary.key_pose[labelled], targets.key_pose[labelled]),
        "segmentation": segmentation_cross_entropy(
            auxiliary.segmentation[targets.rendered], targets.segmentation[targets.rendered]
        ),
    }
    if auxiliary.auxiliary is not None:
        losses["auxiliary_keypoints"] = heatmap_cross_entropy(
            auxiliary.auxiliary, targets.auxiliary_keypoints_px, targets.auxiliary_weight, 4, sigma_px
        )
    return losses
