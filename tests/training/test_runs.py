"""A recipe from end to end: one run or several, each from the one before, cut off anywhere."""

from dataclasses import replace

import pytest
import torch

from handfast.data.colour_batches import ColourBatches, ColourMix
from handfast.errors import HandfastError
from handfast.training.checkpoint import load_checkpoint, read_tensors
from handfast.training.dirnet import DIRNetRecipe
from handfast.training.families import load_recipe
from handfast.training.loop import MODEL_FILE
from handfast.training.runs import runs_of, train_recipe
from handfast.training.tofnet import ToFNetRecipe

pytestmark = pytest.mark.usefixtures("one_thread")


@pytest.fixture(scope="module")
def recipe():
    return DIRNetRecipe(
        model="dirnet", skeleton="hand21", loops=1, epochs=0.25, loop_epochs=0.25, gate_epochs=0.25,
        batch_size=4, warmup_steps=1, precision="32-true", checkpoint_every_s=0.0,
        data=ColourMix(32, photo_share=0.0),
    )  # fmt: skip


@pytest.fixture(scope="module")
def whole(recipe, dotted_folder, tmp_path_factory):
    """The folder of a recipe trained without a break, what was said, and the last metrics."""
    folder, said = tmp_path_factory.mktemp("whole"), []
    return folder, said, train_recipe(recipe, dotted_folder, None, folder, 1, said.append)


def test_other_recipes_are_one_run_without_a_name():
    recipe = ToFNetRecipe(model="tofnet-tof8", skeleton="tof8", steps=3)
    assert runs_of(recipe) == {"": recipe}


def test_runs_follow_each_other_and_the_last_network_is_the_recipes(recipe, whole):
    folder, said, metrics = whole
    assert said == ["loop-0: run 1 of 3", "loop-1: run 2 of 3", "gate: run 3 of 3"]
    assert (folder / MODEL_FILE).read_bytes() == (folder / "gate" / MODEL_FILE).read_bytes()
    net, card = load_checkpoint(folder / MODEL_FILE)
    assert card["metrics"] == metrics and card["step"] == 3  # a quarter of 48 frames in batches of 4
    assert card["recipe_hash"] == runs_of(recipe)["gate"].hash
    before, _ = read_tensors(folder / "loop-1" / MODEL_FILE)
    learnt = {name for name, of in net.state_dict().items() if not torch.equal(of, before[name])}
    assert {name.split(".")[0] for name in learnt} == {"gate"}


@pytest.mark.parametrize("changes", [{"loops": 0}, {"progressive": False, "gate_epochs": 0.0}])
def test_a_recipe_of_one_named_run_leaves_its_network_too(recipe, dotted_folder, tmp_path, changes):
    recipe, said = replace(recipe, **changes), []
    train_recipe(recipe, dotted_folder, None, tmp_path, 1, said.append)
    (name,) = runs_of(recipe)
    assert said == [] and (tmp_path / MODEL_FILE).read_bytes() == (tmp_path / name / MODEL_FILE).read_bytes()


def test_photos_that_no_run_takes_are_refused(tmp_path):
    recipe = replace(load_recipe("ace"), coarse="coarse.safetensors", fine="fine.safetensors")
    with pytest.raises(HandfastError, match=r"ace: photos teach its encoders.*leave --photos out"):
        train_recipe(recipe, tmp_path, tmp_path, tmp_path / "run", 1, print)


@pytest.mark.parametrize(
    "recipe",
    [
        replace(load_recipe("finetune"), init_from="nowhere.safetensors"),
        replace(load_recipe("ace"), coarse="assets", fine="nowhere.safetensors"),
    ],
)
def test_a_start_that_is_missing_is_noticed_before_data_are_read(tmp_path, monkeypatch, recipe):
    monkeypatch.setattr("handfast.training.runs.open_data", None)
    with pytest.raises(HandfastError, match=": no checkpoint to start from; expected"):
        train_recipe(recipe, tmp_path, None, tmp_path / "run", 1, print)
    assert not (tmp_path / "run").exists()


class Killed(Exception):
    pass


@pytest.mark.parametrize("after", [2, 5, 7])
def test_a_recipe_killed_in_any_of_its_runs_ends_the_same(
    recipe, dotted_folder, whole, tmp_path, monkeypatch, after
):
    make_batch, made = ColourBatches.batch, []

    def break_off(self, step, batch_size):
        if batch_size == recipe.batch_size:  # else it is for validation
            made.append(step)
            if len(made) > after:
                raise Killed
        return make_batch(self, step, batch_size)

    monkeypatch.setattr(ColourBatches, "batch", break_off)
    with pytest.raises(Killed):
        train_recipe(recipe, dotted_folder, None, tmp_path, 1, lambda line: None)
    monkeypatch.undo()
    assert not (tmp_path / MODEL_FILE).exists()

    metrics = train_recipe(recipe, dotted_folder, None, tmp_path, 1, lambda line: None)
    tensors, card = read_tensors(whole[0] / MODEL_FILE)
    resumed, resumed_card = read_tensors(tmp_path / MODEL_FILE)
    assert card == resumed_card and metrics == whole[2]
    assert all(torch.equal(tensors[name], resumed[name]) for name in tensors)
