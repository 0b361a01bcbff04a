"""DIR-Net: published sizes, loops that share weights but not statistics, exits, and what is exported."""

import copy
import io
import warnings
from functools import partial

import numpy as np
import onnx
import onnxruntime
import pytest
import torch
from torch import nn

from handfast.errors import HandfastError
from handfast.hand_model.mano import ManoAsset
from handfast.hand_model.torch_mano import FINGER_JOINTS, TIP_VERTICES, Mano
from handfast.models.cost import network_cost
from handfast.models.dirnet import LOOP_POINTS, DIRNet, LoopNorm
from handfast.models.dirnet_gate import (
    exit_by_policy,
    exit_by_variance,
    exit_loop,
    mean_variance,
    run_adaptive,
)
from handfast.models.dirnet_heads import Estimate, rotation_from_columns
from mano_fixtures import right_hand_joints_m

MAX_LOOPS = 3
LARGE, SMALL = partial(DIRNet, 32, 512, 5), partial(DIRNet, 16, 256, 5)


def narrow_net(**options):
    """In evaluation mode, with statistics and heads that tell images and loops apart."""
    torch.manual_seed(0)
    net = DIRNet(8, 32, MAX_LOOPS, **options)
    nn.init.normal_(net.pose_predictor.parameters_of_hand.weight, std=0.3)
    for head in (net.uncertainty.second, net.gate[-1]):
        nn.init.normal_(head.weight, std=3)
    with torch.no_grad():
        for seed in range(5):
            net(images(4, seed))
    return net.eval()


def images(n, seed=0, size=64):
    """Coarse random patterns: of white noise, a net's averages are all the same."""
    coarse = torch.rand(n, 3, 6, 6, generator=torch.Generator().manual_seed(seed))
    return nn.functional.interpolate(coarse, size=(size, size), mode="bilinear")


def assert_same(found, expected, atol=1e-5):
    for name, a, b in zip(Estimate._fields, found, expected, strict=True):
        torch.testing.assert_close(a, b, rtol=1e-4, atol=atol, msg=lambda m, name=name: f"{name}: {m}")


class Loops(nn.Module):
    def __init__(self, net, loops):
        super().__init__()
        self.net, self.loops = net, loops

    def forward(self, image):
        return self.net(image, self.loops)


def costs(build, loops):
    return network_cost(lambda: Loops(build(), loops), 1, 3, 224, 224)


@pytest.mark.parametrize(
    ("build", "parameters", "megamacs", "megamacs_a_loop"),
    [(SMALL, 460_000, 77.8, 27.4), (LARGE, 1_680_000, 252.0, 109.5)],
)
def test_costs_are_about_the_published_ones(build, parameters, megamacs, megamacs_a_loop):
    """Table 3 prints 0.14 and 0.46 GFLOP without loops, 0.062 and 0.21 for each, counted in its own way."""
    counted, first = costs(build, 0)
    assert abs(counted / parameters - 1) < 0.05
    loop = costs(build, 1)[1] - first
    assert (round(first / 1e6, 1), round(loop / 1e6, 1)) == (megamacs, megamacs_a_loop)
    assert costs(build, 5)[1] == first + 5 * loop


def test_later_loop_points_make_cheaper_loops():
    loops = [costs(partial(SMALL, loop_point=p), 1)[1] - costs(SMALL, 0)[1] for p in LOOP_POINTS]
    assert sorted(loops, reverse=True) == loops
    direct = costs(partial(SMALL, attention=False), 1)[1] - costs(SMALL, 0)[1]
    assert direct < loops[2]


def test_feeding_back_directly_has_no_parameters_at_the_usual_loop_point():
    assert not list(DIRNet(8, 32, 1, attention=False).feedback.parameters())


@pytest.mark.parametrize("loop_point", LOOP_POINTS)
@pytest.mark.parametrize("attention", [True, False])
@pytest.mark.parametrize("size", [64, 112])
def test_every_loop_point_estimates_once_more_than_it_loops(loop_point, attention, size):
    net = narrow_net(loop_point=loop_point, attention=attention)
    with torch.no_grad():
        estimates = net(images(2, size=size))
        assert len(estimates) == MAX_LOOPS + 1 and len(net(images(1), 1)) == 2
        features = net.extract(images(2, size=size))
    for estimate in estimates:
        assert estimate.joints_3d.shape == (2, 21, 3)
        assert all(tensor.isfinite().all() for tensor in estimate)
    assert features.shape[2] == size // {1: 4, 2: 4, 3: 8, 4: 16}[loop_point]
    assert not torch.allclose(estimates[0].joints_2d, estimates[-1].joints_2d, atol=1e-3)


