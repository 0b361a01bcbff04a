"""How ACE is trained (Fan et al. 2020, section 3.5): its recipe and the runs that this comes to, what a step
runs, and its validation.

Step one trains the encoders on single frames, each by itself; step two starts from both and trains everything
on clips. The nets without a gate are trained the same way.
"""

import math
from collections.abc import Iterable
from dataclasses import dataclass, field, fields, replace
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor, nn

from handfast.data.colour_batches import ColourMix
from handfast.data.colour_clips import ClipMix
from handfast.data.colour_frames import CLIPS, PARTS, WHOLE
from handfast.errors import HandfastError
from handfast.evaluation.metrics import mean_error, pck_auc
from handfast.losses.adaptive import adaptive_losses, single_frame_losses
from handfast.models import MODELS
from handfast.models.ace import AceNet, AceOutput, Encoder, Encoding, VanillaLstm
from handfast.training.recipe import Recipe, check_choice, check_not_negative
from handfast.training.task import Batch, Task, image_tensor

THRESHOLD = 0.5  # lambda, "which essentially follows the larger probability" (section 3.4)
_ENCODERS = ("coarse.", "fine.", "encoders.")  # before the names of their parameters in a net
AUC_MM = (20, 50)  # as the paper has it for STB


@dataclass(frozen=True)
class EncoderTraining:
    """Step one (equation 12): how long, on how many frames at once and how fast each encoder is trained on
    single frames. joints_weight: beta, of 3D joints beside heat-maps. coarse_from, fine_from: checkpoints
    that they start from, as ``init_from`` of ``Recipe``."""

    epochs: float = 30.0
    batch_size: int = 32
    learning_rate: float = 1e-3
    warmup_steps: int = 200
    joints_weight: float = 1.0
    coarse_from: str = ""
    fine_from: str = ""


@dataclass(frozen=True, kw_only=True)
class AceRecipe(Recipe):
    """Step two (equation 13), or step one alone where the model is an encoder, which then learns for as long
    and as fast as ``encoders`` says, whatever the rest does; its batches are of clips.

    coarse, fine: checkpoints of the encoders; one that the net has, and that is "", is trained before all
    else. fine_rate: gamma_g, the share of frames that the fine encoder is meant for; rate_weight: delta, of
    the loss that holds the gate to it. temperature_decay: of tau, which falls from 1 as exp(-decay x step) to
    lowest_temperature, so that samples of the gate become discrete (Jang et al. 2017). encoder_share: of
    learning_rate, which is the LSTM's and the gate's, that of the encoders: they have learned already, and
    the frames of a few clips are much alike. images: what the net sees, one of ``colour_frames.CLIPS``; part:
    of colour clips, one of ``colour_frames.PARTS`` or all. encoders: how these are trained. data: what is
    done to clips; its ``look``, to single frames as well.
    """

    coarse: str = ""
    fine: str = ""
    fine_rate: float = 0.05
    rate_weight: float = 1.0
    temperature_decay: float = 1e-4
    lowest_temperature: float = 0.5
    encoder_share: float = 0.03
    images: str = "colour"
    part: str = WHOLE
    encoders: EncoderTraining = field(default_factory=EncoderTraining)
    data: ClipMix = field(default_factory=lambda: ClipMix(ColourMix(input_px=256)))

    def __post_init__(self) -> None:
        super().__post_init__()
        check_choice("skeleton", self.skeleton, ("hand21",))
        check_choice("images", self.images, CLIPS)
        check_choice("part", self.part, (WHOLE, *PARTS) if self.images == "colour" else (WHOLE,))
        check_not_negative(self, "rate_weight", "temperature_decay")
        if not 0 <= self.fine_rate <= 1:
            raise HandfastError(f"recipe: fine_rate must be in 0..1, got {self.fine_rate}")
        if not 0 <= self.encoder_share <= 1:
            raise HandfastError(f"recipe: encoder_share must be in 0..1, got {self.encoder_share}")
        if not 0 < self.lowest_temperature <= 1:
            raise HandfastError(
                f"recipe: lowest_temperature must be in (0, 1], got {self.lowest_temperature}"
            )
        if _is_gated(self.model) and self.data.frames < 2:
            raise HandfastError(f"recipe: data.frames must be 2 or more for the gate of {self.model}, got 1")
        encoders = encoders_of(self.model).values() or [self.model]
        largest_px = max(MODELS[name].keywords["input_px"] for name in encoders)
        if self.data.look.input_px % largest_px:
            raise HandfastError(
                f"recipe: data.look.input_px must be a multiple of {largest_px} for {self.model}, got "
                f"{self.data.look.input_px}"
            )

    def starts(self) -> dict[str, str]:
        places = {
            f"{role}." if _is_gated(self.model) else f"encoders.{number}.": getattr(self, role)
            for number, role in enumerate(encoders_of(self.model))
        }
        return super().starts() | {place: path for place, path in places.items() if path}

    def interface(self) -> dict:
        seen = _interface(self.images, self.data.look)
        return seen | {"state_frames": self.data.frames} if _is_gated(self.model) else seen


