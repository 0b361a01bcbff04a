"""DIR-Net's training: what each of its runs changes, what a step is given, what validation says."""

import io
import json
import pickle
from dataclasses import fields, replace
from importlib.resources import as_file, files
from itertools import pairwise

import numpy as np
import pytest
import torch

from handfast.data.colour_batches import ColourMix
from handfast.errors import HandfastError
from handfast.hand_model.mano import load_mano
from handfast.losses.refinement import RefinementWeights
from handfast.models import MODELS
from handfast.training.checkpoint import load_checkpoint, read_tensors
from handfast.training.dirnet import DIRNetRecipe, DIRNetTask, dirnet_runs, estimate_joints
from handfast.training.families import load_recipe, open_data
from handfast.training.loop import MODEL_FILE, STATE_FILE, train
from handfast.training.runs import train_recipe
from mano_fixtures import right_hand_joints_m

SHARP = ColourMix(64, turn_rad=0.3, occluded_share=0.0, degraded_share=0.0, photo_share=0.0)


pytestmark = pytest.mark.usefixtures("one_thread")


@pytest.fixture(scope="module")
def recipe():
    return DIRNetRecipe(
        model="dirnet", skeleton="hand21", loops=2, epochs=0.25, loop_epochs=0.25, gate_epochs=0.25,
        batch_size=6, warmup_steps=1, precision="32-true", log_every_steps=1, data=SHARP,
    )  # fmt: skip


@pytest.fixture(scope="module")
def data(recipe, dotted_folder):
    return open_data(recipe, dotted_folder)


@pytest.fixture(scope="module")
def batch(data):
    return data.batch(0, 12)


def test_the_runs_are_algorithm_1_and_then_the_gate(recipe):
    runs = dirnet_runs(replace(recipe, loops=3, epochs=50.0, loop_epochs=20.0, gate_epochs=5.0))
    assert [
        (name, run.loops, run.trains, run.epochs, run.init_from) for name, run in runs.items()
    ] == [
        ("loop-0", 0, "all", 50.0, ""),
        ("loop-1", 1, "refiner", 20.0, "loop-0"),
        ("loop-2", 2, "refiner", 20.0, "loop-1"),
        ("loop-3", 3, "refiner", 20.0, "loop-2"),
        ("gate", 3, "gate", 5.0, "loop-3"),
    ]  # fmt: skip
    assert [run.share for run in runs.values()] == pytest.approx([1, 0.1, 0.01, 0.001, 1])


def test_end_to_end_sees_as_much_in_one_run(recipe):
    at_once = replace(recipe, loops=3, epochs=50.0, loop_epochs=20.0, gate_epochs=5.0, progressive=False)
    runs = dirnet_runs(at_once)
    assert list(runs) == ["end-to-end", "gate"]
    assert (runs["end-to-end"].epochs, runs["end-to-end"].trains, runs["end-to-end"].share) == (
        110.0,
        "all",
        1,
    )
    assert (runs["gate"].init_from, runs["gate"].loops) == ("end-to-end", 3)
    assert list(dirnet_runs(replace(at_once, gate_epochs=0.0))) == ["end-to-end"]
    assert list(dirnet_runs(replace(recipe, loops=0))) == ["loop-0"]  # without loops nothing can be left


def test_the_packaged_nets_recipe_makes_one_that_takes_its_place():
    recipe = load_recipe("dirnet")
    with as_file(files("handfast") / "assets" / "dirnet.safetensors") as path:
        _, card = load_checkpoint(path)
    runs = dirnet_runs(recipe)
    assert list(runs) == ["end-to-end", "gate"]
    assert (recipe.model, recipe.skeleton) == (card["name"], card["skeleton"])
    interface = runs["gate"].interface()
    assert {name: card[name] for name in interface} == interface
    frames = 6720  # of bench-rgb small
    assert card["trained_on"].startswith(f"{frames} frames of bench-rgb")
    assert runs["gate"].steps_on(frames) == card["step"]
    assert runs["end-to-end"].steps_on(frames) == pytest.approx(9000 + 5250 + 2940, rel=0.01)
    assert recipe.data.photo_share > 0


