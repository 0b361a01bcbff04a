"""handfast: train, shrink and run hand trackers for cheap depth, infrared and RGB sensors."""

from typing import TYPE_CHECKING

from handfast.errors import HandfastError
from handfast.structures import Frame, HandPose

if TYPE_CHECKING:
    from handfast.tracking.tracker import Tracker

__version__ = "0.1.0"
__all__ = ["Frame", "HandPose", "HandfastError", "Tracker"]


def __getattr__(name: str):
    # The tracker brings ONNX Runtime with it: loaded when first asked for, so that the import is light.
    if name == "Tracker":
        from handfast.tracking.tracker import Tracker

        return Tracker
    raise AttributeError(f"module 'handfast' has no attribute {name!r}")
