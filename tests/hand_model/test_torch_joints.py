"""The open hand's joints against the whole hand's."""

import numpy as np
import pytest

from handfast.hand_model.articulation import FINGER_DOF_COUNT, angles_from_dofs
from handfast.hand_model.model import joint_rotations, load_hand_asset
from handfast.hand_model.pose_prior import load_pose_prior

torch = pytest.importorskip("torch", reason="needs torch: pip install 'handfast[train]'")

from handfast.hand_model.torch_joints import OpenHand  # noqa: E402
from handfast.hand_model.torch_model import TorchHand  # noqa: E402

ASSET = load_hand_asset()


def random_hands(count):
    """pose (count, 22), shape (count, 10), within the joints' limits."""
    rng = np.random.default_rng(0)
    limits = load_pose_prior().limits[:FINGER_DOF_COUNT]
    pose, shape = rng.uniform(*limits.T, (count, FINGER_DOF_COUNT)), rng.standard_normal((count, 10))
    return torch.tensor(pose), torch.tensor(shape)


def test_its_joints_are_the_skinned_hands():
    """Within a tenth of a micrometre, fingertips too."""
    pose, shape = random_hands(32)
    dofs = np.pad(pose.numpy(), ((0, 0), (0, 2)))
    rotations = torch.tensor(joint_rotations(ASSET, angles_from_dofs(dofs)))
    expected, _ = TorchHand(ASSET).double()(rotations, shape)
    found = OpenHand(ASSET)(pose.float(), shape.float())
    torch.testing.assert_close(found.double(), expected - expected[:, :1], rtol=0, atol=1e-7)
    assert torch.all(found[:, 0] == 0)


def test_gradients_are_right():
    pose, shape = (tensor.requires_grad_() for tensor in random_hands(1))
    assert torch.autograd.gradcheck(OpenHand(ASSET).double(), (pose, shape), atol=1e-7)


def test_the_interface_of_hands():
    hand = OpenHand(ASSET)
    assert (hand.pose_size, hand.shape_size) == (22, 10)
    assert hand(torch.zeros(3, hand.pose_size), torch.zeros(3, hand.shape_size)).shape == (3, 21, 3)


def test_the_mean_pose_is_a_bent_open_hand_within_the_limits():
    hand = OpenHand(ASSET)
    lower, upper = hand.pose_limits.T
    assert torch.all((lower < hand.mean_pose) & (hand.mean_pose < upper))
    tips = hand(hand.mean_pose[None], torch.zeros(1, 10))[0, 8::4]
    straight = hand(torch.zeros(1, 22), torch.zeros(1, 10))[0, 8::4]
    assert torch.all(tips[:, 1] < straight[:, 1])  # nearer to the wrist
    assert torch.all(tips[:, 2] < straight[:, 2])  # towards the palm
    assert torch.all(tips[:, 1] > 0.1)


def test_a_net_that_has_it_does_not_save_it():
    hand = OpenHand(ASSET)
    assert not hand.state_dict() and not list(hand.parameters())
    assert {buffer.device.type for buffer in hand.to("meta").buffers()} == {"meta"}
