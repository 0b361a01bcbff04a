"""The ``handfast prune`` command."""

import json
from pathlib import Path
from typing import Annotated

import typer

from handfast.cli_common import Json, print_facts, training_libraries
from handfast.errors import HandfastError
from handfast.files import check_ending

# As in cli.py, the command imports what it runs.

PRUNE_EXAMPLES = (
    "[bold]Examples[/]\n\n"
    "handfast prune runs/two/model.safetensors --stacks 1 --supervised --out start.safetensors\n\n"
    "handfast prune runs/dense/model.safetensors --level 3 --out dense-l3.safetensors"
)


def prune(
    model: Annotated[
        str,
        typer.Argument(help="model.safetensors of a dense-... run, or a packaged one.", metavar="CHECKPOINT"),
    ],
    out: Annotated[Path, typer.Option(help="The checkpoint to write.", metavar="FILE.safetensors")],
    stacks: Annotated[
        int | None, typer.Option(help="1: keep the stack whose blocks weigh the most.", metavar="1")
    ] = None,
    level: Annotated[
        int | None,
        typer.Option(
            help="Of one stack, keep what its head at this level needs; 4 is the whole.",
            metavar="N",
            min=1,
            max=4,
        ),
    ] = None,
    supervised: Annotated[
        bool, typer.Option("--supervised", help="Give one stack a head at every level, to be trained on.")
    ] = False,
    plot: Annotated[
        Path | None,
        typer.Option(help="Also draw what the blocks weigh into this .png, .pdf or .svg.", metavar="FILE"),
    ] = None,
    as_json: Json = False,
) -> None:
    """Cut dense regression down to a part of itself.

    A pruned level says what it said in the whole network, bit for bit.
    A stack on its own has to be trained on: name the file as a recipe's init_from.
    """
    check_ending(out, ".safetensors")
    if stacks not in (None, 1):
        raise HandfastError(f"--stacks: expected 1, got {stacks}")
    if stacks is None and level is None and not supervised:
        raise HandfastError("nothing to cut: expected --stacks 1, --level N or --supervised")
    if level is not None and supervised:
        raise HandfastError("--level takes heads away and --supervised adds them; choose one")
    with training_libraries():
        from handfast.models import pruning
        from handfast.models.dense_regression import DenseRegression
        from handfast.training.checkpoint import checkpoint_path, load_checkpoint, save_checkpoint

    net, card = load_checkpoint(checkpoint_path(model))
    if not isinstance(net, DenseRegression):
        raise HandfastError(f"{model}: expected dense regression, got {card['name']}")
    norms = pruning.stack_norms(net)
    if stacks == 1 == len(norms) and level is None and not supervised:
        raise HandfastError(f"{model}: has one stack already; --level N cuts deeper")
    strongest = pruning.strongest_stack(norms)
    is_cut = stacks == 1 and len(norms) > 1
    pruned, pruned_card = pruning.prune(net, card, strongest if is_cut else None, level, supervised)
    if plot is not None:
        from handfast.evaluation.norms import plot_norms

        plot_norms(norms, plot, f"{card['name']}: what the blocks of each stack weigh")
    save_checkpoint(out, pruned, pruned_card)
    facts = {
        "model": pruned_card["name"],
        "out": str(out),
        "parameters_before": sum(parameter.numel() for parameter in net.parameters()),
        "parameters": sum(parameter.numel() for parameter in pruned.parameters()),
        "kept_stack": 1 + strongest if is_cut else None,
    }
    if as_json:
        print(json.dumps(facts | {"norms": norms}))
        return
    weights = [(f"stack {i + 1} weighs", f"{sum(blocks.values()):,.1f}") for i, blocks in enumerate(norms)]
    print_facts([*((what, fact) for what, fact in facts.items() if fact is not None), *weights])
