"""What ACE and the nets beside it do on clips of people that nobody has trained on, with every threshold."""

from collections.abc import Callable
from copy import deepcopy
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

from handfast.data.colour_clips import ClipBatches, open_whole_clips
from handfast.models.ace import AceNet, Encoder, Encoding, VanillaLstm, adaptive_macs
from handfast.models.cost import network_cost
from handfast.reproduce.adaptive_score import (
    RENEWED,
    THRESHOLDS,
    USUAL,
    WITHOUT_GATE,
    AdaptiveScore,
    Frames,
    at_threshold,
    quarters,
    score_frames,
)
from handfast.training.ace import (
    THRESHOLD,
    AceRecipe,
    encoders_of,
    follow,
    joint_errors_mm,
)
from handfast.training.checkpoint import load_checkpoint
from handfast.training.loop import MODEL_FILE
from handfast.training.task import image_tensor


def measure_adaptive(recipe: AceRecipe, data: Path, run_dir: Path) -> dict[str, AdaptiveScore]:
    """Score the net that a recipe left in a folder on whole clips of the split test.

    By part, see ``adaptive_score.py``: first that of the usual threshold, or without a gate. Raises
    HandfastError for a shard that is not as it was made.
    """
    net, _ = load_checkpoint(run_dir / MODEL_FILE)
    input_px = recipe.data.look.input_px
    parameters = sum(parameter.numel() for parameter in net.parameters())
    macs = macs_by_rate(net, input_px)
    clips = open_whole_clips(data, "test", input_px, recipe.images, recipe.part)
    seen = _watch(net, clips, has_parts=recipe.images == "colour")
    if isinstance(net, AceNet):
        parts = _parts_by_gate(net, seen, recipe.data.frames)
    else:
        has_fine = "fine" in (encoders_of(recipe.model) or recipe.model.split("-"))
        joints_cm = seen.joints_cm
        if isinstance(net, VanillaLstm):
            joints_cm, _ = follow(reading(net), seen.features)
        parts = {WITHOUT_GATE: seen.frames(joints_cm, np.full(seen.motion_mm.shape, has_fine))}
    return {
        part: score_frames(frames, macs(frames.uses_fine.mean()), parameters, input_px)
        for part, frames in parts.items()
    }


@dataclass(frozen=True)
class _Seen:
    """Of n clips of T frames: features (n, T, E, F) and the last of E encoders' joints_cm (n, T, K, 3);
    joints_m (n, T, K, 3), motion_mm and hidden_share (n, T) as labelled; third_person, first_person (n, T) as
    of ``Frames``."""

    features: Tensor
    joints_cm: Tensor
    joints_m: np.ndarray
    motion_mm: np.ndarray
    hidden_share: np.ndarray
    third_person: np.ndarray
    first_person: np.ndarray

    def frames(self, joints_cm: Tensor, uses_fine: np.ndarray) -> Frames:
        """All of them, with joints (n, T, K, 3) found so."""
        return Frames(
            joint_errors_mm(joints_cm, self.joints_m),
            uses_fine.ravel(),
            self.motion_mm.ravel(),
            self.hidden_share.ravel(),
            self.third_person.ravel(),
            self.first_person.ravel(),
        )


def _parts_by_gate(net: AceNet, seen: _Seen, trained_on: int) -> dict[str, Frames]:
    """trained_on: so many frames had a clip of training."""
    rest, by_threshold = reading(net), {}
    for threshold in THRESHOLDS:
        joints_cm, uses_fine = follow(rest, seen.features, threshold)
        by_threshold[at_threshold(threshold)] = seen.frames(joints_cm, uses_fine.numpy())
    usual, pieces = by_threshold[USUAL], seen.features.split(trained_on, dim=1)
    found = [follow(rest, piece, THRESHOLD) for piece in pieces]
    joints_cm, uses_fine = (torch.cat(of_pieces, dim=1) for of_pieces in zip(*found, strict=True))
    renewed = seen.frames(joints_cm, uses_fine.numpy())
    later = usual.of(np.arange(len(usual.errors_mm)) % seen.motion_mm.shape[1] > 0)
    masks = quarters(later.motion_mm, later.hidden_share)
    by_quarter = {name: later.of(mask) for name, mask in masks.items()}
    return {USUAL: usual} | by_threshold | {RENEWED: renewed} | by_quarter