def test_a_start_of_the_users_own_is_that_of_the_first_run(recipe):
    runs = dirnet_runs(replace(recipe, init_from="mine.safetensors"))
    assert [run.init_from for run in runs.values()] == ["mine.safetensors", "loop-0", "loop-1", "loop-2"]


def tensors_in(folder, file=MODEL_FILE):
    return read_tensors(folder / file)[0]


def changed(before, after):
    """The parts of the net of which anything differs, statistics included."""
    return {name.split(".")[0] for name in after if not torch.equal(before[name], after[name])}


@pytest.fixture(scope="module")
def run_folders(recipe, data, tmp_path_factory):
    """Each run's folder, trained one after the other."""
    folder = tmp_path_factory.mktemp("runs")
    for name, run in dirnet_runs(recipe).items():
        starts = {"": folder / run.init_from / MODEL_FILE} if run.init_from else {}
        train(run, data, folder / name, starts=starts)
    return folder


def test_each_run_changes_what_it_is_to(recipe, run_folders):
    torch.manual_seed(recipe.seed)
    fresh = MODELS["dirnet"]().state_dict()
    of_runs = [fresh, *(tensors_in(run_folders / name) for name in dirnet_runs(recipe))]
    heads = {"refiner", "pose_predictor", "uncertainty"}
    assert [changed(before, after) for before, after in pairwise(of_runs)] == [
        heads | {"extractor"},
        heads | {"feedback"},
        heads | {"feedback"},
        {"gate"},
    ]


def test_what_is_frozen_keeps_its_statistics_while_it_trains(run_folders):
    """The weights as the optimizer left them, not their averages."""
    started, trained = tensors_in(run_folders / "loop-0"), tensors_in(run_folders / "loop-1", STATE_FILE)
    extractor = [name for name in started if name.startswith("extractor.")]
    assert any("running_mean" in name for name in extractor)
    assert all(torch.equal(started[name], trained[f"model.net.{name}"]) for name in extractor)


def test_a_loop_has_statistics_only_once_it_is_trained(run_folders):
    means = [
        tensors_in(run_folders / f"loop-{loop}")["refiner.phases.0.norm1.running_mean"] for loop in range(3)
    ]
    assert [(of_loops != 0).any(dim=1).tolist()[:4] for of_loops in means] == [
        [True, False, False, False], [True, True, False, False], [True, True, True, False],
    ]  # fmt: skip


def test_the_generator_learns_at_the_full_rate_and_the_rest_at_its_share(recipe):
    task = DIRNetTask(dirnet_runs(recipe)["loop-2"])
    others, generator = task.parameter_groups()
    assert (others["share"], generator["share"]) == (pytest.approx(0.01), 1.0)
    assert set(map(id, generator["params"])) == set(map(id, task.net.feedback.parameters()))
    trained = {
        id(p) for part in ("refiner", "pose_predictor", "uncertainty")
        for p in task.net.get_submodule(part).parameters()
    }  # fmt: skip
    assert set(map(id, others["params"])) == trained

    first, gate = (DIRNetTask(dirnet_runs(recipe)[name]) for name in ("loop-0", "gate"))
    assert [group["share"] for group in first.parameter_groups()] == [1.0]
    (only,) = gate.parameter_groups()
    assert set(map(id, only["params"])) == set(map(id, gate.net.gate.parameters()))


def test_without_a_generator_there_is_nothing_to_learn_at_the_full_rate(recipe):
    task = DIRNetTask(dirnet_runs(replace(recipe, model="dirnet-without-amg"))["loop-1"])
    assert [group["share"] for group in task.parameter_groups()] == [pytest.approx(0.1)]