def test_an_unknown_loop_point_is_refused():
    with pytest.raises(HandfastError, match="loop_point"):
        DIRNet(8, 32, 1, loop_point=5)


def test_batched_equals_single():
    net, image = narrow_net(), images(3)
    with torch.no_grad():
        together = net(image)
        for i in range(3):
            for both, alone in zip(together, net(image[i : i + 1]), strict=True):
                assert_same([tensor[i] for tensor in both], [tensor[0] for tensor in alone])


def test_forward_is_extract_refine_attend():
    net = narrow_net()
    with torch.no_grad():
        features = net.extract(images(2))
        first, encoded = net.refine(features, 0)
        second, _ = net.refine(net.attend(features, encoded), 1)
        expected = net(images(2), 1)
    assert_same(first, expected[0], atol=0)
    assert_same(second, expected[1], atol=0)


def mano_hand():
    """Of joints that lie as MANO's do, and fingertips 25 mm beyond them; the rest of the skin is anywhere."""
    joints_m = right_hand_joints_m()
    vertices_m = joints_m[np.arange(778) % 16]
    beyond_m = [[-0.02, -0.005, 0.015], *[[-0.025, 0, 0]] * 4]
    vertices_m[list(TIP_VERTICES)] = joints_m[[joints[-1] for joints in FINGER_JOINTS]] + beyond_m
    arrays = {
        "v_template": vertices_m,
        "shapedirs": np.zeros((778, 3, 10)),
        "posedirs": np.zeros((778, 3, 135)),
        "J_regressor": np.eye(16, 778),
        "weights": np.eye(16)[np.arange(778) % 16],
        "hands_mean": np.zeros(45),
    }
    return Mano(
        ManoAsset(
            **{name: array.astype(np.float32) for name, array in arrays.items()},
            parents=np.array([-1, 0, 1, 2, 0, 4, 5, 0, 7, 8, 0, 10, 11, 0, 13, 14]),
        )
    )


@pytest.mark.parametrize("make_hand", [lambda: None, mano_hand], ids=["open", "mano"])
def test_a_new_net_sees_the_mean_hand_upright_in_the_crop_its_palm_to_the_camera(make_hand):
    torch.manual_seed(0)
    net = DIRNet(8, 32, 1, hand=make_hand()).eval()
    with torch.no_grad():
        estimate = net(images(4))[0]
    joints_2d, joints_3d = estimate.joints_2d, estimate.joints_3d
    assert torch.all(joints_2d.abs() < 1)
    wrist, thumb_tip, index, middle, pinky = (joints_2d[:, joint] for joint in (0, 4, 5, 9, 17))
    torch.testing.assert_close(middle[:, 0], wrist[:, 0], rtol=0, atol=0.15)
    assert torch.all(wrist[:, 1] > middle[:, 1] + 0.4)  # fingers up
    assert torch.all(index[:, 0] > pinky[:, 0] + 0.25)  # a right hand: the palm is to the camera
    assert torch.all(thumb_tip[:, 0] > index[:, 0] - 0.1)
    assert torch.all(joints_3d[:, 4, 2] < 0)  # and the thumb before it
    assert torch.all(estimate.exit_logits.abs() < 0.5)


@pytest.mark.parametrize(
    ("make_hand", "columns"),
    [(lambda: None, [-1, 0, 0, 0, -1, 0]), (mano_hand, [0, 1, 0, 0, 0, 1])],
    ids=["open", "mano"],
)
def test_a_new_net_starts_from_whole_quarter_turns(make_hand, columns):
    predictor = DIRNet(8, 32, 1, hand=make_hand()).pose_predictor
    size = predictor.hand.pose_size + predictor.hand.shape_size
    assert predictor.parameters_of_hand.bias[size : size + 6].tolist() == columns


def test_joints_are_projected_as_equation_2_says():
    """In 2D they are those in 3D without depth, scaled and shifted: so are the differences from the wrist."""
    with torch.no_grad():
        estimate = narrow_net()(images(3))[-1]
    flat, seen = estimate.joints_3d[..., :2], estimate.joints_2d - estimate.joints_2d[:, :1]
    scale = (flat * seen).sum((1, 2)) / flat.square().sum((1, 2))
    assert torch.all(scale > 0)
    torch.testing.assert_close(seen, scale[:, None, None] * flat, rtol=1e-4, atol=1e-5)


