"""Nets as ONNX files that say of themselves what they are and cost."""

import io
import json
import warnings
from collections.abc import Mapping, Sequence
from pathlib import Path

import onnx
import torch
from onnx import ModelProto
from torch import Tensor, nn

from handfast.evaluation.cost import measure_cost
from handfast.export.card import CARD_KEY
from handfast.export.early_out import EARLY_OUT_LOGIT, add_early_out
from handfast.export.receptive_field import receptive_field_px
from handfast.files import write_whole
from handfast.models.dense_regression import DensePrediction, DenseRegression
from handfast.models.tofnet import INPUT_HEIGHT, INPUT_WIDTH

OPSET = 17


def export_onnx(
    net: nn.Module, card: dict, path: Path, early_out_logit: float | None = EARLY_OUT_LOGIT
) -> dict:
    """Write a net in evaluation mode to ``path``; -> the card as written, with the graph's cost.

    A key-point net takes ``image`` (b, c, 120, 160) float32, 0..1, of one channel, or of red, green and blue,
    and returns ``heatmaps`` (b, 2, K, 60, 80) and ``visibility`` (b, 2, 1 + K), both logits. Dense regression
    takes ``depth`` (b, 1, 128, 128) float32 as ``DepthCrop`` has it, and returns ``heatmaps_2d`` and
    ``heatmaps_3d`` (b, J, s, s) and ``unit_vectors`` (b, J, 3, s, s). Both for any b. Batch normalisation is
    folded into the convolutions. The card, as JSON, is the file's metadata under ``handfast_card``.

    early_out_logit: where no hand's presence logit is above it, a key-point net's decoder is not run and all
    maps are zeros (``export.early_out``). None: a plain graph without branches, as other engines want it.
    """
    match net:
        case DenseRegression():
            model, facts = _dense_graph(net, card["input"])
        case _:
            model, facts = _keypoint_graph(net, early_out_logit)
    cost = measure_cost(model)
    costs = {
        "parameters": cost.parameters,
        "macs": cost.macs,
        "flops": cost.flops,
        "weight_bytes": cost.weight_bytes,
    }
    card = card | costs | facts
    model.metadata_props.add(key=CARD_KEY, value=json.dumps(card))
    onnx.checker.check_model(model, full_check=True)
    write_whole(path, model.SerializeToString())
    return card


def _keypoint_graph(net: nn.Module, early_out_logit: float | None) -> tuple[ModelProto, dict]:
    """The graph of a net on whole images, and what its card says besides."""
    image = torch.zeros(1, net.image_channels, INPUT_HEIGHT, INPUT_WIDTH)
    model = _plain_graph(net, image, "image", ("heatmaps", "visibility"))
    outputs = [output.name for output in model.graph.output]
    receptive_fields = {output: list(receptive_field_px(model, output)) for output in outputs}
    if early_out_logit is not None:
        add_early_out(model, early_out_logit)
    cost = measure_cost(model)
    return model, {
        "early_out_logit": early_out_logit,
        "early_out_macs": cost.early_out_macs,
        "early_out_flops": cost.early_out_flops,
        "receptive_field_px": receptive_fields,
    }


def _dense_graph(net: DenseRegression, size: dict) -> tuple[ModelProto, dict]:
    """The graph of a net on depth crops of the size that its card says."""
    depth = torch.zeros(1, 1, size["height"], size["width"])
    return _plain_graph(net, depth, "depth", DensePrediction._fields), {}


def _plain_graph(net: nn.Module, image: Tensor, input_name: str, output_names: Sequence[str]) -> ModelProto:
    """The net as one graph without branches, its batch free."""
    model = traced_graph(net, {input_name: image}, output_names)
    # Traced with one image, all sizes are constants; the nets' reshapes leave the batch free.
    for value in (*model.graph.input, *model.graph.output):
        value.type.tensor_type.shape.dim[0].dim_param = "batch"
    del model.graph.value_info[:]
    return model


def traced_graph(net: nn.Module, inputs: Mapping[str, Tensor], output_names: Sequence[str]) -> ModelProto:
    """What a net in evaluation mode does with these inputs, by name, for others of the same sizes."""
    file = io.BytesIO()
    with warnings.catch_warnings():
        # The exporter that needs no further package is called the old one; that sizes are constants is meant.
        warnings.simplefilter("ignore", DeprecationWarning)
        warnings.simplefilter("ignore", torch.jit.TracerWarning)
        torch.onnx.export(
            net,
            tuple(inputs.values()),
            file,
            input_names=list(inputs),
            output_names=list(output_names),
            opset_version=OPSET,
            dynamo=False,
        )
    return onnx.load_from_string(file.getvalue())
