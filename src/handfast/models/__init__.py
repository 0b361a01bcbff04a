"""The nets by name. A builder's keywords are the net's configuration, which its card records."""

from functools import partial

from handfast.models.ace import AceNet, VanillaLstm
from handfast.models.baselines import densenet121, mobilenetv2
from handfast.models.dense_regression import LEVELS, DenseRegression
from handfast.models.dirnet import DIRNet
from handfast.models.dirnet_encoder import DIRNetEncoder
from handfast.models.hourglass import HourglassEncoder
from handfast.models.tofnet import SMALL_TIERS, ToFNet
from handfast.models.tofnet_encoder import ToFNetEncoder


def _gated(coarse: str, fine: str, gate: str, hidden: int = 256) -> AceNet:
    """ACE of two encoders by name."""
    encoders = MODELS[coarse](), MODELS[fine]()
    return AceNet(*encoders, gate, encoders[0].feature_size, hidden)


def _ungated(coarse: str | None = None, fine: str | None = None, hidden: int = 256) -> VanillaLstm:
    """What ACE is compared with: the LSTM behind one encoder or both."""
    encoders = [MODELS[name]() for name in (coarse, fine) if name is not None]
    return VanillaLstm(encoders, encoders[0].feature_size, hidden)


# 21 key-points: wider blocks, a dense decoder and a skip connection; under 100k parameters, 80 MFLOP.
_TOFNET_HAND21 = partial(
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
)

# 8 key-points within the paper's budget: 0.041 M parameters and 35 MFLOP (table 2).
_TOFNET_TOF8 = partial(
    ToFNet,
    keypoints_per_hand=8,
    **SMALL_TIERS,
    decoder_groups=16,
    skip=False,
    summary_channels=32,
)

