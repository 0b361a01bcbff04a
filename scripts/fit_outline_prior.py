"""Fit the prior of outlines that the package ships: poses of the pose prior, seen from everywhere.

python scripts/fit_outline_prior.py [OUT.safetensors]
"""

import sys
from pathlib import Path

import numpy as np
from safetensors.numpy import save
from scipy.cluster.vq import kmeans2

from handfast.files import write_whole
from handfast.geometry import random_rotation
from handfast.hand_model.model import joint_rotations, load_hand_asset, pose_hand
from handfast.hand_model.outline import as_numbers, normalised
from handfast.hand_model.pose_prior import load_pose_prior, sample_pose

HANDS, COMPONENTS, ROUNDS = 40_000, 64, 10
LEAST_VARIANCE = 1e-3


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


def fit_mixture(points: np.ndarray, rng: np.random.Generator) -> dict[str, np.ndarray]:
    """Points (N, D) -> weights, means and covariances of a mixture of Gaussians, by expectation maximisation
    from a clustering."""
    count, size = points.shape
    _, nearest = kmeans2(points, COMPONENTS, minit="points", rng=rng)
    shares = np.eye(COMPONENTS)[nearest]
    for _ in range(ROUNDS):
        mass = shares.sum(axis=0)
        means = (shares.T @ points) / mass[:, None]
        covariances = np.empty((COMPONENTS, size, size))
        log_density = np.empty((count, COMPONENTS))
        for m in range(COMPONENTS):
            off = points - means[m]
            covariances[m] = (off * shares[:, m : m + 1]).T @ off / mass[m] + LEAST_VARIANCE * np.eye(size)
            root = np.linalg.cholesky(covariances[m])
            distance = np.linalg.solve(root, off.T)
            log_density[:, m] = (
                np.log(mass[m]) - np.log(np.diag(root)).sum() - 0.5 * (distance**2).sum(axis=0)
            )
        shares = np.exp(log_density - log_density.max(axis=1, keepdims=True))
        shares /= shares.sum(axis=1, keepdims=True)
    return {"weights": mass / count, "means": means, "covariances": covariances}


def main() -> None:
    default = Path(__file__).parents[1] / "src/handfast/assets/outline_prior.safetensors"
    out = Path(sys.argv[1]) if len(sys.argv) > 1 else default
    rng = np.random.default_rng(0)
    flat = as_numbers(outlines(rng, HANDS))
    mixture = fit_mixture(flat, rng)
    within = np.einsum("m,mii->", mixture["weights"], mixture["covariances"])
    print(f"{within / flat.var(axis=0).sum():.2f} of the variance is within {COMPONENTS} components")
    write_whole(out, save({name: tensor.astype(np.float16) for name, tensor in mixture.items()}))


if __name__ == "__main__":
    main()
