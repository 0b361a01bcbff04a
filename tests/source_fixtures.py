"""Small pictures, the camera that took them, and a video."""

import cv2
import numpy as np

from handfast.geometry import Camera

INTRINSICS = (300.0, 310.0, 15.5, 11.5)
CAMERA = Camera(*INTRINSICS, width=32, height=24)


def grey(seed: int, dtype=np.uint8, shape=(24, 32)) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, np.iinfo(dtype).max, shape, dtype=dtype, endpoint=True)


PICTURE = grey(0, shape=(24, 32, 3))


def write_video(path, n_frames: int) -> list[np.ndarray]:
    """Smooth grey pictures, which survive compression."""
    pictures = [np.full((48, 64, 3), 20 + 3 * i, np.uint8) for i in range(n_frames)]
    video = cv2.VideoWriter(str(path), cv2.VideoWriter_fourcc(*"MJPG"), 20.0, (64, 48))
    for picture in pictures:
        video.write(picture)
    video.release()
    return pictures
