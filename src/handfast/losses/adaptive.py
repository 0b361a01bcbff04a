"""The losses of ACE (Fan et al. 2020, section 3.5): of single frames first, then of clips with the gate.

Each is of order one: Smooth L1 of coordinates in centimetres, heat-maps whose squared errors are summed over
cells, so that maps of any size weigh alike.
"""

import torch
from torch import Tensor
from torch.nn import functional as F

from handfast.models.ace import AceOutput, Encoding

SIGMA_CELLS = 1.0


def single_frame_losses(
    encoding: Encoding, keypoints_px: Tensor, image_px: int, joints_cm: Tensor, has_3d: Tensor
) -> dict[str, Tensor]:
    """The terms of equation 12, of which the paper weights "joints" with beta.

    keypoints_px: (b, K, 2) in pixels of images image_px wide. joints_cm: (b, K, 3) relative to the wrist.
    has_3d: (b,) bool, where joints_cm is known. An encoder without heat-maps has the second term alone.
    """
    losses = {"joints": joints_loss(encoding.joints_cm[has_3d], joints_cm[has_3d])}
    if encoding.heatmaps is not None:
        target = gaussian_heatmaps(keypoints_px, image_px, encoding.heatmaps.shape[-1])
        losses["heatmaps"] = (encoding.heatmaps.float() - target).square().sum((-2, -1)).mean()
    return losses


def adaptive_losses(output: AceOutput, joints_cm: Tensor, fine_rate: float) -> dict[str, Tensor]:
    """The terms of equation 13, of which the paper weights "rate" with delta; without a gate there is none.

    joints_cm: (b, T, K, 3) relative to the wrist. fine_rate: gamma_g, the share of frames that the fine
    encoder is meant for. All clips together are held to it: one by one, as the equation has it, fast and slow
    hands would have to ask alike. First frames do not count, since nothing is expected of them yet and the
    gate opens; in short clips it would open for nothing else.
    """
    losses = {
        "encoders": sum(joints_loss(encoding.joints_cm, joints_cm) for encoding in output.encodings),
        "lstm": joints_loss(output.joints_cm, joints_cm),
    }
    if output.z_fine is not None:
        losses["rate"] = (output.z_fine[:, 1:].mean() - fine_rate).square()
    return losses


def joints_loss(predicted_cm: Tensor, joints_cm: Tensor) -> Tensor:
    """Smooth L1, the mean over coordinates: squared below 1 cm. 0 of nothing."""
    loss = F.smooth_l1_loss(predicted_cm.float(), joints_cm, reduction="sum")
    return loss / max(joints_cm.numel(), 1)


def gaussian_heatmaps(keypoints_px: Tensor, image_px: int, size: int) -> Tensor:
    """(..., K, 2) -> (..., K, size, size): a Gaussian of ``SIGMA_CELLS``, 1 at its key-point."""
    stride = image_px / size
    centre = (keypoints_px - (stride - 1) / 2) / stride
    cells = torch.arange(size, dtype=centre.dtype, device=centre.device)
    columns, rows = torch.exp(-0.5 * ((cells - centre[..., None]) / SIGMA_CELLS).square()).unbind(-2)
    return rows[..., :, None] * columns[..., None, :]
