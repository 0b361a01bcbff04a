"""ACE's training: the runs of a recipe, what starts from what, what a step is given, what validation says."""

import json
import math
from dataclasses import replace

import numpy as np
import pytest
import torch

from handfast.data.colour_batches import ColourBatches, ColourMix
from handfast.data.colour_clips import ClipBatches, ClipMix
from handfast.errors import HandfastError
from handfast.models import MODELS
from handfast.training import ace
from handfast.training.ace import (
    AceRecipe,
    AceTask,
    EncoderRun,
    EncoderTask,
    EncoderTraining,
    ace_runs,
    encoders_of,
    follow,
)
from handfast.training.checkpoint import load_checkpoint, read_tensors
from handfast.training.families import load_recipe, make_task, open_data
from handfast.training.loop import MODEL_FILE, STATE_FILE, train
from handfast.training.runs import train_recipe
from handfast.training.task import image_tensor

PLAIN = ColourMix(128, turn_rad=0.3, occluded_share=0.0, degraded_share=0.0, photo_share=0.0)
NETS = [name for name in MODELS if name.startswith(("ace", "lstm-", "hourglass-"))]


pytestmark = pytest.mark.usefixtures("one_thread")


@pytest.fixture(scope="module")
def recipe():
    return AceRecipe(
        model="ace-hourglass-half", skeleton="hand21", steps=3, batch_size=2, learning_rate=1e-3,
        warmup_steps=1, precision="32-true", log_every_steps=1, temperature_decay=0.1,
        encoders=EncoderTraining(epochs=2 * 4 / 48, batch_size=4, warmup_steps=1),
        data=ClipMix(PLAIN, frames=3, most_stride=1, box_noise=0.0, lag_frames=0),
    )  # fmt: skip


def runs(recipe):
    return {
        name: (run.model, run.starts(), run.epochs or run.steps, run.batch_size)
        for name, run in ace_runs(recipe).items()
    }


def test_both_encoders_are_trained_and_then_everything(recipe):
    assert runs(replace(recipe, encoders=EncoderTraining(epochs=7.0, batch_size=5))) == {
        "coarse": ("hourglass-coarse-half", {}, 7.0, 5),
        "fine": ("hourglass-fine-half", {}, 7.0, 5),
        "clips": ("ace-hourglass-half", {"coarse.": "coarse", "fine.": "fine"}, 3, 2),
    }


def test_other_nets_have_other_encoders(recipe):
    assert runs(replace(recipe, model="lstm-mix-half"))["clips"][1] == {
        "encoders.0.": "coarse",
        "encoders.1.": "fine",
    }
    assert list(runs(replace(recipe, model="lstm-coarse-half"))) == ["coarse", "clips"]
    assert runs(replace(recipe, model="lstm-fine-half"))["clips"][1] == {"encoders.0.": "fine"}
    whole = replace(recipe, data=ClipMix(replace(PLAIN, input_px=256), frames=3))
    assert runs(replace(whole, model="ace-hourglass-128"))["coarse"][0] == "hourglass-coarse-128"


def test_an_encoder_by_itself_is_one_run(recipe):
    (run,) = ace_runs(replace(recipe, model="hourglass-fine-half", init_from="mine")).values()
    assert isinstance(run, EncoderRun) and run.starts() == {"": "mine"} and run.data == PLAIN


def test_encoders_start_from_what_is_named_for_each(recipe):
    own = replace(recipe, encoders=EncoderTraining(coarse_from="mine"))
    assert [run.starts() for run in list(ace_runs(own).values())[:2]] == [{"": "mine"}, {}]
    of_packaged = ace_runs(load_recipe("ace"))
    assert [of_packaged[role].init_from for role in ("coarse", "fine")] == ["dirnet", "dirnet"]
    of_amplitude = ace_runs(load_recipe("fan2020-tof"))
    assert [of_amplitude[role].init_from for role in ("coarse", "fine")] == ["tofnet-tof8", ""]


def test_encoders_that_are_given_are_not_trained(recipe):
    assert runs(replace(recipe, coarse="c.safetensors")) == {
        "fine": ("hourglass-fine-half", {}, pytest.approx(1 / 6), 4),
        "clips": ("ace-hourglass-half", {"coarse.": "c.safetensors", "fine.": "fine"}, 3, 2),
    }
    given = replace(recipe, coarse="c", fine="f")
    assert ace_runs(given) == {"": given}
    on = replace(recipe, init_from="ace")
    assert ace_runs(on) == {"": on} and on.starts() == {"": "ace"}


