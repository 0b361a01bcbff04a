"""Load dense regression and run it, with ONNX Runtime or OpenVINO: from crops of depth to joints in space."""

import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from handfast.codecs.dense import DenseMaps, decode_joints
from handfast.errors import HandfastError
from handfast.export.card import CARD_KEY
from handfast.runtime.model import ModelCard, card_of, open_session, parse_card, read_model
from handfast.runtime.openvino import BACKENDS, Request, read_network, say_it_is_not_installed
from handfast.sensors.depth_crop import CROP_PX, DepthCrop
from handfast.skeleton import SKELETONS, Skeleton

if TYPE_CHECKING:
    import openvino

# (b, 1, 128, 128) float32 as ``DepthCrop.depth`` has it -> the maps of b crops.
Engine = Callable[[np.ndarray], DenseMaps]


@dataclass(frozen=True, eq=False)
class DenseModel:
    """Dense regression ready to run. backend: which of ``BACKENDS`` runs it."""

    card: ModelCard
    backend: str
    engine: Engine

    @property
    def skeleton(self) -> Skeleton:
        return SKELETONS[self.card.skeleton]

    def joints(self, crops: Sequence[DepthCrop]) -> tuple[np.ndarray, np.ndarray]:
        """One crop or more -> joints (b, J, 3) mm in camera space, and scores (b, J) 0..1, both float32.

        A joint that nothing in its crop points to is NaN, and its score 0.
        """
        return decode_joints(self.engine(self.batch(crops)), crops)

    def batch(self, crops: Sequence[DepthCrop]) -> np.ndarray:
        """What the engine takes for one crop or more; of fewer pixels every second, or further apart."""
        stride = CROP_PX // self.card.input["width"]
        return np.stack([crop.depth[::stride, ::stride] for crop in crops])[:, None]


def load_dense(name_or_path: str | Path, backend: str = BACKENDS[0]) -> DenseModel:
    """A packaged model by name, or what ``handfast export`` wrote: an .onnx file, or OpenVINO's .xml.

    backend: one of ``BACKENDS``. Where OpenVINO is not installed, ONNX Runtime stands in and the log says so;
    an .xml file runs in OpenVINO alone, whatever was asked for. Raises HandfastError for an unknown name or
    back end, a missing or broken file, one without a handfast card, and for a network of another kind.
    """
    if backend not in BACKENDS:
        raise HandfastError(f"backend {backend!r}: expected {', '.join(BACKENDS)}")
    if Path(name_or_path).suffix == ".xml":
        card, engine = _openvino_file(Path(name_or_path))
        return DenseModel(_checked(card, name_or_path), "openvino", engine)
    content = read_model(name_or_path)
    session = open_session(content, name_or_path)
    card = _checked(card_of(session, name_or_path), name_or_path)
    if backend == "openvino":
        try:
            return DenseModel(card, "openvino", _openvino_engine(read_network(content)))
        except ImportError:
            say_it_is_not_installed(logging.getLogger(__name__))

    def run(depth: np.ndarray) -> DenseMaps:
        return DenseMaps(*session.run(DenseMaps._fields, {"depth": depth}))

    return DenseModel(card, "onnxruntime", run)


def _checked(card: ModelCard, name: str | Path) -> ModelCard:
    if card.family != "dense":
        other = (
            "; OpenVINO files of others are for programs of your own" if Path(name).suffix == ".xml" else ""
        )
        raise HandfastError(f"model {name}: expected dense regression, got {card.name}{other}")
    return card


def _openvino_file(path: Path) -> tuple[ModelCard, Engine]:
    if not path.is_file():
        raise HandfastError(f"model {path}: there is no such file; export one with handfast")
    try:
        model = read_network(path)
        text = model.get_rt_info(CARD_KEY).value if model.has_rt_info(CARD_KEY) else None
        return parse_card(text, path), _openvino_engine(model)
    except ImportError as error:
        raise HandfastError(f"model {path}: it needs OpenVINO: pip install openvino") from error
    except RuntimeError as error:
        raise HandfastError(
            f"model {path}: not a whole OpenVINO network with its .bin file; export or copy it again"
        ) from error


def _openvino_engine(model: "openvino.Model") -> Engine:
    """One crop at a time: sizes that are known beforehand make it faster, and one thread gains nothing from
    more."""
    model.reshape([1, *model.input().partial_shape[1:]])
    request = Request(model)

    def run(depth: np.ndarray) -> DenseMaps:
        found = [request({"depth": crop[None]}) for crop in depth]
        return DenseMaps(*(np.stack([maps[name][0] for maps in found]) for name in DenseMaps._fields))

    return run
