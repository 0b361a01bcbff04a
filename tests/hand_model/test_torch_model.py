import numpy as np
import pytest

from handfast.hand_model.model import joint_rotations, load_hand_asset, pose_hand

torch = pytest.importorskip("torch", reason="needs torch: pip install 'handfast[train]'")

from handfast.hand_model.torch_model import TorchHand  # noqa: E402

ASSET = load_hand_asset()


def random_hands(count):
    rng = np.random.default_rng(0)
    return joint_rotations(ASSET, rng.uniform(-1.2, 1.2, (count, 21, 3))), rng.standard_normal((count, 10))


def test_torch_poses_the_same_hands_as_numpy():
    rotations, shapes = random_hands(8)
    keypoints, vertices = TorchHand(ASSET)(torch.tensor(rotations).float(), torch.tensor(shapes).float())
    assert keypoints.dtype == vertices.dtype == torch.float32
    for i in range(len(rotations)):
        expected_keypoints, expected_vertices = pose_hand(ASSET, rotations[i], shapes[i])
        np.testing.assert_allclose(keypoints[i].numpy(), expected_keypoints, atol=1e-5)
        np.testing.assert_allclose(vertices[i].numpy(), expected_vertices, atol=1e-5)


def test_gradients_are_right():
    """Analytic against numeric gradients of key-points and some skin, in double precision."""
    hand = TorchHand(ASSET).double()
    rotations, shapes = (torch.tensor(a, requires_grad=True) for a in random_hands(1))

    def some_points(rotations, shapes):
        keypoints, vertices = hand(rotations, shapes)
        return keypoints, vertices[:, ::300]

    assert torch.autograd.gradcheck(some_points, (rotations, shapes), atol=1e-7)


def test_gradients_find_the_shape_behind_the_keypoints():
    """Key-points are linear in the shape, so one Gauss-Newton step lands on it."""
    hand = TorchHand(ASSET).double()
    rotations, shape = (torch.tensor(a) for a in random_hands(1))
    residual = lambda s: (hand(rotations, s)[0] - hand(rotations, shape)[0]).flatten()  # noqa: E731
    start = torch.zeros_like(shape)
    jacobian = torch.autograd.functional.jacobian(residual, start)[:, 0]
    step = torch.linalg.lstsq(jacobian, -residual(start)[:, None]).solution[:, 0]
    np.testing.assert_allclose(step.numpy(), shape[0].numpy(), atol=1e-6)


def test_the_asset_moves_with_the_module():
    names = dict(TorchHand(ASSET).named_buffers())
    assert {"vertices_m", "joints_m", "bone_indices"} <= set(names)
    assert not list(TorchHand(ASSET).parameters())