@torch.inference_mode()
def _watch(net: nn.Module, clips: ClipBatches, has_parts: bool) -> _Seen:
    """All encoders on all frames, once: what then decides between them costs next to nothing. has_parts:
    the clips have those of ``colour_frames.PARTS``."""
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    encoders = [deepcopy(encoder).to(device) for encoder in encoders_in(net)]
    features, joints_cm, joints_m, hidden_share = [], [], [], []
    for step in range(len(clips)):
        clip = {name: of[0] for name, of in clips.batch(step, 1).items()}
        said = [encoder(image_tensor(clip["image"]).to(device)) for encoder in encoders]
        features.append(torch.stack([encoding.features.cpu() for encoding in said], dim=1))
        joints_cm.append(said[-1].joints_cm.cpu())
        joints_m.append(clip["joints_m"])
        hidden_share.append(1 - clip["visible"].mean(axis=1))
    joints_m = np.stack(joints_m)
    moved_mm = 1000 * np.linalg.norm(np.diff(joints_m, axis=1), axis=-1).mean(axis=-1)
    # Of the first frame of a clip what comes next stands for what came before.
    motion_mm = np.concatenate([moved_mm[:, :1], moved_mm], axis=1)
    third_person, first_person = (
        clips.frames.of_part(part).reshape(motion_mm.shape) & has_parts
        for part in ("third-person", "first-person")
    )
    return _Seen(
        torch.stack(features),
        torch.stack(joints_cm),
        joints_m,
        motion_mm,
        np.stack(hidden_share),
        third_person=third_person,
        first_person=first_person,
    )


def encoders_in(net: nn.Module) -> list[nn.Module]:
    """Those of a net with a gate or without, coarse before fine; of an encoder itself."""
    if isinstance(net, AceNet):
        return [net.coarse, net.fine]
    return list(net.encoders) if isinstance(net, VanillaLstm) else [net]


class _Read(nn.Module):
    """An encoder that has seen an image before: in its place comes what all encoders said, (b, E, F)."""

    def __init__(self, encoder: Encoder, number: int) -> None:
        super().__init__()
        self.joints, self.feature_size, self.number = encoder.joints, encoder.feature_size, number

    def forward(self, said: Tensor) -> Encoding:
        return Encoding(None, None, said[:, self.number])


def reading(net: AceNet | VanillaLstm) -> AceNet | VanillaLstm:
    """The same net after its encoders: instead of images it is shown what they said of them."""
    readers = [_Read(encoder, number) for number, encoder in enumerate(encoders_in(net))]
    rest = deepcopy(net)
    if isinstance(rest, AceNet):
        rest.coarse, rest.fine = readers
    else:
        rest.encoders = nn.ModuleList(readers)
    return rest


def macs_by_rate(net: nn.Module, input_px: int) -> Callable[[float], float]:
    """Multiply-accumulates of a frame on crops so wide, the mean, as a function of the share of frames that
    the fine encoder runs for."""
    shapes = deepcopy(net).to("meta")
    encoders = [
        network_cost(lambda encoder=encoder: encoder, 1, 3, input_px, input_px)[1]
        for encoder in encoders_in(shapes)
    ]
    if not isinstance(net, VanillaLstm | AceNet):
        return lambda p_fine: encoders[0]
    said = len(encoders), net.lstm.cell.input_size
    recurrent = network_cost(lambda: reading(shapes), 1, 1, *said)[1]
    if isinstance(net, VanillaLstm):
        return lambda p_fine: sum(encoders) + recurrent
    return lambda p_fine: adaptive_macs(*encoders, recurrent, p_fine, net.gate.sees_coarse)
