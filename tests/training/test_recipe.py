"""Recipes: those that ship load, and what cannot be meant is refused."""

from dataclasses import replace
from pathlib import Path

import pytest

from handfast.errors import HandfastError
from handfast.losses import LossWeights
from handfast.models import MODELS
from handfast.skeleton import SKELETONS
from handfast.training.recipe import Recipe, load_recipe

SHIPPED = sorted((Path(__file__).parents[2] / "recipes").glob("*.toml"))
MINIMAL = 'model = "tofnet-tof8"\nskeleton = "tof8"\nsteps = 10\n'


@pytest.mark.parametrize("path", SHIPPED, ids=lambda path: path.stem)
def test_shipped_recipes_fit_their_model(path):
    recipe = load_recipe(path)
    assert len(SKELETONS[recipe.skeleton]) == MODELS[recipe.model].keywords["keypoints_per_hand"]


def test_values_and_defaults(tmp_path):
    path = tmp_path / "recipe.toml"
    path.write_text(MINIMAL + "learning_rate = 1\n[losses]\nsegmentation = 0\n")
    assert load_recipe(path) == Recipe(
        model="tofnet-tof8", skeleton="tof8", steps=10, learning_rate=1, losses=LossWeights(segmentation=0)
    )


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (MINIMAL + "learning_rat = 0.1\n", "unknown key 'learning_rat'"),
        (MINIMAL + "[losses]\nhands = 1.0\n", r"\[losses\]: unknown key 'hands'"),
        (MINIMAL + "losses = 3\n", r"expected a table \[losses\]"),
        (MINIMAL + 'batch_size = "32"\n', "batch_size must be int, got '32'"),
        (MINIMAL + "batch_size = true\n", "batch_size must be int"),
        (MINIMAL + "batch_size = 1.5\n", "batch_size must be int"),
        (MINIMAL + "batch_size = 0\n", "batch_size must be > 0"),
        (MINIMAL + "ema_decay = 1.0\n", "ema_decay"),
        (MINIMAL + 'schedule = "step"\n', "schedule must be one of 'linear', 'cosine', got 'step'"),
        (MINIMAL.replace("tofnet-tof8", "tofnet"), "model must be one of"),
        ('model = "tofnet-tof8"\n', "lacks skeleton, steps"),
        ("model =", "expected a recipe in TOML"),
    ],
)
def test_what_cannot_be_meant_is_refused(tmp_path, text, message):
    path = tmp_path / "recipe.toml"
    path.write_text(text)
    with pytest.raises(HandfastError, match=message):
        load_recipe(path)


def test_a_missing_file_is_named(tmp_path):
    with pytest.raises(HandfastError, match=r"nowhere\.toml"):
        load_recipe(tmp_path / "nowhere.toml")


def test_the_hash_names_the_values(recipe):
    assert replace(recipe).hash == recipe.hash
    assert replace(recipe, losses=LossWeights(keypoints=2.0)).hash != recipe.hash
