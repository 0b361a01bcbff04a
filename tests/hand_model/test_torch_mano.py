"""The MANO layer against linear blend skinning of the whole mesh, written plainly in NumPy."""

import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from handfast.hand_model.mano import ManoAsset

torch = pytest.importorskip("torch", reason="needs torch: pip install 'handfast[train]'")

from handfast.hand_model.torch_mano import Mano, axis_angle_rotations  # noqa: E402

# hand21 among MANO's joints, wrist, index, middle, pinky, ring, thumb, and behind them the tips' vertices.
HAND21 = [0, 13, 14, 15, 16, 1, 2, 3, 17, 4, 5, 6, 18, 10, 11, 12, 19, 7, 8, 9, 20]
TIPS = [744, 320, 443, 554, 671]


@pytest.fixture(scope="module")
def asset():
    rng = np.random.default_rng(0)
    regressor, weights = rng.random((16, 778)) ** 40, rng.random((778, 16)) ** 9
    arrays = {
        "v_template": rng.standard_normal((778, 3)) * 0.05,
        "shapedirs": rng.standard_normal((778, 3, 10)) * 0.005,
        "posedirs": rng.standard_normal((778, 3, 135)) * 0.002,
        "J_regressor": regressor / regressor.sum(1, keepdims=True),
        "weights": weights / weights.sum(1, keepdims=True),
        "hands_mean": rng.standard_normal(45) * 0.3,
    }
    return ManoAsset(
        **{name: array.astype(np.float32) for name, array in arrays.items()},
        parents=np.array([-1, 0, 1, 2, 0, 4, 5, 0, 7, 8, 0, 10, 11, 0, 13, 14]),
    )


def poses(count, seed=0):
    rng = np.random.default_rng(seed)
    return rng.uniform(-1.5, 1.5, (count, 45)), rng.standard_normal((count, 10))


def skinned_hand21(asset, pose, shape):
    """(45,), (10,) -> (21, 3) m: all vertices are skinned, in double precision."""
    rotations = Rotation.from_rotvec((asset.hands_mean + pose).reshape(15, 3)).as_matrix()
    rotations = np.concatenate([np.eye(3)[None], rotations])
    shaped = asset.v_template + asset.shapedirs @ shape
    joints = asset.J_regressor.astype(float) @ shaped
    posed = shaped + asset.posedirs @ (rotations[1:] - np.eye(3)).ravel()
    globals_ = []
    for joint, parent in enumerate(asset.parents):
        local = np.eye(4)
        local[:3, :3] = rotations[joint]
        local[:3, 3] = joints[joint] - (joints[parent] if joint else 0)
        globals_.append(local if joint == 0 else globals_[parent] @ local)
    heads = np.array([matrix[:3, 3] for matrix in globals_])
    relative = np.array(globals_)
    relative[:, :3, 3] -= np.einsum("jab,jb->ja", relative[:, :3, :3], joints)
    blended = np.einsum("vj,jab->vab", asset.weights.astype(float), relative)
    vertices = np.einsum("vab,vb->va", blended[:, :3, :3], posed) + blended[:, :3, 3]
    return np.concatenate([heads, vertices[TIPS]])[HAND21] - heads[0]


def test_joints_are_those_of_the_skinned_hand(asset):
    pose, shape = poses(8)
    found = Mano(asset)(torch.tensor(pose).float(), torch.tensor(shape).float())
    assert found.dtype == torch.float32
    expected = np.stack([skinned_hand21(asset, p, s) for p, s in zip(pose, shape, strict=True)])
    np.testing.assert_allclose(found.numpy(), expected, atol=2e-6)


def test_no_pose_is_the_mean_pose_and_the_wrist_the_origin(asset):
    hand = Mano(asset)
    mean = hand(torch.zeros(1, hand.pose_size), torch.zeros(1, hand.shape_size))[0].numpy()
    np.testing.assert_allclose(mean, skinned_hand21(asset, np.zeros(45), np.zeros(10)), atol=1e-6)
    assert not mean[0].any()
    flat = skinned_hand21(asset, -asset.hands_mean, np.zeros(10))
    rest = asset.J_regressor @ asset.v_template
    np.testing.assert_allclose(flat[1:4], rest[13:] - rest[0], atol=1e-6)  # the thumb, MANO's last finger
    np.testing.assert_allclose(flat[20], asset.v_template[671] - rest[0], atol=1e-6)


def test_a_batch_is_its_hands_one_by_one(asset):
    hand = Mano(asset).double()
    pose, shape = (torch.tensor(a) for a in poses(5, seed=1))
    together = hand(pose, shape)
    for i in range(5):
        torch.testing.assert_close(hand(pose[i : i + 1], shape[i : i + 1])[0], together[i])


def test_gradients_are_right_also_where_nothing_turns(asset):
    hand = Mano(asset).double()
    pose, shape = (torch.tensor(a, requires_grad=True) for a in poses(1, seed=2))
    assert torch.autograd.gradcheck(hand, (pose, shape), atol=1e-7)
    at_rest = torch.zeros(1, 3, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(axis_angle_rotations, at_rest, atol=1e-6)


def test_nothing_of_the_file_is_saved_or_learnt(asset):
    """MANO may not be passed on with what was trained with it."""
    hand = Mano(asset)
    assert {"rest_joints_m", "pose_tips_m", "hands_mean"} <= set(dict(hand.named_buffers()))
    assert not hand.state_dict() and not list(hand.parameters())


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_what_is_traced_with_one_hand_takes_any_number(asset):
    hand = Mano(asset)
    pose, shape = (torch.tensor(a).float() for a in poses(3, seed=3))
    traced = torch.jit.trace(hand, (pose[:1], shape[:1]))
    torch.testing.assert_close(traced(pose, shape), hand(pose, shape))


def test_it_has_what_the_open_hand_has(asset):
    hand = Mano(asset)
    assert hand.mean_pose.shape == (hand.pose_size,) and not hand.mean_pose.any()
    assert hand.pose_limits.shape == (hand.pose_size, 2)
    assert (hand.pose_limits[:, 0] < 0).all() and (hand.pose_limits[:, 1] > 0).all()
