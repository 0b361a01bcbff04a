"""Checkpoints come back whole or not at all."""

import pytest
import torch

from handfast.errors import HandfastError
from handfast.models import MODELS
from handfast.training.checkpoint import (
    initialise_from,
    load_checkpoint,
    load_training_state,
    read_tensors,
    save_checkpoint,
    save_training_state,
    write_tensors,
)

CARD = {"name": "tofnet-tof8", "skeleton": "tof8", "metrics": {"error_mean_px": 1.5}}


@pytest.fixture
def net():
    torch.manual_seed(0)
    net = MODELS["tofnet-tof8"]()
    net(torch.rand(2, 1, 120, 160))
    return net.eval()


def assert_equal_states(a, b):
    assert a.keys() == b.keys()
    for name in a:
        assert torch.equal(a[name], b[name]), name


def test_a_net_comes_back_with_its_card(net, tmp_path):
    path = tmp_path / "net.safetensors"
    save_checkpoint(path, net, CARD)
    loaded, card = load_checkpoint(path)
    assert card == CARD and not loaded.training
    assert_equal_states(loaded.state_dict(), net.state_dict())
    assert list(tmp_path.iterdir()) == [path]  # nothing unfinished is left
    with pytest.raises(HandfastError, match=r"cannot be written .*; make room or choose another place"):
        save_checkpoint(path / "below", net, CARD)


@pytest.mark.parametrize("place", [0, 4, 100, -1000, -1])
def test_an_altered_byte_is_noticed(net, tmp_path, place):
    path = tmp_path / "net.safetensors"
    save_checkpoint(path, net, CARD)
    content = bytearray(path.read_bytes())
    content[place] ^= 0x10
    path.write_bytes(content)
    with pytest.raises(HandfastError, match=r"net\.safetensors"):
        load_checkpoint(path)


@pytest.mark.parametrize("kept", [0.0, 0.001, 0.5, 0.999])
def test_a_truncated_file_is_refused(net, tmp_path, kept):
    path = tmp_path / "net.safetensors"
    save_checkpoint(path, net, CARD)
    content = path.read_bytes()
    path.write_bytes(content[: int(kept * len(content))])
    with pytest.raises(HandfastError, match="expected a whole handfast checkpoint"):
        load_checkpoint(path)


def test_files_of_another_kind_are_refused(net, tmp_path):
    with pytest.raises(HandfastError, match="missing"):
        load_checkpoint(tmp_path / "missing.safetensors")
    path = tmp_path / "other.safetensors"
    save_checkpoint(path, net, CARD | {"name": "resnet"})
    with pytest.raises(HandfastError, match="got 'resnet'"):
        load_checkpoint(path)
    save_checkpoint(path, net, CARD | {"name": "tofnet-hand21"})
    with pytest.raises(HandfastError, match="not those of this version's tofnet-hand21"):
        load_checkpoint(path)


class MeanHand(torch.nn.Module):
    """Stands for a MANO hand: a pose of two numbers that moves nothing."""

    pose_size, shape_size, mean_pose = 2, 1, torch.zeros(2)

    def __init__(self, asset=None):
        super().__init__()

    def forward(self, pose, shape):
        return torch.zeros(len(pose), 21, 3) + pose.sum()


def test_a_net_that_moves_the_users_hand_needs_its_file(tmp_path, monkeypatch):
    path = tmp_path / "net.safetensors"
    monkeypatch.setattr("handfast.training.checkpoint.load_mano", lambda path: path)
    monkeypatch.setattr("handfast.training.checkpoint.Mano", MeanHand)
    net = MODELS["dirnet"](hand=MeanHand())
    save_checkpoint(path, net, {"name": "dirnet", "hand": "mano"})
    with pytest.raises(HandfastError, match=r"moves a MANO hand, which is not in the checkpoint; .* --mano"):
        load_checkpoint(path)
    loaded, _ = load_checkpoint(path, tmp_path / "MANO_RIGHT.pkl")
    assert isinstance(loaded.pose_predictor.hand, MeanHand)
    assert_equal_states(loaded.state_dict(), net.state_dict())


