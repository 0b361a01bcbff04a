"""Fit the pose prior that the package ships from recordings of real hands.

    python scripts/fit_pose_prior.py POSES_FOLDER [OUT.safetensors]

Every recorded hand is brought to the open hand's degrees of freedom (dofs). What is shipped is numbers fitted
to those: limits, a Gaussian mixture, the key-poses, and how long movements and rests last.
"""

import sys
from pathlib import Path

import numpy as np
from safetensors.numpy import save
from scipy.cluster.vq import kmeans2
from scipy.ndimage import gaussian_filter1d

from handfast.files import write_whole
from handfast.hand_model.articulation import (
    DIGIT_DOFS,
    DOF_AXES,
    DOF_BONES,
    FINGER_DOF_COUNT,
    WRIST_DOFS,
    angles_from_dofs,
    dofs_from_angles,
)
from handfast.hand_model.collision import HandCapsules, collides, load_hand_capsules, resolve
from handfast.hand_model.model import load_hand_asset
from handfast.hand_model.pose_prior import TOUCHING, touch_gap_m
from handfast.structures import KEY_POSES
from retarget_hands import fit_finger_dofs, fit_wrist_dofs, read_poses

LARGEST_RESIDUAL_RAD = np.radians(10)
LARGEST_PUSH_RAD = np.radians(45)

# No joint turns farther than this from the open hand's rest, whatever a tracker says; in the order of dofs.
THUMB_REACH_DEG = ((-5, 55), (-45, 35), (-20, 50), (-35, 50), (-12, 12), (-35, 75))
FINGER_REACH_DEG = ((-35, 80), (-28, 22), (-13, 105), (-18, 75))
WRIST_REACH_DEG = ((-65, 65), (-35, 30))

COMPONENTS = 24
LEAST_STD_RAD = np.radians(3)
STILL_STD_RAD = np.radians(6)
TOUCH_TARGET_M = 0.008
SHARES = {"animbank": 0.25, "tracks": 0.2, "leap": 0.25, "stills": 0.3}
NEIGHBOURS = 300
KEY_POSE_STD_RAD = np.radians(8)
MOVING_RAD_S = 0.8

# The named stills that show each key-pose, in the order of KEY_POSES.
KEY_POSE_STILLS = (
    ("asl f", "asl 9"),
    ("flat", "flare", "asl 5"),
    ("pinch",),
    ("asl c",),
    ("asl s",),
    ("asl l",),
    ("asl 1",),
    ("thumb", "asl 10"),
)


def pushed_apart(capsules: HandCapsules, dofs: np.ndarray, limits: np.ndarray) -> np.ndarray:
    """Undo the collisions that the open hand's own proportions make of recorded dofs (N, 24)."""
    n = FINGER_DOF_COUNT
    angles = [
        resolve(capsules, pose, DOF_BONES[:n], DOF_AXES[:n], limits[:n]) for pose in angles_from_dofs(dofs)
    ]
    return dofs_from_angles(np.array(angles))


def touched(capsules: HandCapsules, dofs: np.ndarray, limits: np.ndarray) -> np.ndarray:
    """Bring the tips of thumb and index finger of each pose (N, 24) together by the smallest turns."""
    dofs = dofs.copy()
    own = np.concatenate(DIGIT_DOFS[:2])
    step = 1e-4
    for _ in range(8):
        for pose in dofs:
            gap = touch_gap_m(capsules, angles_from_dofs(pose))
            if gap > TOUCH_TARGET_M:
                moved = pose + step * np.eye(len(pose))[own]
                slopes = np.array([touch_gap_m(capsules, a) - gap for a in angles_from_dofs(moved)]) / step
                pose[own] -= slopes * (gap - TOUCH_TARGET_M) / (slopes @ slopes)
        dofs = pushed_apart(capsules, np.clip(dofs, *limits.T), limits)
    return dofs


def fit_mixture(points: np.ndarray, weights: np.ndarray, count: int, rng) -> tuple[np.ndarray, ...]:
    """Weighted expectation maximisation -> weights (K,), means (K, D), covariances (K, D, D)."""
    means, label = kmeans2(points, count, minit="++", seed=rng)
    responsibility = np.eye(count)[label]
    for _ in range(40):
        r = responsibility * weights[:, None]
        mass = r.sum(0) + 1e-9
        means = r.T @ points / mass[:, None]
        offsets = points[None] - means[:, None]
        covariances = np.einsum("nk,kni,knj->kij", r, offsets, offsets, optimize=True) / mass[:, None, None]
        covariances += LEAST_STD_RAD**2 * np.eye(points.shape[1])
        factors = np.linalg.cholesky(covariances)
        standard = np.linalg.solve(factors, np.swapaxes(offsets, 1, 2))
        log_det = 2 * np.log(np.diagonal(factors, axis1=1, axis2=2)).sum(1)
        log_density = (np.log(mass) - 0.5 * log_det)[None] - 0.5 * np.sum(standard**2, axis=1).T
        responsibility = np.exp(log_density - log_density.max(1, keepdims=True))
        responsibility /= responsibility.sum(1, keepdims=True)
    return mass / mass.sum(), means, covariances


