"""Dense regression: published sizes, what each part sees and learns, and what pruning leaves as it was."""

import pytest
import torch

from handfast.errors import HandfastError
from handfast.models import MODELS
from handfast.models.cost import network_cost
from handfast.models.dense_regression import (
    LEVELS,
    DenseRegression,
    at_level,
    cell_depth,
    deeply_supervised,
    map_size,
    single_stack,
)
from handfast.sensors import depth_crop

# Parameters, of which the paper prints 5.83 M and 2.92 M, and GMAC, at 14 joints.
COSTS = {
    "dense-2stack": (5_827_804, 4.87),
    "dense-2stack-half": (1_542_044, 1.31),
    "dense-1stack": (2_923_902, 2.45),
    "dense-1stack-l3": (2_870_142, 0.69),
    "dense-1stack-l2": (2_816_382, 0.25),
    "dense-1stack-l1": (2_762_622, 0.14),
    "dense-lean": (1_010_102, 0.50),
    "dense-lean-l3": (956_342, 0.20),
}
NARROW = 16
OUTPUTS = ("heatmaps_2d", "heatmaps_3d", "unit_vectors")


def narrow_net(stacks=1, levels=LEVELS, joints=3):
    """A net with statistics that a batch has left in it, in evaluation mode."""
    torch.manual_seed(0)
    net = DenseRegression(joints, stacks, levels, NARROW)
    for parameter in net.parameters():
        if parameter.ndim == 4:  # at its own small weights it is all but silent
            torch.nn.init.kaiming_normal_(parameter)
    with torch.no_grad():
        net.branches(crops(2))
    return net.eval()


def crops(n):
    """(n, 1, 128, 128): hands before nothing."""
    generator = torch.Generator().manual_seed(n)
    depth = torch.rand(n, 1, 128, 128, generator=generator) * 1.5 - 0.5
    depth[..., :40] = -1
    return depth


@pytest.mark.parametrize(("name", "parameters", "gmacs"), [(name, *cost) for name, cost in COSTS.items()])
def test_costs_are_the_published_ones(name, parameters, gmacs):
    counted, macs = network_cost(MODELS[name], 1, 1, 128, 128)
    assert counted == parameters
    assert round(macs / 1e9, 2) == gmacs


def test_a_net_for_other_joints():
    net = MODELS["dense-lean-l3"](joints=21)
    assert net.eval()(crops(1)).unit_vectors.shape == (1, 21, 3, 16, 16)


def test_half_as_wide_crops_have_half_as_wide_maps():
    depth = crops(2)[..., ::2, ::2]
    branches = narrow_net(stacks=2).branches(depth)
    assert [branch.heatmaps_2d.shape for branch in branches] == 2 * [(2, 3, s, s) for s in (2, 4, 8, 16)]


def test_pruning_keeps_the_width():
    net = DenseRegression(3, 2, (4,), NARROW, features=32)
    assert single_stack(net, 1).features == 32
    assert single_stack(net, 1).stacks[0].hourglass.skip["4"].body[0][0].in_channels == 32


def test_branches_are_the_levels_of_each_stack_from_the_lowest_up():
    net = narrow_net(stacks=2)
    branches = net.branches(crops(2))
    assert [branch.heatmaps_2d.shape for branch in branches] == 2 * [(2, 3, s, s) for s in (4, 8, 16, 32)]
    for branch in branches:
        assert branch.heatmaps_3d.shape == branch.heatmaps_2d.shape
        assert branch.unit_vectors.shape == (2, 3, 3, *branch.heatmaps_2d.shape[2:])


def test_what_is_run_is_the_last_branch():
    for net in (narrow_net(2), narrow_net(1, (1, 2))):
        for run, branch in zip(net(crops(1)), net.branches(crops(1))[-1], strict=True):
            assert torch.equal(run, branch)


def test_batched_equals_single():
    net = narrow_net(2, (4,))
    depth = crops(3)
    together = net(depth)
    for i in range(3):
        for both, alone in zip(together, net(depth[i : i + 1]), strict=True):
            torch.testing.assert_close(both[i], alone[0], rtol=1e-4, atol=1e-4 * alone.abs().max().item())


@pytest.mark.parametrize("level", LEVELS)
def test_a_pruned_level_computes_the_same_bits_with_fewer_parameters(level):
    net = narrow_net()
    pruned = at_level(net, level)
    for found, expected in zip(pruned(crops(2)), net.branches(crops(2))[level - 1], strict=True):
        assert torch.equal(found, expected)
        assert found.shape[-1] == map_size(level)
    names = pruned.state_dict().keys()
    assert names < net.state_dict().keys() or level == 4
    assert {name.split(".")[3] for name in names if ".heads." in name} == {str(level)}
    assert {name.split(".")[4] for name in names if ".skip." in name} == {str(i) for i in LEVELS[:level]}
    assert not pruned.training and not any(p.is_meta for p in pruned.parameters())


def test_pruning_leaves_the_large_net_alone_and_draws_no_random_numbers():
    net = narrow_net()
    before = {name: tensor.clone() for name, tensor in net.state_dict().items()}
    torch.manual_seed(5)
    expected = torch.rand(1)
    torch.manual_seed(5)
    pruned = at_level(net, 3)
    assert torch.equal(torch.rand(1), expected)
    with torch.no_grad():
        for tensor in pruned.state_dict().values():
            tensor.zero_()
    assert all(torch.equal(tensor, before[name]) for name, tensor in net.state_dict().items())
    assert all(parameter.requires_grad for parameter in pruned.parameters())


