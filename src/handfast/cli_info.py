"""The ``handfast info`` command."""

import json
from dataclasses import asdict
from functools import partial
from itertools import groupby
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from handfast.cli_common import Json, column_table, print_facts, training_libraries
from handfast.errors import HandfastError
from handfast.packaged import DEFAULT_MODEL

# As in cli.py, the command imports what it runs.

INFO_EXAMPLES = (
    "[bold]Examples[/]\n\nhandfast info tofnet-tof8 --json\n\nhandfast info dense-1stack-l3 --joints 14"
)


def info(
    model: Annotated[
        str,
        typer.Argument(
            help="Packaged model, such as tofnet-hand21 or dirnet, or a model file or folder.",
            metavar="NAME|PATH",
        ),
    ] = DEFAULT_MODEL,
    layers: Annotated[bool, typer.Option("--layers", help="Also list the cost of each layer.")] = False,
    joints: Annotated[
        int | None,
        typer.Option(
            min=1,
            help="Instead, a dense-... network that is yet to be trained, with so many joints.",
            metavar="J",
        ),
    ] = None,
    as_json: Json = False,
) -> None:
    """Say what a model costs and sees.

    What it was trained on, its licence and what it was measured with are those of its card.

    Costs are parameters, bytes of weights, and MACs and FLOPs (2 x MAC) of an image: with a hand and where
    none can be seen, which is an early out; of DIR-Net, those of its first estimate and of one more loop; of
    ACE, those of a frame and what the fine encoder adds; of both the memory for what their largest graph
    computes, arena_bytes. What it sees is the receptive field: how many pixels of the image one value depends
    on.
    """
    if joints is not None and layers:
        raise HandfastError("--layers lists those of a model file, which --joints has none of; choose one")
    facts = _facts_of_card(model) if joints is None else _facts_before_training(model, joints)
    if layers:
        facts["layers"] = _layers_of(model)
    if as_json:
        print(json.dumps(facts))
        return
    rows = facts.pop("layers", [])
    print_facts((what, _in_lines(fact)) for what, fact in facts.items() if fact is not None)
    if rows:
        _print_layers(rows)


def _facts_of_card(model: str) -> dict:
    from handfast.evaluation.cost import arena_bytes
    from handfast.packaged import PACKAGED
    from handfast.runtime.model import GRAPHS, open_session, read_card, read_graphs

    if Path(model).suffix in (".safetensors", ".xml"):
        raise HandfastError(f"{model}: info reads packaged models, .onnx files and exported folders")
    card = read_card(model)
    costs = ("parameters", "macs", "flops", "early_out_macs", "early_out_flops")
    of_loops = ("loops", "loop_macs", "loop_flops", "exit_rule", "hand")
    of_gate = ("gate", "threshold", "fine_macs", "fine_flops", "state_bytes", "state_frames")
    shared = ("weight_bytes", "input", "receptive_field_px", "trained_on", "licence", "metrics")
    names = (*costs, *of_loops, *of_gate, *shared)
    # A packaged name may be short for the size that is packaged.
    called = model if model in PACKAGED else card.name
    facts = {"model": called, **{name: getattr(card, name) for name in names}}
    if card.family in GRAPHS:
        graphs = read_graphs(model)
        for name, content in graphs.items():
            open_session(content, f"{model}/{name}.onnx")  # refuses what is not whole
        facts["arena_bytes"] = max(map(arena_bytes, graphs.values()))
    return facts


def _facts_before_training(model: str, joints: int) -> dict:
    """The cost of a network whose number of joints is open."""
    with training_libraries():
        from handfast.models import MODELS
        from handfast.models.cost import network_cost
        from handfast.sensors.depth_crop import CROP_PX

    builders = {name: builder for name, builder in MODELS.items() if "joints" in builder.keywords}
    if model not in builders:
        raise HandfastError(f"--joints: expected one of {', '.join(builders)}, got {model!r}")
    parameters, macs = network_cost(partial(builders[model], joints=joints), 1, 1, CROP_PX, CROP_PX)
    return {
        "model": model,
        "joints": joints,
        "parameters": parameters,
        "macs": macs,
        "flops": 2 * macs,
        "weight_bytes": 4 * parameters,
        "input": {"image": "depth", "height": CROP_PX, "width": CROP_PX},
    }


def _in_lines(fact: str | int | dict) -> str | int:
    """A fact of a model's card; what it says of several things, a line each."""
    return "\n".join(f"{name} {value}" for name, value in fact.items()) if isinstance(fact, dict) else fact


def _layers_of(model: str) -> list[dict]:
    """The layers that cost anything. graph: of which file of a folder, "" of a single one."""
    from handfast.evaluation.cost import cost_of_file
    from handfast.runtime.model import read_graphs

    return [
        {"graph": graph} | asdict(layer)
        for graph, content in read_graphs(model).items()
        for layer in cost_of_file(content).layers
        if layer.macs or layer.parameters
    ]


def _print_layers(rows: list[dict]) -> None:
    table = column_table("layer", "operator", "output", "parameters", "MACs", numbers=("parameters", "MACs"))
    titles = {"then": "[bold]where a hand may be[/]", "else": "[bold]where none may be[/]"}
    for (graph, branch), layers in groupby(rows, lambda row: (row["graph"], row["branch"])):
        if graph or branch:
            table.add_row(f"[bold]{graph}.onnx[/]" if graph else titles[branch])
        for row in layers:
            shape = " x ".join(map(str, row["output_shape"][1:]))
            table.add_row(row["name"], row["operator"], shape, f"{row['parameters']:,}", f"{row['macs']:,}")
    Console().print(table)
