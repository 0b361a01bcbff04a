"""The tracker that a model needs."""

from pathlib import Path

from handfast.runtime.ace import AceModel
from handfast.runtime.dense import DenseModel
from handfast.runtime.dirnet import RefinementModel
from handfast.runtime.model import BACKENDS
from handfast.runtime.opening import open_network
from handfast.tracking.crop_tracker import CropTracker
from handfast.tracking.dense_tracker import DenseTracker
from handfast.tracking.tracker import Tracker

COLOUR_FINDER = "tofnet-rgb"


def open_tracker(
    model: str | Path, backend: str = BACKENDS[0], gate: str | None = None
) -> Tracker | DenseTracker | CropTracker:
    """For a packaged model, a model file or a folder of several, of any family.

    backend, gate: what runs it and how it decides, as for ``open_network``. What runs on crops is led to the
    hands by packaged trackers of key-points, in ONNX Runtime. Raises HandfastError as ``open_network`` does.
    """
    match open_network(model, backend, gate):
        case DenseModel() as dense:
            return DenseTracker(dense, Tracker())
        case RefinementModel() as dirnet:
            return CropTracker(dirnet, Tracker(COLOUR_FINDER))
        case AceModel() as ace:
            return CropTracker(ace, Tracker(COLOUR_FINDER) if ace.card.in_colour else Tracker())
        case whole_images:
            return Tracker(whole_images)
