"""The nets by name. A builder's keywords are the net's configuration, which its card records."""

from functools import partial

from handfast.models.baselines import densenet121, mobilenetv2
from handfast.models.tofnet import ToFNet

MODELS = {
    # 8 key-points within the paper's budget: 0.041 M parameters and 35 MFLOP (table 2).
    "tofnet-tof8": partial(
        ToFNet,
        keypoints_per_hand=8,
        tier1_channels=16,
        tier2_channels=32,
        tier2_middle=20,
        tier3_channels=64,
        tier3_middle=48,
        decoder_groups=16,
        skip=False,
        summary_channels=32,
    ),
    # 21 key-points: wider blocks, a dense decoder and a skip connection; under 100k parameters, 80 MFLOP.
    "tofnet-hand21": partial(
        ToFNet,
        keypoints_per_hand=21,
        tier1_channels=16,
        tier2_channels=32,
        tier2_middle=32,
        tier3_channels=64,
        tier3_middle=64,
        decoder_groups=1,
        skip=True,
        summary_channels=64,
    ),
    # What table 2 compares the first with. Building them needs the extra ``baselines``.
    "densenet121": partial(
        densenet121, keypoints_per_hand=8, channels=64, decoder_groups=16, summary_channels=32
    ),
    "mobilenetv2": partial(
        mobilenetv2, keypoints_per_hand=8, channels=64, decoder_groups=16, summary_channels=32
    ),
}
