"""ACE as three graphs, so that a shut gate saves the time of the fine encoder: ``coarse`` sees a crop and
says whether ``fine`` is to see it as well, ``recur`` makes a pose of features and the past. ``runtime.ace``
drives them.
"""

import copy
from itertools import pairwise
from pathlib import Path

import torch
from onnx import ModelProto
from torch import Tensor, nn
from torch.nn.utils.fusion import fuse_conv_bn_eval, fuse_linear_bn_eval

from handfast.errors import HandfastError
from handfast.evaluation.cost import measure_cost
from handfast.export.dirnet import NoNorm, normalised
from handfast.export.folder import write_graphs
from handfast.export.onnx import traced_graph
from handfast.models.ace import AceNet, AceState, Encoder, PoseLstm, mix_features
from handfast.models.dirnet import Phase
from handfast.models.dirnet_encoder import FIRST_LOOK
from handfast.training.ace import THRESHOLD

HISTORY = ("h", "h1", "h2")
FLOAT_BYTES = 4


def export_ace(net: AceNet, card: dict, folder: Path) -> dict:
    """Write a net in evaluation mode as ``folder``/coarse.onnx, fine.onnx and recur.onnx, all or none; -> the
    card as written into each, under ``handfast_card``.

    coarse: of ``image`` (1, 3, S, S) float32, 0..1, as wide as the encoder's ``input_px``, to which crops are
    to be averaged down, and of the LSTM's last three h, ``h``, ``h1`` and ``h2`` (1, H) -> ``g_fine`` (1,)
    and ``features`` (1, F). fine: of ``image`` and, where the gate has seen them, ``g_fine`` and the coarse
    features, ``coarse`` -> ``features``, then mixed as the net does. recur: of ``features``, ``h`` and ``c``
    -> ``joints_cm`` (1, 21, 3), ``next_h``, ``next_c``. One crop at a time: each has a gate of its own.

    In the card ``macs`` and ``flops`` become those of a frame with the coarse encoder, ``fine_macs`` and
    ``fine_flops`` what one with the fine encoder takes more, ``state_bytes`` what is kept of a track, and
    ``gate`` and ``threshold`` what decides; ``state_frames``, where there is one, says for how many frames a
    state is kept. Raises HandfastError for a net without a gate, and as ``write_graphs`` does.
    """
    check_gated(net, card["name"])
    graphs = _graphs(net)
    costs = {name: measure_cost(graph) for name, graph in graphs.items()}
    macs, fine_macs = costs["coarse"].macs + costs["recur"].macs, costs["fine"].macs
    card = {"threshold": THRESHOLD} | card
    card |= {
        "gate": card["config"]["gate"],
        "parameters": sum(cost.parameters for cost in costs.values()),
        "macs": macs,
        "flops": 2 * macs,
        "fine_macs": fine_macs,
        "fine_flops": 2 * fine_macs,
        "state_bytes": sum(FLOAT_BYTES * part.numel() for part in net.initial_state(1)),
        "weight_bytes": sum(cost.weight_bytes for cost in costs.values()),
    }
    write_graphs(folder, graphs, card)
    return card


def check_gated(net: nn.Module, name: str) -> None:
    """HandfastError for an encoder, or an LSTM without a gate."""
    if not isinstance(net, AceNet):
        raise HandfastError(f"{name}: expected a net with a gate, such as ace; it is a part of one")


class _Coarse(nn.Module):
    """The encoder, without its heat-maps and joints, which are there to train it; and the gate."""

    def __init__(self, encoder: Encoder, gate: nn.Module) -> None:
        super().__init__()
        self.encoder, self.gate = encoder, gate

    def forward(self, image: Tensor, h: Tensor, h1: Tensor, h2: Tensor) -> tuple[Tensor, Tensor]:
        features = self.encoder(image).features
        return self.gate(AceState(h, None, h1, h2), features), features


class _Fine(nn.Module):
    """The encoder, whose features are mixed with the coarse ones if the gate has seen those."""

    def __init__(self, encoder: Encoder) -> None:
        super().__init__()
        self.encoder = encoder

    def forward(self, image: Tensor, coarse: Tensor | None = None, g_fine: Tensor | None = None) -> Tensor:
        features = self.encoder(image).features
        return features if coarse is None else mix_features(g_fine, coarse, features)


class _Recur(nn.Module):
    """``PoseLstm`` with the cell as one matrix, whose cost can be read off the graph."""

    def __init__(self, lstm: PoseLstm) -> None:
        super().__init__()
        cell = lstm.cell
        self.parts = nn.Linear(cell.input_size + cell.hidden_size, 4 * cell.hidden_size)
        self.parts.weight = nn.Parameter(torch.cat([cell.weight_ih, cell.weight_hh], dim=1))
        self.parts.bias = nn.Parameter(cell.bias_ih + cell.bias_hh)
        self.pose, self.joints = lstm.pose, lstm.joints

    def forward(self, features: Tensor, h: Tensor, c: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        parts = self.parts(torch.cat([features, h], dim=1))
        take, keep, new, show = parts.split(self.pose.in_features, dim=1)
        c = keep.sigmoid() * c + take.sigmoid() * new.tanh()
        h = show.sigmoid() * c.tanh()
        return self.pose(h).view(-1, self.joints, 3), h, c


@torch.no_grad()
def _graphs(net: AceNet) -> dict[str, ModelProto]:
    state = net.initial_state(1)
    features = torch.zeros(1, net.lstm.cell.input_size)
    parts = {
        "coarse": (
            _Coarse(_folded(net.coarse), net.gate),
            _image(net.coarse) | {name: getattr(state, name) for name in HISTORY},
            ["g_fine", "features"],
        ),
        "fine": (
            _Fine(_folded(net.fine)),
            _image(net.fine)
            | ({"coarse": features, "g_fine": torch.ones(1)} if net.gate.sees_coarse else {}),
            ["features"],
        ),
        "recur": (
            _Recur(net.lstm),
            {"features": features, "h": state.h, "c": state.c},
            ["joints_cm", "next_h", "next_c"],
        ),
    }
    return {
        name: traced_graph(part.eval(), inputs, outputs) for name, (part, inputs, outputs) in parts.items()
    }


def _image(encoder: Encoder) -> dict[str, Tensor]:
    return {"image": torch.zeros(1, 3, encoder.input_px, encoder.input_px)}


def _folded(encoder: Encoder) -> Encoder:
    """A copy whose linear layers take in the normalisation behind them, and the convolutions of DIR-Net's
    phases, which stay one set of weights for all loops; of others the exporter does."""
    encoder = copy.deepcopy(encoder)
    for part in list(encoder.modules()):
        if isinstance(part, Phase):
            _fold_phase(part)
        elif isinstance(part, nn.Sequential):
            for i, (linear, norm) in enumerate(pairwise(list(part))):
                if isinstance(linear, nn.Linear) and isinstance(norm, nn.BatchNorm1d):
                    part[i], part[i + 1] = fuse_linear_bn_eval(linear, norm), nn.Identity()
    return encoder


def _fold_phase(phase: Phase) -> None:
    for convolution, norm in normalised(phase):
        first_look = getattr(phase, norm).of_loop(FIRST_LOOK)
        setattr(phase, convolution, fuse_conv_bn_eval(getattr(phase, convolution), first_look))
        setattr(phase, norm, NoNorm())
