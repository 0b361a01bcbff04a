"""A small net that learns from another."""

from dataclasses import fields, replace

import pytest
import torch

from handfast.data.batches import Mix
from handfast.errors import HandfastError
from handfast.models.tofnet import Prediction
from handfast.training.checkpoint import read_tensors
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
    teacher = task.teacher.net
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
    parts, whole = (read_tensors(tmp_path / run / MODEL_FILE)[0] for run in ("parts", "whole"))
    assert all(torch.equal(parts[name], whole[name]) for name in whole)


def test_a_teacher_of_something_else_is_refused(distilled):
    for teacher in ("tofnet-hand21", "dense-hand21"):
        expected = rf"teacher must find 8 key-points \(tof8\) in images of amplitude, got {teacher}"
        with pytest.raises(HandfastError, match=expected):
            DistilledToFNet(replace(distilled, teacher=teacher))
    with pytest.raises(HandfastError, match="images of depth, got tofnet-tof8"):
        DistilledToFNet(replace(distilled, data=Mix(picture="depth")))
    with pytest.raises(HandfastError, match="teacher must be a packaged net or a checkpoint"):
        replace(distilled, teacher="")


def test_a_run_does_not_go_on_with_another_teacher(recipe, distilled, data, tmp_path):
    for seed in (0, 1):
        train(replace(recipe, seed=seed, steps=1), data, tmp_path / str(seed))
    taught = replace(distilled, teacher=str(tmp_path / "0" / MODEL_FILE))
    train(taught, data, tmp_path / "run", stop_after_step=1)
    (tmp_path / "1" / MODEL_FILE).replace(tmp_path / "0" / MODEL_FILE)
    with pytest.raises(HandfastError, match="holds a run with another teacher"):
        train(taught, data, tmp_path / "run")


def test_a_recipe_that_names_a_teacher_is_distilled():
    recipe, plain = load_recipe("chidananda2019-distilled"), load_recipe("chidananda2019")
    assert isinstance(recipe, DistilledRecipe) and not isinstance(plain, DistilledRecipe)
    shared = {field.name for field in fields(ToFNetRecipe)}
    assert {name: getattr(recipe, name) for name in shared} == {name: getattr(plain, name) for name in shared}
