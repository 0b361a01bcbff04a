"""Fit the prior of outlines that the package ships: poses of the pose prior, seen from everywhere.

python scripts/fit_outline_prior.py [OUT.safetensors]
"""

import sys
from pathlib import Path

import numpy as np
from safetensors.numpy import save_file

from handfast.geometry import random_rotation
from handfast.hand_model.model import joint_rotations, load_hand_asset, pose_hand
from handfast.hand_model.outline import normalised
from handfast.hand_model.pose_prior import load_pose_prior, sample_pose

HANDS, DIRECTIONS = 20_000, 20


def outlines(rng: np.random.Generator, count: int) -> np.ndarray:
    """(count, 21) complex: right hands of many shapes, half a metre before a camera that faces them."""
    asset, prior = load_hand_asset(), load_pose_prior()
    points = np.empty((count, 21), complex)
    for i in range(count):
        shape = rng.standard_normal(len(asset.shape_joints_m))
        keypoints_m, _ = pose_hand(asset, joint_rotations(asset, sample_pose(prior, rng)[0]), shape)
        seen = (keypoints_m - keypoints_m.mean(axis=0)) @ random_rotation(rng).T + (0, 0, 0.5)
        points[i] = (seen[:, 0] + 1j * seen[:, 1]) / seen[:, 2]
    return normalised(points)


def main() -> None:
    default = Path(__file__).parents[1] / "src/handfast/assets/outline_prior.safetensors"
    out = Path(sys.argv[1]) if len(sys.argv) > 1 else default
    drawn = outlines(np.random.default_rng(0), HANDS)
    flat = np.stack([drawn.real, drawn.imag], axis=2).reshape(HANDS, 42)
    mean = flat.mean(axis=0)
    _, spread, directions = np.linalg.svd(flat - mean, full_matrices=False)
    variances = spread**2 / HANDS
    print(
        f"{DIRECTIONS} directions hold {variances[:DIRECTIONS].sum() / variances.sum():.4f} of the variance"
    )
    tensors = {"mean": mean, "directions": directions[:DIRECTIONS], "variances": variances[:DIRECTIONS]}
    save_file({name: tensor.astype(np.float32) for name, tensor in tensors.items()}, out)


if __name__ == "__main__":
    main()
