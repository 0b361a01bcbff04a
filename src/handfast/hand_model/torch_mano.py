"""The joints of a user's MANO hand in torch: batched, differentiable, with no skin but the fingertips."""

import math

import torch
from torch import Tensor, nn

from handfast.hand_model.mano import ManoAsset

# In hand21's order of fingers, which is not MANO's: the joints of each, and the vertex at its tip.
FINGER_JOINTS = ((13, 14, 15), (1, 2, 3), (4, 5, 6), (10, 11, 12), (7, 8, 9))
TIP_VERTICES = (744, 320, 443, 554, 671)


class Mano(nn.Module):
    """Right hand: pose (b, 45), shape (b, 10) -> joints (b, 21, 3), m, hand21, relative to the wrist.

    It stands in the place of ``OpenHand``. pose: axis-angle of joints 1 to 15, rad, about the mean pose; the
    wrist does not turn, so axes are MANO's own. shape: standard deviations. mean_pose (45,): 0. pose_limits
    (45, 2): a half turn, as MANO knows none. For a left hand negate x of the result. Nothing of the file is
    saved with a net: its licence forbids passing it on.
    """

    pose_size = 45
    shape_size = 10

    def __init__(self, asset: ManoAsset) -> None:
        super().__init__()
        self.parents = asset.parents.tolist()
        tips = list(TIP_VERTICES)
        template, shapes, regressor = (
            torch.tensor(array) for array in (asset.v_template, asset.shapedirs, asset.J_regressor)
        )
        shape_joints = torch.einsum("jv,vcs->sjc", regressor, shapes)
        buffers = {
            "mean_pose": torch.zeros(self.pose_size),
            "pose_limits": torch.tensor([-math.pi, math.pi]).repeat(self.pose_size, 1),
            "hands_mean": torch.tensor(asset.hands_mean),
            "rest_joints_m": regressor @ template,
            "shape_joints_m": shape_joints.flatten(1),
            "rest_tips_m": template[tips],
            "shape_tips_m": shapes[tips].permute(2, 0, 1).flatten(1),
            "pose_tips_m": torch.tensor(asset.posedirs[tips]).permute(2, 0, 1).flatten(1),
            "tip_weights": torch.tensor(asset.weights[tips]),
        }
        for name, buffer in buffers.items():
            self.register_buffer(name, buffer, persistent=False)

    def forward(self, pose: Tensor, shape: Tensor) -> Tensor:
        identity = torch.eye(3, dtype=pose.dtype, device=pose.device)
        rotations = axis_angle_rotations((pose + self.hands_mean).reshape(-1, 15, 3))
        joints = self.rest_joints_m + (shape @ self.shape_joints_m).reshape(-1, 16, 3)
        tips = self.rest_tips_m + (shape @ self.shape_tips_m).reshape(-1, 5, 3)
        tips = tips + ((rotations - identity).reshape(-1, 135) @ self.pose_tips_m).reshape(-1, 5, 3)

        # Not expanded or flattened: what is exported from one hand is to take any number, of known shapes.
        turns, heads = [identity + 0 * rotations[:, 0]], [joints[:, 0]]
        for joint in range(1, 16):
            parent = self.parents[joint]
            offset = joints[:, joint] - joints[:, parent]
            turns.append(turns[parent] @ rotations[:, joint - 1])
            heads.append(heads[parent] + (turns[parent] @ offset[..., None])[..., 0])
        turn, head = torch.stack(turns, 1), torch.stack(heads, 1)

        shift = head - (turn @ joints[..., None])[..., 0]
        blended_turn = (self.tip_weights @ turn.reshape(-1, 16, 9)).reshape(-1, 5, 3, 3)
        tips = (blended_turn @ tips[..., None])[..., 0] + self.tip_weights @ shift

        fingers = torch.cat([head[:, FINGER_JOINTS], tips[:, :, None]], 2)
        return torch.cat([head[:, :1], fingers.reshape(-1, 20, 3)], 1) - head[:, :1]


def axis_angle_rotations(vectors: Tensor) -> Tensor:
    """(..., 3) rad -> rotations (..., 3, 3), by Rodrigues' formula; its gradient is finite at no turn."""
    angle = (vectors.square().sum(-1) + 1e-12).sqrt()[..., None, None]
    x, y, z = vectors.unbind(-1)
    zero = torch.zeros_like(x)
    rows = ([zero, -z, y], [z, zero, -x], [-y, x, zero])
    cross = torch.stack([torch.stack(row, -1) for row in rows], -2)
    sine = (angle / 2).sin()
    identity = torch.eye(3, dtype=vectors.dtype, device=vectors.device)
    return identity + angle.sin() / angle * cross + 2 * (sine / angle).square() * (cross @ cross)