def fit_key_pose(capsules, mean, recorded, limits, touching, rng) -> tuple[np.ndarray, np.ndarray]:
    """A still (24,) and recorded dofs (N, 24) -> mean (22,) and covariance (22, 22) of a key-pose.

    It varies as the recordings most like it do, and stays one that the open hand can take.
    """
    n = FINGER_DOF_COUNT
    nearest = np.argsort(np.linalg.norm(recorded[:, :n] - mean[:n], axis=1))[:NEIGHBOURS]
    spread = np.cov(recorded[nearest, :n].T)
    spread *= min(1.0, KEY_POSE_STD_RAD**2 / np.diagonal(spread).mean())
    spread += LEAST_STD_RAD**2 * np.eye(n)
    cloud = np.tile(mean, (400, 1))
    cloud[:, :n] = np.clip(rng.multivariate_normal(mean[:n], spread, len(cloud)), *limits[:n].T)
    cloud = touched(capsules, cloud, limits) if touching else pushed_apart(capsules, cloud, limits)
    cloud = cloud[[not collides(capsules, angles) for angles in angles_from_dofs(cloud)]]
    if touching:
        cloud = cloud[[touch_gap_m(capsules, a) < 1.3 * TOUCH_TARGET_M for a in angles_from_dofs(cloud)]]
    return cloud[:, :n].mean(0), np.cov(cloud[:, :n].T) + np.radians(0.5) ** 2 * np.eye(n)