@pytest.mark.parametrize("name", NETS)
def test_what_a_net_has_is_where_it_is_said_to_be(name, recipe):
    """So that an encoder's tensors are found there, all of them."""
    with torch.device("meta"):
        net = MODELS[name]()
        given = replace(
            recipe, model=name, data=ClipMix(replace(PLAIN, input_px=256)), coarse="coarse", fine="fine"
        )
        encoders = encoders_of(name)
        assert set(given.starts().values()) == set(encoders)
        for place, role in given.starts().items():
            encoder = encoders[role]
            part = net.get_submodule(place.removesuffix("."))
            shapes = [{k: v.shape for k, v in of.state_dict().items()} for of in (part, MODELS[encoder]())]
            assert shapes[0] == shapes[1] and part.input_px == MODELS[encoder]().input_px


def test_the_packaged_recipe(tmp_path):
    packaged = load_recipe("fan2020")
    assert isinstance(packaged, AceRecipe) and list(ace_runs(packaged)) == ["coarse", "fine", "clips"]
    assert packaged.fine_rate == 0.05 and packaged.data.look.input_px == 256
    path = tmp_path / "recipe.toml"
    path.write_text(
        'model = "hourglass-coarse"\nskeleton = "hand21"\nepochs = 1.0\n[encoders]\nepochs = 2.0\n'
    )
    assert isinstance(make_task(ace_runs(load_recipe(path))[""]), EncoderTask)


@pytest.mark.parametrize(
    ("name", "part", "fine_rate", "coarse"),
    [
        ("fan2020-stb", "third-person", 0.05, "hourglass-coarse"),
        ("fan2020-fpha", "first-person", 0.01, "hourglass-coarse-128"),
    ],
)
def test_the_recipes_of_one_part_have_the_papers_numbers(name, part, fine_rate, coarse):
    """Section 4.2."""
    packaged, whole = load_recipe(name), load_recipe("fan2020")
    assert packaged == replace(whole, model=packaged.model, part=part, fine_rate=fine_rate)
    of_runs = ace_runs(packaged)
    assert [run.part for run in of_runs.values()] == [part] * 3
    assert [of_runs[role].model for role in ("coarse", "fine")] == [coarse, "hourglass-fine"]


def test_all_runs_learn_from_the_part(recipe, dotted_folder):
    for run in ace_runs(replace(recipe, part="first-person")).values():
        assert not open_data(run, dotted_folder).frames.is_left.any()


# A step


def test_frames_are_taught_in_centimetres_and_guesses_in_pixels_alone(recipe):
    task = make_task(ace_runs(recipe)["coarse"])
    rng = np.random.default_rng(0)
    batch = {
        "image": rng.integers(0, 256, (3, 128, 128, 3), dtype=np.uint8),
        "keypoints_px": rng.uniform(0, 127, (3, 21, 2)).astype(np.float32),
        "joints_m": rng.normal(0, 0.05, (3, 21, 3)).astype(np.float32),
        "has_3d": np.array([True, True, False]),
        "rendered": np.array([True, False, False]),
    }
    image, targets = task.tensors(batch)
    assert image.shape == (3, 3, 128, 128)
    assert image[1, 2, 5, 7].item() == pytest.approx(batch["image"][1, 5, 7, 2] / 255)
    np.testing.assert_allclose(targets.joints_cm, 100 * batch["joints_m"])
    encoding = task(image)
    losses = task.losses(encoding, targets)
    right = encoding._replace(joints_cm=targets.joints_cm * torch.tensor([1.0, 2.0, 3.0])[:, None, None])
    assert task.losses(right, targets)["joints"] == 0 < losses["joints"]
    assert task.losses(right, targets)["heatmaps"] == losses["heatmaps"]
    assert task.weights.keys() == losses.keys()


def test_clips_are_taught_as_a_whole(recipe, dotted_folder):
    task, data = make_task(recipe), open_data(recipe, dotted_folder)
    batch = data.batch(0, 2)
    clip, joints_cm = task.tensors(batch)
    assert clip.shape == (2, 3, 3, 128, 128) and joints_cm.shape == (2, 3, 21, 3)
    assert clip[1, 2, 0, 5, 7].item() == pytest.approx(batch["image"][1, 2, 5, 7, 0] / 255)
    losses = task.losses(task(clip), joints_cm)
    assert losses.keys() == task.weights.keys() and task.weights["rate"] == recipe.rate_weight
    ungated = make_task(replace(recipe, model="lstm-coarse-half"))
    assert ungated.losses(ungated(clip), joints_cm).keys() == {"encoders", "lstm"}


