"""Load a shipped or exported network and run it: with ONNX Runtime, or as compiled C.

Networks on crops are loaded by ``runtime.dense``, ``runtime.dirnet`` and ``runtime.ace``.
"""

import json
import logging
from collections.abc import Callable
from dataclasses import dataclass, fields
from importlib.resources import files
from pathlib import Path

import numpy as np
import onnxruntime

from handfast.errors import HandfastError
from handfast.export.card import CARD_KEY
from handfast.packaged import DEFAULT_MODEL, ON_IMAGES, PACKAGED
from handfast.sensors.images import as_floats
from handfast.skeleton import SKELETONS, Skeleton

BACKENDS = ("c", "onnxruntime")
# Families that run on crops, and what they are called.
ON_CROPS = {"dense": "dense regression", "dirnet": "DIR-Net", "ace": "ACE"}
# The graphs of families that come as a folder of several.
GRAPHS = {"dirnet": ("extract", "refine", "attend", "pose"), "ace": ("coarse", "fine", "recur")}

# (b, H, W) or, in colour, (b, H, W, 3) uint8 -> heat-map logits (b, 2, K, h, w) and visibility logits
# (b, 2, 1 + K), float32.
Engine = Callable[[np.ndarray], tuple[np.ndarray, np.ndarray]]


@dataclass(frozen=True)
class ModelCard:
    """What a model file says of itself: see docs/models.md. Older files lack the fields that may be None."""

    name: str
    family: str
    skeleton: str
    input: dict
    parameters: int
    macs: int
    flops: int
    weight_bytes: int
    licence: str
    trained_on: str
    metrics: dict
    early_out_logit: float | None = None
    early_out_macs: int | None = None
    early_out_flops: int | None = None
    receptive_field_px: dict | None = None
    loops: int | None = None
    loop_macs: int | None = None
    loop_flops: int | None = None
    exit_rule: dict | None = None
    hand: str | None = None
    gate: str | None = None
    threshold: float | None = None
    fine_macs: int | None = None
    fine_flops: int | None = None
    state_bytes: int | None = None
    state_frames: int | None = None

    @property
    def in_colour(self) -> bool:
        """Whether it sees red, green and blue rather than a grey image, of a whole frame or of a crop."""
        return self.input.get("image") in ("colour", "colour crop")

    def may_be_there(self, visibility: np.ndarray) -> np.ndarray:
        """Visibility logits (b, 2, 1 + K) -> (b,) bool: whether a hand may be there, so there are maps."""
        if self.early_out_logit is None:
            return np.ones(len(visibility), bool)
        return (visibility[:, :, 0] > self.early_out_logit).any(axis=1)


