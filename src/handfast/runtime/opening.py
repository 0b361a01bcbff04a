"""A network of any family, ready to run."""

from pathlib import Path

from handfast.runtime.ace import AceModel, load_ace
from handfast.runtime.dense import DenseModel, load_dense
from handfast.runtime.dirnet import RefinementModel, load_dirnet
from handfast.runtime.model import BACKENDS, Model, load_model, read_card

Network = Model | DenseModel | RefinementModel | AceModel


def open_network(name_or_path: str | Path, backend: str = BACKENDS[0]) -> Network:
    """A packaged network by name, a file or a folder of several.

    backend: what runs it, as ``load_model``, ``load_dense``, ``load_dirnet`` and ``load_ace`` have them.
    Raises HandfastError as these do.
    """
    # OpenVINO's files are read by what runs them alone.
    family = "dense" if str(name_or_path).endswith(".xml") else read_card(name_or_path).family
    match family:
        case "dense":
            return load_dense(name_or_path, backend)
        case "dirnet":
            return load_dirnet(name_or_path, backend=backend)
        case "ace":
            return load_ace(name_or_path, backend=backend)
    return load_model(name_or_path, backend)
