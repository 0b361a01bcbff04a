"""A recipe from end to end: in one run, or in several of which each goes on from one before it."""

from collections.abc import Callable
from pathlib import Path

from handfast.errors import HandfastError
from handfast.files import write_whole
from handfast.training.ace import AceRecipe, ace_runs
from handfast.training.checkpoint import checkpoint_path
from handfast.training.dirnet import DIRNetRecipe, dirnet_runs
from handfast.training.families import open_data
from handfast.training.hardware import is_first_process
from handfast.training.loop import MODEL_FILE, STATE_FILE, train
from handfast.training.recipe import Recipe


def runs_of(recipe: Recipe) -> dict[str, Recipe]:
    """The runs of a recipe, in order, by the names of their folders; "" for the only one. Where one starts
    from others, its ``starts`` name them."""
    match recipe:
        case DIRNetRecipe():
            return dirnet_runs(recipe)
        case AceRecipe():
            return ace_runs(recipe)
    return {"": recipe}


def _check_starts(runs: dict[str, Recipe], run_dir: Path) -> None:
    """HandfastError where a run that has not begun starts from a checkpoint that is missing: before data are
    read, which takes long."""
    for name, run in runs.items():
        if (run_dir / name / STATE_FILE).exists():
            continue
        for source in run.starts().values():
            if source not in runs and not checkpoint_path(source).is_file():
                raise HandfastError(
                    f"{source}: no checkpoint to start from; expected the file of a run or a packaged model"
                )


def train_recipe(
    recipe: Recipe,
    folder: Path,
    photos: Path | None,
    run_dir: Path,
    devices: int,
    say: Callable[[str], None],
    scenes: Path | None = None,
) -> dict[str, float]:
    """Train on a folder of data, or go on where that stopped; -> the last validation metrics.

    photos: labelled photos to mix in. scenes: pictures without hands. ``run_dir`` gets model.safetensors, and
    a folder for each run that has a name, as ``loop.train`` makes them. say: gets a line whenever one of
    several begins. Raises HandfastError for photos that no run takes, and as ``open_data`` and ``loop.train``
    do.
    """
    runs = runs_of(recipe)
    if photos is not None and all(isinstance(run, AceRecipe) for run in runs.values()):
        raise HandfastError(
            f"{recipe.model}: photos teach its encoders, and this recipe trains none; leave --photos out"
        )
    _check_starts(runs, run_dir)
    for number, (name, run) in enumerate(runs.items(), start=1):
        if len(runs) > 1:
            say(f"{name}: run {number} of {len(runs)}")
        starts = {
            prefix: run_dir / source / MODEL_FILE for prefix, source in run.starts().items() if source in runs
        }
        data = open_data(run, folder, photos, scenes)
        metrics = train(run, data, run_dir / name, devices=devices, starts=starts)
    if name and is_first_process():
        write_whole(run_dir / MODEL_FILE, (run_dir / name / MODEL_FILE).read_bytes())
    return metrics
