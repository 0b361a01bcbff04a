"""Fit the pose prior that the package ships from recordings of real hands (needs the ``fit`` extra).

    python scripts/fit_pose_prior.py POSES_FOLDER [OUT.safetensors]

Every recorded hand is brought to the open hand's degrees of freedom (dofs). What is shipped is numbers fitted
to those: limits, a Gaussian mixture, the key-poses, and how long movements and rests last.
"""

import json
import sys
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from safetensors.numpy import save_file
from scipy.cluster.vq import kmeans2
from scipy.ndimage import gaussian_filter1d
from scipy.spatial.transform import Rotation

from handfast.errors import HandfastError
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
from handfast.hand_model.model import FINGER_BONES, HandAsset, joint_rotations, load_hand_asset
from handfast.hand_model.pose_prior import TOUCHING, touch_gap_m
from handfast.structures import KEY_POSES

# What a digit's dofs are before any evidence, in the order of dofs: mean and standard deviation, rad.
THUMB_BELIEF = ((0, 0.6), (0, 0.5), (0, 0.25), (0.2, 0.5), (0, 0.12), (0.2, 0.6))
FINGER_BELIEF = ((0.4, 0.8), (0, 0.2), (0.6, 0.8), (0.4, 0.6))
DIRECTION_NOISE_RAD = 0.05

LEAST_CONFIDENCE = 0.6  # of the Leap's own measure
LARGEST_RESIDUAL_RAD = np.radians(10)
LARGEST_PUSH_RAD = np.radians(35)

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
    ("asl s", "asl a"),
    ("asl l",),
    ("asl 1",),
    ("thumb", "asl 10"),
)


@dataclass(frozen=True, eq=False)
class Hands:
    """N recorded hands, mirrored to right ones, in the open hand's frame.

    directions (N, 5, 3, 3): unit vectors along each digit's three bones. forearm (N, 3): from the wrist along
    the forearm, NaN where unknown. time_s (N,), NaN for a still. clip (N,): which recording.
    """

    directions: np.ndarray
    forearm: np.ndarray
    time_s: np.ndarray
    clip: np.ndarray

    def __getitem__(self, chosen: np.ndarray) -> "Hands":
        return Hands(self.directions[chosen], self.forearm[chosen], self.time_s[chosen], self.clip[chosen])


def unit(vectors: np.ndarray) -> np.ndarray:
    return vectors / np.linalg.norm(vectors, axis=-1, keepdims=True)


def rest_directions(asset: HandAsset) -> np.ndarray:
    """(5, 3, 3) unit vectors along the digits' bones at rest."""
    return asset.joint_axes[FINGER_BONES][..., 2].astype(np.float64)


def to_hands(
    joints_m: np.ndarray,
    dorsal: np.ndarray,
    asset: HandAsset,
    clip: np.ndarray,
    time_s: np.ndarray | None = None,
    forearm: np.ndarray | None = None,
) -> Hands:
    """Bring digit joints (N, 5, 4, 3) of right hands, in any frame, to the open hand's frame.

    dorsal (N, 3) points out of the back of the palm. The knuckles' line fixes the turn about it, up to what
    each source means by a knuckle: the straight middle fingers' mean direction corrects that.
    """
    z = unit(dorsal)
    line = joints_m[:, 4, 0] - joints_m[:, 1, 0]
    x = unit(line - z * np.sum(line * z, -1, keepdims=True))
    axes = np.stack([x, np.cross(z, x), z], axis=1)
    directions = np.einsum("nij,ndsj->ndsi", axes, unit(np.diff(joints_m, axis=2)))
    middle = directions[:, 2, 0]
    middle = middle[middle[:, 1] > 0.8].mean(0)
    rest = rest_directions(asset)[2, 0]
    turn = np.arctan2(middle[0], middle[1]) - np.arctan2(rest[0], rest[1])
    aligned = Rotation.from_rotvec([0, 0, turn]).as_matrix()
    unknown = np.full((len(z), 3), np.nan)
    return Hands(
        directions=directions @ aligned.T,
        forearm=unknown if forearm is None else np.einsum("nij,nj->ni", axes, forearm) @ aligned.T,
        time_s=unknown[:, 0] if time_s is None else time_s,
        clip=clip,
    )


