"""Recipes: those that ship load, and what cannot be meant is refused."""

from dataclasses import replace
from importlib.resources import files

import pytest

from handfast.errors import HandfastError
from handfast.losses.multitask import LossWeights
from handfast.models import MODELS
from handfast.skeleton import SKELETONS
from handfast.training.families import load_recipe
from handfast.training.tofnet import ToFNetRecipe

SHIPPED = sorted(path.name.removesuffix(".toml") for path in (files("handfast") / "recipes").iterdir())
MINIMAL = 'model = "tofnet-tof8"\nskeleton = "tof8"\nsteps = 10\n'


@pytest.mark.parametrize("name", SHIPPED)
def test_shipped_recipes_fit_their_model(name):
    recipe = load_recipe(name)
    config = MODELS[recipe.model].keywords
    assert len(SKELETONS[recipe.skeleton]) == config.get("keypoints_per_hand", config.get("joints", 21))


def test_values_and_defaults(tmp_path):
    path = tmp_path / "recipe.toml"
    path.write_text(MINIMAL + "learning_rate = 1\n[losses]\nsegmentation = 0\n")
    assert load_recipe(path) == ToFNetRecipe(
        model="tofnet-tof8", skeleton="tof8", steps=10, learning_rate=1, losses=LossWeights(segmentation=0)
    )


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (MINIMAL + "learning_rat = 0.1\n", "unknown key 'learning_rat'"),
        (MINIMAL + "[losses]\nhands = 1.0\n", r"\[losses\]: unknown key 'hands'"),
        (MINIMAL + "[losses]\nvisibility = -1.0\n", r"losses: visibility must be 0 or more, got -1\.0"),
        (MINIMAL + "losses = 3\n", r"expected a table \[losses\]"),
        (MINIMAL + 'batch_size = "32"\n', "batch_size must be int, got '32'"),
        (MINIMAL + "batch_size = true\n", "batch_size must be int"),
        (MINIMAL + "batch_size = 1.5\n", "batch_size must be int"),
        (MINIMAL + "batch_size = 0\n", r"recipe\.toml: recipe: batch_size must be > 0"),
        (MINIMAL + "learning_rate = inf\n", "learning_rate must be > 0 and finite, got inf"),
        (MINIMAL + "ema_decay = 1.0\n", "ema_decay"),
        (MINIMAL + 'schedule = "step"\n', "schedule must be one of 'linear', 'cosine', got 'step'"),
        (MINIMAL.replace("tofnet-tof8", "tofnet"), "model must be one of"),
        ('model = "tofnet-tof8"\n', "lacks skeleton"),
        (MINIMAL.replace("steps = 10", ""), "expected one of steps and epochs, got steps 0 and epochs 0.0"),
        (MINIMAL + "epochs = 2\n", "expected one of steps and epochs, got steps 10 and epochs 2"),
        (MINIMAL + "epochs = inf\n", "epochs must be 0 or more, got inf"),
        (MINIMAL + "sigma_px = -1.0\n", "sigma_px must be 0 or more"),
        (MINIMAL + "lone_hand_teaches_both = 1\n", "lone_hand_teaches_both must be bool, got 1"),
        (MINIMAL + 'weighting = "automatic"\n', "weighting must be one of 'fixed', 'gradnorm'"),
        (MINIMAL + "[data]\nhands = 1.0\n", r"\[data\]: unknown key 'hands'; known are picture, look_share"),
        (MINIMAL + '[data]\npicture = "colour"\n', "picture must be one of any, amplitude, depth"),
        (MINIMAL + "[data]\nlook_share = 1.5\n", r"look_share must be in 0\.\.1, got 1\.5"),
        ("model =", "expected a recipe in TOML"),
    ],
)
def test_what_cannot_be_meant_is_refused(tmp_path, text, message):
    path = tmp_path / "recipe.toml"
    path.write_text(text)
    with pytest.raises(HandfastError, match=message):
        load_recipe(path)


def test_a_missing_file_is_named_and_what_there_is(tmp_path):
    with pytest.raises(HandfastError, match=r"nowhere\.toml.*expected .*hand21.*or the path"):
        load_recipe(tmp_path / "nowhere.toml")


def test_an_epoch_is_a_pass_over_the_frames():
    recipe = ToFNetRecipe(model="tofnet-tof8", skeleton="tof8", epochs=2.5, batch_size=8)
    assert recipe.steps_on(frames=100) == 32  # 31.25
    assert replace(recipe, epochs=0, steps=7).steps_on(frames=100) == 7


def test_pairs_of_numbers_are_lists_in_toml(tmp_path):
    path = tmp_path / "recipe.toml"
    text = 'model = "dirnet"\nskeleton = "hand21"\nepochs = 1\n[data]\nscale_range = {}\n'
    path.write_text(text.format("[0.6, 1]"))
    assert load_recipe(path).data.scale_range == (0.6, 1.0)
    for broken in ("0.6", "[0.6]", '[0.6, "1"]', "[0.6, true]"):
        path.write_text(text.format(broken))
        with pytest.raises(HandfastError, match="scale_range must be 2 numbers"):
            load_recipe(path)
