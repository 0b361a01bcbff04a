"""How well a net does on held-out batches, in input pixels."""

from collections.abc import Iterable

import numpy as np
import torch
from torch import nn

from handfast.codecs import decode_heatmaps, map_to_input
from handfast.models.tofnet import HEATMAP_STRIDE
from handfast.skeleton import Skeleton
from handfast.training.multitask import Batch, image_tensor


@torch.inference_mode()
def validate(net: nn.Module, batches: Iterable[Batch], skeleton: Skeleton) -> dict[str, float]:
    """Score ``net``, which must be in evaluation mode, on labelled batches.

    Returns mean and median key-point error over present hands' key-points in the image; the share of hand
    slots whose presence is right; among images of one hand, how often the likelier side is the right one.
    """
    errors, presence, sides = [], [], []
    device = next(net.parameters()).device
    for batch in batches:
        prediction = net(image_tensor(batch["image"]).to(device))
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