def test_the_rate_is_the_recipes(recipe):
    task = AceTask(replace(recipe, fine_rate=0.25))
    output = ace.AceOutput((), torch.zeros(1, 5, 21, 3), torch.tensor([[1.0, 0.0, 1.0, 0.0, 1.0]]))
    assert task.losses(output, torch.zeros(1, 5, 21, 3))["rate"].item() == pytest.approx(0.25**2)


def test_the_temperature_falls_with_each_step_of_training(recipe):
    task, clip = AceTask(replace(recipe, lowest_temperature=0.85)), torch.rand(1, 2, 3, 128, 128)
    told = []
    task.net.forward = lambda clip, temperature: told.append(temperature)
    for _ in range(4):
        task(clip)
    assert told == pytest.approx([1.0, math.exp(-0.1), 0.85, 0.85])


def test_encoders_learn_slowly_in_step_two_and_keep_their_statistics(recipe):
    task = AceTask(recipe)
    shares = {id(p): group["share"] for group in task.parameter_groups() for p in group["params"]}
    assert all(shares[id(p)] == 0.03 for p in [*task.net.coarse.parameters(), *task.net.fine.parameters()])
    assert all(shares[id(p)] == 1.0 for p in [*task.net.lstm.parameters(), *task.net.gate.parameters()])
    assert len(shares) == len(list(task.net.parameters()))
    before = {name: buffer.clone() for name, buffer in task.net.named_buffers()}
    task.eval()
    task.train()
    task(torch.rand(2, 3, 3, 128, 128))
    assert before and all(torch.equal(buffer, before[name]) for name, buffer in task.net.named_buffers())


# Runs


@pytest.mark.parametrize(
    ("name", "precision"), [("coarse", "32-true"), ("clips", "32-true"), ("clips", "bf16-mixed")]
)
def test_a_run_cut_off_ends_in_the_same_weights(recipe, dotted_folder, tmp_path, name, precision):
    """The noise of the gate and its temperature too."""
    recipe = replace(recipe, precision=precision)
    run = recipe if name == "clips" else ace_runs(recipe)[name]
    data = replace(open_data(run, dotted_folder), validation={})
    run = replace(run, steps=2, epochs=0.0)
    train(run, data, tmp_path / "whole")
    for stop in (1, None):
        train(run, data, tmp_path / "cut", stop_after_step=stop)
    for file in (STATE_FILE, MODEL_FILE):
        whole, cut = (read_tensors(tmp_path / folder / file)[0] for folder in ("whole", "cut"))
        assert whole.keys() == cut.keys()
        assert all(torch.equal(whole[tensor], cut[tensor]) for tensor in whole), file
    if name == "clips":
        assert read_tensors(tmp_path / "whole" / STATE_FILE)[0]["model.steps_done"] == 2


def test_everything_starts_from_the_encoders(recipe, dotted_folder, tmp_path, monkeypatch):
    monkeypatch.setattr("handfast.data.colour_batches.VALIDATION_BATCH", 4)
    for module in ("colour_batches", "colour_clips"):
        monkeypatch.setattr(f"handfast.data.{module}.VALIDATION_BATCHES", 1)
    # A step at a learning rate of all but nothing leaves the weights where they started.
    still = replace(recipe, steps=1, learning_rate=1e-12, weight_decay=0.0)
    said = []
    metrics = train_recipe(still, dotted_folder, None, tmp_path, 1, said.append)
    assert said == ["coarse: run 1 of 3", "fine: run 2 of 3", "clips: run 3 of 3"]
    net, card = load_checkpoint(tmp_path / MODEL_FILE)
    for role in ("coarse", "fine"):
        trained = read_tensors(tmp_path / role / MODEL_FILE)[0]
        for name, weights in net.get_submodule(role).named_parameters():
            torch.testing.assert_close(weights.detach(), trained[name])
    assert metrics.keys() == {"clips_error_mm", "clips_auc", "clips_p_fine"}
    assert card["name"] == "ace-hourglass-half" and card["input"] == still.interface()["input"]


@pytest.mark.parametrize("name", ["coarse", "clips"])
def test_a_run_learns_its_few_clips(recipe, dotted_folder, tmp_path, name):
    recipe = replace(recipe, model="lstm-coarse-half", batch_size=4, ema_decay=0.0, init_from="")
    run = recipe if name == "clips" else ace_runs(recipe)[name]
    source = open_data(run, dotted_folder)

    class OneBatch:
        name, validation = "dots", {}

        def __len__(self):
            return 4

        def batch(self, step, batch_size):
            return source.batch(0, batch_size)

    train(replace(run, steps=30, epochs=0.0, learning_rate=3e-3, warmup_steps=3), OneBatch(), tmp_path)
    totals = [json.loads(line)["train/total"] for line in (tmp_path / "metrics.jsonl").open()]
    assert totals[-1] < 0.85 * totals[0]


