"""Dense regression learns: its targets are the codec's, its losses fall, its errors are counted in mm."""

import json
from dataclasses import fields, replace

import numpy as np
import pytest
import torch

from handfast.codecs.dense import DenseMaps, decode_joints
from handfast.data.depth_batches import DepthBatches, DepthMix, open_depth_batches
from handfast.errors import HandfastError
from handfast.models.dense_regression import DensePrediction
from handfast.skeleton import NYU14
from handfast.training.checkpoint import load_checkpoint
from handfast.training.dense_regression import DataSetRecipe, DenseRecipe, DenseTask, crops_of, errors_mm
from handfast.training.families import load_recipe, open_data
from handfast.training.loop import MODEL_FILE, train


@pytest.fixture(scope="module")
def recipe():
    return DenseRecipe(
        model="dense-lean-supervised", skeleton="nyu14", steps=3, batch_size=2, warmup_steps=1,
        gradient_clip=1e4, precision="32-true", log_every_steps=1,
    )  # fmt: skip


@pytest.fixture(scope="module")
def batch(depth_folder):
    source = open_depth_batches(depth_folder, DepthMix(), 3)
    return DepthBatches(source.frames, 0, None).batch(0, 3)


def test_targets_are_those_of_the_codec(recipe, batch):
    depth, targets = DenseTask(recipe).tensors(batch)
    assert depth.shape == (3, 1, 128, 128) and sorted(targets) == [4, 8, 16, 32]
    decoded_mm, _ = decode_joints(DenseMaps(*(kind.numpy() for kind in targets[32])), crops_of(batch))
    joints_mm = NYU14.select(batch["joints_mm"])
    reached = np.linalg.norm(decoded_mm - joints_mm, axis=-1)
    assert np.nanmedian(reached) < 0.5


def test_of_a_torn_hand_the_joints_that_are_left_are_taught(depth_folder):
    recipe = replace(load_recipe("dense-hand21"), input_px=128)
    source = open_depth_batches(depth_folder, DepthMix(torn_share=1.0), 3)
    batch = DepthBatches(source.frames, 0, DepthMix(torn_share=1.0)).batch(0, 8)
    _, targets = DenseTask(recipe).tensors(batch)
    known = np.isfinite(batch["joints_mm"]).all(axis=2)
    assert 0.1 < known.mean() < 0.9
    reached = targets[32].heatmaps_3d.flatten(2).amax(dim=2).numpy() > 0
    assert not reached[~known].any()
    assert reached[known].mean() > 0.8  # of the others some are too far from all that is seen


def test_crops_of_half_the_width_have_maps_of_half_the_width(recipe, batch):
    task = DenseTask(replace(recipe, input_px=64)).eval()
    depth, targets = task.tensors(batch)
    assert torch.equal(depth[:, 0], torch.from_numpy(batch["depth"][:, ::2, ::2]))
    assert sorted(targets) == [2, 4, 8, 16]
    decoded_mm, _ = decode_joints(DenseMaps(*(kind.numpy() for kind in targets[16])), crops_of(batch))
    reached_mm = np.linalg.norm(decoded_mm - NYU14.select(batch["joints_mm"]), axis=-1)
    assert np.nanmedian(reached_mm) < 0.5
    losses = task.losses(task(depth), targets)
    assert losses["maps"].isfinite() and losses["maps"] > 0
    assert all(np.isfinite(error_mm) for error_mm in task.validate(task.net, [batch]).values())


def test_the_card_says_how_wide_crops_are(recipe):
    assert (
        replace(recipe, input_px=64).interface()["input"] | {"width": 128, "height": 128}
        == (recipe.interface()["input"])
    )
    with pytest.raises(HandfastError, match="input_px must be one of 128, 64, got 32"):
        replace(recipe, input_px=32)


class Oracle(torch.nn.Module):
    """Predicts the targets of one batch, but for joints that it does not find."""

    def __init__(self, targets, lost):
        super().__init__()
        self.unused = torch.nn.Parameter(torch.zeros(1))
        self.levels = (4,)
        maps = [kind.clone() for kind in targets[32]]
        maps[1][:, lost] = 0
        self.maps = DensePrediction(*maps)

    def branches(self, depth):
        return [self.maps]


def test_errors_by_hand(recipe, batch):
    _, targets = DenseTask(recipe).tensors(batch)
    (all_found,) = errors_mm(Oracle(targets, []), batch, NYU14.select(batch["joints_mm"]))
    (one_lost,) = errors_mm(Oracle(targets, [0]), batch, NYU14.select(batch["joints_mm"]))
    away_mm = np.linalg.norm(NYU14.select(batch["joints_mm"])[:, 0] - batch["centre_mm"], axis=-1).mean()
    assert all_found < 3
    assert one_lost == pytest.approx(all_found + away_mm / 14, abs=0.5)


def test_a_run_learns_its_few_frames(recipe, depth_folder, tmp_path):
    data = DepthBatches(open_data(recipe, depth_folder).frames, 0, None)
    task_losses = []
    for steps in (1, 40):
        run = replace(recipe, steps=steps, learning_rate=2e-3, ema_decay=0.0)
        train(run, data, tmp_path / str(steps))
        lines = map(json.loads, (tmp_path / str(steps) / "metrics.jsonl").read_text().splitlines())
        task_losses.append([line["train/maps"] for line in lines if "train/maps" in line][-1])
    assert task_losses[1] < 0.8 * task_losses[0]


def test_a_teacher_of_other_maps_is_refused(recipe):
    for teacher in ("tofnet-tof8", "dense-hand21"):
        with pytest.raises(HandfastError, match=f"teacher must be dense regression of 14 .* got {teacher}"):
            DenseTask(replace(recipe, teacher=teacher))


