"""A network of any family, ready to run."""

from pathlib import Path
from typing import TYPE_CHECKING, Union

from handfast.errors import HandfastError
from handfast.runtime.ace import AceModel, load_ace
from handfast.runtime.dirnet import RefinementModel, load_dirnet, read_exit_rule
from handfast.runtime.model import ON_CROPS, Model, load_model, read_card

if TYPE_CHECKING:
    from handfast.runtime.dense import DenseModel

Network = Union[Model, "DenseModel", RefinementModel, AceModel]


def open_network(name_or_path: str | Path, backend: str | None = None, gate: str | None = None) -> Network:
    """A packaged network by name, a file or a folder of several.

    backend: what runs it, as ``load_model``, ``load_dense``, ``load_dirnet`` and ``load_ace`` have them; None
    for c of what runs on images, if there is a compiler, else ONNX Runtime. gate: how an adaptive network
    decides instead of as its card says: of ACE its threshold, of DIR-Net as for ``read_exit_rule``. Raises
    HandfastError as these do, and for a gate that the network does not have.
    """
    family = family_of(name_or_path)
    if backend is None and family in ON_CROPS:
        backend = "onnxruntime"
    match family:
        case "dirnet":
            return load_dirnet(name_or_path, None if gate is None else read_exit_rule(gate), backend)
        case "ace":
            return load_ace(name_or_path, None if gate is None else _threshold(gate), backend)
    if gate is not None:
        raise HandfastError(f"gate {gate!r}: model {name_or_path} has none, as dirnet and ace have")
    if family == "dense":
        from handfast.runtime.dense import load_dense  # brings numba's compiler, which takes a second

        return load_dense(name_or_path, backend)
    return load_model(name_or_path, backend)


def family_of(name_or_path: str | Path) -> str:
    """What its card says; OpenVINO's files, which are read by what runs them alone, are of dense regression.
    Raises HandfastError as ``read_card`` does."""
    return "dense" if str(name_or_path).endswith(".xml") else read_card(name_or_path).family


def _threshold(gate: str) -> float:
    try:
        return float(gate)
    except ValueError as error:
        raise HandfastError(f"gate {gate!r}: of ACE expected a threshold in 0..1") from error
