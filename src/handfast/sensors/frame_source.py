"""What all sources of frames have in common."""

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator

import cv2
import numpy as np

from handfast.errors import HandfastError
from handfast.structures import Frame

DEFAULT_FPS = 30.0


class FrameSource(ABC):
    """Frames in order of time, read as they are asked for; iterating again starts again.

    name: for messages. fps: nominal frames a second. skipped: (file, reason) of the frames that the latest
    pass left out; a frame's index counts them, so that times stay right. ``operator.length_hint`` gives the
    number of frames where it is known, bad ones included, and 0 where it is not.
    """

    def __init__(self, name: str, fps: float, skip_bad_frames: bool):
        self.name = name
        self.fps = fps
        self.skip_bad_frames = skip_bad_frames
        self.skipped: list[tuple[str, str]] = []

    def __iter__(self) -> Iterator[Frame]:
        self.skipped.clear()
        for file, load in self._loaders():
            try:
                frame = load()
            except HandfastError as error:
                self._skip(file, str(error))
            else:
                yield frame

    def in_colour(self) -> bool:
        """Whether what it shows, at its beginning, has colours; what is grey may still come as colour."""
        return False

    @abstractmethod
    def _loaders(self) -> Iterator[tuple[str, Callable[[], Frame]]]:
        """Each frame's file name, and a call that reads the frame or raises HandfastError."""

    def _skip(self, file: str, reason: str) -> None:
        if not self.skip_bad_frames:
            raise HandfastError(f"{self.name}: {file}: {reason}; mend it or give --skip-bad-frames")
        self.skipped.append((file, reason))


def as_images(kind: str, picture: np.ndarray) -> dict[str, np.ndarray]:
    """What was decoded, as a frame's images: blue, green, red become grey amplitude and colour."""
    if picture.ndim == 2:
        return {kind: picture}
    return {
        "amplitude": cv2.cvtColor(picture, cv2.COLOR_BGR2GRAY),
        "colour": cv2.cvtColor(picture, cv2.COLOR_BGR2RGB),
    }
