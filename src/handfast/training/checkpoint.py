"""Checkpoints: one safetensors file each, whose header carries a JSON record and a checksum of the tensors.

A model checkpoint holds a net and its card; a training state holds all that is needed to go on where a run
stopped. Both appear under their name only when complete.
"""

import hashlib
import json
from collections.abc import Mapping
from importlib.resources import files
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import Tensor, nn

from handfast.errors import HandfastError
from handfast.files import write_whole
from handfast.hand_model.mano import load_mano
from handfast.hand_model.torch_mano import Mano
from handfast.models import MODELS


def write_tensors(path: Path, tensors: dict[str, Tensor], record: dict) -> None:
    """Write tensors and a JSON-able record to ``path``, whole or not at all. Raises HandfastError when it
    cannot be written."""
    tensors = {name: tensor.detach().cpu().contiguous() for name, tensor in tensors.items()}
    metadata = {"record": json.dumps(record), "sha256": checksum(tensors)}
    write_whole(path, save(tensors, metadata))


def read_tensors(path: Path) -> tuple[dict[str, Tensor], dict]:
    """-> tensors and record. HandfastError if the file is missing, cut short, altered or of another kind."""
    try:
        with safe_open(path, framework="pt") as file:
            metadata = file.metadata() or {}
            tensors = {name: file.get_tensor(name) for name in file.keys()}
        record = json.loads(metadata["record"])
        intact = metadata["sha256"] == checksum(tensors)
    except (OSError, SafetensorError, ValueError, KeyError) as error:
        raise HandfastError(
            f"{path}: expected a whole handfast checkpoint ({error}); copy it anew or train again"
        ) from error
    if not intact:
        raise HandfastError(f"{path}: the checkpoint's checksum does not match; copy it anew or train again")
    return tensors, record


def checksum(tensors: Mapping[str, Tensor]) -> str:
    """Names tensors: SHA-256 over their names and values."""
    digest = hashlib.sha256()
    for name in sorted(tensors):
        digest.update(name.encode())
        digest.update(tensors[name].contiguous().view(-1).view(torch.uint8).numpy().tobytes())
    return digest.hexdigest()


def save_checkpoint(path: Path, net: nn.Module, card: dict) -> None:
    """Save a net with its card: at least ``name``, its key in MODELS, and ``skeleton``."""
    write_tensors(path, net.state_dict(), card)


def load_checkpoint(path: Path, mano: Path | None = None) -> tuple[nn.Module, dict]:
    """-> the net in evaluation mode, and its card.

    mano: the user's MANO file where the net has learnt to move that hand, which no checkpoint holds. Raises
    HandfastError if it is missing then, if another net is given one, and as ``read_tensors`` does.
    """
    tensors, card = read_tensors(path)
    name = card.get("name")
    if name not in MODELS:
        raise HandfastError(f"{path}: expected a model out of {', '.join(MODELS)}, got {name!r}")
    if mano and card.get("hand") != "mano":
        raise HandfastError(f"{path}: {name} moves no MANO hand; leave --mano out")
    if card.get("hand") == "mano" and not mano:
        raise HandfastError(
            f"{path}: {name} moves a MANO hand, which is not in the checkpoint; export it with "
            "--mano MANO_RIGHT.pkl"
        )
    net = MODELS[name](hand=Mano(load_mano(mano))) if mano else MODELS[name]()
    try:
        net.load_state_dict(tensors)
    except RuntimeError as error:
        raise HandfastError(
            f"{path}: the tensors are not those of this version's {name}; train again"
        ) from error
    return net.eval(), card


def checkpoint_path(name_or_path: str) -> Path:
    """Of a packaged checkpoint, by its model's name, or of a file."""
    packaged = files("handfast") / "assets" / f"{name_or_path}.safetensors"
    return packaged if name_or_path in MODELS and packaged.is_file() else Path(name_or_path)


def initialise_from(net: nn.Module, name_or_path: str, prefix: str = "") -> int:
    """Copy the tensors of a checkpoint that ``net`` has under the same name and shape; -> how many.

    The checkpoint is a packaged one, by its model's name, or a file. prefix: what the names of its tensors
    have before them in the net, where it is of a part. Raises HandfastError if no tensor fits.
    """
    path = checkpoint_path(name_or_path)
    tensors, _ = read_tensors(path)
    own = net.state_dict()
    named = {prefix + k: v for k, v in tensors.items()}
    matching = {k: v for k, v in named.items() if k in own and own[k].shape == v.shape}
    if not matching:
        raise HandfastError(f"{path}: no tensor has the name and shape of one in the net to train")
    net.load_state_dict(matching, strict=False)
    return len(matching)


def save_training_state(
    path: Path, model: nn.Module, average: nn.Module, optimizer: torch.optim.Optimizer, record: dict
) -> None:
    """Save what ``load_training_state`` needs; the record holds the scalars."""
    tensors = {f"model.{k}": v for k, v in model.state_dict().items()}
    tensors |= {f"average.{k}": v for k, v in average.state_dict().items()}
    for index, state in optimizer.state_dict()["state"].items():
        tensors |= {f"optimizer.{index}.{k}": v for k, v in state.items()}
    # safetensors wants memory of its own for each tensor
    tensors = {k: v.clone() for k, v in tensors.items()} | {"random_state": torch.get_rng_state()}
    tensors |= {f"cuda_random_state.{i}": state for i, state in enumerate(torch.cuda.get_rng_state_all())}
    write_tensors(path, tensors, record)


def load_training_state(
    path: Path, model: nn.Module, average: nn.Module, optimizer: torch.optim.Optimizer
) -> dict:
    """Restore model, average, optimizer and torch's random state in place; -> the record."""
    tensors, record = read_tensors(path)
    state: dict[int, dict[str, Tensor]] = {}
    for name, tensor in _under("optimizer.", tensors).items():
        index, key = name.split(".", 1)
        state.setdefault(int(index), {})[key] = tensor
    try:
        model.load_state_dict(_under("model.", tensors))
        average.load_state_dict(_under("average.", tensors))
        optimizer.load_state_dict({"state": state, "param_groups": optimizer.state_dict()["param_groups"]})
        torch.set_rng_state(tensors["random_state"])
        of_devices = _under("cuda_random_state.", tensors)
        if len(of_devices) == torch.cuda.device_count():
            torch.cuda.set_rng_state_all([of_devices[str(i)] for i in range(len(of_devices))])
    except (RuntimeError, ValueError, KeyError) as error:
        raise HandfastError(f"{path}: not a state of this run; train in a new folder") from error
    return record


def _under(prefix: str, tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    return {k.removeprefix(prefix): v for k, v in tensors.items() if k.startswith(prefix)}
