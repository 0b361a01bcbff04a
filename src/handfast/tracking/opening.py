"""The tracker that a model needs."""

from pathlib import Path
from typing import TYPE_CHECKING, Union

from handfast.packaged import COLOUR_FINDER, DEFAULT_MODEL
from handfast.runtime.model import BACKENDS, ON_CROPS
from handfast.runtime.opening import family_of, open_network
from handfast.tracking.crop_tracker import CropTracker
from handfast.tracking.tracker import Tracker

if TYPE_CHECKING:
    from handfast.tracking.dense_tracker import DenseTracker


def open_tracker(
    model: str | Path, backend: str | None = None, gate: str | None = None, fast: bool = False
) -> Union[Tracker, "DenseTracker", CropTracker]:
    """For a packaged model, a model file or a folder of several, of any family.

    backend, gate: what runs it and how it decides, as for ``open_network``. What runs on crops is led to the
    hands by packaged trackers of key-points; with c these run as C, and it runs as usual. fast: as for
    ``Tracker``, the one that leads included. Raises HandfastError as ``open_network`` does.
    """
    of_finder = backend if backend in BACKENDS else None
    if backend == "c" and family_of(model) in ON_CROPS:
        backend = None
    network = open_network(model, backend, gate)
    if network.card.family not in ON_CROPS:
        return Tracker(network, fast=fast)
    finder = Tracker(COLOUR_FINDER if network.card.in_colour else DEFAULT_MODEL, of_finder, fast)
    if network.card.family == "dense":
        from handfast.tracking.dense_tracker import DenseTracker  # brings numba's compiler

        return DenseTracker(network, finder)
    return CropTracker(network, finder)
