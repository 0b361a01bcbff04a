"""A small net that learns from another."""

from dataclasses import fields, replace

import pytest
import torch

from handfast.errors import HandfastError
from handfast.models.tofnet import Prediction
from handfast.training.distillation import DistilledRecipe, DistilledToFNet
from handfast.training.families import load_recipe, make_task
from handfast.training.loop import MODEL_FILE, train
from handfast.training.tofnet import ToFNetRecipe


@pytest.fixture
def distilled(recipe):
    shared = {field.name: getattr(recipe, field.name) for field in fields(recipe)}
    return DistilledRecipe(**shared, teacher="tofnet-tof8")


def test_a_teacher_is_heard_beside_the_labels(distilled, data):
    task = make_task(distilled)
    assert isinstance(task, DistilledToFNet)
    image, targets = task.tensors(data.batch(0, 4))
    prediction, auxiliary, taught = task(image)
    assert prediction.heatmaps.requires_grad and not any(part.requires_grad for part in taught)
    losses = task.losses((prediction, auxiliary, taught), targets)
    of_labels = {name for name in losses if not name.startswith("teacher_")}
    assert losses.keys() - of_labels == {"teacher_keypoints", "teacher_visibility"}
    assert losses.keys() == task.weights.keys()
    assert task.weights["teacher_visibility"] == distilled.losses.visibility
    itself = task.losses((Prediction(*taught), auxiliary, taught), targets)
    assert itself["teacher_keypoints"] == 0 < itself["keypoints"]


def test_the_teacher_neither_learns_nor_ships(distilled, data, tmp_path):
    task = DistilledToFNet(distilled)
    (teacher,) = task._teacher
    before = {name: tensor.clone() for name, tensor in teacher.state_dict().items()}
    task.train()
    image, targets = task.tensors(data.batch(0, 4))
    sum(task.losses(task(image), targets).values()).backward()
    assert not teacher.training
    assert all(torch.equal(tensor, before[name]) for name, tensor in teacher.state_dict().items())
    assert not any("teacher" in name for name in task.state_dict())


def test_a_run_with_a_teacher_goes_on_where_it_stopped(distilled, data, tmp_path, one_thread):
    train(distilled, data, tmp_path / "whole")
    for end in (2, None):
        train(distilled, data, tmp_path / "parts", stop_after_step=end)
    assert (tmp_path / "parts" / MODEL_FILE).read_bytes() == (tmp_path / "whole" / MODEL_FILE).read_bytes()


def test_a_teacher_of_something_else_is_refused(distilled):
    for teacher in ("tofnet-hand21", "dense-hand21"):
        with pytest.raises(HandfastError, match=f"teacher must find 8 key-points of 2 .* got {teacher}"):
            DistilledToFNet(replace(distilled, teacher=teacher))


def test_a_recipe_that_names_a_teacher_is_distilled():
    recipe, plain = load_recipe("chidananda2019-distilled"), load_recipe("chidananda2019")
    assert isinstance(recipe, DistilledRecipe) and not isinstance(plain, DistilledRecipe)
    shared = {field.name for field in fields(ToFNetRecipe)}
    assert {name: getattr(recipe, name) for name in shared} == {name: getattr(plain, name) for name in shared}