# Validation


class Knowing(torch.nn.Module):
    """A net without a gate, and an encoder, that is right but for a centimetre."""

    def __init__(self, joints_m):
        super().__init__()
        self.unused = torch.nn.Parameter(torch.zeros(1))
        self.joints_cm = torch.from_numpy(100 * joints_m) + torch.tensor([0.0, 1.0, 0.0])

    def initial_state(self, tracks):
        return 0

    def step(self, image, state):
        return self.joints_cm[:, state], state + 1

    def forward(self, image):
        return ace.Encoding(None, self.joints_cm, None)


def test_validation_by_hand(recipe):
    joints_m = np.random.default_rng(0).normal(0, 0.05, (2, 3, 21, 3)).astype(np.float32)
    batch = {"image": np.zeros((2, 3, 32, 32, 3), np.uint8), "joints_m": joints_m}
    expected = {"error_mm": pytest.approx(10, abs=1e-3), "auc": 1.0}
    assert AceTask(recipe).validate(Knowing(joints_m), [batch, batch]) == expected
    is_3d = np.array([[True, True], [True, False], [False, True]])  # rendered, a photo, one without 3D
    frames = {"image": np.zeros((3, 32, 32, 3), np.uint8), "joints_m": joints_m[0]}
    frames |= {"has_3d": is_3d[:, 0], "rendered": is_3d[:, 1]}
    task = make_task(ace_runs(recipe)["coarse"])
    assert task.validate(Knowing(joints_m[0, :1]), [frames]) == expected
    assert task.validate(Knowing(joints_m[0]), [frames | {"rendered": np.zeros(3, bool)}]) == {}


def test_the_share_of_the_fine_encoder_is_what_ran(recipe, dotted_folder):
    task = AceTask(recipe).eval()
    batch = open_data(recipe, dotted_folder).batch(0, 2)
    fine = []
    task.net.fine.register_forward_hook(lambda module, inputs, output: fine.append(len(inputs[0])))
    metrics = task.validate(task.net, [batch, batch])
    assert metrics["p_fine"] == pytest.approx(sum(fine) / 12)
    joints_cm, uses_fine = follow(task.net, image_tensor(batch["image"]), 1.1)
    assert not uses_fine.any() and joints_cm.shape == (2, 3, 21, 3)


# Data and bad input


def test_clips_are_the_recipes_and_encoders_see_single_frames_of_the_same_look(recipe, dotted_folder):
    clips = open_data(recipe, dotted_folder)
    assert isinstance(clips, ClipBatches) and clips.mix == recipe.data
    frames = open_data(ace_runs(recipe)["fine"], dotted_folder)
    assert isinstance(frames, ColourBatches) and frames.mix == recipe.data.look


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"fine_rate": 1.5}, r"fine_rate must be in 0\.\.1, got 1\.5"),
        ({"encoder_share": -0.1}, r"encoder_share must be in 0\.\.1, got -0\.1"),
        ({"lowest_temperature": 0.0}, r"lowest_temperature must be in \(0, 1\], got 0\.0"),
        ({"skeleton": "nyu14"}, "skeleton must be one of 'hand21', got 'nyu14'"),
        ({"rate_weight": -1.0}, "rate_weight must be 0 or more"),
        ({"data": ClipMix(PLAIN, 1)}, "data.frames must be 2 or more for the gate of ace-hourglass-half"),
        ({"part": "left"}, "part must be one of 'all', 'third-person', 'first-person', got 'left'"),
        ({"images": "depth"}, "images must be one of 'colour', 'amplitude', got 'depth'"),
        ({"images": "amplitude", "part": "first-person"}, "part must be one of 'all', got 'first-person'"),
        ({"model": "ace-hourglass"}, r"data\.look\.input_px must be a multiple of 256 for ace-h.*, got 128"),
    ],
)
def test_bad_values_are_refused(recipe, changes, message):
    with pytest.raises(HandfastError, match=message):
        replace(recipe, **changes)


def test_bad_values_of_the_encoders_are_refused(recipe):
    with pytest.raises(HandfastError, match="joints_weight must be 0 or more, got -1"):
        ace_runs(replace(recipe, encoders=EncoderTraining(joints_weight=-1.0)))