def test_losses_that_teach_nothing_are_refused(recipe, data, tmp_path):
    nothing = RefinementWeights(**{each.name: 0.0 for each in fields(RefinementWeights)})
    first = next(iter(dirnet_runs(replace(recipe, losses=nothing)).values()))
    with pytest.raises(HandfastError, match="losses: every weight is 0"):
        train(first, data, tmp_path)


def test_the_gate_learns_and_a_resumed_run_draws_the_same_exits(recipe, data, run_folders, tmp_path):
    run = replace(dirnet_runs(recipe)["gate"], epochs=0.75)  # 6 steps
    starts = {"": run_folders / "loop-2" / MODEL_FILE}
    train(run, data, tmp_path / "whole", starts=starts)
    for stop in (1, 4, None):
        train(run, data, tmp_path / "cut", stop_after_step=stop, starts=starts)
    for file in (STATE_FILE, MODEL_FILE):
        (whole, record), (cut, cut_record) = (read_tensors(tmp_path / run / file) for run in ("whole", "cut"))
        assert whole.keys() == cut.keys() and record == cut_record
        assert all(torch.equal(whole[name], cut[name]) for name in whole), file
    assert changed(tensors_in(run_folders / "loop-2"), tensors_in(tmp_path / "whole")) == {"gate"}


def test_exits_differ_from_step_to_step(recipe, batch):
    """Were they the same draws every time, some exits would never be tried."""
    task = DIRNetTask(dirnet_runs(recipe)["gate"])
    image, targets = task.tensors(batch)
    estimates = task(image)
    losses = {round(task.losses(estimates, targets)["gate"].item(), 6) for _ in range(8)}
    assert len(losses) > 1


def test_a_step_is_given_images_and_labels_as_estimates_have_them(recipe, batch):
    task = DIRNetTask(dirnet_runs(recipe)["loop-1"])
    image, targets = task.tensors(batch)
    assert image.shape == (12, 3, 64, 64) and image.dtype == torch.float32
    assert torch.equal((255 * image).round().byte().permute(0, 2, 3, 1), torch.from_numpy(batch["image"]))
    joints_px = torch.from_numpy(batch["keypoints_px"])
    torch.testing.assert_close((1 + targets.joints_2d) / 2 * 64 - 0.5, joints_px)
    edges_px = {"keypoints_px": np.broadcast_to([-0.5, 63.5], (12, 21, 2))}
    of_edges = task.tensors(batch | edges_px)[1].joints_2d
    assert torch.equal(of_edges[0, 0], torch.tensor([-1.0, 1.0]))
    assert torch.equal(targets.joints_3d, torch.from_numpy(batch["joints_m"]))


class Answer(torch.nn.Module):
    """Says the targets of a batch after each loop, the last of them off by so many mm in z."""

    def __init__(self, task, targets, off_mm):
        super().__init__()
        self.unused = torch.nn.Parameter(torch.zeros(1))
        self.task, self.targets, self.off_mm = task, targets, off_mm

    def forward(self, image, loops):
        estimate = self.task.net(image, 0)[0]._replace(
            joints_2d=self.targets.joints_2d, joints_3d=self.targets.joints_3d
        )
        off_m = torch.tensor([0.0, 0.0, self.off_mm / 1000])
        return [*[estimate] * loops, estimate._replace(joints_3d=estimate.joints_3d + off_m)]


def test_estimates_are_read_back_in_pixels_and_metres(recipe, batch):
    task = DIRNetTask(dirnet_runs(recipe)["loop-2"])
    net = Answer(task, task.tensors(batch)[1], off_mm=12.5)
    found = estimate_joints(net, batch["image"], 2)
    assert len(found) == 3
    for keypoints_px, _ in found:
        np.testing.assert_allclose(keypoints_px, batch["keypoints_px"], atol=1e-4)
    np.testing.assert_allclose(found[0][1], batch["joints_m"], atol=1e-7)
    metrics = task.validate(net, [batch])
    assert metrics == pytest.approx(
        {"error_px": 0, "error_mm": 12.5, "auc": 0.75, "error_mm_loop0": 0}, abs=0.01
    )


