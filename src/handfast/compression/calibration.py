"""Images on which networks are calibrated, made here from a seed: pictures as those they are trained on."""

import cv2
import numpy as np

from handfast.data.arrays import pack
from handfast.data.batches import BatchSource
from handfast.data.benchmarks import MIX_TOF
from handfast.errors import HandfastError
from handfast.export.c.network import Network

FRAMES, SEED = 64, 0
VERSION = 1  # of the images; raise it with them, for what is kept of calibrations goes by it


def grey_size(network: Network, name: object) -> tuple[int, int]:
    """(width, height) of the image that a network sees. Raises HandfastError if that is in colour."""
    channels, height, width = network.shapes[network.image]
    if channels != 1:
        raise HandfastError(
            f"model {name}: sees colour, and in 8-bit integers there is C for grey images alone; take floats"
        )
    return width, height


def calibration_images(width: int, height: int) -> np.ndarray:
    """(FRAMES, height, width) uint8, always the same ones.

    Whole frames and close looks, amplitude and depth, of people to train on: see ``data.batches``.
    """
    world = MIX_TOF.make_world(MIX_TOF.seed)
    samples = [sample for clip in range(FRAMES) for sample in MIX_TOF.clip(world, "train", clip)]
    images = BatchSource(pack(samples), SEED).batch(0, FRAMES)["image"]
    return np.stack([cv2.resize(image, (width, height), interpolation=cv2.INTER_AREA) for image in images])
