"""The training loop: one pass over steps, which can be cut off anywhere and goes on from its last checkpoint.

Each step's batch is a pure function of the step's number, so a resumed run sees the data that an
uninterrupted one would have seen and ends in the same weights, bit for bit, on the same machine.
"""

import math
import time
from collections import deque
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import nullcontext
from pathlib import Path
from typing import NoReturn

import torch
from lightning_fabric import Fabric
from torch import Tensor
from torch.optim.swa_utils import AveragedModel

from handfast.errors import HandfastError
from handfast.files import make_folder
from handfast.losses import total_loss
from handfast.models import MODELS
from handfast.training.checkpoint import (
    initialise_from,
    load_training_state,
    save_checkpoint,
    save_training_state,
)
from handfast.training.families import make_task
from handfast.training.gradnorm import GradNorm
from handfast.training.log import RunLog
from handfast.training.recipe import Recipe
from handfast.training.task import Task, TrainingData

PREFETCHED_BATCHES = 4
MODEL_FILE, STATE_FILE, FAILED_FILE = "model.safetensors", "state.safetensors", "failed.safetensors"


def train(
    recipe: Recipe,
    data: TrainingData,
    run_dir: Path,
    stop_after_step: int | None = None,
    devices: int = 1,
    starts: Mapping[str, Path] | None = None,
) -> dict[str, float]:
    """Train until the recipe's last step, or ``stop_after_step``; -> the last validation metrics.

    starts: the checkpoints that the recipe's ``starts`` mean, where they name other runs.

    ``run_dir`` receives model.safetensors (the averaged net and its card), state.safetensors (to go on from)
    and the log. Called again on the same folder it goes on. HandfastError if the folder is another recipe's
    or of other data, and when loss or gradient is no longer finite: the weights before that step, with
    statistics after it, are then in failed.safetensors to look at, and the message names the files that the
    step's batch was made from.
    """
    if recipe.weighting == "gradnorm" and devices > 1:
        raise HandfastError("recipe: weighting gradnorm works on one device, which sees all gradients")
    batch_size, left_over = divmod(recipe.batch_size, devices)
    if left_over:
        raise HandfastError(f"recipe: batch_size {recipe.batch_size} cannot be shared by {devices} devices")
    make_folder(run_dir)
    torch.manual_seed(recipe.seed)
    try:
        fabric = Fabric(accelerator="auto", devices=devices, precision=recipe.precision)
        fabric.launch()
    except (RuntimeError, ValueError) as error:
        raise HandfastError(
            f"{devices} devices in {recipe.precision}: cannot be had here ({error})"
        ) from error
    task = make_task(recipe).to(memory_format=torch.channels_last)
    if not any(task.weights.values()):
        raise HandfastError("recipe: losses: every weight is 0, so that there is nothing to learn")
    state_path = run_dir / STATE_FILE
    if not state_path.exists():
        for prefix, source in (recipe.starts() | dict(starts or {})).items():
            initialise_from(task.net, str(source), prefix)
    average = AveragedModel(task.net, multi_avg_fn=_warmed_up_average(recipe.ema_decay), use_buffers=True)
    average = average.to(fabric.device).eval()
    optimizer = torch.optim.AdamW(
        task.parameter_groups(), lr=recipe.learning_rate, weight_decay=recipe.weight_decay
    )
    model, optimizer = fabric.setup(task, optimizer)

    gradnorm = GradNorm(task.weights) if recipe.weighting == "gradnorm" else None

    taught_by = task.teacher.identity if task.teacher else ""
    start, metrics = 0, {}
    if state_path.exists():
        record = load_training_state(state_path, task, average, optimizer.optimizer)
        if record["recipe_hash"] != recipe.hash:
            raise HandfastError(f"{run_dir}: holds a run of another recipe; choose a new folder")
        if record.get("data", data.name) != data.name:
            raise HandfastError(
                f"{run_dir}: holds a run on {record['data']}, not on {data.name}; choose a new folder"
            )
        if record.get("teacher", taught_by) != taught_by:
            raise HandfastError(f"{run_dir}: holds a run with another teacher; choose a new folder")
        start, metrics = record["step"], record["metrics"]
        if gradnorm:
            gradnorm.restore(record["gradnorm"])

    def save_state(path: Path, step: int) -> None:
        record = {"step": step, "recipe_hash": recipe.hash, "data": data.name, "metrics": metrics}
        record["teacher"] = taught_by
        if gradnorm:
            record["gradnorm"] = gradnorm.state
        save_training_state(path, task, average, optimizer.optimizer, record)

    def save(step: int) -> None:
        # In this order, or a run cut off between the two would count as ended without its last net.
        save_checkpoint(run_dir / MODEL_FILE, average.module, model_card(recipe, data.name, step, metrics))
        save_state(state_path, step)

    steps = recipe.steps_on(len(data))
    end = steps if stop_after_step is None else min(stop_after_step, steps)
    last_save_s = last_validation_s = time.monotonic()
    # Several devices share each step's samples; the first one logs, validates and saves.
    numbers = range(
        start * fabric.world_size + fabric.global_rank, end * fabric.world_size, fabric.world_size
    )
    first = fabric.is_global_zero

    def give_up(step: int, why: str, rank: int = fabric.global_rank) -> NoReturn:
        if first:
            save_state(run_dir / FAILED_FILE, step)
        origin = data.origin(step * fabric.world_size + rank, batch_size)
        raise HandfastError(
            f"step {step + 1}: {why}; its batch was made from {origin}, the weights before it are "
            f"in {run_dir / FAILED_FILE}; if the data are sound, train anew with a lower learning rate"
        )

    with RunLog(run_dir, start, steps) if first else nullcontext() as log:
        for step, (image, targets) in enumerate(_prefetch(task, data, batch_size, numbers), start):
            for group in optimizer.param_groups:
                group["lr"] = group["share"] * learning_rate(recipe, step, steps)
            # Here and not in the model, since reduced precision is for its layers only.
            predictions = model(fabric.to_device(image))
            losses = task.losses(predictions, fabric.to_device(targets))
            if gradnorm:
                gradnorm.update(losses, task.shared_weight, fabric.backward)
            total = total_loss(losses, gradnorm.weights if gradnorm else task.weights)
            is_finite = math.isfinite(total.item())
            # All devices end together: one that ends by itself leaves the others waiting.
            failing = torch.tensor(0 if is_finite else 1 + fabric.global_rank, device=fabric.device)
            device = int(fabric.all_reduce(failing, reduce_op="max"))
            if not is_finite:
                broken = ", ".join(name for name, value in losses.items() if not math.isfinite(value.item()))
                give_up(step, f"the loss is {total.item()} ({broken})")
            if device > 0:
                give_up(step, f"the loss is not finite on device {device}", device - 1)
            optimizer.zero_grad()
            fabric.backward(total)
            norm = fabric.clip_gradients(
                model, optimizer, max_norm=recipe.gradient_clip, error_if_nonfinite=False
            )
            if not math.isfinite(norm.item()):
                give_up(step, f"the gradient's norm is {norm.item()}")
            optimizer.step()
            average.update_parameters(task.net)

            if not first:
                continue
            done = step + 1
            log.advance(done)
            if done % recipe.log_every_steps == 0 or done == end:
                scalars = {name: value.item() for name, value in losses.items()}
                scalars |= {"total": total.item(), "gradient_norm": norm.item()}
                if gradnorm:
                    scalars |= {f"{name}_weight": weight for name, weight in gradnorm.weights.items()}
                log.scalars("train", done, scalars)
            now_s = time.monotonic()
            if data.validation and (now_s - last_validation_s > recipe.validate_every_s or done == end):
                metrics = {
                    f"{kind}_{name}": value
                    for kind, batches in data.validation.items()
                    for name, value in task.validate(average.module, batches).items()
                }
                log.scalars("validation", done, metrics)
                last_validation_s = time.monotonic()
            if now_s - last_save_s > recipe.checkpoint_every_s or done == end:
                save(done)
                last_save_s = time.monotonic()
    fabric.barrier()  # the others may start from what the first one has saved
    return metrics