def test_hands_without_3d_are_not_validated_in_3d(recipe, batch):
    task = DIRNetTask(dirnet_runs(recipe)["loop-2"])
    net = Answer(task, task.tensors(batch)[1], off_mm=10.0)
    some = batch | {"has_3d": np.arange(12) < 5, "joints_m": batch["joints_m"].copy()}
    some["joints_m"][5:] = 0
    assert task.validate(net, [some])["error_mm"] == pytest.approx(10.0, abs=0.01)
    none = batch | {"has_3d": np.zeros(12, bool)}
    assert task.validate(net, [none]).keys() == {"error_px"}


def test_a_guess_counts_less_and_what_is_unknown_nothing(recipe, batch):
    task = DIRNetTask(replace(dirnet_runs(recipe)["loop-0"], guess_weight=0.25))
    has_3d, rendered = np.tile([True, True, False], 4), np.tile([True, False, False], 4)
    _, targets = task.tensors(batch | {"has_3d": has_3d, "rendered": rendered})
    assert targets.weight_3d[:3, 0].tolist() == [1, 0.25, 0]
    assert torch.equal(targets.weight_3d, targets.weight_3d[:, :1].expand(12, 21))
    assert (targets.weight_2d == 1).all()


def test_left_hands_and_right_hands_are_the_same_to_it(recipe, data):
    """The data show left ones in the mirror: all have their thumb on the same side of the palm."""
    _, targets = DIRNetTask(dirnet_runs(recipe)["loop-0"]).tensors(data.batch(0, len(data)))
    assert 0 < data.frames.is_left.sum() < len(data)
    joints = targets.joints_3d
    side = torch.linalg.cross(joints[:, 5], joints[:, 17], dim=1) * (joints[:, 12] - joints[:, 9])
    assert len(set(side.sum(dim=1).sign().tolist())) == 1
    # What is in the picture is the hand of the labels in space: a scale and a shift take one to the other.
    for of_joints in (joints[..., :2], targets.joints_2d):
        of_joints -= of_joints.mean(dim=1, keepdim=True)
    cosine = torch.nn.functional.cosine_similarity(joints[..., :2].flatten(1), targets.joints_2d.flatten(1))
    assert cosine.min() > 0.98


@pytest.mark.parametrize("model", [name for name in MODELS if name.startswith("dirnet")])
def test_every_model_trains_a_step(recipe, data, tmp_path, model):
    run = replace(dirnet_runs(replace(recipe, model=model, loops=1))["loop-1"], init_from="", epochs=0.125)
    metrics = train(run, data, tmp_path)
    assert all(np.isfinite(list(metrics.values())))
    net, card = load_checkpoint(tmp_path / MODEL_FILE)
    assert (card["name"], card["loops"], card["hand"], card["step"]) == (model, 1, "open", 1)
    torch.manual_seed(run.seed)
    assert {"refiner", "pose_predictor", "uncertainty"} <= changed(
        MODELS[model]().state_dict(), net.state_dict()
    )


def test_it_learns_its_few_frames(recipe, data, tmp_path):
    run = replace(dirnet_runs(replace(recipe, progressive=False))["end-to-end"], ema_decay=0.0)
    totals = []
    for epochs in (0.125, 5.0):
        train(replace(run, epochs=epochs), data, tmp_path / str(epochs))
        lines = map(json.loads, (tmp_path / str(epochs) / "metrics.jsonl").open())
        totals.append([line["train/joints_2d"] for line in lines if "train/total" in line][-1])
    assert totals[1] < 0.7 * totals[0]


class Python2Pickler(pickle.Pickler):
    """Writes an array's bytes as text, as Python 2 did."""

    def reducer_override(self, value):
        if not isinstance(value, np.ndarray):
            return NotImplemented
        make, (kind, shape, _), (*state, content) = value.__reduce__()
        return make, (kind, shape, "b"), (*state, content.decode("latin1"))


