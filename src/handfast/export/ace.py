"""ACE as four graphs, so that a shut gate saves the time of the fine encoder: ``coarse`` and ``fine`` see a
crop, ``gate`` says which of them is wanted, ``recur`` makes a pose of features and the past.
``runtime.ace`` drives them.
"""

import copy
import warnings
from itertools import pairwise
from pathlib import Path

import torch
from onnx import ModelProto
from torch import Tensor, nn
from torch.nn.utils.fusion import fuse_linear_bn_eval

from handfast.errors import HandfastError
from handfast.evaluation.cost import measure_cost
from handfast.export.folder import write_graphs
from handfast.export.onnx import traced_graph
from handfast.models.ace import AceNet, AceState, Encoder, PoseLstm
from handfast.training.ace import THRESHOLD

HISTORY = ("h", "h1", "h2")
FLOAT_BYTES = 4


def export_ace(net: AceNet, card: dict, folder: Path) -> dict:
    """Write a net in evaluation mode as ``folder``/coarse.onnx, fine.onnx, gate.onnx and recur.onnx, all or
    none; -> the card as written into each, under ``handfast_card``.

    coarse, fine: ``image`` (1, 3, S, S) float32, 0..1, as wide as the encoder's ``input_px``, to which crops
    are to be averaged down -> ``features`` (1, F) and, of an encoder that makes them, ``heatmaps``
    (1, 21, s, s).
    gate: of the LSTM's last three h, ``h``, ``h1`` and ``h2`` (1, H), and ``coarse``, the coarse features,
    but not where the net's gate does without -> ``g_fine`` (1,). recur: ``features``, mixed as the net does,
    ``h`` and ``c`` -> ``joints_cm`` (1, 21, 3), ``next_h``, ``next_c``. One crop at a time: each has a gate
    of its own.

    In the card ``macs`` and ``flops`` become those of a frame with the coarse encoder, ``fine_macs`` and
    ``fine_flops`` what one with the fine encoder takes more, ``state_bytes`` what is kept of a track, and
    ``gate`` and ``threshold`` what decides; ``state_frames``, where there is one, says for how many frames a
    state is kept. Raises HandfastError for a net without a gate, and as ``write_graphs`` does.
    """
    check_gated(net, card["name"])
    graphs = _graphs(net)
    costs = {name: measure_cost(graph) for name, graph in graphs.items()}
    macs = sum(costs[name].macs for name in ("coarse", "gate", "recur"))
    fine_macs = costs["fine"].macs - (0 if net.gate.sees_coarse else costs["coarse"].macs)
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


class _Encode(nn.Module):
    """Without the encoder's own joints, which are there to train it."""

    def __init__(self, encoder: Encoder) -> None:
        super().__init__()
        self.encoder = encoder

    def forward(self, image: Tensor) -> tuple[Tensor, ...]:
        encoding = self.encoder(image)
        return (encoding.features,) if encoding.heatmaps is None else (encoding.features, encoding.heatmaps)


class _Gate(nn.Module):
    def __init__(self, gate: nn.Module) -> None:
        super().__init__()
        self.gate = gate

    def forward(self, h: Tensor, h1: Tensor, h2: Tensor, coarse: Tensor | None = None) -> Tensor:
        return self.gate(AceState(h, None, h1, h2), coarse)


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
    history = {name: getattr(state, name) for name in HISTORY}
    to_gate = history | ({"coarse": features} if net.gate.sees_coarse else {})
    to_lstm = {"features": features, "h": state.h, "c": state.c}
    encoders = {name: _Encode(_folded(getattr(net, name))).eval() for name in ("coarse", "fine")}
    graphs = {}
    for name, encoder in encoders.items():
        size_px = encoder.encoder.input_px
        image = {"image": torch.zeros(1, 3, size_px, size_px)}
        with warnings.catch_warnings():
            # By how much an encoder shrinks its images is a constant for images of one size.
            warnings.simplefilter("ignore", torch.jit.TracerWarning)
            graphs[name] = traced_graph(encoder, image, ["features", "heatmaps"][: len(encoder(**image))])
    return graphs | {
        "gate": traced_graph(_Gate(net.gate).eval(), to_gate, ["g_fine"]),
        "recur": traced_graph(_Recur(net.lstm).eval(), to_lstm, ["joints_cm", "next_h", "next_c"]),
    }


def _folded(encoder: Encoder) -> Encoder:
    """A copy whose linear layers take in the normalisation behind them; of convolutions the exporter does."""
    encoder = copy.deepcopy(encoder)
    for part in encoder.modules():
        if isinstance(part, nn.Sequential):
            for i, (linear, norm) in enumerate(pairwise(list(part))):
                if isinstance(linear, nn.Linear) and isinstance(norm, nn.BatchNorm1d):
                    part[i], part[i + 1] = fuse_linear_bn_eval(linear, norm), nn.Identity()
    return encoder