def test_a_net_without_such_a_hand_takes_no_file(net, tmp_path):
    save_checkpoint(tmp_path / "net.safetensors", net, CARD)
    with pytest.raises(HandfastError, match="tofnet-tof8 moves no MANO hand; leave --mano out"):
        load_checkpoint(tmp_path / "net.safetensors", tmp_path / "MANO_RIGHT.pkl")


def test_matching_tensors_start_another_net(net, tmp_path):
    path = tmp_path / "net.safetensors"
    save_checkpoint(path, net, CARD)
    other = MODELS["tofnet-hand21"]()
    before = {name: tensor.clone() for name, tensor in other.state_dict().items()}
    count = initialise_from(other, path)
    after, source = other.state_dict(), net.state_dict()
    taken = {name for name in after if name in source and source[name].shape == after[name].shape}
    assert count == len(taken) and "tier1.0.0.weight" in taken and "to_maps.weight" not in taken
    for name, tensor in after.items():
        assert torch.equal(tensor, source[name] if name in taken else before[name]), name


def test_a_part_of_a_net_is_started_by_its_prefix(net, tmp_path):
    path = tmp_path / "net.safetensors"
    save_checkpoint(path, net, CARD)
    both = torch.nn.ModuleDict({"one": MODELS["tofnet-tof8"](), "other": MODELS["tofnet-tof8"]()})
    before = {name: tensor.clone() for name, tensor in both["one"].state_dict().items()}
    assert initialise_from(both, path, "other.") == len(net.state_dict())
    assert_equal_states(both["other"].state_dict(), net.state_dict())
    assert_equal_states(both["one"].state_dict(), before)
    with pytest.raises(HandfastError, match="no tensor"):
        initialise_from(both, path)


def test_a_checkpoint_that_shares_nothing_is_refused(tmp_path):
    path = tmp_path / "other.safetensors"
    write_tensors(path, {"weight": torch.zeros(3)}, {})
    with pytest.raises(HandfastError, match="no tensor"):
        initialise_from(MODELS["tofnet-tof8"](), path)


def test_tensors_of_all_kinds_come_back(tmp_path):
    path = tmp_path / "tensors.safetensors"
    tensors = {
        "scalar": torch.tensor(7, dtype=torch.int64),
        "empty": torch.zeros(0, 3),
        "bfloat16": torch.randn(3).bfloat16(),
        "transposed": torch.randn(2, 3).T,
        "channels_last": torch.randn(1, 4, 3, 3).contiguous(memory_format=torch.channels_last),
    }
    write_tensors(path, tensors, {"step": 3})
    loaded, record = read_tensors(path)
    assert record == {"step": 3}
    assert_equal_states(loaded, tensors)


def test_a_training_state_restores_model_average_optimizer_and_random_numbers(tmp_path):
    def make():
        model, average = torch.nn.Linear(3, 2), torch.nn.Linear(3, 2)
        return model, average, torch.optim.AdamW(model.parameters(), lr=0.1)

    def step(model, optimizer):
        optimizer.zero_grad()
        model(torch.rand(4, 3)).square().sum().backward()
        optimizer.step()

    path = tmp_path / "state.safetensors"
    model, average, optimizer = make()
    step(model, optimizer)
    save_training_state(path, model, average, optimizer, {"step": 1})
    step(model, optimizer)

    restored, restored_average, restored_optimizer = make()
    torch.manual_seed(99)
    assert load_training_state(path, restored, restored_average, restored_optimizer) == {"step": 1}
    step(restored, restored_optimizer)
    assert_equal_states(restored.state_dict(), model.state_dict())
    assert_equal_states(restored_average.state_dict(), average.state_dict())

    with pytest.raises(HandfastError, match="not a state of this run"):
        other = torch.nn.Linear(5, 5)
        load_training_state(path, other, other, torch.optim.AdamW(other.parameters()))