@pytest.fixture
def mano_file(tmp_path):
    """A hand of joints and no surface to speak of, in the format of the published file."""
    rng = np.random.default_rng(0)
    parents = [0, 0, 1, 2, 0, 4, 5, 0, 7, 8, 0, 10, 11, 0, 13, 14]
    arrays = {
        "v_template": right_hand_joints_m()[np.arange(778) % 16],
        "shapedirs": rng.normal(0, 0.005, (778, 3, 10)),
        "posedirs": np.zeros((778, 3, 135)),
        "J_regressor": np.eye(16, 778),
        "weights": np.eye(16)[np.arange(778) % 16],
        "kintree_table": np.array([parents, range(16)]),
        "hands_mean": np.zeros(45),
    }
    content, path = io.BytesIO(), tmp_path / "MANO_RIGHT.pkl"
    Python2Pickler(content, protocol=2).dump(arrays)
    path.write_bytes(content.getvalue().replace(b"numpy._core.", b"numpy.core."))
    return path


def test_a_users_mano_hand_is_learnt(recipe, data, mano_file, tmp_path):
    run = replace(dirnet_runs(replace(recipe, mano=str(mano_file)))["loop-1"], init_from="", epochs=0.125)
    metrics = train(run, data, tmp_path / "run")
    assert all(np.isfinite(list(metrics.values())))
    net, card = load_checkpoint(tmp_path / "run" / MODEL_FILE, mano=mano_file)
    assert card["hand"] == "mano" and net.pose_predictor.hand.pose_size == 45
    at_rest = net.pose_predictor.hand(torch.zeros(1, 45), torch.zeros(1, 10))[0]
    template_m = load_mano(mano_file).v_template
    np.testing.assert_allclose(at_rest[5], template_m[1] - template_m[0], atol=1e-6)
    assert not any(".hand." in name for name in net.state_dict())  # it may not be passed on


def test_a_file_that_is_no_hand_stops_a_recipe_before_data_are_read_or_folders_made(
    recipe, mano_file, tmp_path
):
    mano_file.write_bytes(b"no pickle")
    run_dir = tmp_path / "run"
    with pytest.raises(HandfastError, match=r"expected MANO_RIGHT\.pkl as published"):
        train_recipe(replace(recipe, mano=str(mano_file)), tmp_path / "no data", None, run_dir, 1, print)
    assert not run_dir.exists()


def test_recipes_are_checked(tmp_path):
    assert isinstance(load_recipe("yang2021"), DIRNetRecipe)
    path = tmp_path / "recipe.toml"
    text = 'model = "dirnet"\nskeleton = "hand21"\nepochs = 1.0\n'
    for line, message in (
        ("loops = 6", r"loops must be in 0\.\.5 for dirnet, got 6"),
        ("seed = -1", "seed must be 0 or more, got -1"),
        ("loops = -1", r"loops must be in 0\.\.5 for dirnet, got -1"),
        ("gate_epochs = -1.0", r"gate_epochs must be 0 or more, got -1\.0"),
        ("guess_weight = nan", "guess_weight must be 0 or more, got nan"),
        ('trains = "gate"', "unknown key 'trains'"),
        ("[losses]\nvariance = -1.0", "losses: variance must be 0 or more"),
        ("[data]\ninput_px = 100", "input_px must be a multiple of 16, got 100"),
    ):
        path.write_text(text + line + "\n")
        with pytest.raises(HandfastError, match=message):
            load_recipe(path)
    path.write_text(text.replace("hand21", "tof8"))
    with pytest.raises(HandfastError, match="skeleton must be one of 'hand21', got 'tof8'"):
        load_recipe(path)
    path.write_text(text.replace("epochs = 1.0", "steps = 3"))
    with pytest.raises(HandfastError, match="told in epochs, not in steps"):
        load_recipe(path)
