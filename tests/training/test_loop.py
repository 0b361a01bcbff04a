"""The loop: it can be cut off and goes on as if nothing had been, and leaves what a reader needs."""

import json
import os
import re
import subprocess
import sys
from dataclasses import fields, replace
from pathlib import Path

import numpy as np
import pytest
import torch
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from handfast.errors import HandfastError
from handfast.losses.multitask import LossWeights
from handfast.training import loop
from handfast.training.checkpoint import load_checkpoint, read_tensors, write_tensors
from handfast.training.loop import FAILED_FILE, MODEL_FILE, STATE_FILE, learning_rate, train

pytestmark = pytest.mark.usefixtures("one_thread")


@pytest.mark.parametrize("precision", ["32-true", "bf16-mixed"])
def test_a_run_cut_off_twice_ends_in_the_same_weights(recipe, data, tmp_path, precision):
    recipe = replace(recipe, precision=precision)
    train(recipe, data, tmp_path / "whole")
    for stop in (2, 3, None):
        train(recipe, data, tmp_path / "cut", stop_after_step=stop)
    for file in (STATE_FILE, MODEL_FILE):
        whole, _ = read_tensors(tmp_path / "whole" / file)
        cut, _ = read_tensors(tmp_path / "cut" / file)
        assert whole.keys() == cut.keys()
        assert all(torch.equal(whole[name], cut[name]) for name in whole), file


class InterruptedData:
    """Data that breaks off at a step, as a killed process does."""

    name, validation = "noise", {}

    def __init__(self, data, at_step):
        self.data, self.at_step = data, at_step

    def __len__(self):
        return len(self.data)

    def batch(self, step, batch_size):
        if step == self.at_step:
            raise ConnectionError("gone")
        return self.data.batch(step, batch_size)


def test_a_run_killed_between_checkpoints_goes_on_from_the_last(recipe, data, tmp_path):
    recipe = replace(recipe, checkpoint_every_s=0.0)
    train(recipe, data, tmp_path / "whole")
    with pytest.raises(ConnectionError, match="gone"):
        train(recipe, InterruptedData(data, at_step=3), tmp_path / "killed")
    _, record = read_tensors(tmp_path / "killed" / STATE_FILE)
    assert record["step"] == 3
    train(recipe, data, tmp_path / "killed")
    whole, _ = read_tensors(tmp_path / "whole" / STATE_FILE)
    killed, _ = read_tensors(tmp_path / "killed" / STATE_FILE)
    assert all(torch.equal(whole[name], killed[name]) for name in whole)


def test_a_run_killed_between_its_last_two_files_still_leaves_the_last_net(
    recipe, data, tmp_path, monkeypatch
):
    train(recipe, data, tmp_path / "whole")
    writers = {"save_checkpoint": loop.save_checkpoint, "save_training_state": loop.save_training_state}
    written = []

    def until_the_last(name):
        def write(*arguments):
            if len(written) == 1:
                raise ConnectionError("gone")
            written.append(name)
            writers[name](*arguments)

        return write

    with monkeypatch.context() as patch, pytest.raises(ConnectionError, match="gone"):
        for name in writers:
            patch.setattr(loop, name, until_the_last(name))
        train(recipe, data, tmp_path / "killed")
    train(recipe, data, tmp_path / "killed")
    whole, killed = (read_tensors(tmp_path / run / MODEL_FILE)[0] for run in ("whole", "killed"))
    assert all(torch.equal(whole[name], killed[name]) for name in whole)


def test_a_folder_that_cannot_be_made_is_refused(recipe, data, tmp_path):
    (tmp_path / "a_file").touch()
    with pytest.raises(HandfastError, match=r"run: cannot be a folder .*choose another place"):
        train(recipe, data, tmp_path / "a_file" / "run")


