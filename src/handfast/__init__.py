"""handfast: train, shrink and run hand trackers for cheap depth, infrared and RGB sensors."""

from importlib import import_module
from typing import TYPE_CHECKING

from handfast.errors import HandfastError
from handfast.geometry import Camera
from handfast.structures import Frame, HandPose

if TYPE_CHECKING:
    from handfast.sensors.images import infrared_image
    from handfast.sensors.sources import open_source
    from handfast.tracking.opening import open_tracker
    from handfast.tracking.tracker import Tracker

__version__ = "0.1.0"
__all__ = [
    "Camera",
    "Frame",
    "HandPose",
    "HandfastError",
    "Tracker",
    "infrared_image",
    "open_source",
    "open_tracker",
]

# They bring ONNX Runtime and OpenCV with them: loaded when first asked for, so that the import is light.
_LATER = {
    "Tracker": "handfast.tracking.tracker",
    "infrared_image": "handfast.sensors.images",
    "open_source": "handfast.sensors.sources",
    "open_tracker": "handfast.tracking.opening",
}


def __getattr__(name: str):
    if name in _LATER:
        return getattr(import_module(_LATER[name]), name)
    raise AttributeError(f"module 'handfast' has no attribute {name!r}")