@dataclass(frozen=True, kw_only=True)
class EncoderRun(Recipe):
    """Step one for one encoder. images, part: as of ``AceRecipe``."""

    joints_weight: float
    images: str
    part: str
    data: ColourMix

    def __post_init__(self) -> None:
        super().__post_init__()
        check_not_negative(self, "joints_weight")

    def interface(self) -> dict:
        return _interface(self.images, self.data)


def _interface(images: str, mix: ColourMix) -> dict:
    return {"input": {"image": f"{images} crop", "height": mix.input_px, "width": mix.input_px}}


def _is_gated(model: str) -> bool:
    """Of a net in MODELS."""
    return "gate" in MODELS[model].keywords


def encoders_of(model: str) -> dict[str, str]:
    """The encoders of a net in MODELS, as they are called there, by role: {"coarse": "hourglass-coarse",
    "fine": "hourglass-fine"}; none of an encoder."""
    keywords = MODELS[model].keywords
    return {role: keywords[role] for role in ("coarse", "fine") if role in keywords}


def ace_runs(recipe: AceRecipe) -> dict[str, Recipe]:
    """The runs of a recipe by name, in order: each encoder that it lacks, and what starts from them; "" for
    the only one."""
    encoders = encoders_of(recipe.model)
    if not encoders:
        return {"": _encoder_run(recipe, recipe.model, recipe.init_from)}
    lacking = {role: name for role, name in encoders.items() if not getattr(recipe, role)}
    if recipe.init_from or not lacking:
        return {"": recipe}
    starts = {"coarse": recipe.encoders.coarse_from, "fine": recipe.encoders.fine_from}
    runs = {role: _encoder_run(recipe, name, starts[role]) for role, name in lacking.items()}
    return runs | {"clips": replace(recipe, **{role: role for role in lacking})}


def _encoder_run(recipe: AceRecipe, model: str, init_from: str) -> EncoderRun:
    shared = {each.name: getattr(recipe, each.name) for each in fields(Recipe)}
    step_one = {name: value for name, value in vars(recipe.encoders).items() if not name.endswith("_from")}
    own = {"model": model, "init_from": init_from, "steps": 0, "data": recipe.data.look}
    return EncoderRun(**shared | step_one | own, images=recipe.images, part=recipe.part)


class FrameTargets(NamedTuple):
    """Of b frames: keypoints_px (b, K, 2), joints_cm (b, K, 3) from the wrist, has_3d (b,) bool."""

    keypoints_px: Tensor
    joints_cm: Tensor
    has_3d: Tensor


class EncoderTask(Task):
    """Step one. ``net`` is an encoder."""

    def __init__(self, recipe: EncoderRun) -> None:
        super().__init__()
        self.net: Encoder = MODELS[recipe.model]()
        self.input_px = recipe.data.input_px
        self.weights = {"heatmaps": 1.0, "joints": recipe.joints_weight}

    def forward(self, image: Tensor) -> Encoding:
        return self.net(image)

    def losses(self, predictions: Encoding, targets: FrameTargets) -> dict[str, Tensor]:
        keypoints_px, joints_cm, has_3d = targets
        return single_frame_losses(predictions, keypoints_px, self.input_px, joints_cm, has_3d)

    def tensors(self, batch: Batch) -> tuple[Tensor, FrameTargets]:
        """As of ``ColourBatches.batch``. The 3D of photos is a guess in a scale of its own: it teaches
        nothing here."""
        return image_tensor(batch["image"]), FrameTargets(
            torch.from_numpy(batch["keypoints_px"]),
            torch.from_numpy(100 * batch["joints_m"]),
            torch.from_numpy(batch["has_3d"] & batch["rendered"]),
        )

    def validate(self, net: nn.Module, batches: Iterable[Batch]) -> dict[str, float]:
        """Mean 3D error and its AUC over 20 to 50 mm, from the wrist, of rendered hands, not of photos."""
        device = next(net.parameters()).device
        errors_mm = []
        for batch in batches:
            rendered = batch["has_3d"] & batch["rendered"]
            if rendered.any():
                with torch.inference_mode():
                    joints_cm = net(image_tensor(batch["image"][rendered]).to(device)).joints_cm
                errors_mm.append(joint_errors_mm(joints_cm, batch["joints_m"][rendered]))
        return _metrics(errors_mm) if errors_mm else {}


