"""The tracker that a model needs."""

from pathlib import Path

from handfast.runtime.ace import AceModel
from handfast.runtime.dense import DenseModel
from handfast.runtime.dirnet import RefinementModel
from handfast.runtime.model import BACKENDS, ON_CROPS
from handfast.runtime.opening import family_of, open_network
from handfast.tracking.crop_tracker import CropTracker
from handfast.tracking.dense_tracker import DenseTracker
from handfast.tracking.tracker import DEFAULT_MODEL, Tracker

COLOUR_FINDER = "tofnet-rgb"


def open_tracker(
    model: str | Path, backend: str = BACKENDS[0], gate: str | None = None
) -> Tracker | DenseTracker | CropTracker:
    """For a packaged model, a model file or a folder of several, of any family.

    backend, gate: what runs it and how it decides, as for ``open_network``. What runs on crops is led to the
    hands by packaged trackers of key-points, in ONNX Runtime; with c these run as C, and it runs as usual.
    Raises HandfastError as ``open_network`` does.
    """
    of_finder = "c" if backend == "c" else BACKENDS[0]
    if backend == "c" and family_of(model) in ON_CROPS:
        backend = BACKENDS[0]
    match open_network(model, backend, gate):
        case DenseModel() as dense:
            return DenseTracker(dense, Tracker(DEFAULT_MODEL, of_finder))
        case RefinementModel() as dirnet:
            return CropTracker(dirnet, Tracker(COLOUR_FINDER, of_finder))
        case AceModel() as ace:
            finder = COLOUR_FINDER if ace.card.in_colour else DEFAULT_MODEL
            return CropTracker(ace, Tracker(finder, of_finder))
        case whole_images:
            return Tracker(whole_images)
