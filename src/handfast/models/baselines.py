"""What chidananda2019 compares ToFNet with in table 2: other encoders before "the same decoder" (section 5).

The paper says neither at which resolution they work nor how they reach the decoder. Both stop at 1/8 here,
where ToFNet's encoder does, and a 1x1 convolution brings their channels down to its 64. Of the arrangements
tried this is the nearest to what table 2 counts, at 160x120 and with FLOPs = 2 x MAC:

| | parameters | table 2 | FLOPs | table 2 |
|---|---|---|---|---|
| densenet121 | 7,016,834 | 7.017 M | 4.845 G | 4.866 G |
| mobilenetv2 | 1,835,330 | 1.893 M | 1.133 G | 1.209 G |

DenseNet-121 that goes on to 1/16 or 1/32 has less than half of the FLOPs; MobileNetV2 with its last
convolution has 2.3 M parameters and 1.4 GFLOP. All weights start at random, as ToFNet's do.
"""

from torch import Tensor, nn
from torch.nn import functional as F

from handfast.errors import HandfastError
from handfast.models.layers import ConvNorm
from handfast.models.tofnet import KeypointNet


class Baseline(KeypointNet):
    """A published backbone, (b, 1, 120, 160) -> (b, backbone_channels, 15, 20), before ToFNet's decoder."""

    def __init__(
        self,
        backbone: nn.Module,
        backbone_channels: int,
        keypoints_per_hand: int,
        channels: int,
        decoder_groups: int,
        summary_channels: int,
    ) -> None:
        super().__init__(keypoints_per_hand, channels, decoder_groups, summary_channels)
        self.backbone = backbone
        self.reduce = ConvNorm(backbone_channels, channels, 1)

    @property
    def shared_weight(self) -> Tensor:
        return self.reduce[0].weight

    def encode(self, image: Tensor) -> tuple[None, Tensor]:
        return None, self.reduce(self.backbone(image))


def densenet121(
    keypoints_per_hand: int, channels: int, decoder_groups: int, summary_channels: int
) -> Baseline:
    """DenseNet-121 whose last two transitions do not pool. HandfastError without the library.

    Nothing is dilated in their place: its layers are so many that a map sees 911 px without it.
    """
    try:
        from monai.networks.nets import DenseNet121
    except ImportError as error:
        raise HandfastError("densenet121 needs MONAI: pip install 'handfast[baselines]'") from error
    features = DenseNet121(spatial_dims=2, in_channels=1, out_channels=1).features
    features.transition2.pool = nn.Identity()
    features.transition3.pool = nn.Identity()
    backbone = nn.Sequential(features, nn.ReLU(inplace=True))
    return Baseline(backbone, 1024, keypoints_per_hand, channels, decoder_groups, summary_channels)


def mobilenetv2(
    keypoints_per_hand: int, channels: int, decoder_groups: int, summary_channels: int
) -> Baseline:
    """MobileNetV2 with dilation for strides from 1/8 on, and without its last convolution, which makes 1280
    channels for a classifier. HandfastError without the library."""
    try:
        from transformers import MobileNetV2Config, MobileNetV2Model
    except ImportError as error:
        raise HandfastError("mobilenetv2 needs transformers: pip install 'handfast[baselines]'") from error
    # 0.09 as in the authors' code: at the library's 0.02 the depth-wise convolutions start with outputs whose
    # variance is about the normalisation's epsilon.
    config = MobileNetV2Config(num_channels=1, output_stride=8, tf_padding=False, initializer_range=0.09)
    model = MobileNetV2Model(config, add_pooling_layer=False)
    backbone = nn.Sequential(model.conv_stem, *model.layer)
    for module in list(backbone.modules()):
        for name, child in module.named_children():
            if isinstance(child, nn.Conv2d) and child.groups > 1 and max(child.dilation) > 1:
                setattr(module, name, DilatedDepthwise(child))
        if isinstance(module, nn.BatchNorm2d):
            module.momentum = 0.1  # the library's 0.997 keeps hardly more than the last batch's statistics
    return Baseline(backbone, 320, keypoints_per_hand, channels, decoder_groups, summary_channels)


class DilatedDepthwise(nn.Conv2d):
    """A depth-wise convolution of dilation d that trains as one without on each of d x d grids of pixels.

    The same numbers. Processors take five times as long for the gradients of the dilated one, in bfloat16.
    """

    def __init__(self, plain: nn.Conv2d) -> None:
        """plain: 3 x 3, of stride 1, padded by its dilation, without bias."""
        super().__init__(
            plain.in_channels,
            plain.out_channels,
            plain.kernel_size,
            padding=plain.padding,
            dilation=plain.dilation,
            groups=plain.groups,
            bias=False,
        )
        self.weight = plain.weight

    def forward(self, x: Tensor) -> Tensor:
        if not self.training:
            return super().forward(x)
        d = self.dilation[0]
        b, c, height, width = x.shape
        rows, columns = -(-height // d), -(-width // d)
        x = F.pad(x, (0, columns * d - width, 0, rows * d - height)).permute(0, 2, 3, 1)
        x = x.reshape(b, rows, d, columns, d, c).permute(0, 2, 4, 1, 3, 5).reshape(-1, rows, columns, c)
        y = F.conv2d(x.permute(0, 3, 1, 2), self.weight, padding=1, groups=c).permute(0, 2, 3, 1)
        y = y.reshape(b, d, d, rows, columns, c).permute(0, 3, 1, 4, 2, 5)
        y = y.reshape(b, rows * d, columns * d, c)[:, :height, :width]
        return y.contiguous().permute(0, 3, 1, 2)  # normalisation is slow on what has gaps