class AceTask(Task):
    """Step two. ``net`` is one with a gate or without."""

    def __init__(self, recipe: AceRecipe) -> None:
        super().__init__()
        self.net: AceNet | VanillaLstm = MODELS[recipe.model]()
        self.recipe = recipe
        self.weights = {"encoders": 1.0, "lstm": 1.0, "rate": recipe.rate_weight}
        self.register_buffer("steps_done", torch.zeros((), dtype=torch.int64))
        self.train()

    def train(self, mode: bool = True) -> "AceTask":
        """The frames of a few clips are too alike to normalise by: the statistics of step one stay."""
        super().train(mode)
        for module in self.net.modules():
            if isinstance(module, (nn.BatchNorm1d, nn.BatchNorm2d)):
                module.eval()
        return self

    def parameter_groups(self) -> list[dict]:
        groups: dict[bool, list[nn.Parameter]] = {True: [], False: []}
        for name, parameter in self.net.named_parameters():
            groups[name.startswith(_ENCODERS)].append(parameter)
        return [
            {"params": groups[True], "share": self.recipe.encoder_share},
            {"params": groups[False], "share": 1.0},
        ]

    @property
    def temperature(self) -> float:
        """tau of the next step."""
        fallen = math.exp(-self.recipe.temperature_decay * self.steps_done.item())
        return max(self.recipe.lowest_temperature, fallen)

    def forward(self, clip: Tensor) -> AceOutput:
        # The noise is of torch's own generator, which the loop seeds, saves and restores.
        output = self.net(clip, temperature=self.temperature) if has_gate(self.net) else self.net(clip)
        self.steps_done += 1
        return output

    def losses(self, predictions: AceOutput, targets: Tensor) -> dict[str, Tensor]:
        return adaptive_losses(predictions, targets, self.recipe.fine_rate)

    def tensors(self, batch: Batch) -> tuple[Tensor, Tensor]:
        """As of ``ClipBatches.batch`` -> (b, T, 3, S, S) float32, 0..1, and joints (b, T, K, 3) cm."""
        return image_tensor(batch["image"]), torch.from_numpy(100 * batch["joints_m"])

    def validate(self, net: nn.Module, batches: Iterable[Batch]) -> dict[str, float]:
        """As of ``EncoderTask``, of clips followed from their first frames, and the share of frames that the
        fine encoder ran for, where a gate decides."""
        device = next(net.parameters()).device
        errors_mm, uses_fine = [], []
        for batch in batches:
            joints_cm, used = follow(net, image_tensor(batch["image"]).to(device))
            errors_mm.append(joint_errors_mm(joints_cm, batch["joints_m"]))
            uses_fine.append(used)
        metrics = _metrics(errors_mm)
        if has_gate(net):
            metrics["p_fine"] = torch.cat(uses_fine).float().mean().item()
        return metrics


def has_gate(net: nn.Module) -> bool:
    return isinstance(net, AceNet)


@torch.inference_mode()
def follow(
    net: AceNet | VanillaLstm, clip: Tensor, threshold: float = THRESHOLD
) -> tuple[Tensor, Tensor | None]:
    """clip (b, T, ...) of images, one after the other -> joints (b, T, K, 3) cm, and where the fine encoder
    ran (b, T) bool, None without a gate. threshold: lambda, which only a gate asks for."""
    state, joints_cm, uses_fine = net.initial_state(len(clip)), [], []
    for image in clip.unbind(1):
        if has_gate(net):
            joints_cm_t, state, used = net.step(image, state, threshold)
            uses_fine.append(used)
        else:
            joints_cm_t, state = net.step(image, state)
        joints_cm.append(joints_cm_t)
    return torch.stack(joints_cm, 1), torch.stack(uses_fine, 1) if uses_fine else None


def joint_errors_mm(joints_cm: Tensor, joints_m: np.ndarray) -> np.ndarray:
    """Of joints (..., K, 3): (n, K)."""
    errors_mm = np.linalg.norm(10 * joints_cm.float().cpu().numpy() - 1000 * joints_m, axis=-1)
    return errors_mm.reshape(-1, errors_mm.shape[-1])


def _metrics(errors_mm: list[np.ndarray]) -> dict[str, float]:
    together = np.concatenate(errors_mm)
    return {"error_mm": mean_error(together), "auc": pck_auc(together, *AUC_MM)}