def test_a_teacher_of_other_crops_is_refused(recipe, depth_folder, tmp_path):
    teacher = replace(recipe, model="dense-lean", steps=1)
    train(teacher, open_data(teacher, depth_folder), tmp_path)
    narrow = replace(recipe, teacher=str(tmp_path / "model.safetensors"), input_px=64)
    with pytest.raises(HandfastError, match=r"teacher must .* in crops of 64 px"):
        DenseTask(narrow)


def test_a_teachers_maps_are_learnt_from(recipe, batch, depth_folder, tmp_path):
    teacher = replace(recipe, model="dense-lean", steps=1)
    train(teacher, open_data(teacher, depth_folder), tmp_path)
    task = DenseTask(replace(recipe, teacher=str(tmp_path / MODEL_FILE))).eval()
    depth, targets = task.tensors(batch)
    predictions = task(depth)
    losses = task.losses(predictions, targets)
    assert losses.keys() == {"maps", "teacher"}
    assert not predictions[1].heatmaps_2d.requires_grad
    assert not any("teacher" in name for name in task.state_dict())
    same = task.losses(([predictions[1]], predictions[1]), {32: predictions[1]})
    assert same["teacher"] == same["maps"] == 0


def test_levels_are_validated_apart(recipe, batch):
    task = DenseTask(recipe).eval()
    metrics = task.validate(task.net, [batch, batch])
    assert list(metrics) == [f"error_mm_l{level}" for level in (1, 2, 3, 4)]
    assert all(np.isfinite(list(metrics.values())))


def test_a_skeleton_that_does_not_fit_is_refused(recipe):
    with pytest.raises(HandfastError, match="predicts 14 joints, skeleton hand21 has 21"):
        DenseTask(replace(recipe, skeleton="hand21"))


def test_photos_are_refused(recipe, depth_folder, tmp_path):
    with pytest.raises(HandfastError, match="photos cannot be mixed in"):
        open_data(recipe, depth_folder, tmp_path)


def test_its_recipes_are_read_as_such(tmp_path):
    path = tmp_path / "recipe.toml"
    path.write_text('model = "dense-lean"\nskeleton = "nyu14"\nsteps = 2\n[data]\nturn_rad = 0.5\n')
    assert load_recipe(path).data == DepthMix(turn_rad=0.5)


def test_a_data_set_is_learnt_with_its_own_joints(recipe, nyu_folder, tmp_path):
    values = {field.name: getattr(recipe, field.name) for field in fields(recipe)}
    own = DataSetRecipe(**values | {"model": "dense-lean", "dataset": "nyu", "input_px": 64})
    data = open_data(own, nyu_folder)
    _, targets = DenseTask(own).tensors(data.batch(0, 2))
    assert targets[16].heatmaps_2d.shape == (2, 14, 16, 16)
    metrics = train(own, data, tmp_path)
    assert list(metrics) == ["crops_error_mm_l4"] and np.isfinite(metrics["crops_error_mm_l4"])
    assert load_checkpoint(tmp_path / MODEL_FILE)[1]["trained_on"] == "2 frames of NYU hand pose"


def test_one_stack_goes_on_from_the_two_of_a_data_set(nyu_folder, tmp_path):
    """As the two recipes for NYU do it, on a frame or two."""
    short = {"epochs": 0.0, "steps": 1, "batch_size": 2, "warmup_steps": 0, "input_px": 64}
    two = replace(load_recipe("pruned2019-nyu"), **short)
    train(two, open_data(two, nyu_folder), tmp_path / "nyu")
    one = replace(
        load_recipe("pruned2019-nyu-1stack"),
        **short | {"init_from": str(tmp_path / "nyu" / MODEL_FILE), "learning_rate": 1e-12},
    )
    train(one, open_data(one, nyu_folder), tmp_path / "one")
    before, after = (load_checkpoint(tmp_path / name / MODEL_FILE)[0].state_dict() for name in ("nyu", "one"))
    shared = [name for name, values in after.items() if values.is_floating_point() and name in before]
    weights = [name for name in shared if name.endswith("weight")]
    assert len(weights) > 100 and all(name in after for name in before if name.startswith("stacks.0"))
    for name in weights:
        np.testing.assert_allclose(after[name], before[name], atol=1e-5, err_msg=name)


OF_NYU = 'model = "dense-lean"\nskeleton = "nyu14"\ndataset = "nyu"\nsteps = 2\n'


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (OF_NYU.replace('"nyu"', '"msra15"'), "dataset must be one of 'nyu', 'icvl', got 'msra15'"),
        (OF_NYU.replace("nyu14", "icvl16"), "recipe: nyu has labels of nyu14, got 'icvl16'"),
        (OF_NYU.replace("dense-lean", "tofnet-tof8"), "unknown key 'dataset'"),
    ],
)
def test_a_data_set_that_does_not_fit_is_refused(tmp_path, text, message):
    path = tmp_path / "recipe.toml"
    path.write_text(text)
    with pytest.raises(HandfastError, match=message):
        load_recipe(path)


def test_a_net_with_other_joints_than_the_data_set_is_refused(tmp_path):
    path = tmp_path / "recipe.toml"
    path.write_text(OF_NYU.replace("dense-lean", "dense-hand21"))
    with pytest.raises(HandfastError, match="dense-hand21 predicts 21 joints, skeleton nyu14 has 14"):
        DenseTask(load_recipe(path))


def test_photos_are_refused_beside_a_data_set(nyu_folder, tmp_path):
    with pytest.raises(HandfastError, match="photos cannot be mixed in"):
        open_data(load_recipe("pruned2019-nyu"), nyu_folder, tmp_path)
