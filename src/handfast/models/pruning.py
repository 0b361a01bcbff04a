"""Dense regression cut down to a part of itself (pruned_hourglass2019, section 3.1), and what tells which."""

from handfast.errors import HandfastError
from handfast.models import MODELS
from handfast.models.dense_regression import (
    DenseRegression,
    Residual,
    at_level,
    deeply_supervised,
    single_stack,
)


def stack_norms(net: DenseRegression) -> list[dict[str, float]]:
    """Each stack's residual blocks by name, and the sums of their filters' absolute weights (figure 3)."""
    return [
        {
            name: float(sum(weight.detach().abs().sum() for weight in block.parameters() if weight.ndim == 4))
            for name, block in stack.named_modules()
            if isinstance(block, Residual)
        }
        for stack in net.stacks
    ]


def strongest_stack(norms: list[dict[str, float]]) -> int:
    """The stack whose blocks weigh the most; the first of equals."""
    totals = [sum(blocks.values()) for blocks in norms]
    return totals.index(max(totals))


def prune(
    net: DenseRegression, card: dict, keep_stack: int | None, level: int | None, supervised: bool
) -> tuple[DenseRegression, dict]:
    """One stack of several, then the part of it up to a level, or the whole with a head at every level to be
    trained on; -> the net and its card, under the name that nets of its kind have.

    The card keeps what was measured of a level that is kept. Raises HandfastError if the level has no head,
    and where there is no name for what would come out.
    """
    metrics = dict(card["metrics"])
    if keep_stack is not None:
        net = single_stack(net, keep_stack)
        metrics = {}
    if level is not None:
        net = at_level(net, level)
        metrics = {name: value for name, value in metrics.items() if name.endswith(f"_l{level}")}
    if supervised:
        net = deeply_supervised(net)
    config = dict(MODELS[card["name"]].keywords) | {"stacks": len(net.stacks), "levels": net.levels}
    return net, card | {"name": name_of(config), "config": config, "metrics": metrics}


def name_of(config: dict) -> str:
    """What a net with this configuration is called in MODELS. Raises HandfastError if there is none."""
    for name, builder in MODELS.items():
        if builder.keywords == config:
            return name
    described = ", ".join(f"{name} {value}" for name, value in config.items())
    raise HandfastError(f"no dense-... network in models has {described}; cut or keep something else")
