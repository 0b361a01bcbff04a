"""Load a shipped or exported network and run it with ONNX Runtime."""

import json
from dataclasses import dataclass, fields
from importlib.resources import files
from pathlib import Path

import numpy as np
import onnxruntime

from handfast.errors import HandfastError
from handfast.export.card import CARD_KEY
from handfast.skeleton import SKELETONS, Skeleton

PACKAGED = ("tofnet-hand21", "tofnet-tof8")


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


@dataclass(frozen=True, eq=False)
class Model:
    """A network ready to run."""

    card: ModelCard
    session: onnxruntime.InferenceSession

    @property
    def skeleton(self) -> Skeleton:
        return SKELETONS[self.card.skeleton]

    @property
    def input_size(self) -> tuple[int, int]:
        """(width, height) of the input image."""
        return self.card.input["width"], self.card.input["height"]

    def run(self, images: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """(b, H, W) uint8 -> heat-map logits (b, 2, K, h, w) and visibility logits (b, 2, 1 + K), float32.

        Slots are left, right; the first visibility logit is the hand's. Where that is not above the card's
        ``early_out_logit`` for any hand of the batch, all heat-maps are zeros.
        """
        heatmaps, visibility = self.session.run(None, {"image": images[:, None].astype(np.float32) / 255})
        return heatmaps, visibility

    def run_both_ways(self, images: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """As ``run``, the mean over each image and its mirror image, where a left hand is a right one.

        At twice the cost surer key-points, and a side that does not lean to one.
        """
        heatmaps, visibility = self.run(np.concatenate([images, images[..., ::-1]]))
        n = len(images)
        mirrored = heatmaps[n:, ::-1, :, :, ::-1], visibility[n:, ::-1]
        return (heatmaps[:n] + mirrored[0]) / 2, (visibility[:n] + mirrored[1]) / 2


def load_model(name_or_path: str | Path = PACKAGED[0]) -> Model:
    """A packaged model by name, or an .onnx file exported by handfast.

    Raises HandfastError for an unknown name, a missing or broken file, or one without a handfast card.
    """
    content = read_model(name_or_path)
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1  # so small a net gains nothing from more
    options.log_severity_level = 4
    try:
        session = onnxruntime.InferenceSession(content, options, providers=["CPUExecutionProvider"])
    except Exception as error:
        raise HandfastError(
            f"model {name_or_path}: not a whole ONNX file; export or download it again"
        ) from error
    return Model(_card(session, name_or_path), session)


def read_model(name_or_path: str | Path) -> bytes:
    """The ONNX file of a packaged model or at a path. Raises HandfastError if there is none."""
    path = Path(name_or_path)
    packaged = files("handfast").joinpath(f"assets/{name_or_path}.onnx")
    if str(name_or_path) in PACKAGED and packaged.is_file():
        return packaged.read_bytes()
    if path.is_file():
        return path.read_bytes()
    raise HandfastError(
        f"model {str(name_or_path)!r}: expected {', '.join(PACKAGED)} or the path of an .onnx file"
    )


def _card(session: onnxruntime.InferenceSession, name: str | Path) -> ModelCard:
    text = session.get_modelmeta().custom_metadata_map.get(CARD_KEY)
    if text is None:
        raise HandfastError(f"model {name}: an ONNX file without a handfast card; export it with handfast")
    try:
        card = json.loads(text)
        known = {field.name: card[field.name] for field in fields(ModelCard) if field.name in card}
        SKELETONS[card["skeleton"]], card["input"]["width"], card["input"]["height"]
        return ModelCard(**known)
    except (ValueError, KeyError, TypeError) as error:
        raise HandfastError(
            f"model {name}: its handfast card is not whole ({error}); export it again"
        ) from error