MODELS = {
    "tofnet-tof8": _TOFNET_TOF8,
    # The same whose groups never exchange features, to compare with.
    "tofnet-tof8-unshuffled": partial(_TOFNET_TOF8, shuffles=False),
    "tofnet-hand21": _TOFNET_HAND21,
    # The same for ordinary colour video.
    "tofnet-rgb": partial(_TOFNET_HAND21, image_channels=3),
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
    # The same for the 16 joints of ICVL.
    "dense-icvl16-2stack": partial(DenseRegression, joints=16, stacks=2, levels=(4,), head_channels=256),
    "dense-icvl16-1stack": partial(DenseRegression, joints=16, stacks=1, levels=(4,), head_channels=256),
    "dense-icvl16-1stack-l3": partial(DenseRegression, joints=16, stacks=1, levels=(3,), head_channels=256),
    "dense-icvl16-1stack-l2": partial(DenseRegression, joints=16, stacks=1, levels=(2,), head_channels=256),
    "dense-icvl16-1stack-l1": partial(DenseRegression, joints=16, stacks=1, levels=(1,), head_channels=256),
    "dense-icvl16-1stack-supervised": partial(
        DenseRegression, joints=16, stacks=1, levels=LEVELS, head_channels=256
    ),
    # Ours, a quarter as wide where the cost is: 0.50 GMAC, 0.20 up to level 3.
    "dense-lean": partial(DenseRegression, joints=14, stacks=1, levels=(4,), head_channels=64),
    "dense-lean-l3": partial(DenseRegression, joints=14, stacks=1, levels=(3,), head_channels=64),
    "dense-lean-l2": partial(DenseRegression, joints=14, stacks=1, levels=(2,), head_channels=64),
    "dense-lean-l1": partial(DenseRegression, joints=14, stacks=1, levels=(1,), head_channels=64),
    "dense-lean-supervised": partial(DenseRegression, joints=14, stacks=1, levels=LEVELS, head_channels=64),
    # The same with all joints, and the two levels that are of use.
    "dense-hand21": partial(DenseRegression, joints=21, stacks=1, levels=(4,), head_channels=64),
    "dense-hand21-l3": partial(DenseRegression, joints=21, stacks=1, levels=(3,), head_channels=64),
    "dense-hand21-supervised": partial(DenseRegression, joints=21, stacks=1, levels=(3, 4), head_channels=64),
    # Yang et al. (2021): 460 K parameters as for FPHA, 1.68 M as for STB; then what tables 2 and 3 hold
    # against the smaller one, going back to other points, and without the attention maps.
    "dirnet": partial(DIRNet, base_channels=16, hidden=256, max_loops=5),
    "dirnet-32": partial(DIRNet, base_channels=32, hidden=512, max_loops=5),
    "dirnet-loop-point-1": partial(DIRNet, base_channels=16, hidden=256, max_loops=5, loop_point=1),
    "dirnet-loop-point-2": partial(DIRNet, base_channels=16, hidden=256, max_loops=5, loop_point=2),
    "dirnet-loop-point-4": partial(DIRNet, base_channels=16, hidden=256, max_loops=5, loop_point=4),
    "dirnet-without-amg": partial(DIRNet, base_channels=16, hidden=256, max_loops=5, attention=False),
    # Fan et al. (2020): the encoders, the coarse one as for STB and as for FPHA; the LSTM behind one of them
    # or both (table 1); the net with the gate, and with those of table 3.
    "hourglass-coarse": partial(HourglassEncoder, input_px=64, channels=32),
    "hourglass-coarse-128": partial(HourglassEncoder, input_px=128, channels=32),
    "hourglass-fine": partial(HourglassEncoder, input_px=256, channels=64),
    "lstm-coarse": partial(_ungated, coarse="hourglass-coarse"),
    "lstm-fine": partial(_ungated, fine="hourglass-fine"),
    "lstm-coarse-128": partial(_ungated, coarse="hourglass-coarse-128"),
    "lstm-mix": partial(_ungated, coarse="hourglass-coarse", fine="hourglass-fine"),
    "lstm-mix-128": partial(_ungated, coarse="hourglass-coarse-128", fine="hourglass-fine"),
    "ace-hourglass": partial(_gated, coarse="hourglass-coarse", fine="hourglass-fine", gate="gaussian"),
    "ace-hourglass-128": partial(
        _gated, coarse="hourglass-coarse-128", fine="hourglass-fine", gate="gaussian"
    ),
    "ace-hourglass-neural": partial(_gated, coarse="hourglass-coarse", fine="hourglass-fine", gate="neural"),
    "ace-hourglass-neural-temporal": partial(
        _gated, coarse="hourglass-coarse", fine="hourglass-fine", gate="neural-temporal"
    ),
    # The same on images half as wide, which two cores can train.
    "hourglass-coarse-half": partial(HourglassEncoder, input_px=32, channels=32),
    "hourglass-coarse-128-half": partial(HourglassEncoder, input_px=64, channels=32),
    "hourglass-fine-half": partial(HourglassEncoder, input_px=128, channels=64),
    "lstm-coarse-half": partial(_ungated, coarse="hourglass-coarse-half"),
    "lstm-coarse-128-half": partial(_ungated, coarse="hourglass-coarse-128-half"),
    "lstm-fine-half": partial(_ungated, fine="hourglass-fine-half"),
    "lstm-mix-half": partial(_ungated, coarse="hourglass-coarse-half", fine="hourglass-fine-half"),
    "lstm-mix-128-half": partial(_ungated, coarse="hourglass-coarse-128-half", fine="hourglass-fine-half"),
    "ace-hourglass-half": partial(
        _gated, coarse="hourglass-coarse-half", fine="hourglass-fine-half", gate="gaussian"
    ),
    "ace-hourglass-128-half": partial(
        _gated, coarse="hourglass-coarse-128-half", fine="hourglass-fine-half", gate="gaussian"
    ),
    "ace-hourglass-neural-half": partial(
        _gated, coarse="hourglass-coarse-half", fine="hourglass-fine-half", gate="neural"
    ),
    "ace-hourglass-neural-temporal-half": partial(
        _gated, coarse="hourglass-coarse-half", fine="hourglass-fine-half", gate="neural-temporal"
    ),
    # Ours, of two light encoders: DIR-Net on crops half as wide looks first, on whole ones with two loops
    # where it is asked to.
    "ace-coarse": partial(DIRNetEncoder, input_px=64, loops=0, feature_size=64),
    "ace-fine": partial(DIRNetEncoder, input_px=128, loops=2, feature_size=64),
    "lstm-ace-coarse": partial(_ungated, coarse="ace-coarse", hidden=128),
    "lstm-ace-fine": partial(_ungated, fine="ace-fine", hidden=128),
    "ace": partial(_gated, coarse="ace-coarse", fine="ace-fine", gate="gaussian", hidden=128),
    # Ours, for time-of-flight amplitude: ToFNet looks first, an hourglass where it is asked to.
    "ace-tof-coarse": partial(ToFNetEncoder, input_px=128),
    "ace-tof-fine": partial(HourglassEncoder, input_px=128, channels=64),
    "lstm-tof-coarse": partial(_ungated, coarse="ace-tof-coarse"),
    "lstm-tof-fine": partial(_ungated, fine="ace-tof-fine"),
    "ace-tof": partial(_gated, coarse="ace-tof-coarse", fine="ace-tof-fine", gate="gaussian"),
}
