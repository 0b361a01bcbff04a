"""Which record, task and data the networks of a family are trained with."""

from pathlib import Path

from handfast.data.batches import open_batches
from handfast.data.colour_batches import open_colour_batches
from handfast.data.colour_clips import open_clip_batches
from handfast.data.colour_views import open_colour_views
from handfast.data.depth_batches import open_depth_batches
from handfast.data.depth_datasets import open_dataset_batches
from handfast.errors import HandfastError
from handfast.training.ace import AceRecipe, AceTask, EncoderRun, EncoderTask
from handfast.training.dense_regression import DataSetRecipe, DenseRecipe, DenseTask
from handfast.training.dirnet import DIRNetRecipe, DIRNetRun, DIRNetTask
from handfast.training.distillation import DistilledRecipe, DistilledToFNet
from handfast.training.recipe import Recipe, make_record, read_recipe
from handfast.training.task import Task, TrainingData
from handfast.training.tofnet import MultiTaskToFNet, ToFNetRecipe


def load_recipe(name_or_path: str | Path) -> Recipe:
    """A packaged recipe by name, or one in a TOML file, as the record of its model's family.

    Raises HandfastError if there is none, it is not TOML, or a key is unknown, missing or of another type.
    """
    path, values = read_recipe(name_or_path)
    record = DistilledRecipe if "teacher" in values else ToFNetRecipe
    if str(values.get("model", "")).startswith("dense-"):
        record = DataSetRecipe if "dataset" in values else DenseRecipe
    elif str(values.get("model", "")).startswith("dirnet"):
        record = DIRNetRecipe
    elif str(values.get("model", "")).startswith(("ace", "lstm-", "hourglass-")):
        record = AceRecipe
    return make_record(str(path), values, record)


def make_task(recipe: Recipe) -> Task:
    """The network that a recipe trains, as it is trained."""
    match recipe:
        case DistilledRecipe():
            return DistilledToFNet(recipe)
        case ToFNetRecipe():
            return MultiTaskToFNet(recipe)
        case DenseRecipe():
            return DenseTask(recipe)
        case DIRNetRun():
            return DIRNetTask(recipe)
        case EncoderRun():
            return EncoderTask(recipe)
        case AceRecipe():
            return AceTask(recipe)


def open_data(
    recipe: Recipe, folder: Path, photos: Path | None = None, scenes: Path | None = None
) -> TrainingData:
    """A folder made by ``handfast synth``, or the copy of a data set that the recipe names, as its batches.

    photos: a folder of labelled photos to mix in, but for clips, of which there are none. scenes: one of
    pictures without hands, for finders in colour. Raises HandfastError as the family's data do.
    """
    if scenes is not None and not (isinstance(recipe, ToFNetRecipe) and recipe.in_colour):
        raise HandfastError(f"{recipe.model} takes no --scenes; only finders in colour such as tofnet-rgb do")
    match recipe:
        case ToFNetRecipe(in_colour=True):
            return open_colour_views(folder, recipe.data, recipe.seed, photos, scenes)
        case ToFNetRecipe():
            return open_batches(folder, recipe.data, recipe.seed, photos)
        case DIRNetRecipe():
            return open_colour_batches(folder, recipe.data, recipe.seed, photos)
        case EncoderRun() if photos is None or recipe.images == "colour":
            return open_colour_batches(folder, recipe.data, recipe.seed, photos, recipe.images, recipe.part)
        case AceRecipe():
            return open_clip_batches(folder, recipe.data, recipe.seed, recipe.images, recipe.part)
        case DataSetRecipe() if photos is None:
            return open_dataset_batches(recipe.dataset, folder, recipe.data, recipe.seed)
        case DenseRecipe() if photos is None:
            return open_depth_batches(folder, recipe.data, recipe.seed)
    raise HandfastError(f"{recipe.model} learns from depth or amplitude; colour photos cannot be mixed in")
