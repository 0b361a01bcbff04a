"""ACE's losses against hand-worked values."""

import pytest
import torch

from handfast.losses.adaptive import adaptive_losses, gaussian_heatmaps, joints_loss, single_frame_losses
from handfast.models.ace import AceOutput, Encoding


def encoding(joints_cm, heatmaps=None):
    return Encoding(heatmaps, joints_cm, torch.zeros(*joints_cm.shape[:-2], 5))


def test_smooth_l1_turns_linear_at_a_centimetre():
    known = torch.zeros(1, 3, 3)
    assert joints_loss(known + 0.5, known).item() == pytest.approx(0.125)
    assert joints_loss(known - 4.0, known).item() == pytest.approx(3.5)
    one_off = known.clone()
    one_off[0, 1, 2] = 4.0
    assert joints_loss(one_off, known).item() == pytest.approx(3.5 / 9)


@pytest.mark.parametrize("size", [16, 64])
def test_heatmaps_are_one_at_the_keypoint_and_symmetric(size):
    """A key-point in the middle of a cell of an image 64 pixels wide, x to the right, y down."""
    stride = 64 / size
    middle = torch.tensor([5, 3]) * stride + (stride - 1) / 2
    maps = gaussian_heatmaps(middle[None], 64, size)
    assert maps.shape == (1, size, size)
    assert maps[0, 3, 5] == maps.max() == 1
    assert maps[0, 3, 6].item() == pytest.approx(maps[0, 2, 5].item()) == pytest.approx(0.60653, abs=1e-5)
    assert maps[0, 5, 5].item() == pytest.approx(0.13534, abs=1e-5)


def test_heatmap_losses_are_sums_over_cells_and_means_over_keypoints():
    """Eq. 12: without a key-point in sight 2 x 3 maps of 16 cells should all be 0 and are all 0.5."""
    far_px = torch.full((2, 3, 2), -1000.0)
    joints = torch.zeros(2, 3, 3)
    said = encoding(joints + 0.5, torch.full((2, 3, 4, 4), 0.5))
    losses = single_frame_losses(said, far_px, 16, joints, torch.tensor([True, True]))
    assert losses["heatmaps"].item() == pytest.approx(16 * 0.25)
    assert losses["joints"].item() == pytest.approx(0.125)


def test_perfect_heatmaps_and_joints_cost_nothing():
    keypoints_px, joints = torch.rand(2, 3, 2) * 64, torch.randn(2, 3, 3)
    said = encoding(joints, gaussian_heatmaps(keypoints_px, 64, 16))
    losses = single_frame_losses(said, keypoints_px, 64, joints, torch.tensor([True, True]))
    assert [loss.item() for loss in losses.values()] == [0, 0]


def test_frames_without_3d_teach_heatmaps_alone():
    maps = torch.zeros(2, 3, 8, 8, requires_grad=True)
    joints = torch.zeros(2, 3, 3, requires_grad=True)
    known = torch.full((2, 3, 3), 5.0)
    known[1] = torch.nan
    losses = single_frame_losses(
        encoding(joints, maps), torch.full((2, 3, 2), 16.0), 32, known, torch.tensor([True, False])
    )
    sum(losses.values()).backward()
    assert losses["joints"].item() == pytest.approx(4.5)
    assert joints.grad[0].all() and not joints.grad[1].any()
    assert maps.grad[1].any()
    none = single_frame_losses(
        encoding(joints), torch.zeros(2, 3, 2), 32, known, torch.tensor([False, False])
    )
    assert {name: loss.item() for name, loss in none.items()} == {"joints": 0}


def test_equation_13_sums_over_coarse_fine_and_lstm():
    known = torch.zeros(2, 3, 4, 3)
    z_fine = torch.tensor([[1.0, 0.0, 0.6], [0.9, 0.6, 0.0]])
    output = AceOutput((encoding(known + 0.5), encoding(known + 2.0)), known + 1.0, z_fine)
    losses = adaptive_losses(output, known, fine_rate=0.1)
    assert losses["encoders"].item() == pytest.approx(0.125 + 1.5)
    assert losses["lstm"].item() == pytest.approx(0.5)
    assert losses["rate"].item() == pytest.approx(0.04)  # but for the first frames the mean is 0.3


def test_the_rate_is_held_over_all_clips_and_without_their_first_frames():
    """A clip that needs no fine look leaves it to another; that of a first frame is free."""
    known = torch.zeros(2, 5, 1, 3)
    apart = torch.tensor([[1.0] * 5, [1.0, 0.0, 0.0, 0.0, 0.0]])
    even = torch.tensor([[0.0, 0.0, 1.0, 0.0, 1.0]] * 2)
    never = torch.zeros(2, 5)
    rates = [
        adaptive_losses(AceOutput((), known, z), known, 0.5)["rate"].item() for z in (apart, even, never)
    ]
    assert rates == pytest.approx([0.0, 0.0, 0.25])


def test_without_a_gate_there_is_no_rate():
    known = torch.zeros(1, 2, 3, 3)
    losses = adaptive_losses(AceOutput((encoding(known),), known, None), known, 0.1)
    assert losses.keys() == {"encoders", "lstm"}