def test_rotations_are_rotations_and_the_columns_of_one_give_it_back():
    torch.manual_seed(0)
    rotation = rotation_from_columns(torch.randn(16, 6))
    torch.testing.assert_close(rotation @ rotation.mT, torch.eye(3).expand(16, 3, 3), rtol=0, atol=1e-5)
    torch.testing.assert_close(torch.linalg.det(rotation), torch.ones(16))
    again = rotation_from_columns(rotation[:, :, :2].mT.flatten(1) * torch.tensor([2.0, 2, 2, 5, 5, 5]))
    torch.testing.assert_close(again, rotation)


def test_attention_is_between_0_and_1_as_large_as_the_features_and_multiplies_them():
    net = narrow_net()
    with torch.no_grad():
        features = net.extract(images(2))
        _, encoded = net.refine(features, 0)
        attention = net.feedback.attention(features, encoded)
        assert attention.shape == features.shape
        assert 0 <= attention.min() < 0.45 and 0.55 < attention.max() <= 1
        assert torch.equal(net.attend(features, encoded), features * attention)


def test_each_loop_has_its_own_normalisation():
    net, image = narrow_net(), images(2)
    with torch.no_grad():
        before = net(image)
        for norm in (module for module in net.refiner.modules() if isinstance(module, LoopNorm)):
            norm.running_var[1] *= 4
            norm.bias[1] += 0.5
        after = net(image)
    assert_same(after[0], before[0], atol=0)
    assert not torch.allclose(after[1].joints_2d, before[1].joints_2d, atol=1e-3)


def test_training_moves_the_statistics_of_the_loops_that_ran_alone():
    net = DIRNet(8, 32, MAX_LOOPS)
    net(images(4), 1)
    for norm in (module for module in net.refiner.modules() if isinstance(module, LoopNorm)):
        fresh = (norm.running_mean == 0).all(dim=1) & (norm.running_var == 1).all(dim=1)
        assert fresh.tolist() == [False, False, True, True]


def test_one_loops_normalisation_is_batch_normalisation():
    torch.manual_seed(0)
    ours, theirs = LoopNorm(3, 2), nn.BatchNorm2d(3)
    x = torch.randn(4, 3, 5, 5)
    torch.testing.assert_close(ours(x, 1), theirs(x))
    torch.testing.assert_close(ours.eval()(2 * x, torch.tensor(1)), theirs.eval()(2 * x))


def test_the_last_loop_teaches_what_comes_before_it():
    net = DIRNet(8, 32, MAX_LOOPS)
    net(images(4))[-1].joints_2d.sum().backward()
    for part in (net.extractor.stem, net.refiner, net.feedback):
        assert all(p.grad.abs().sum() > 0 for p in part.parameters() if p.ndim == 4)


def test_a_frozen_extractor_stays_and_the_rest_learns():
    net = DIRNet(8, 32, MAX_LOOPS)
    net.extractor.requires_grad_(False)
    net(images(4))[-1].joints_2d.sum().backward()
    assert all(p.grad is None for p in net.extractor.parameters())
    assert all(p.grad is not None for p in net.refiner.parameters())


def test_the_gate_teaches_nothing_but_itself():
    net = narrow_net()
    net(images(2))[-1].exit_logits.sum().backward()
    taught = {name.split(".")[0] for name, p in net.named_parameters() if p.grad is not None}
    assert taught == {"gate"}


def test_another_hand_can_stand_in():
    class Ball(nn.Module):
        pose_size, shape_size, mean_pose = 4, 2, torch.ones(4)

        def forward(self, pose, shape):
            return pose[:, None, :3] * torch.linspace(0, 1, 21)[:, None]

    estimate = DIRNet(8, 32, 1, hand=Ball()).eval()(images(2))[-1]
    torch.testing.assert_close(estimate.pose, torch.ones(2, 4), rtol=0, atol=0.2)  # what a new net sees
    assert estimate.pose.shape == (2, 4) and estimate.shape.shape == (2, 2)
    assert estimate.joints_3d.shape == (2, 21, 3)


def test_a_saved_net_holds_no_hand():
    assert not [name for name in DIRNet(8, 32, 1).state_dict() if "hand." in name.replace("of_hand.", "")]


def test_the_median_is_that_of_sampled_exits():
    torch.manual_seed(0)
    net = narrow_net()
    with torch.no_grad():
        estimates = net(images(1))
    policy = torch.stack([exit_by_policy(e, 1.0) for e in estimates], dim=1)
    generator = torch.Generator().manual_seed(0)
    draws = [exit_loop(torch.bernoulli(policy, generator=generator)).item() for _ in range(400)]
    assert exit_loop(policy).item() == np.median(draws)
    share = np.mean(np.array(draws) == 0)
    assert share == pytest.approx(policy[0, 0].item(), abs=0.1)