def learning_rate(recipe: Recipe, step: int, steps: int) -> float:
    """Linear warm-up to the recipe's rate, then its schedule down to zero at the end of ``steps``."""
    if step < recipe.warmup_steps:
        return recipe.learning_rate * (step + 1) / recipe.warmup_steps
    progress = (step - recipe.warmup_steps) / max(steps - recipe.warmup_steps, 1)
    remaining = 1 - progress if recipe.schedule == "linear" else 0.5 * (1 + math.cos(math.pi * progress))
    return recipe.learning_rate * remaining


def model_card(recipe: Recipe, data_name: str, step: int, metrics: dict[str, float]) -> dict:
    """What a user of the net must know about it, as JSON-able values; the export adds its cost."""
    return {
        "family": recipe.model.split("-")[0],
        "name": recipe.model,
        "config": dict(MODELS[recipe.model].keywords),
        "skeleton": recipe.skeleton,
        **recipe.interface(),
        "recipe_hash": recipe.hash,
        "trained_on": data_name,
        "step": step,
        "metrics": metrics,
        "licence": "Apache-2.0",
    }


def _warmed_up_average(decay: float):
    """Exponential averaging that soon forgets the start: the decay grows to ``decay`` with the updates."""

    @torch.no_grad()
    def update(averaged: list[Tensor], current: list[Tensor], updates: Tensor | int) -> None:
        updates = int(updates)
        weight = 1 - min(decay, (1 + updates) / (10 + updates))
        for mean, value in zip(averaged, current, strict=True):
            if mean.is_floating_point():
                mean.lerp_(value, weight)
            else:  # batch normalisation's counter
                mean.copy_(value)

    return update


def _prefetch(
    task: Task, data: TrainingData, batch_size: int, numbers: Sequence[int]
) -> Iterator[tuple[Tensor, object]]:
    """The batches of these numbers, in order, prepared ahead by one thread."""
    with ThreadPoolExecutor(max_workers=1) as executor:
        ahead: deque = deque()
        for i in range(len(numbers) + PREFETCHED_BATCHES):
            if i < len(numbers):
                ahead.append(executor.submit(lambda n: task.tensors(data.batch(n, batch_size)), numbers[i]))
            if i >= PREFETCHED_BATCHES:
                yield ahead.popleft().result()