def shared_joint(
    R_a: np.ndarray, a: np.ndarray, R_b: np.ndarray, b: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Where two rigid bones (N rotations and centres each) meet (N, 3), and that point in b's axes (3,).

    Least squares over all poses; what a hinge leaves open (along its axis) stays near the centres.
    """
    M = np.concatenate([R_a, -R_b], axis=2).reshape(-1, 6)
    offsets = np.linalg.solve(M.T @ M + 1e-3 * len(a) * np.eye(6), M.T @ (b - a).ravel())
    return (a + R_a @ offsets[:3] + b + R_b @ offsets[3:]) / 2, offsets[3:]


def read_realsense(bones: np.ndarray, clip: np.ndarray, asset: HandAsset) -> Hands:
    """(N, 17, 7): wrist, palm and three bones a digit; centre, quaternion xyzw; z along the bone, y dorsal."""
    centres, quaternions = bones[..., :3].astype(np.float64), bones[..., 3:].reshape(-1, 4)
    R = Rotation.from_quat(quaternions).as_matrix().reshape(*bones.shape[:2], 3, 3)
    joints = np.empty((len(bones), 5, 4, 3))
    for digit in range(5):
        chain = (1, *range(2 + 3 * digit, 5 + 3 * digit))
        for segment, (a, b) in enumerate(zip(chain, chain[1:], strict=False)):
            joints[:, digit, segment], offset = shared_joint(R[:, a], centres[:, a], R[:, b], centres[:, b])
        joints[:, digit, 3] = centres[:, b] - R[:, b, :, 2] * offset[2]
    wrist, _ = shared_joint(R[:, 0], centres[:, 0], R[:, 1], centres[:, 1])
    return to_hands(joints, R[:, 1, :, 1], asset, clip, forearm=unit(centres[:, 0] - wrist))


def read_leap(arrays: dict[str, np.ndarray], asset: HandAsset) -> Hands:
    """Clips NAME__joints_m (N, 5, 4, 3), NAME__palm (N, 3, 3): position, palmar normal, direction."""
    names = [key.removesuffix("__joints_m") for key in arrays if key.endswith("__joints_m")]
    mirror = [np.array([-1.0 if "__left" in name else 1.0, 1, 1]) for name in names]
    gather = lambda key: [arrays[f"{name}__{key}"].astype(np.float64) for name in names]  # noqa: E731
    flip = lambda parts: np.concatenate([p * m for p, m in zip(parts, mirror, strict=True)])  # noqa: E731
    times = gather("time_s")
    hands = to_hands(
        flip(gather("joints_m")),
        -flip([palm[:, 1] for palm in gather("palm")]),
        asset,
        clip=np.repeat(np.arange(len(names)), [len(t) for t in times]),
        time_s=np.concatenate(times),
    )
    return hands[~(np.concatenate(gather("confidence")) < LEAST_CONFIDENCE)]


def read_handy(poses: list[dict], asset: HandAsset) -> tuple[Hands, list[tuple[str, ...]]]:
    """25 WebXR joints (mm, x right, y up, z to the viewer) and each pose's names."""
    poses = [pose for pose in poses if len(pose["joints_mm"]) == 25]
    joints = np.array([pose["joints_mm"] for pose in poses]) / 1e3
    joints[[pose["side"] == "left" for pose in poses], :, 0] *= -1
    digits = np.concatenate([joints[:, None, 1:5], joints[:, 5:].reshape(-1, 4, 5, 3)[:, :, 1:]], axis=1)
    dorsal = np.cross(digits[:, 4, 0] - digits[:, 1, 0], digits[:, 2, 0] - joints[:, 0])
    return to_hands(digits, dorsal, asset, np.arange(len(poses))), [tuple(p["names"]) for p in poses]


def posed_directions(asset: HandAsset, dofs: np.ndarray) -> np.ndarray:
    """Dofs (N, 24) -> unit vectors along the digits' bones (N, 5, 3, 3) in the palm's frame."""
    rotations = joint_rotations(asset, angles_from_dofs(dofs))[:, FINGER_BONES]
    turns = np.empty_like(rotations)
    turns[:, :, 0] = rotations[:, :, 0]
    for segment in (1, 2):
        turns[:, :, segment] = turns[:, :, segment - 1] @ rotations[:, :, segment]
    return np.einsum("ndsij,dsj->ndsi", turns, rest_directions(asset))


def fit_finger_dofs(asset: HandAsset, directions: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Bone directions (N, 5, 3, 3) -> the dofs (N, 24) that show them, wrist at rest, and the mean angle left
    (N,) rad.

    Gauss-Newton for the most probable dofs under Gaussian beliefs: those decide what directions leave open
    (a finger flexed by 90 degrees shows no abduction). Digits are independent, so one numerical derivative
    serves the same dof of all five.
    """
    belief = np.array([*THUMB_BELIEF, *FINGER_BELIEF * 4, (0, 1), (0, 1)])
    dofs = np.tile(belief[:, 0], (len(directions), 1))
    step = 1e-5
    for _ in range(15):
        posed = posed_directions(asset, dofs)
        slots = []
        for slot in range(6):
            moved = dofs.copy()
            moved[:, [own[slot] for own in DIGIT_DOFS if slot < len(own)]] += step
            slots.append((posed_directions(asset, moved) - posed) / step)
        for digit, own in enumerate(DIGIT_DOFS):
            J = np.stack([slots[k][:, digit].reshape(-1, 9) for k in range(len(own))], axis=2)
            left = (directions - posed)[:, digit].reshape(-1, 9)
            mean, std = belief[own].T
            gradient = (
                np.einsum("nrk,nr->nk", J, left) / DIRECTION_NOISE_RAD**2 - (dofs[:, own] - mean) / std**2
            )
            hessian = np.swapaxes(J, 1, 2) @ J / DIRECTION_NOISE_RAD**2 + np.diag(1 / std**2)
            dofs[:, own] += np.clip(np.linalg.solve(hessian, gradient[..., None])[..., 0], -0.4, 0.4)
    cosines = np.sum(posed_directions(asset, dofs) * directions, axis=-1)
    return dofs, np.arccos(np.clip(cosines, -1, 1)).mean((1, 2))


def fit_wrist_dofs(asset: HandAsset, forearm: np.ndarray) -> np.ndarray:
    """Forearm directions (N, 3) in the hand frame -> (N, 2) flexion and deviation of the forearm's joint."""
    # At rest the forearm runs along -y. Flexion turns about -x and abduction, applied after it, about z.
    return np.stack(
        [np.arcsin(np.clip(forearm[:, 2], -1, 1)), np.arctan2(forearm[:, 0], -forearm[:, 1])], axis=1
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
        f"{len(rests)} rests of {np.exp(np.mean(rests)):.2f} s, spread {np.std(rests):.2f}, drift {drift:.3f} rad"
    )
    return {
        "movement": np.array([offset, slope, noise]),
        "rest": np.array([np.mean(rests), np.std(rests)]),
        "drift_rad": np.array(drift),
    }


def read_poses(folder: Path, asset: HandAsset) -> tuple[dict[str, Hands], list[tuple[str, ...]]]:
    """All recordings by source, and the names of the stills."""
    try:
        bank = np.load(folder / "realsense_animbank.npz", allow_pickle=False)["bones"]
        tracks = list(np.load(folder / "realsense_tracks.npz", allow_pickle=False).values())
        leap = dict(np.load(folder / "leap_clips.npz", allow_pickle=False))
        stills = json.loads((folder / "handy_poses.json").read_text())
    except OSError as error:
        raise HandfastError(f"{folder}: expected the four recordings of poses ({error})") from error
    still_hands, names = read_handy(stills, asset)
    track_index = np.repeat(np.arange(len(tracks)), [len(t) for t in tracks])
    hands = {
        "animbank": read_realsense(bank, np.zeros(len(bank), int), asset),
        "tracks": read_realsense(np.concatenate(tracks), track_index, asset),
        "leap": read_leap(leap, asset),
        "stills": still_hands,
    }
    return hands, names


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
    temporary = out.with_suffix(".partial")
    save_file(prior, temporary, metadata={"source": "fitted to recordings; Apache-2.0 and MIT"})
    temporary.replace(out)
    print(
        f"{out}: {out.stat().st_size / 1e3:.0f} kB, " + ", ".join(f"{k} {v.shape}" for k, v in prior.items())
    )


if __name__ == "__main__":
    main()
