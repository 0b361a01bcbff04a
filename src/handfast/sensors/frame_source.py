"""What all sources of frames have in common."""

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import islice

import cv2
import numpy as np

from handfast.errors import HandfastError
from handfast.sensors.images import infrared_image
from handfast.structures import Frame

DEFAULT_FPS = 30.0
GREY_SPREAD = 16  # between the channels of what is grey, compressed
DARK = 40


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


def has_colour(picture: np.ndarray) -> bool:
    """Whether channels differ by more than compression makes them."""
    return picture.ndim == 3 and int(np.ptp(picture, axis=2).max()) > GREY_SPREAD


def any_in_colour(pictures: Iterable[np.ndarray], lit: int = 5, at_most: int = 30) -> bool:
    """Whether one of so many first lit pictures is in colour; dark ones, as before a film begins, say
    nothing."""
    seen = (picture for picture in islice(pictures, at_most) if picture.max() > DARK)
    return any(map(has_colour, islice(seen, lit)))


def is_infrared(
    name: str, kind: str, intrinsics: Sequence[float] | None, depth_unit_mm: float | None, infrared: bool
) -> bool:
    """Whether images that may be depth are infrared: told by the option. Raises HandfastError where options
    do not go with what a source holds."""
    if kind != "depth":
        check_no_16_bits(name, depth_unit_mm, infrared)
    elif infrared:
        check_no_16_bits(name, depth_unit_mm, infrared=False)
    elif intrinsics is None or depth_unit_mm is None:
        raise HandfastError(
            f"{name}: images of 16 bits are taken for depth, which needs --intrinsics fx,fy,cx,cy and "
            "--depth-unit-mm; give both, or --infrared if they are infrared or amplitude"
        )
    return kind == "depth" and infrared


def check_no_16_bits(name: str, depth_unit_mm: float | None, infrared: bool) -> None:
    """HandfastError for options of what holds 16 bits."""
    if depth_unit_mm is not None:
        raise HandfastError(
            f"{name}: --depth-unit-mm is for 16-bit PNGs or arrays that hold depth; this has none: save "
            "depth as such, or drop the option"
        )
    if infrared:
        raise HandfastError(
            f"{name}: --infrared is for 16-bit PNGs or arrays that are no depth; drop the option"
        )


def as_images(kind: str, picture: np.ndarray, infrared: bool = False) -> dict[str, np.ndarray]:
    """What was decoded, as a frame's images: blue, green, red become grey amplitude and colour. infrared:
    what seems to be depth is not."""
    if infrared:
        return {"amplitude": infrared_image(picture)}
    if picture.ndim == 2:
        return {kind: picture}
    return {
        "amplitude": cv2.cvtColor(picture, cv2.COLOR_BGR2GRAY),
        "colour": cv2.cvtColor(picture, cv2.COLOR_BGR2RGB),
    }
