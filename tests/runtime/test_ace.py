"""The fine encoder runs where the net's own gate asks for it and nowhere else; the past is in the state."""

import shutil
import sys
from dataclasses import replace

import numpy as np
import pytest
import torch

from handfast.errors import HandfastError
from handfast.export.ace import export_ace
from handfast.models.ace import GATES, AceNet
from handfast.models.hourglass import HourglassEncoder
from handfast.runtime.ace import load_ace
from handfast.runtime.dirnet import load_dirnet
from handfast.runtime.graphs import as_channels
from handfast.runtime.model import load_model, read_card

SIZE_PX, HIDDEN, FRAMES = 64, 32, 12


def card_of(gate):
    return {
        "name": "ace-narrow", "family": "ace", "config": {"gate": gate}, "skeleton": "hand21",
        "input": {"image": "colour crop", "height": SIZE_PX, "width": SIZE_PX},
        "licence": "Apache-2.0", "trained_on": "noise", "metrics": {},
    }  # fmt: skip


def clip(frames=FRAMES, seed=3):
    """(T, 64, 64, 3) uint8: coarse patterns that move, in the second half fast; by even steps, so that two by
    two pixels are alike and their means whole levels."""
    coarse = np.random.default_rng(seed).integers(0, 256, (8, 40, 3), dtype=np.uint8)
    wide = coarse.repeat(8, axis=0).repeat(8, axis=1)
    steps = np.where(np.arange(frames) < frames // 2, 4, 16)
    return np.stack([wide[:, place : place + SIZE_PX] for place in np.cumsum(steps)])


def made_net(gate):
    """One whose encoders have seen such patterns, and whose gate depends on the past."""
    torch.manual_seed(0)
    net = AceNet(HourglassEncoder(32, 8), HourglassEncoder(SIZE_PX, 8), gate, features=256, hidden=HIDDEN)
    with torch.no_grad():
        for encoder in (net.coarse, net.fine):
            for seed in range(4):  # leaves its statistics
                encoder(batch_of(clip(seed=seed)))
        for parameter in [*net.gate.parameters(), *net.lstm.parameters()]:
            parameter.mul_(4 if gate == "gaussian" else 8)
    return net.eval()


def batch_of(images):
    return torch.from_numpy(np.concatenate([as_channels(image, SIZE_PX) for image in images]))


@pytest.fixture(scope="module", params=GATES)
def gate(request):
    return request.param


@pytest.fixture(scope="module")
def net(gate):
    return made_net(gate)


@pytest.fixture(scope="module")
def folders(tmp_path_factory):
    """A function from the name of a gate to the folder of such a net."""
    made = {}

    def folder_of(gate):
        if gate not in made:
            made[gate] = tmp_path_factory.mktemp("ace") / gate
            export_ace(made_net(gate), card_of(gate), made[gate])
        return made[gate]

    return folder_of


@pytest.fixture(params=["onnxruntime", "openvino"])
def backend(request):
    pytest.importorskip(request.param)
    return request.param


@torch.inference_mode()
def threshold_for(net, images):
    """One that some frames of a clip are above, and some below."""
    said = []
    hook = net.gate.register_forward_hook(lambda module, given, g_fine: said.append(float(g_fine)))
    state = net.initial_state(1)
    for image in batch_of(images):
        _, state, _ = net.step(image[None], state, 0.5)
    hook.remove()
    said = np.sort(said)
    gaps = np.diff(said)[2:-2]
    place = 2 + gaps.argmax()
    return float(said[place : place + 2].mean())


def followed(model, images):
    """What is found in each, one after the other, and the last state."""
    found, state = [], None
    for image in images:
        estimate, state = model.step(image, state)
        found.append(estimate)
    return found, state


def counting(model):
    """The model, and a list of the graphs that it runs."""
    ran = []

    def noting(graph, engine):
        return lambda inputs: ran.append(graph) or engine(inputs)

    return replace(model, engines={g: noting(g, e) for g, e in model.engines.items()}), ran


def test_it_follows_a_clip_as_the_net_does(net, gate, folders, backend):
    """Joints to 2e-3 cm, of tens; from the first frames on, which decide of the next ones."""
    images = clip()
    threshold = threshold_for(net, images)
    model = load_ace(folders(gate), threshold, backend)
    assert model.backend == backend and model.skeleton.name == "hand21"
    found, _ = followed(model, images)
    state, used = net.initial_state(1), []
    for image, estimate in zip(images, found, strict=True):
        with torch.inference_mode():
            joints_cm, state, used_fine = net.step(batch_of([image]), state, threshold)
        np.testing.assert_allclose(100 * estimate.joints_m, joints_cm[0].numpy(), rtol=0, atol=2e-3)
        assert estimate.used_fine == used_fine.item() == (estimate.fine_probability > threshold)
        used.append(estimate.used_fine)
    assert 2 <= sum(used) <= FRAMES - 2  # or the rest says little


def test_the_fine_encoder_is_not_run_where_the_gate_says_no(net, gate, folders):
    model, ran = counting(load_ace(folders(gate), threshold_for(net, clip())))
    state, used = None, set()
    for image in clip():
        ran.clear()
        estimate, state = model.step(image, state)
        used.add(estimate.used_fine)
        assert ran == ["coarse", *["fine"] * estimate.used_fine, "recur"]
    assert used == {True, False}


def test_tracks_do_not_know_of_each_other(folders, backend):
    model = load_ace(folders("gaussian"), backend=backend)
    first, second = clip(6, seed=3), clip(6, seed=4)
    alone, _ = followed(model, first)
    state = other = None
    for image, other_image, expected in zip(first, second, alone, strict=True):
        estimate, state = model.step(image, state)
        _, other = model.step(other_image, other)
        np.testing.assert_array_equal(estimate.joints_m, expected.joints_m)


def test_the_past_matters_and_nothing_is_left_of_it_in_a_new_track(folders):
    model = load_ace(folders("gaussian"))
    fresh, _ = model.step(clip()[5])
    (*_, later), _ = followed(model, clip(6))
    again, _ = model.step(clip()[5])
    assert np.abs(later.joints_m - fresh.joints_m).max() > 1e-3
    np.testing.assert_array_equal(again.joints_m, fresh.joints_m)


def test_a_state_is_as_large_as_the_card_says_and_no_step_changes_it(folders, backend):
    model = load_ace(folders("gaussian"), backend=backend)
    _, state = followed(model, clip(4))
    parts = [state.h, state.c, state.h1, state.h2]
    assert sum(part.nbytes for part in parts) == model.card.state_bytes == 16 * HIDDEN
    before = [part.copy() for part in parts]
    _, after = model.step(255 - clip()[0], state)
    assert all(map(np.array_equal, parts, before))
    assert after.h1 is state.h and after.h2 is state.h1


def test_a_state_is_kept_for_as_many_frames_as_the_card_says(folders):
    """Then what is seen is what a track that begins there sees."""
    model, images = load_ace(folders("gaussian")), clip(7)
    model = replace(model, card=replace(model.card, state_frames=3))
    found, state = followed(model, images)
    pieces = [estimate for first in (0, 3, 6) for estimate in followed(model, images[first : first + 3])[0]]
    for estimate, alone in zip(found, pieces, strict=True):
        np.testing.assert_array_equal(estimate.joints_m, alone.joints_m)
    assert state.frames == 1
    longer, _ = followed(replace(model, card=replace(model.card, state_frames=None)), images)
    assert np.abs(longer[3].joints_m - found[3].joints_m).max() > 1e-5


def test_the_threshold_is_the_cards_unless_told_otherwise(folders):
    assert load_ace(folders("neural")).threshold == 0.5
    used = {
        threshold: [
            estimate.used_fine for estimate in followed(load_ace(folders("neural"), threshold), clip())[0]
        ]
        for threshold in (0.0, 1.0)
    }
    assert all(used[0.0]) and not any(used[1.0])
    for wrong in (-0.1, 1.1, float("nan")):
        with pytest.raises(HandfastError, match=r"threshold \(--gate\): expected 0\.\.1, got"):
            load_ace(folders("neural"), wrong)


def test_without_openvino_onnx_runtime_stands_in_and_says_so(folders, monkeypatch, caplog):
    monkeypatch.setitem(sys.modules, "openvino", None)  # importing it now raises ImportError
    assert load_ace(folders("gaussian"), backend="openvino").backend == "onnxruntime"
    (record,) = caplog.records
    assert "openvino: not installed (pip install openvino); running with onnxruntime" in record.getMessage()


def test_a_folder_has_a_card(folders):
    card = read_card(folders("gaussian"))
    assert (card.name, card.family, card.gate, card.threshold) == ("ace-narrow", "ace", "gaussian", 0.5)
    assert card.macs > 0 and card.fine_flops == 2 * card.fine_macs


def test_half_a_folder_is_refused(folders, tmp_path):
    folder = shutil.copytree(folders("gaussian"), tmp_path / "copy")
    (folder / "fine.onnx").unlink()
    for load in (load_ace, read_card):
        with pytest.raises(HandfastError, match=r"3 graphs of ACE .*there is no fine\.onnx; export it again"):
            load(folder)


def test_files_of_two_networks_are_refused(folders, tmp_path):
    folder = shutil.copytree(folders("gaussian"), tmp_path / "copy")
    shutil.copy(folders("neural") / "fine.onnx", folder)
    with pytest.raises(HandfastError, match="its files are of different networks; export it again"):
        load_ace(folder)


def test_each_loader_refuses_what_is_of_another_family(folders):
    with pytest.raises(HandfastError, match="tofnet-tof8: expected a folder of ACE, got tofnet-tof8"):
        load_ace("tofnet-tof8")
    with pytest.raises(HandfastError, match="expected a folder of DIR-Net, got ace-narrow"):
        load_dirnet(folders("gaussian"))
    with pytest.raises(HandfastError, match="expected a net on whole images, got ACE"):
        load_model(folders("gaussian") / "coarse.onnx")
    with pytest.raises(HandfastError, match="backend 'c': expected onnxruntime, openvino"):
        load_ace(folders("gaussian"), backend="c")
