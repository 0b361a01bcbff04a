"""Networks of several graphs, made ready to be timed."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

import numpy as np
import torch
from torch import nn

from handfast.bench.measure import threads_used
from handfast.bench.silence import silence
from handfast.models import MODELS
from handfast.packaged import PACKAGED
from handfast.runtime.ace import AceModel
from handfast.runtime.dirnet import RefinementModel
from handfast.runtime.model import ModelCard
from handfast.training.checkpoint import load_checkpoint
from handfast.training.loop import model_card
from handfast.training.recipe import Recipe

M = TypeVar("M", RefinementModel, AceModel)


@dataclass(frozen=True)
class NotReady:
    """A back end that cannot be timed, and why."""

    installed: bool
    problem: str


def exported(
    name_or_path: str,
    folder: Path,
    recipe_of: Callable[[str, nn.Module], Recipe],
    export: Callable[[nn.Module, dict, Path], dict],
) -> Path | str:
    """What a family's loader takes: of a checkpoint, or of a name in MODELS, which is neither packaged nor a
    folder and gets random weights, the folder that ``export`` writes; else what was given.

    recipe_of: of the name and the net, which a card says something of.
    """
    if name_or_path.endswith(".safetensors"):
        net, card = load_checkpoint(Path(name_or_path))
    elif name_or_path in MODELS and name_or_path not in PACKAGED and not Path(name_or_path).exists():
        torch.manual_seed(0)
        net = MODELS[name_or_path]().eval()
        card = model_card(recipe_of(name_or_path, net), "nothing", 0, {})
    else:
        return name_or_path
    export(net, card, folder)
    return folder


def made_ready(backend: str, load: Callable[[str], M], run: Callable[[M], object]) -> M | NotReady:
    """load: the model in a back end; run: it, once."""
    with silence():
        model = load(backend)
    if model.backend != backend:
        return NotReady(False, f"pip install {backend}")
    if (threads := threads_used(lambda: run(model))) > 1:
        return NotReady(True, f"runs on {threads} threads instead of one")
    return model


def noise(card: ModelCard) -> np.ndarray:
    """A crop (S, S, 3) uint8 of the size that a card says."""
    size_px = card.input["width"]
    return np.random.default_rng(0).integers(0, 256, (size_px, size_px, 3), dtype=np.uint8)
