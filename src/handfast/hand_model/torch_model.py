"""The open hand in torch: batched and differentiable, from the same asset as ``model``."""

import torch
from torch import Tensor, nn

from handfast.hand_model.model import FINGER_BONES, KNUCKLE_SHARES, HandAsset


class TorchHand(nn.Module):
    """Right hand: rotations (b, 21, 3, 3), shape (b, S) -> key-points (b, 21, 3) and vertices (b, V, 3), m.

    Knuckles and fingertips as in ``hand21_keypoints``. For a left hand negate x of both results.
    """

    def __init__(self, asset: HandAsset):
        super().__init__()
        self.parents = asset.parents.tolist()
        for name in ("vertices_m", "joints_m", "shape_vertices_m", "shape_joints_m", "bone_weights"):
            self.register_buffer(name, torch.tensor(getattr(asset, name)))
        for name in ("bone_indices", "tip_vertices"):
            self.register_buffer(name, torch.tensor(getattr(asset, name), dtype=torch.long))
        self.register_buffer("knuckle_shares", torch.tensor(KNUCKLE_SHARES)[:, None])

    def forward(self, rotations: Tensor, shape: Tensor) -> tuple[Tensor, Tensor]:
        rest_vertices = self.vertices_m + torch.einsum("bs,svc->bvc", shape, self.shape_vertices_m)
        rest_joints = self.joints_m + torch.einsum("bs,sjc->bjc", shape, self.shape_joints_m)
        turns, heads = [rotations[:, 0]], [rest_joints[:, 0]]
        for bone in range(1, 21):
            parent = self.parents[bone]
            offset = rest_joints[:, bone] - rest_joints[:, parent]
            turns.append(turns[parent] @ rotations[:, bone])
            heads.append(heads[parent] + (turns[parent] @ offset[..., None])[..., 0])
        turn, head = torch.stack(turns, 1), torch.stack(heads, 1)
        shift = head - (turn @ rest_joints[..., None])[..., 0]
        matrices = torch.cat([turn, shift[..., None]], -1)[:, self.bone_indices]  # b v k 3 4
        blended = torch.einsum("vk,bvkij->bvij", self.bone_weights, matrices)
        vertices = (blended[..., :3] @ rest_vertices[..., None])[..., 0] + blended[..., 3]
        first = head[:, FINGER_BONES[:, 0]]
        knuckles = first + self.knuckle_shares * (head[:, :1] - first)
        others, tips = head[:, FINGER_BONES[:, 1:]], vertices[:, self.tip_vertices, None]
        fingers = torch.cat([knuckles[:, :, None], others, tips], 2)
        return torch.cat([head[:, :1], fingers.flatten(1, 2)], 1), vertices
