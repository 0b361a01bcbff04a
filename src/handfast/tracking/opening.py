"""The tracker that a model needs."""

from pathlib import Path

from handfast.runtime.dense import load_dense
from handfast.runtime.model import BACKENDS, read_card
from handfast.tracking.dense_tracker import DenseTracker
from handfast.tracking.tracker import Tracker


def open_tracker(model: str | Path, backend: str = BACKENDS[0]) -> Tracker | DenseTracker:
    """For a packaged model or a model file of any family.

    backend: what runs it, as ``load_model`` and ``load_dense`` have them. Dense regression is led to the
    hands by the packaged tracker of key-points. Raises HandfastError as these do.
    """
    if str(model).endswith(".xml") or read_card(model).family == "dense":
        return DenseTracker(load_dense(model, backend), Tracker())
    return Tracker(model, backend)
