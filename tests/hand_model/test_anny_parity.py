"""The baked hand against anny's own forward pass of the whole body, which it was cut from."""

import numpy as np
import pytest

from handfast.geometry import random_rotation
from handfast.hand_model.model import (
    BONES,
    FOREARM,
    bone_transforms,
    joint_rotations,
    load_hand_asset,
    pose_hand,
    rest,
)

anny = pytest.importorskip(
    "anny", reason="needs anny, which the hand is baked from: pip install 'handfast[bake]'"
)
torch = pytest.importorskip("torch")

ASSET = load_hand_asset()
TOLERANCE_M = 1e-5


def anny_name(bone):
    """Our bone -> anny's, of the right side."""
    if bone in ("palm", "forearm"):
        return {"palm": "wrist.R", "forearm": "lowerarm02.R"}[bone]
    part, number = bone.split("_")
    if number == "palm":
        return f"metacarpal{('index', 'middle', 'ring', 'pinky').index(part) + 1}.R"
    return f"finger{('thumb', 'index', 'middle', 'ring', 'pinky').index(part) + 1}-{number}.R"


@pytest.fixture(scope="module")
def body():
    """The whole body (loading takes half a minute)."""
    return anny.Anny(local_changes="all")


@pytest.fixture(scope="module")
def signs(body):
    """(K,) 1 or -1: anny's blend shapes are singular vectors, and which way these point depends on the
    machine. The way they did when the hand was baked makes our shape directions of them."""
    wrist = body.bone_labels.index("wrist.R")
    own = body.blendshapes.numpy()[:, ASSET.anny_vertices]
    own = own - body.bone_heads_blendshapes.numpy()[:, wrist, None]
    own = (own @ ASSET.anny_rotation.T).reshape(len(own), -1)  # (K, 3 V)
    made_of = np.concatenate([(direction[:, None] * own).T for direction in ASSET.anny_directions])
    found = np.linalg.lstsq(made_of, ASSET.shape_vertices_m.ravel(), rcond=1e-6)[0]
    return np.where(found < 0, -1.0, 1.0)


def pose_body(body, signs, turns, shape):
    """Pose the whole body like our hand -> vertices (V, 3) m in the hand frame.

    turns: (21, 3, 3) of our bones from their rest pose, hand frame. The rest of the body turns stiffly with
    the forearm, as all that is not hand does in the asset.
    """
    to_hand = ASSET.anny_rotation.astype(float)
    labels = body.bone_labels
    turn_of_bone = np.tile(turns[FOREARM], (len(labels), 1, 1))
    turn_of_bone[[labels.index(anny_name(bone)) for bone in BONES]] = turns
    coefficients = ASSET.anny_mean_coefficients.astype(float) + shape @ ASSET.anny_directions.astype(float)
    coefficients = torch.tensor(signs * coefficients)[None]
    rest_orientations = body.get_rest_model(coefficients)["rest_bone_poses"][0, :, :3, :3].numpy()
    orientations = np.tile(np.eye(4), (len(labels), 1, 1))
    orientations[:, :3, :3] = to_hand.T @ turn_of_bone @ to_hand @ rest_orientations
    # Anny's own forward takes phenotypes; its base class takes the blend-shape coefficients themselves.
    posed = super(anny.Anny, body).forward(
        torch.tensor(orientations)[None], coefficients, pose_parameterization="world-orient"
    )
    wrist = posed["bone_poses"][0, labels.index("wrist.R"), :3, 3].numpy()
    return (posed["vertices"][0].numpy() - wrist) @ to_hand.T


@pytest.mark.parametrize("seed", range(6))
def test_the_posed_hand_is_annys(body, signs, seed):
    rng = np.random.default_rng(seed)
    rotations, shape = joint_rotations(ASSET, rng.uniform(-1, 1, (21, 3))), rng.standard_normal(10)
    rotations[0] = random_rotation(rng)
    turns, _ = bone_transforms(ASSET, rotations, rest(ASSET, shape)[1])
    expected = pose_body(body, signs, turns, shape)[ASSET.anny_vertices]
    _, vertices = pose_hand(ASSET, rotations, shape)
    assert np.linalg.norm(vertices - expected, axis=1).max() <= TOLERANCE_M


def test_the_mean_hand_is_annys_at_rest(body, signs):
    expected = pose_body(body, signs, np.tile(np.eye(3), (21, 1, 1)), np.zeros(10))[ASSET.anny_vertices]
    np.testing.assert_allclose(ASSET.vertices_m, expected, atol=1e-6)