@dataclass(frozen=True, eq=False)
class Model:
    """A network ready to run. backend: which of ``BACKENDS`` runs it."""

    card: ModelCard
    backend: str
    engine: Engine

    @property
    def skeleton(self) -> Skeleton:
        return SKELETONS[self.card.skeleton]

    @property
    def input_size(self) -> tuple[int, int]:
        """(width, height) of the input image."""
        return self.card.input["width"], self.card.input["height"]

    def run(self, images: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """(b, H, W) or, in colour, (b, H, W, 3) uint8 -> heat-map logits (b, 2, K, h, w) and visibility
        logits (b, 2, 1 + K), float32.

        Slots are left, right; the first visibility logit is the hand's. Where that is not above the card's
        ``early_out_logit`` for any hand of an image, its heat-maps are zeros.
        """
        return self.engine(images)

    def run_both_ways(self, images: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """As ``run``, the mean over each image and its mirror image, where a left hand is a right one.

        At twice the cost surer key-points, and a side that does not lean to one. Maps are those of the one
        where there are none of the other.
        """
        heatmaps, visibility = self.run(np.concatenate([images, images[:, :, ::-1]]))
        n = len(images)
        both = heatmaps[:n] + heatmaps[n:, ::-1, :, :, ::-1]
        shown = self.card.may_be_there(visibility).reshape(2, n).sum(axis=0)
        both /= shown.clip(1).astype(np.float32)[:, None, None, None, None]
        return both, (visibility[:n] + visibility[n:, ::-1]) / 2


def load_model(name_or_path: str | Path = DEFAULT_MODEL, backend: str | None = None) -> Model:
    """A packaged model by name, or an .onnx file exported by handfast.

    backend: one of ``BACKENDS``, None for the fastest that there is, c. Where c has no compiler, or no kernel
    for a layer, ONNX Runtime stands in and the log says why. Raises HandfastError for an unknown name or
    backend, a missing or broken file, or one without a handfast card, or of a network on crops.
    """
    if backend not in (None, *BACKENDS):
        raise HandfastError(f"backend {backend!r}: expected {', '.join(BACKENDS)}")
    content, *_ = read_graphs(name_or_path).values()
    session = open_session(content, name_or_path)
    card = card_of(session, name_or_path)
    if what := ON_CROPS.get(card.family):
        raise HandfastError(
            f"model {name_or_path}: expected a net on whole images, got {what}; give {', '.join(ON_IMAGES)} "
            "or one that was trained like them (in Python open_tracker takes any)"
        )
    if backend != "onnxruntime":
        try:
            return Model(card, "c", _native_engine(content, card))
        except HandfastError as error:
            level = logging.INFO if backend is None else logging.WARNING
            logging.getLogger(__name__).log(level, "back end c: %s; running with onnxruntime", error)

    def run(images: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        heatmaps, visibility = session.run(None, {"image": as_floats(images)})
        heatmaps[~card.may_be_there(visibility)] = 0  # the graph asks once for all images
        return heatmaps, visibility

    return Model(card, "onnxruntime", run)


def read_card(name_or_path: str | Path) -> ModelCard:
    """What a packaged model, an .onnx file or a folder of graphs says of itself. Raises HandfastError as
    ``read_graphs`` does, and for broken files."""
    content, *_ = read_graphs(name_or_path).values()
    return card_of(open_session(content, name_or_path), name_or_path)


def open_session(content: bytes, name: str | Path) -> onnxruntime.InferenceSession:
    """An ONNX file ready to run on one thread. Raises HandfastError if it is broken. name: for messages."""
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1  # so small a net gains nothing from more
    options.log_severity_level = 4
    try:
        return onnxruntime.InferenceSession(content, options, providers=["CPUExecutionProvider"])
    except Exception as error:
        raise HandfastError(f"model {name}: not a whole ONNX file; export or download it again") from error


def _native_engine(content: bytes, card: ModelCard) -> Engine:
    from handfast.runtime.native import load_native

    return load_native(content, card.name).maps_of


def read_model(name_or_path: str | Path) -> bytes:
    """The ONNX file of a packaged model or at a path. Raises HandfastError if there is none."""
    path = Path(name_or_path)
    asset = files("handfast").joinpath(f"assets/{name_or_path}.onnx")
    if name_or_path in PACKAGED and asset.is_file():  # a Path is none of them
        return asset.read_bytes()
    if path.suffix == ".safetensors":
        raise HandfastError(
            f"model {path}: is a checkpoint; `handfast export {path} --out NET` makes a model"
        )
    if path.is_file():
        return path.read_bytes()
    raise HandfastError(
        f"model {str(name_or_path)!r}: expected {', '.join(PACKAGED)} or the path of an .onnx file"
    )


def read_graphs(name_or_path: str | Path) -> dict[str, bytes]:
    """The ONNX files of a packaged model or at a path, by their graphs: those of ``GRAPHS``, or the one, "",
    of any other family. Raises HandfastError if one is missing."""
    folder = Path(name_or_path)
    if name_or_path in PACKAGED:
        folder = files("handfast") / "assets" / str(name_or_path)
    if not folder.is_dir():
        return {"": read_model(name_or_path)}
    files_of = {family: {name: folder / f"{name}.onnx" for name in names} for family, names in GRAPHS.items()}
    family = max(files_of, key=lambda family: sum(file.is_file() for file in files_of[family].values()))
    graphs = files_of[family]
    missing = [file.name for file in graphs.values() if not file.is_file()]
    if len(missing) == len(graphs):
        raise HandfastError(
            f"model {name_or_path}: holds no exported network; expected {', '.join(PACKAGED)}, an .onnx "
            "file, or the folder that `handfast export` made of a DIR-Net or an ACE"
        )
    if missing:
        raise HandfastError(
            f"model {name_or_path}: expected the {len(graphs)} graphs of {ON_CROPS[family]} in the folder, "
            f"but there is no {', '.join(missing)}; export it again"
        )
    return {name: file.read_bytes() for name, file in graphs.items()}


def card_of(session: onnxruntime.InferenceSession, name: str | Path) -> ModelCard:
    """The card of an open ONNX file. Raises HandfastError where there is none, or half of one."""
    return parse_card(session.get_modelmeta().custom_metadata_map.get(CARD_KEY), name)


def parse_card(text: str | None, name: str | Path) -> ModelCard:
    """A card from its JSON. Raises HandfastError if it is None or not whole. name: for messages."""
    if text is None:
        raise HandfastError(f"model {name}: a file without a handfast card; export it with handfast")
    try:
        card = json.loads(text)
        known = {field.name: card[field.name] for field in fields(ModelCard) if field.name in card}
        SKELETONS[card["skeleton"]], card["input"]["width"], card["input"]["height"]
        return ModelCard(**known)
    except (ValueError, KeyError, TypeError) as error:
        raise HandfastError(
            f"model {name}: its handfast card is not whole ({error}); export it again"
        ) from error
