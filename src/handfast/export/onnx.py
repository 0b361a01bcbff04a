"""Nets as ONNX files that say of themselves what they are and cost."""

import io
import json
import warnings
from pathlib import Path

import onnx
import torch
from torch import nn

from handfast.evaluation.cost import measure_cost
from handfast.files import write_whole
from handfast.models.tofnet import INPUT_HEIGHT, INPUT_WIDTH

CARD_KEY = "handfast_card"
OPSET = 17


def export_onnx(net: nn.Module, card: dict, path: Path) -> dict:
    """Write a net in evaluation mode to ``path``; -> the card as written, with the graph's cost.

    The graph takes ``image`` (b, 1, 120, 160) float32, 0..1, and returns ``heatmaps`` (b, 2, K, 60, 80) and
    ``visibility`` (b, 2, 1 + K), both logits, for any b. Batch normalisation is folded into the convolutions.
    The card, as JSON, is the file's metadata under ``handfast_card``.
    """
    graph = io.BytesIO()
    with warnings.catch_warnings():
        # The exporter that needs no further package is called the old one.
        warnings.simplefilter("ignore", DeprecationWarning)
        torch.onnx.export(
            net,
            (torch.zeros(1, 1, INPUT_HEIGHT, INPUT_WIDTH),),
            graph,
            input_names=["image"],
            output_names=["heatmaps", "visibility"],
            opset_version=OPSET,
            dynamo=False,
        )
    model = onnx.load_from_string(graph.getvalue())
    cost = measure_cost(model)
    # Traced with one image, all sizes are constants; the nets' reshapes leave the batch free.
    for value in (*model.graph.input, *model.graph.output):
        value.type.tensor_type.shape.dim[0].dim_param = "batch"
    del model.graph.value_info[:]
    card = card | {
        "parameters": cost.parameters,
        "macs": cost.macs,
        "flops": cost.flops,
        "weight_bytes": cost.weight_bytes,
    }
    model.metadata_props.add(key=CARD_KEY, value=json.dumps(card))
    onnx.checker.check_model(model, full_check=True)
    write_whole(path, model.SerializeToString())
    return card
