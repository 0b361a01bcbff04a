"""The loop: it can be cut off and goes on as if nothing had been, and leaves what a reader needs."""

import json
from dataclasses import replace

import pytest
import torch

from handfast.errors import HandfastError
from handfast.training.checkpoint import load_checkpoint, read_tensors
from handfast.training.loop import MODEL_FILE, STATE_FILE, learning_rate, train


@pytest.fixture(autouse=True)
def one_thread():
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


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


def test_a_finished_run_is_left_alone(recipe, data, tmp_path):
    metrics = train(recipe, data, tmp_path)
    content = (tmp_path / STATE_FILE).read_bytes()
    assert train(recipe, data, tmp_path) == metrics
    assert (tmp_path / STATE_FILE).read_bytes() == content


def test_a_folder_of_another_recipe_is_refused(recipe, data, tmp_path):
    train(recipe, data, tmp_path, stop_after_step=1)
    with pytest.raises(HandfastError, match="another recipe"):
        train(replace(recipe, learning_rate=1e-4), data, tmp_path)


def test_training_lowers_the_loss_on_one_batch(recipe, data, tmp_path):
    class OneBatch:
        name, validation = "noise", {}

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


def test_a_model_and_skeleton_that_do_not_match_are_refused(recipe, data, tmp_path):
    with pytest.raises(HandfastError, match="predicts 8 key-points a hand, skeleton hand21 has 21"):
        train(replace(recipe, skeleton="hand21"), data, tmp_path)


@pytest.mark.parametrize(("schedule", "quarter"), [("linear", 0.75), ("cosine", (1 + 2**-0.5) / 2)])
def test_the_learning_rate_rises_then_falls_to_zero(recipe, schedule, quarter):
    recipe = replace(recipe, steps=110, warmup_steps=10, learning_rate=2.0, schedule=schedule)
    assert learning_rate(recipe, 0) == pytest.approx(0.2)
    assert learning_rate(recipe, 9) == learning_rate(recipe, 10) == 2.0
    assert learning_rate(recipe, 60) == pytest.approx(1.0)
    assert learning_rate(recipe, 110) == pytest.approx(0.0)
    assert learning_rate(recipe, 35) == pytest.approx(2.0 * quarter)
