"""Batch re-normalisation (Ioffe 2017): in training, too, what the running statistics would make of a
batch."""

import torch
from torch import Tensor, nn
from torch.nn import functional as F

HIGHEST_SCALE, HIGHEST_SHIFT = 3.0, 5.0
# Ioffe begins after 5,000 steps and ends after 40,000. Statistics of a hundred batches allow for less, and
# until then a net at a high learning rate does not do in evaluation what it does in training.
PLAIN_UPDATES, RAMP_UPDATES = 100, 400


class BatchRenorm2d(nn.BatchNorm2d):
    """Batch normalisation whose output in training is corrected by r and d, its equation 1.

    r = sigma_batch / sigma_running within 1 / r_max .. r_max and d = (mu_batch - mu_running) / sigma_running
    within -d_max .. d_max are constants to the gradient. r_max goes from 1 to 3 and d_max from 0 to 5 after
    PLAIN_UPDATES, over RAMP_UPDATES. In evaluation mode it is batch normalisation, which folds into the
    convolution before it.
    """

    def __init__(self, channels: int) -> None:
        super().__init__(channels, eps=1e-3, momentum=0.01)

    def forward(self, x: Tensor) -> Tensor:
        """x: (b, channels, h, w)."""
        if not self.training:
            return super().forward(x)
        with torch.no_grad():
            mean, variance = _statistics(x)
            ramp = ((self.num_batches_tracked - PLAIN_UPDATES) / RAMP_UPDATES).clamp(0, 1)
            highest_scale = 1 + (HIGHEST_SCALE - 1) * ramp
            highest_shift = HIGHEST_SHIFT * ramp
            running_sigma = (self.running_var + self.eps).sqrt()
            scale = (variance + self.eps).sqrt() / running_sigma
            scale = scale.clamp(1 / highest_scale, highest_scale)
            shift = ((mean - self.running_mean) / running_sigma).clamp(-highest_shift, highest_shift)
            self.num_batches_tracked += 1
            # The mean of all batches until these are a hundred: what the statistics start as is forgotten.
            share = (1 / self.num_batches_tracked).clamp(min=self.momentum)
            self.running_mean.lerp_(mean, share)
            self.running_var.lerp_(variance, share)
        weight, bias = self.weight * scale, self.weight * shift + self.bias
        return F.batch_norm(x, None, None, weight, bias, training=True, eps=self.eps)


def _statistics(x: Tensor) -> tuple[Tensor, Tensor]:
    """Mean and biased variance (channels,) over a batch. Batch normalisation, asked for its running
    statistics after one step, has them ten times as fast as ``torch.var_mean`` in channels-last memory."""
    mean, variance = x.new_zeros((2, x.shape[1]), dtype=torch.float32)
    F.batch_norm(x, mean, variance, training=True, momentum=1.0)
    count = x.numel() // x.shape[1]
    return mean, variance * ((count - 1) / count)
