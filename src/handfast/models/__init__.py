"""The nets by name. A builder's keywords are the net's configuration, which its card records."""

from functools import partial

from handfast.models.baselines import densenet121, mobilenetv2
from handfast.models.dense_regression import LEVELS, DenseRegression
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
    # Wan et al. (2018): 5,827,804 parameters for the 14 joints of NYU, and 4.87 GMAC.
    "dense-2stack": partial(DenseRegression, joints=14, stacks=2, levels=(4,), head_channels=256),
    # The same with half as many features throughout (pruned_hourglass2019, table 2).
    "dense-2stack-half": partial(
        DenseRegression, joints=14, stacks=2, levels=(4,), head_channels=128, features=64
    ),
    # pruned_hourglass2019: half of it, 2,923,902 and 2.45 GMAC; then that up to a level, which leaves 0.69,
    # 0.25 and 0.14 GMAC; and what these are trained as, with a head at every level.
    "dense-1stack": partial(DenseRegression, joints=14, stacks=1, levels=(4,), head_channels=256),
    "dense-1stack-l3": partial(DenseRegression, joints=14, stacks=1, levels=(3,), head_channels=256),
    "dense-1stack-l2": partial(DenseRegression, joints=14, stacks=1, levels=(2,), head_channels=256),
    "dense-1stack-l1": partial(DenseRegression, joints=14, stacks=1, levels=(1,), head_channels=256),
    "dense-1stack-supervised": partial(
        DenseRegression, joints=14, stacks=1, levels=LEVELS, head_channels=256
    ),
    # Ours, a quarter as wide where the cost is: 0.50 GMAC, 0.20 up to level 3.
    "dense-lean": partial(DenseRegression, joints=14, stacks=1, levels=(4,), head_channels=64),
    "dense-lean-l3": partial(DenseRegression, joints=14, stacks=1, levels=(3,), head_channels=64),
    "dense-lean-supervised": partial(DenseRegression, joints=14, stacks=1, levels=LEVELS, head_channels=64),
    # The same with all joints, and the two levels that are of use.
    "dense-hand21": partial(DenseRegression, joints=21, stacks=1, levels=(4,), head_channels=64),
    "dense-hand21-l3": partial(DenseRegression, joints=21, stacks=1, levels=(3,), head_channels=64),
    "dense-hand21-supervised": partial(DenseRegression, joints=21, stacks=1, levels=(3, 4), head_channels=64),
}
