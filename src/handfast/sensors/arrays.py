"""Frames in one array of NumPy, as scripts around sensors save them."""

from collections.abc import Callable, Iterator, Sequence
from functools import partial
from pathlib import Path

import numpy as np

from handfast.errors import HandfastError
from handfast.geometry import camera_of
from handfast.sensors.frame_source import FrameSource, any_in_colour, as_images, is_infrared
from handfast.structures import Frame

ARRAY_SUFFIX = ".npy"


class ArraySource(FrameSource):
    """An .npy file of n frames: (n, H, W) uint8, amplitude; uint16, depth or infrared; or (n, H, W, 3) uint8,
    red, green, blue. Frames are read as they are asked for."""

    def __init__(
        self,
        path: Path,
        intrinsics: Sequence[float] | None,
        depth_unit_mm: float | None,
        infrared: bool,
        fps: float,
    ):
        super().__init__(str(path), fps, skip_bad_frames=False)
        try:
            self._frames = np.load(path, mmap_mode="r", allow_pickle=False)
        except (OSError, ValueError, EOFError) as error:
            raise HandfastError(f"{path}: not a whole .npy file ({error}); save it again") from error
        if not isinstance(self._frames, np.ndarray):
            raise HandfastError(f"{path}: expected one array of frames, got several; save them as .npy each")
        shape, dtype = self._frames.shape, self._frames.dtype.newbyteorder("=")
        is_grey = len(shape) == 3 and dtype in (np.uint8, np.uint16)
        if not (is_grey or (len(shape) == 4 and shape[3] == 3 and dtype == np.uint8)) or 0 in shape:
            raise HandfastError(
                f"{path}: expected frames (n, H, W) of uint8 or uint16, or (n, H, W, 3) of uint8, got "
                f"{shape} of {dtype}"
            )
        self._kind = "depth" if dtype == np.uint16 else "amplitude"
        self._is_infrared = is_infrared(self.name, self._kind, intrinsics, depth_unit_mm, infrared)
        self._camera = camera_of(intrinsics, shape[2], shape[1])
        self._depth_unit_mm = depth_unit_mm or 1.0

    def __len__(self) -> int:
        return len(self._frames)

    def in_colour(self) -> bool:
        return any_in_colour(self._frames)

    def _loaders(self) -> Iterator[tuple[str, Callable[[], Frame]]]:
        for index in range(len(self)):
            yield f"frame {index}", partial(self._load, index)

    def _load(self, index: int) -> Frame:
        frame = self._frames[index]
        picture = np.array(frame, frame.dtype.newbyteorder("="))
        images = as_images(
            self._kind, picture[..., ::-1] if picture.ndim == 3 else picture, self._is_infrared
        )
        return Frame(
            index, index / self.fps, **images, depth_unit_mm=self._depth_unit_mm, camera=self._camera
        )
