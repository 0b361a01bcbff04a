"""Which record, task and data the networks of a family are trained with."""

from pathlib import Path

from handfast.data.batches import open_batches
from handfast.data.depth_batches import open_depth_batches
from handfast.errors import HandfastError
from handfast.training.dense_regression import DenseRecipe, DenseTask
from handfast.training.recipe import Recipe, make_record, read_recipe
from handfast.training.task import Task, TrainingData
from handfast.training.tofnet import MultiTaskToFNet, ToFNetRecipe


def load_recipe(name_or_path: str | Path) -> Recipe:
    """A packaged recipe by name, or one in a TOML file, as the record of its model's family.

    Raises HandfastError if there is none, it is not TOML, or a key is unknown, missing or of another type.
    """
    path, values = read_recipe(name_or_path)
    is_dense = str(values.get("model", "")).startswith("dense-")
    return make_record(str(path), values, DenseRecipe if is_dense else ToFNetRecipe)


def make_task(recipe: Recipe) -> Task:
    """The network that a recipe trains, as it is trained."""
    match recipe:
        case ToFNetRecipe():
            return MultiTaskToFNet(recipe)
        case DenseRecipe():
            return DenseTask(recipe)


def open_data(recipe: Recipe, folder: Path, photos: Path | None = None) -> TrainingData:
    """A folder made by ``handfast synth`` as the batches of a recipe.

    photos: a folder of labelled photos to mix in. Raises HandfastError as the family's data do.
    """
    match recipe:
        case ToFNetRecipe():
            return open_batches(folder, recipe.data, recipe.seed, photos)
        case DenseRecipe() if photos is None:
            return open_depth_batches(folder, recipe.data, recipe.seed)
    raise HandfastError(f"{recipe.model} learns from depth images; photos cannot be mixed in")