def test_a_killed_run_logs_the_same_curve(recipe, data, tmp_path):
    """Steps after the last checkpoint were logged, and are gone through again."""
    train(recipe, data, tmp_path / "whole")
    with pytest.raises(ConnectionError, match="gone"):
        train(recipe, InterruptedData(data, at_step=4), tmp_path / "killed")
    log = tmp_path / "killed" / "metrics.jsonl"
    assert [row["step"] for row in map(json.loads, log.open())] == [1, 2, 3, 4]
    log.write_text(log.read_text() + '{"step": 5, "tim')  # and cut off in mid-line
    train(recipe, data, tmp_path / "killed")
    curves = [_losses(tmp_path / run / "metrics.jsonl") for run in ("whole", "killed")]
    assert len(curves[0]) == 5 and curves[0] == curves[1]
    shown = EventAccumulator(str(tmp_path / "killed")).Reload().Scalars("train/total")
    assert [event.step for event in shown] == [1, 2, 3, 4, 5]


def _losses(log):
    rows = [json.loads(line) for line in log.open()]
    return [{k: v for k, v in row.items() if k != "time_s"} for row in rows if "train/total" in row]


@pytest.mark.parametrize("weighting", ["fixed", "gradnorm"])
def test_a_loss_that_is_not_finite_stops_the_run(recipe, data, tmp_path, weighting):
    class BrokenLabels(InterruptedData):
        def batch(self, step, batch_size):
            batch = self.data.batch(step, batch_size)
            if step == self.at_step:
                batch["keypoints_px"][:] = np.nan
            return batch

        def origin(self, step, batch_size):
            return f"shard-{step:05d}.tar"

    broken = BrokenLabels(data, at_step=3)
    recipe = replace(recipe, weighting=weighting, checkpoint_every_s=0.0)
    with pytest.raises(
        HandfastError, match=r"step 4: the loss is nan \(.*keypoints.*shard-00003\.tar.*failed"
    ):
        train(recipe, broken, tmp_path / "broken")
    train(recipe, data, tmp_path / "sound", stop_after_step=3)
    failed, record = read_tensors(tmp_path / "broken" / FAILED_FILE)
    sound, _ = read_tensors(tmp_path / "sound" / STATE_FILE)
    assert record["step"] == 3
    assert all(
        torch.equal(failed[name], sound[name])
        for name in sound
        if "running" not in name and "num_b" not in name
    )
    _, record = read_tensors(tmp_path / "broken" / STATE_FILE)
    assert record["step"] == 3  # the last checkpoint is left alone


TWO_DEVICES = """
import sys
from pathlib import Path

import numpy as np
from conftest import RandomData

from handfast.errors import HandfastError
from handfast.training.loop import train
from handfast.training.tofnet import ToFNetRecipe


class Broken(RandomData):
    def batch(self, step, batch_size):
        batch = super().batch(step, batch_size)
        if step == 3:
            batch["keypoints_px"][:] = np.nan
        return batch


try:
    recipe = ToFNetRecipe(model="tofnet-tof8", skeleton="tof8", steps=5, batch_size=4)
    train(recipe, Broken(), Path("run"), devices=2)
except HandfastError as error:
    sys.exit(f"error: {error}")
"""


@pytest.mark.skipif(torch.cuda.is_available(), reason="takes two processors, and would take two GPUs")
def test_a_loss_that_is_not_finite_on_one_device_stops_all(tmp_path):
    (tmp_path / "two.py").write_text(TWO_DEVICES)
    env = os.environ | {"PYTHONPATH": str(Path(__file__).parent), "OMP_NUM_THREADS": "1"}
    command = [sys.executable, "two.py"]
    ended = subprocess.run(command, cwd=tmp_path, env=env, capture_output=True, text=True, timeout=120)
    assert ended.returncode == 1 and "Traceback" not in ended.stderr
    for why in (r"is nan \(keypoints.*", "is not finite on device 2"):
        assert re.search(rf"error: step 2: the loss {why}; its batch was made from noise 3,", ended.stderr)
    _, record = read_tensors(tmp_path / "run" / FAILED_FILE)
    assert record["step"] == 1