def runs(flags: np.ndarray) -> np.ndarray:
    """(R, 2) start and stop of each run of True that neither begins nor ends the array."""
    edges = np.flatnonzero(np.diff(flags.astype(int)))
    first = 0 if len(edges) and flags[edges[0] + 1] else 1
    edges = edges[first:]
    return edges[: len(edges) // 2 * 2].reshape(-1, 2) + 1


def fit_motion(dofs: np.ndarray, time_s: np.ndarray, clip: np.ndarray) -> dict[str, np.ndarray]:
    """Dofs (N, 24) over time -> how long movements last for their largest turn, rests last, rests drift."""
    rate_hz = 100.0
    moves, rests, drifts = [], [], []
    breaks = np.flatnonzero((np.diff(clip) != 0) | (np.diff(time_s) > 0.1) | (np.diff(time_s) <= 0)) + 1
    for part in np.split(np.arange(len(clip)), breaks):
        if len(part) < 50:
            continue
        at = np.arange(time_s[part[0]], time_s[part[-1]], 1 / rate_hz)
        path = np.stack([np.interp(at, time_s[part], d) for d in dofs[part].T[:FINGER_DOF_COUNT]], axis=1)
        path = gaussian_filter1d(path, sigma=4, axis=0)
        moving = np.abs(np.gradient(path, axis=0) * rate_hz).max(1) > MOVING_RAD_S
        for start, stop in runs(moving):
            turn = np.abs(path[stop] - path[start]).max()
            if turn > 0.15:
                moves.append((np.log(turn), np.log((stop - start) / rate_hz)))
        for start, stop in runs(~moving):
            rests.append(np.log((stop - start) / rate_hz))
            drifts.append(path[stop] - path[start])
    log_turn, log_s = np.array(moves).T
    slope, offset = np.polyfit(log_turn, log_s, 1)
    noise = np.std(log_s - offset - slope * log_turn)
    drift = np.std(drifts)
    print(
        f"{len(moves)} movements: {np.exp(offset):.2f} s for 1 rad, exponent {slope:.2f}, spread {noise:.2f}"
    )
    print(
        f"{len(rests)} rests: {np.exp(np.mean(rests)):.2f} s, spread {np.std(rests):.2f}, drift {drift:.2f}"
    )
    return {
        "movement": np.array([offset, slope, noise]),
        "rest": np.array([np.mean(rests), np.std(rests)]),
        "drift_rad": np.array(drift),
    }


def fit(folder: Path) -> dict[str, np.ndarray]:
    """All arrays of the prior by name."""
    asset, capsules, rng = load_hand_asset(), load_hand_capsules(), np.random.default_rng(0)
    n = FINGER_DOF_COUNT
    sources, names = read_poses(folder, asset)
    raw, kept = {}, {}
    for source, hands in sources.items():
        raw[source], residual = fit_finger_dofs(asset, hands.directions)
        raw[source][:, WRIST_DOFS] = fit_wrist_dofs(asset, hands.forearm)
        kept[source] = residual < LARGEST_RESIDUAL_RAD
        print(
            f"{source}: {len(residual)} hands, residual {np.degrees(residual.mean()):.1f} deg mean, "
            f"{np.degrees(np.percentile(residual, 95)):.1f} at 95 %, kept {kept[source].mean():.1%}"
        )
    motion = fit_motion(raw["leap"], sources["leap"].time_s, sources["leap"].clip)

    reach = np.radians([*THUMB_REACH_DEG, *FINGER_REACH_DEG * 4, *WRIST_REACH_DEG])
    every = np.concatenate([raw[s][kept[s]] for s in raw] + 20 * [raw["stills"]])
    low, high = np.nanpercentile(every, [0.5, 99.5], axis=0)
    limits = np.stack([np.maximum(low, reach[:, 0]), np.minimum(high, reach[:, 1])], axis=1)

    dofs, weights = {}, {}
    for source, hands in raw.items():
        chosen = np.flatnonzero(kept[source])
        chosen = chosen if source == "stills" else rng.permutation(chosen)[:2300]
        before = np.clip(np.nan_to_num(hands[chosen]), *limits.T)
        after = pushed_apart(capsules, before, limits)
        angles = angles_from_dofs(after)
        fine = np.array([not collides(capsules, a) for a in angles])
        fine &= np.abs(after - before).max(1) < LARGEST_PUSH_RAD
        hit = np.mean([collides(capsules, a) for a in angles_from_dofs(before)])
        print(f"{source}: {hit:.1%} collide on the open hand, {fine.mean():.1%} can be kept")
        dofs[source] = after[fine]
        weights[source] = np.full(fine.sum(), SHARES[source] / fine.sum())

    tracked = [s for s in dofs if s != "stills"]
    recorded = np.concatenate([dofs[s] for s in tracked])
    mass = np.concatenate([weights[s] for s in tracked])
    mixture, means, covariances = fit_mixture(recorded[:, :n], mass, COMPONENTS, rng)
    stills = dofs["stills"]
    still_covariance = STILL_STD_RAD**2 * np.eye(n)

    key_means, key_covariances = [], []
    for key, wanted in enumerate(KEY_POSE_STILLS):
        own = [i for i, own_names in enumerate(names) if set(wanted) & set(own_names)]
        touching = key in TOUCHING
        mean, covariance = fit_key_pose(
            capsules,
            np.clip(np.nan_to_num(raw["stills"][own].mean(0)), *limits.T),
            recorded,
            limits,
            touching,
            rng,
        )
        key_means.append(mean)
        key_covariances.append(covariance)
        print(f"{KEY_POSES[key]}: std {np.degrees(np.sqrt(np.diagonal(covariance).mean())):.1f} deg")

    wrist = np.concatenate([raw[s][kept[s]][:, WRIST_DOFS] for s in ("animbank", "tracks")])
    float32 = lambda a: np.ascontiguousarray(a, dtype=np.float32)  # noqa: E731
    return {
        "limits": float32(limits),
        "component_weights": np.concatenate([mixture * mass.sum(), weights["stills"]]),
        "component_means": float32(np.concatenate([means, stills[:, :n]])),
        "component_factors": np.minimum(np.arange(COMPONENTS + len(stills)), COMPONENTS).astype(np.int32),
        "factors": float32(np.linalg.cholesky(np.concatenate([covariances, still_covariance[None]]))),
        "key_means": float32(key_means),
        "key_factors": float32(np.linalg.cholesky(np.array(key_covariances))),
        "wrist_mean": float32(wrist.mean(0)),
        "wrist_factor": float32(np.linalg.cholesky(np.cov(wrist.T))),
        **motion,
    }


def main() -> None:
    if len(sys.argv) < 2:
        sys.exit(__doc__)
    out = Path(sys.argv[2] if len(sys.argv) > 2 else "src/handfast/assets/pose_prior.safetensors")
    prior = fit(Path(sys.argv[1]))
    write_whole(out, save(prior, metadata={"source": "fitted to recordings; Apache-2.0 and MIT"}))
    print(
        f"{out}: {out.stat().st_size / 1e3:.0f} kB, " + ", ".join(f"{k} {v.shape}" for k, v in prior.items())
    )


if __name__ == "__main__":
    main()
