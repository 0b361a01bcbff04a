"""What is left of a net, what it is called then, and which stack weighs the most."""

import pytest
import torch

from handfast.errors import HandfastError
from handfast.models import MODELS
from handfast.models.dense_regression import deeply_supervised
from handfast.models.pruning import prune, stack_norms, strongest_stack
from handfast.training.checkpoint import load_checkpoint


def card_of(name):
    return {
        "name": name,
        "skeleton": "nyu14",
        "metrics": {f"crops_error_mm_l{i}": float(i) for i in (1, 3, 4)},
    }


def test_blocks_weigh_the_sum_of_their_filters():
    net = MODELS["dense-2stack"]()
    with torch.no_grad():
        for parameter in net.parameters():
            parameter.fill_(-0.5)
    first, second = stack_norms(net)
    assert first == second and len(first) == 12 + 7
    assert first["hourglass.skip.4"] == 0.5 * (128 * 64 + 64 * 64 * 9 + 64 * 128)


def test_the_first_of_equal_stacks_is_kept():
    assert strongest_stack([{"a": 1.0, "b": 2.0}, {"a": 2.0, "b": 1.5}]) == 1
    assert strongest_stack([{"a": 1.0}, {"a": 1.0}]) == 0


@pytest.mark.parametrize("level", [3, 4])
def test_a_pruned_level_is_a_model_with_a_name_that_says_the_same_bits(dense_checkpoint, level):
    net, card = load_checkpoint(dense_checkpoint("dense-hand21-supervised"))
    pruned, pruned_card = prune(net, card, None, level, supervised=False)
    assert pruned_card["name"] == {3: "dense-hand21-l3", 4: "dense-hand21"}[level]
    assert pruned_card["config"] == MODELS[pruned_card["name"]].keywords
    assert pruned_card["metrics"] == {f"crops_error_mm_l{level}": 10.0 * level}
    assert pruned_card["skeleton"] == "hand21" and card["name"] == "dense-hand21-supervised"
    depth = torch.rand(2, 1, 128, 128) - 0.5
    with torch.inference_mode():
        for found, expected in zip(pruned(depth), net.branches(depth)[level - 3], strict=True):
            assert torch.equal(found, expected)


@pytest.mark.parametrize(("supervised", "name"), [(False, "dense-1stack"), (True, "dense-1stack-supervised")])
@pytest.mark.parametrize("kept", [0, 1])
def test_a_stack_is_kept_without_what_was_measured_of_both(kept, supervised, name):
    net = MODELS["dense-2stack"]()
    pruned, card = prune(net, card_of("dense-2stack"), kept, None, supervised)
    assert (card["name"], card["metrics"]) == (name, {})
    assert stack_norms(pruned)[0].items() >= stack_norms(net)[kept].items()
    MODELS[name]().load_state_dict(pruned.state_dict())


@pytest.mark.parametrize("name", ["dense-1stack", "dense-icvl16-1stack", "dense-lean"])
@pytest.mark.parametrize("level", [1, 2, 3, 4])
def test_each_trained_head_can_be_cut_out(name, level):
    with torch.device("meta"):
        net = MODELS[f"{name}-supervised"]()
        _, card = prune(net, card_of(f"{name}-supervised"), None, level, supervised=False)
    assert card["name"] == (name if level == 4 else f"{name}-l{level}")


def test_heads_that_are_trained_stay_when_the_others_are_added(dense_checkpoint):
    net, _ = load_checkpoint(dense_checkpoint("dense-hand21-supervised"))
    before, after = net.state_dict(), deeply_supervised(net).state_dict()
    assert all(torch.equal(after[name], tensor) for name, tensor in before.items())
    for level, taken in ((1, 4), (2, 4), (3, 3), (4, 4)):
        first = "stacks.0.heads.{}.shared.0.body.0.0.weight"
        assert torch.equal(after[first.format(level)], before[first.format(taken)])


def test_what_has_no_name_is_refused():
    """Half the features stay half, which no net of one stack has."""
    with pytest.raises(HandfastError, match=r"has joints 14, stacks 1, .* features 64; cut or keep"):
        prune(MODELS["dense-2stack-half"](), card_of("dense-2stack-half"), 0, None, False)
