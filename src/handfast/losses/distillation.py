"""What a small key-point net learns from a large one, beside the labels."""

import torch
from torch import Tensor
from torch.nn import functional as F

from handfast.losses.multitask import Targets
from handfast.models.tofnet import Prediction


def distillation_losses(prediction: Prediction, taught: Prediction, targets: Targets) -> dict[str, Tensor]:
    """How far a prediction is from a teacher's of the same images, in the units of the losses of
    ``multitask_losses`` that have the same names after ``teacher_``.

    Of maps the divergence (Kullback and Leibler's) of their cells' probabilities, of the key-points of hands
    that are there, as far as they have a label in the image; of visibility that of each of its logits. Both
    are 0 where the two agree.
    """
    labelled = (targets.weight > 0) & targets.present[..., None]
    of_teacher = F.log_softmax(taught.heatmaps[labelled].float().flatten(1), dim=1)
    of_net = F.log_softmax(prediction.heatmaps[labelled].float().flatten(1), dim=1)
    of_maps = F.kl_div(of_net, of_teacher, reduction="none", log_target=True).sum(dim=1)
    keypoints = targets.weight.shape[-1]
    return {
        "teacher_keypoints": (targets.weight[labelled] * of_maps).sum() * (keypoints / max(len(of_maps), 1)),
        "teacher_visibility": _binary_divergence(prediction.visibility[..., 0], taught.visibility[..., 0])
        + _binary_divergence(prediction.visibility[..., 1:], taught.visibility[..., 1:], targets.present),
    }


def _binary_divergence(logits: Tensor, taught: Tensor, of: Tensor | None = None) -> Tensor:
    """The mean over logits (b, 2, ...), or over those of some hands (b, 2) bool, 0 of none."""
    logits, taught = (each if of is None else each[of] for each in (logits.float(), taught.float()))
    probability = torch.sigmoid(taught)
    cross_entropy = F.binary_cross_entropy_with_logits(logits, probability, reduction="sum")
    own_entropy = F.binary_cross_entropy_with_logits(taught, probability, reduction="sum")
    return (cross_entropy - own_entropy) / max(logits.numel(), 1)