def test_a_gradient_that_is_not_finite_changes_no_weight(recipe, data, tmp_path):
    """A loss near the largest number has none."""
    recipe = replace(recipe, losses=LossWeights(visibility=1e38))
    with pytest.raises(HandfastError, match=r"step 1: the gradient's norm is (inf|nan).* made from noise 0"):
        train(recipe, data, tmp_path)
    failed, _ = read_tensors(tmp_path / FAILED_FILE)
    assert all(tensor.isfinite().all() for name, tensor in failed.items() if name.startswith("model."))


@pytest.mark.parametrize("precision", ["32-true", "bf16-mixed"])
def test_gradnorm_goes_on_where_it_was(recipe, data, tmp_path, precision):
    recipe = replace(recipe, weighting="gradnorm", precision=precision)
    train(recipe, data, tmp_path / "whole")
    for stop in (2, None):
        train(recipe, data, tmp_path / "cut", stop_after_step=stop)
    records = [read_tensors(tmp_path / run / STATE_FILE)[1]["gradnorm"] for run in ("whole", "cut")]
    assert records[0] == records[1]
    assert sum(records[0]["weights"].values()) == pytest.approx(sum(recipe.losses.of_tasks().values()))


def test_epochs_count_passes_over_the_data(recipe, data, tmp_path):
    train(replace(recipe, steps=0, epochs=0.6), data, tmp_path)
    _, record = read_tensors(tmp_path / STATE_FILE)
    assert record["step"] == 3  # 0.6 of 20 frames in batches of 4


def test_a_finished_run_is_left_alone(recipe, data, tmp_path):
    metrics = train(recipe, data, tmp_path)
    content = (tmp_path / STATE_FILE).read_bytes()
    assert train(recipe, data, tmp_path) == metrics
    assert (tmp_path / STATE_FILE).read_bytes() == content


def test_a_folder_of_another_recipe_is_refused(recipe, data, tmp_path):
    train(recipe, data, tmp_path, stop_after_step=1)
    with pytest.raises(HandfastError, match="another recipe"):
        train(replace(recipe, learning_rate=1e-4), data, tmp_path)


def test_a_folder_of_a_run_on_other_data_is_refused(recipe, data, tmp_path, monkeypatch):
    train(recipe, data, tmp_path, stop_after_step=1)
    monkeypatch.setattr(data, "name", "hands")
    with pytest.raises(HandfastError, match="holds a run on noise, not on hands"):
        train(recipe, data, tmp_path)


def test_training_lowers_the_loss_on_one_batch(recipe, data, tmp_path):
    class OneBatch:
        name, validation = "noise", {}

        def __len__(self):
            return len(data)

        def batch(self, step, batch_size):
            return data.batch(0, batch_size)

    train(replace(recipe, steps=25, warmup_steps=5), OneBatch(), tmp_path)
    totals = [row["train/total"] for row in map(json.loads, (tmp_path / "metrics.jsonl").open())]
    assert totals[-1] < 0.85 * totals[0]


def test_the_run_leaves_a_card_and_a_log(recipe, data, tmp_path):
    metrics = train(recipe, data, tmp_path)
    assert metrics.keys() == {
        f"noise_{name}" for name in ("error_mean_px", "error_median_px", "presence_accuracy", "side_accuracy")
    }
    net, card = load_checkpoint(tmp_path / MODEL_FILE)
    assert net.keypoints_per_hand == 8
    assert card["skeleton"] == "tof8" and card["metrics"] == metrics and card["trained_on"] == "noise"
    rows = [json.loads(line) for line in (tmp_path / "metrics.jsonl").open()]
    assert [row["step"] for row in rows if "train/total" in row] == [1, 2, 3, 4, 5]
    assert {name.removeprefix("validation/") for name in rows[-1]} >= metrics.keys()
    assert "train/auxiliary_keypoints" in rows[0]