def test_the_first_of_two_stacks_alone_says_what_it_said():
    net = narrow_net(2, (4,))
    alone = single_stack(net, 0)
    for found, expected in zip(alone(crops(2)), net.branches(crops(2))[0], strict=True):
        assert torch.equal(found, expected)
    assert sum(p.numel() for p in single_stack(MODELS["dense-2stack"](), 0).parameters()) == 2_923_902


def test_the_second_stack_alone_has_its_own_weights():
    net = narrow_net(2, (4,))
    alone = single_stack(net, 1)
    kept = net.stacks[1].state_dict()
    assert all(torch.equal(tensor, kept[name]) for name, tensor in alone.stacks[0].state_dict().items())
    assert torch.equal(alone.stem[0][0].weight, net.stem[0][0].weight)


def test_deep_supervision_starts_with_the_same_head_at_each_level():
    net = narrow_net(1, (4,))
    supervised = deeply_supervised(net)
    assert supervised.levels == LEVELS
    for run, expected in zip(supervised(crops(2)), net(crops(2)), strict=True):
        assert torch.equal(run, expected)
    heads = supervised.stacks[0].heads
    for level in LEVELS:
        for name, tensor in heads[str(level)].state_dict().items():
            assert torch.equal(tensor, heads["4"].state_dict()[name])
    assert heads["1"].heatmaps_2d.weight.data_ptr() != heads["4"].heatmaps_2d.weight.data_ptr()


def silent(net):
    return {name for name, p in net.named_parameters() if p.grad is None or not p.grad.any()}


@pytest.mark.parametrize("stacks", [1, 2])
def test_training_reaches_every_parameter(stacks):
    net = narrow_net(stacks).train()
    sum((out * torch.randn_like(out)).sum() for branch in net.branches(crops(2)) for out in branch).backward()
    assert not silent(net)


def test_each_level_alone_teaches_the_stem_and_its_own_head():
    net = narrow_net().train()
    for level, branch in zip(LEVELS, net.branches(crops(2)), strict=True):
        net.zero_grad(set_to_none=True)
        sum((out * torch.randn_like(out)).sum() for out in branch).backward(retain_graph=True)
        taught = {name for name, p in net.named_parameters() if p.grad is not None and p.grad.any()}
        assert {name.split(".")[3] for name in taught if ".heads." in name} == {str(level)}
        assert {name.split(".")[4] for name in taught if ".skip." in name} == {str(i) for i in LEVELS[:level]}
        assert "stem.0.0.weight" in taught


def test_each_output_alone_teaches_the_stem():
    net = narrow_net(2, (4,)).train()
    prediction = net(crops(2))
    for name, out in zip(OUTPUTS, prediction, strict=True):
        (gradient,) = torch.autograd.grad(
            (out * torch.randn_like(out)).sum(), net.stem[0][0].weight, retain_graph=True
        )
        assert gradient.any(), name


def test_one_of_the_branches_of_the_vectors_is_blind_where_there_is_no_hand():
    net = narrow_net(1, (4,))
    seen = {}
    head = net.stacks[0].heads["4"]
    for name in ("everywhere", "on_hand"):
        getattr(head, name).register_forward_pre_hook(
            lambda module, inputs, name=name: seen.setdefault(name, inputs[0])
        )
    depth = crops(2)
    net(depth)
    off_hand = (cell_depth(depth, 32) < -0.9).expand_as(seen["on_hand"])
    assert off_hand.any() and not seen["on_hand"][off_hand].any()
    assert torch.equal(seen["on_hand"][~off_hand], seen["everywhere"][~off_hand])
    assert seen["everywhere"][off_hand].any()


def test_cells_have_the_depth_that_the_codec_takes_for_theirs():
    depth = crops(3)
    depth[torch.rand(depth.shape, generator=torch.Generator().manual_seed(0)) < 0.9] = -1
    for level in LEVELS:
        for found, crop in zip(cell_depth(depth, map_size(level)), depth, strict=True):
            expected = depth_crop.cell_depth(crop[0].numpy(), map_size(level))
            assert torch.equal(found[0], torch.from_numpy(expected))


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_what_is_traced_with_one_crop_takes_any_number():
    net = narrow_net(1, (3,))
    traced = torch.jit.trace(net, crops(1))
    for found, expected in zip(traced(crops(3)), net(crops(3)), strict=True):
        torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize(("stacks", "levels"), [(1, ()), (1, (0,)), (1, (5,)), (2, (3,)), (2, (1, 2, 3))])
def test_impossible_levels_are_refused(stacks, levels):
    with pytest.raises(HandfastError, match="levels: expected some of"):
        DenseRegression(3, stacks, levels, NARROW)


def test_a_level_without_a_head_cannot_be_kept():
    with pytest.raises(HandfastError, match="level 3: expected one stack with a head there"):
        at_level(narrow_net(1, (4,)), 3)
    with pytest.raises(HandfastError, match="got 2 with heads"):
        at_level(narrow_net(2), 3)
