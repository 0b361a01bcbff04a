"""A small run on random labels: the tiniest recipe and its data."""

import numpy as np
import pytest

from handfast.training.tofnet import ToFNetRecipe


class RandomData:
    """Batches of noise with labels of noise, each drawn from its step's number."""

    name = "noise"

    def __init__(self):
        self.validation = {"noise": (self.batch(1000, 4),)}

    def __len__(self):
        return 20

    def origin(self, step, batch_size):
        return f"noise {step}"

    def batch(self, step, batch_size):
        rng = np.random.default_rng(step)
        b = batch_size
        present = rng.random((b, 2)) < 0.7
        in_image = (rng.random((b, 2, 21)) < 0.9) & present[..., None]
        return {
            "image": rng.integers(0, 256, (b, 120, 160), dtype=np.uint8),
            "keypoints_px": rng.uniform(0, 119, (b, 2, 21, 2)).astype(np.float32),
            "in_image": in_image,
            "visible": in_image & (rng.random((b, 2, 21)) < 0.8),
            "present": present,
            "orientation": rng.integers(0, 8, (b, 2)),
            "key_pose": rng.integers(0, 9, (b, 2)),
            "segmentation": rng.integers(0, 3, (b, 120, 160), dtype=np.uint8),
            "rendered": rng.random(b) < 0.8,
        }


@pytest.fixture
def data():
    return RandomData()


@pytest.fixture
def recipe():
    return ToFNetRecipe(
        model="tofnet-tof8",
        skeleton="tof8",
        auxiliary_skeleton="label17",
        steps=5,
        batch_size=4,
        warmup_steps=2,
        precision="32-true",
        log_every_steps=1,
    )
