"""DIR-Net as four graphs, so that leaving the loop early saves the time of what is not run: ``extract``
once, ``refine`` in every loop, ``attend`` between two, ``pose`` at the end. ``runtime.dirnet`` drives them.

The refiner's weights are there once. Its normalisations, which each loop has its own of, become tables of
scales and shifts, and the graph is told the row.
"""

import copy
from pathlib import Path

import torch
from onnx import ModelProto
from torch import Tensor, nn
from torch.nn import functional as F
from torch.nn.utils.fusion import fuse_conv_bn_eval

from handfast.evaluation.cost import measure_cost
from handfast.export.folder import write_graphs
from handfast.export.onnx import traced_graph
from handfast.models.dirnet import DIRNet, LoopNorm

EPSILON = 1e-5  # of torch's batch normalisation
# Unless the card says otherwise: no gate has learnt when to leave.
DEFAULTS = {"hand": "open", "exit_rule": {"name": "never"}}
MANO_LICENCE = "Apache-2.0, but for MANO's hand in it, which may not be passed on"
REFINED = ("log_variance_2d", "log_variance_3d", "exit_logits")
POSED = ("joints_3d", "joints_2d")


def export_dirnet(net: DIRNet, card: dict, folder: Path) -> dict:
    """Write a net in evaluation mode as ``folder``/extract.onnx, refine.onnx, attend.onnx and pose.onnx, all
    or none; -> the card as written into each, under ``handfast_card``.

    extract: ``image`` (1, 3, S, S) float32, 0..1 -> ``features``. refine: ``features``, which in all loops
    but the first were attended to, and ``loop`` () int64 -> what ``Estimate`` has in ``REFINED``, ``pooled``
    and ``encoded``. attend: ``features`` as extracted, but not where the net feeds back directly, and
    ``encoded`` -> ``attended``, the features to refine next. pose: ``pooled`` -> what ``Estimate`` has in
    ``POSED``. One crop at a time: each leaves the loop by itself.

    S and the highest ``loop`` are as the card says. In it ``macs`` and ``flops`` become those of a run that
    does not go on, ``loop_macs`` and ``loop_flops`` those of going on once.

    Raises HandfastError as ``write_graphs`` does.
    """
    folded = _folded(net, card["loops"])
    graphs = _graphs(folded, card["input"]["height"])
    costs = {name: measure_cost(graph) for name, graph in graphs.items()}
    macs, loop_macs = (
        sum(costs[name].macs for name in names)
        for names in (("extract", "refine", "pose"), ("attend", "refine"))
    )
    card = DEFAULTS | card
    card |= {
        # Read off the graph, the hand model's constants would be among them.
        "parameters": sum(parameter.numel() for parameter in folded.parameters()),
        "macs": macs,
        "flops": 2 * macs,
        "loop_macs": loop_macs,
        "loop_flops": 2 * loop_macs,
        "weight_bytes": sum(cost.weight_bytes for cost in costs.values()),
    }
    if card["hand"] == "mano":
        card["licence"] = MANO_LICENCE
    write_graphs(folder, graphs, card)
    return card


class _TableNorm(nn.Module):
    """``LoopNorm`` in evaluation as a table of ``loops`` + 1 scales and shifts.

    Applied as a normalisation that has nothing to subtract or to divide by: one operator, which ONNX Runtime
    is faster at than at a product and a sum.
    """

    def __init__(self, norm: LoopNorm, loops: int) -> None:
        super().__init__()
        scale, shift = _scale_and_shift(norm)
        self.scale, self.shift = nn.Parameter(scale[: loops + 1]), nn.Parameter(shift[: loops + 1])
        self.register_buffer("zeros", torch.zeros_like(scale[0]))
        self.register_buffer("ones", torch.ones_like(scale[0]))

    def forward(self, x: Tensor, loop: Tensor) -> Tensor:
        return F.batch_norm(x, self.zeros, self.ones, self.scale[loop], self.shift[loop], eps=0.0)


class NoNorm(nn.Module):
    """What is left of a normalisation that went into the convolution before it."""

    def forward(self, x: Tensor, loop: int) -> Tensor:
        return x


class _Refine(nn.Module):
    def __init__(self, net: DIRNet) -> None:
        super().__init__()
        self.net = net

    def forward(self, features: Tensor, loop: Tensor) -> tuple[Tensor, ...]:
        return self.net.encode(features, loop)


class _Pose(nn.Module):
    def __init__(self, net: DIRNet) -> None:
        super().__init__()
        self.predictor = net.pose_predictor

    def forward(self, pooled: Tensor) -> tuple[Tensor, Tensor]:
        _, _, joints_3d, joints_2d = self.predictor(pooled)
        return joints_3d, joints_2d


@torch.no_grad()
def _folded(net: DIRNet, loops: int) -> DIRNet:
    """A copy that computes the same up to ``loops``."""
    net = copy.deepcopy(net)
    stem = net.extractor.stem[0]
    stem[0], stem[1] = fuse_conv_bn_eval(stem[0], stem[1]), nn.Identity()
    for phase in net.extractor.phases:
        for convolution, norm in normalised(phase):
            scale, shift = _scale_and_shift(getattr(phase, norm))
            weight = getattr(phase, convolution)
            weight.weight *= scale[0, :, None, None, None]
            weight.bias = nn.Parameter(shift[0])
            setattr(phase, norm, NoNorm())
    for phase in net.refiner.phases:
        for _, norm in normalised(phase):
            setattr(phase, norm, _TableNorm(getattr(phase, norm), loops))
    return net.eval()


def normalised(phase: nn.Module) -> list[tuple[str, str]]:
    """The names of its convolutions and of their normalisations."""
    pairs = [("conv1", "norm1"), ("conv2", "norm2")]
    return pairs if phase.shortcut is None else [*pairs, ("shortcut", "shortcut_norm")]


def _scale_and_shift(norm: LoopNorm) -> tuple[Tensor, Tensor]:
    """(loops, channels) each."""
    scale = norm.weight / (norm.running_var + EPSILON).sqrt()
    return scale, norm.bias - norm.running_mean * scale


@torch.no_grad()
def _graphs(net: DIRNet, size_px: int) -> dict[str, ModelProto]:
    image, loop = torch.zeros(1, 3, size_px, size_px), torch.tensor(0)
    features = net.extract(image)
    *_, pooled, encoded = net.encode(features, loop)
    to_refine = {"features": features, "loop": loop}
    return {
        "extract": traced_graph(net.extractor, {"image": image}, ["features"]),
        "refine": traced_graph(_Refine(net), to_refine, [*REFINED, "pooled", "encoded"]),
        "attend": traced_graph(net.feedback, {"features": features, "encoded": encoded}, ["attended"]),
        "pose": traced_graph(_Pose(net), {"pooled": pooled}, POSED),
    }
