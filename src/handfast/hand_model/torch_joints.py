"""The open hand's joints without its skin, in torch: what networks that predict a hand's pose end in.

``OpenHand`` and ``torch_mano.Mano`` share one interface: ``pose_size``, ``shape_size``, ``mean_pose``
(pose_size,), ``pose_limits`` (pose_size, 2), and ``forward(pose (b, pose_size), shape (b, shape_size)) ->
joints (b, 21, 3)`` in m, hand21, of a right hand, from the wrist in the hand's own axes.
"""

import numpy as np
import torch
from torch import Tensor, nn

from handfast.hand_model.articulation import DOF_BONES, FINGER_DOF_COUNT, angles_from_dofs
from handfast.hand_model.model import FINGER_BONES, KNUCKLE_SHARES, HandAsset
from handfast.hand_model.pose_prior import load_pose_prior


class OpenHand(nn.Module):
    """Right hand: pose (b, 22) rad, the fingers' dofs in the order of ``articulation``, and shape (b, 10) in
    standard deviations -> joints (b, 21, 3) m from the wrist.

    The joints of ``TorchHand``: knuckles as in ``hand21_keypoints``, and the skin at the fingertips moves
    with the last bones alone. mean_pose (22,), pose_limits (22, 2) rad: of recorded hands. None of it is
    saved with a net.
    """

    pose_size = FINGER_DOF_COUNT

    def __init__(self, asset: HandAsset) -> None:
        super().__init__()
        prior = load_pose_prior()
        self.shape_size = len(asset.shape_joints_m)
        at_rest = _fingers_m(asset, asset.joints_m, asset.vertices_m)
        shape_directions = _fingers_m(asset, asset.shape_joints_m, asset.shape_vertices_m)
        angles_of_dofs = angles_from_dofs(np.eye(FINGER_DOF_COUNT, len(DOF_BONES)))[:, FINGER_BONES]
        buffers = {
            "at_rest_m": at_rest,
            "shape_directions_m": shape_directions.reshape(self.shape_size, -1),
            "angles_of_dofs": angles_of_dofs.reshape(FINGER_DOF_COUNT, -1),
            "axes": asset.joint_axes[FINGER_BONES],
            "knuckle_shares": KNUCKLE_SHARES[:, None, None],
            "mean_pose": prior.component_weights @ prior.component_means,
            "pose_limits": prior.limits[:FINGER_DOF_COUNT],
        }
        for name, buffer in buffers.items():
            self.register_buffer(name, torch.tensor(buffer, dtype=torch.float32), persistent=False)

    def forward(self, pose: Tensor, shape: Tensor) -> Tensor:
        rest = self.at_rest_m + (shape @ self.shape_directions_m).reshape(-1, 5, 4, 3)
        angles = (pose @ self.angles_of_dofs).reshape(-1, 5, 3, 3)
        local = self.axes @ _rotations(angles) @ self.axes.transpose(-1, -2)
        turns = [local[:, :, 0]]
        for segment in (1, 2):
            turns.append(turns[-1] @ local[:, :, segment])
        bones = rest[:, :, 1:] - rest[:, :, :3]
        turned = (torch.stack(turns, 2) @ bones[..., None])[..., 0]
        first = rest[:, :, :1]
        # Knuckles lie between the joints that the rig turns first bones about and the wrist.
        fingers = torch.cat([first * (1 - self.knuckle_shares), first + turned.cumsum(2)], 2)
        points = fingers.reshape(-1, 20, 3)
        # Not padded: exported, its shape could not be told.
        return torch.cat([0 * points[:, :1], points], 1)


def _fingers_m(asset: HandAsset, joints_m: np.ndarray, vertices_m: np.ndarray) -> np.ndarray:
    """Joints (..., 21, 3) and skin (..., V, 3) -> each finger's joints and tip (..., 5, 4, 3), from the
    wrist."""
    tips = vertices_m[..., asset.tip_vertices, None, :]
    fingers = np.concatenate([joints_m[..., FINGER_BONES, :], tips], axis=-2)
    return fingers - joints_m[..., None, :1, :]


def _rotations(angles: Tensor) -> Tensor:
    """``model.joint_rotations`` in the joints' own axes: (b, 5, 3, 3) rad -> (b, 5, 3, 3, 3)."""
    flexion, abduction, twist = angles.unbind(-1)
    cf, sf, ca, sa, ct, st = (f(a) for a in (flexion, abduction, twist) for f in (torch.cos, torch.sin))
    rows = [
        ca * ct + sa * sf * st, -ca * st + sa * sf * ct, sa * cf,
        cf * st, cf * ct, -sf,
        -sa * ct + ca * sf * st, sa * st + ca * sf * ct, ca * cf,
    ]  # fmt: skip
    return torch.stack(rows, -1).reshape(-1, 5, 3, 3, 3)