@pytest.fixture
def gated():
    """A net and images that leave the loop at different times, and the two gates that see to it."""
    net, image = narrow_net(), images(12, seed=7)
    with torch.no_grad():
        estimates = net(image)
    variances = torch.stack([mean_variance(e) for e in estimates])
    return net, image, estimates, float(variances.min(0).values.median())


@pytest.mark.parametrize("kind", ["variance", "policy"])
def test_adaptive_runs_are_each_samples_own(gated, kind):
    net, image, estimates, threshold = gated
    gate = (
        partial(exit_by_variance, threshold=threshold)
        if kind == "variance"
        else partial(exit_by_policy, temperature=1.0)
    )
    found, loops = run_adaptive(net, image, gate)
    assert len(set(loops.tolist())) > 1
    assert torch.equal(loops, exit_loop(torch.stack([gate(e) for e in estimates], dim=1)))
    for i, loop in enumerate(loops.tolist()):
        alone, took = run_adaptive(net, image[i : i + 1], gate)
        assert took.item() == loop
        assert_same([tensor[i] for tensor in found], [tensor[0] for tensor in alone])
        assert_same([tensor[i] for tensor in found], [tensor[i] for tensor in estimates[loop]])


def test_samples_that_have_left_are_not_refined(gated):
    net, image, _, threshold = gated
    refined = []
    refine = net.refine
    net.refine = lambda features, loop: refined.append(len(features)) or refine(features, loop)
    _, loops = run_adaptive(net, image, partial(exit_by_variance, threshold=threshold))
    assert refined == [int((loops >= loop).sum()) for loop in range(int(loops.max()) + 1)]
    assert sum(refined) == int((loops + 1).sum())


def test_gates_that_never_and_always_leave():
    net, image = narrow_net(), images(2)
    assert run_adaptive(net, image, partial(exit_by_variance, threshold=-1.0))[1].tolist() == 2 * [MAX_LOOPS]
    assert run_adaptive(net, image, partial(exit_by_variance, threshold=1e9))[1].tolist() == [0, 0]


class Part(nn.Module):
    """A method of a net as a module, which is what can be exported."""

    def __init__(self, net, method):
        super().__init__()
        self.net, self.method = net, method

    def forward(self, *inputs):
        result = getattr(self.net, self.method)(*inputs)
        return (*result[0], result[1]) if self.method == "refine" else result


def exported(net, method, *inputs):
    """The results of ONNX Runtime on two images with a graph made from the first of them."""
    names = [f"input{i}" for i in range(len(inputs))]
    one = tuple(tensor[:1] if tensor.ndim else tensor for tensor in inputs)
    file = io.BytesIO()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        warnings.simplefilter("ignore", torch.jit.TracerWarning)
        part = Part(net, method).eval()
        torch.onnx.export(part, one, file, input_names=names, opset_version=17, dynamo=False)
    model = onnx.load_from_string(file.getvalue())
    for value in (*model.graph.input, *model.graph.output):
        if value.type.tensor_type.shape.dim:
            value.type.tensor_type.shape.dim[0].dim_param = "batch"
    del model.graph.value_info[:]
    onnx.checker.check_model(model, full_check=True)
    session = onnxruntime.InferenceSession(model.SerializeToString())
    return session.run(None, {name: tensor.numpy() for name, tensor in zip(names, inputs, strict=True)})


def test_exported_parts_compute_the_same():
    net = narrow_net()
    with torch.no_grad():
        image = images(2)
        features = net.extract(image)
        np.testing.assert_allclose(exported(net, "extract", image)[0], features.numpy(), atol=1e-5)
        _, encoded = net.refine(features, 0)
        attended = net.attend(features, encoded)
        found = exported(net, "attend", features, encoded)[0]
        np.testing.assert_allclose(found, attended.numpy(), atol=1e-5)
        for loop in (0, 2):  # one graph is told the loop
            estimate, encoded = net.refine(attended, loop)
            found = exported(net, "refine", attended, torch.tensor(loop))
            for a, b in zip(found, (*estimate, encoded), strict=True):
                np.testing.assert_allclose(a, b.numpy(), rtol=1e-4, atol=1e-5)


def test_a_copy_gives_the_same_bits():
    """What the training loop averages is a copy."""
    net = narrow_net()
    with torch.no_grad():
        assert_same(copy.deepcopy(net)(images(1))[-1], net(images(1))[-1], atol=0)