def test_init_from_starts_from_a_checkpoint(recipe, data, tmp_path):
    train(recipe, data, tmp_path / "first")
    source, _ = read_tensors(tmp_path / "first" / MODEL_FILE)
    # One step at a learning rate of all but nothing leaves the weights where they started.
    still = replace(recipe, init_from=str(tmp_path / "first" / MODEL_FILE), steps=1, learning_rate=1e-12)
    train(still, data, tmp_path / "second")
    started, _ = read_tensors(tmp_path / "second" / MODEL_FILE)
    torch.testing.assert_close(started["to_maps.weight"], source["to_maps.weight"])


def test_what_a_run_started_from_is_not_needed_to_go_on(recipe, data, tmp_path):
    train(replace(recipe, steps=1), data, tmp_path / "first")
    further = replace(recipe, init_from=str(tmp_path / "first" / MODEL_FILE), steps=2)
    train(further, data, tmp_path / "second", stop_after_step=1)
    (tmp_path / "first" / MODEL_FILE).unlink()
    train(further, data, tmp_path / "second")
    assert read_tensors(tmp_path / "second" / MODEL_FILE)[1]["step"] == 2


def test_parts_start_from_checkpoints_of_their_own(recipe, data, tmp_path, monkeypatch):
    """A recipe names them by prefix; where that is another run's name, ``starts`` says where its file is."""
    train(replace(recipe, steps=1), data, tmp_path / "first")
    tensors, card = read_tensors(tmp_path / "first" / MODEL_FILE)
    for part in ("tier1", "tier2"):
        inner = {k.removeprefix(f"{part}."): v for k, v in tensors.items() if k.startswith(f"{part}.")}
        write_tensors(tmp_path / f"{part}.safetensors", inner, card)
    still = replace(recipe, steps=1, learning_rate=1e-12, seed=1)
    sources = {"tier1.": "earlier", "tier2.": str(tmp_path / "tier2.safetensors")}
    monkeypatch.setattr(type(recipe), "starts", lambda self: sources)
    train(still, data, tmp_path / "second", starts={"tier1.": tmp_path / "tier1.safetensors"})
    second, _ = read_tensors(tmp_path / "second" / MODEL_FILE)
    for name in ("tier1.0.0.weight", "tier2.0.first.0.0.weight"):
        torch.testing.assert_close(second[name], tensors[name])
    assert not torch.allclose(second["to_maps.weight"], tensors["to_maps.weight"])


def test_a_batch_that_devices_cannot_share_is_refused(recipe, data, tmp_path):
    with pytest.raises(HandfastError, match="batch_size 4 cannot be shared by 3 devices"):
        train(recipe, data, tmp_path, devices=3)


@pytest.mark.parametrize("weighting", ["fixed", "gradnorm"])
def test_losses_that_teach_nothing_are_refused(recipe, data, tmp_path, weighting):
    nothing = LossWeights(**{each.name: 0.0 for each in fields(LossWeights)})
    with pytest.raises(HandfastError, match="losses: every weight is 0"):
        train(replace(recipe, losses=nothing, weighting=weighting), data, tmp_path)


def test_a_model_and_skeleton_that_do_not_match_are_refused(recipe, data, tmp_path):
    with pytest.raises(HandfastError, match="predicts 8 key-points a hand, skeleton hand21 has 21"):
        train(replace(recipe, skeleton="hand21"), data, tmp_path)


@pytest.mark.parametrize(("schedule", "quarter"), [("linear", 0.75), ("cosine", (1 + 2**-0.5) / 2)])
def test_the_learning_rate_rises_then_falls_to_zero(recipe, schedule, quarter):
    recipe = replace(recipe, warmup_steps=10, learning_rate=2.0, schedule=schedule)
    assert learning_rate(recipe, 0, 110) == pytest.approx(0.2)
    assert learning_rate(recipe, 9, 110) == learning_rate(recipe, 10, 110) == 2.0
    assert learning_rate(recipe, 60, 110) == pytest.approx(1.0)
    assert learning_rate(recipe, 110, 110) == pytest.approx(0.0)
    assert learning_rate(recipe, 35, 110) == pytest.approx(2.0 * quarter)
