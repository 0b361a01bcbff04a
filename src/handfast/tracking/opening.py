"""The tracker that a model needs."""

from pathlib import Path

from handfast.runtime.ace import load_ace
from handfast.runtime.dense import load_dense
from handfast.runtime.dirnet import load_dirnet
from handfast.runtime.model import BACKENDS, read_card
from handfast.tracking.crop_tracker import CropTracker
from handfast.tracking.dense_tracker import DenseTracker
from handfast.tracking.tracker import Tracker

COLOUR_FINDER = "tofnet-rgb"


def open_tracker(model: str | Path, backend: str = BACKENDS[0]) -> Tracker | DenseTracker | CropTracker:
    """For a packaged model, a model file or a folder of several, of any family.

    backend: what runs it, as ``load_model``, ``load_dense``, ``load_dirnet`` and ``load_ace`` have them. What
    runs on crops is led to the hands by packaged trackers of key-points, in ONNX Runtime. Raises
    HandfastError as these do.
    """
    family = "dense" if str(model).endswith(".xml") else read_card(model).family
    match family:
        case "dense":
            return DenseTracker(load_dense(model, backend), Tracker())
        case "dirnet":
            return CropTracker(load_dirnet(model, backend=backend), Tracker(COLOUR_FINDER))
        case "ace":
            ace = load_ace(model, backend=backend)
            sees_colour = ace.card.input["image"] == "colour crop"
            return CropTracker(ace, Tracker(COLOUR_FINDER) if sees_colour else Tracker())
    return Tracker(model, backend)
