"""Each model gets the tracker of its family."""

from importlib.resources import as_file, files
from itertools import islice, pairwise

import numpy as np
import pytest
import torch

from handfast.errors import HandfastError
from handfast.export.ace import export_ace
from handfast.export.dirnet import export_dirnet
from handfast.models.ace import AceNet
from handfast.models.dirnet import DIRNet
from handfast.models.hourglass import HourglassEncoder
from handfast.packaged import COLOUR_FINDER, DEFAULT_MODEL, PACKAGED
from handfast.sensors.sources import open_source
from handfast.structures import Frame, HandPose
from handfast.tracking.crop_tracker import CropTracker
from handfast.tracking.opening import open_tracker
from handfast.tracking.tracker import Tracker

CARD = {
    "name": "dirnet-narrow",
    "family": "dirnet",
    "skeleton": "hand21",
    "input": {"image": "colour crop", "height": 64, "width": 64},
    "loops": 1,
    "licence": "Apache-2.0",
    "trained_on": "nothing",
    "metrics": {},
}


@pytest.fixture(scope="module")
def dirnet_folder(tmp_path_factory):
    torch.manual_seed(0)
    folder = tmp_path_factory.mktemp("dirnet") / "net"
    export_dirnet(DIRNet(base_channels=4, hidden=8, max_loops=1).eval(), CARD, folder)
    return folder


@pytest.fixture(scope="module")
def ace_folder(tmp_path_factory):
    torch.manual_seed(0)
    folder = tmp_path_factory.mktemp("ace") / "net"
    net = AceNet(HourglassEncoder(32, 4), HourglassEncoder(32, 4), "gaussian").eval()
    export_ace(net, CARD | {"name": "ace-narrow", "family": "ace", "config": {"gate": "gaussian"}}, folder)
    return folder


@pytest.fixture
def packaged_finder(monkeypatch):
    """In the place of the packaged tracker of key-points, one that sees no hand."""

    class Finder:
        def __init__(self, *model):
            self.asked_for = model

        def forget(self):
            pass

        def step(self, frame):
            return []

    monkeypatch.setattr("handfast.tracking.opening.Tracker", Finder)


def test_a_network_on_images_tracks_by_itself():
    tracker = open_tracker("tofnet-tof8", "onnxruntime")
    assert isinstance(tracker, Tracker) and tracker.model.card.name == "tofnet-tof8"


@pytest.mark.parametrize("name", ["dirnet-narrow", "ace-narrow"])
def test_what_sees_colour_crops_is_led_by_a_finder(name, dirnet_folder, ace_folder, packaged_finder):
    tracker = open_tracker(dirnet_folder if name.startswith("dirnet") else ace_folder)
    assert isinstance(tracker, CropTracker) and tracker.finder.asked_for == (COLOUR_FINDER, None, False)
    assert (tracker.model.card.name, tracker.model.backend) == (name, "onnxruntime")
    frame = Frame(0, 0.0, colour=np.zeros((48, 64, 3), np.uint8))
    assert [hands for _, hands in tracker.track([frame] * 3)] == [[]] * 3


@pytest.fixture(scope="module")
def grey_ace_folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("grey") / "net"
    net = AceNet(HourglassEncoder(32, 4), HourglassEncoder(32, 4), "gaussian").eval()
    sees = {"input": {"image": "amplitude crop", "height": 32, "width": 32}}
    export_ace(
        net, CARD | sees | {"name": "ace-grey", "family": "ace", "config": {"gate": "gaussian"}}, folder
    )
    return folder


def test_what_sees_amplitude_crops_is_led_by_the_usual_finder(grey_ace_folder, packaged_finder):
    tracker = open_tracker(grey_ace_folder)
    assert isinstance(tracker, CropTracker) and tracker.finder.asked_for == (DEFAULT_MODEL, None, False)
    frame = Frame(0, 0.0, amplitude=np.zeros((48, 64), np.uint8))
    assert [hands for _, hands in tracker.track([frame] * 3)] == [[]] * 3


def test_hands_in_an_amplitude_clip_have_joints_in_space_and_keep_their_depth(grey_ace_folder):
    """With the packaged finder, in the clip that comes along."""
    with as_file(files("handfast") / "assets" / "demo.zip") as clip:
        frames = list(islice(open_source(clip), 3))
    alone = [hands for _, hands in Tracker().track(frames)]
    for (_, hands), of_finder in zip(open_tracker(grey_ace_folder).track(frames), alone, strict=True):
        assert len(hands) == 2 and [hand.track for hand in hands] == [hand.track for hand in of_finder]
        for hand, seen in zip(hands, of_finder, strict=True):
            assert hand.relative_mm.shape == (21, 3) and hand.effort in (0, 1)
            np.testing.assert_array_equal(hand.xyz_mm, seen.xyz_mm)


def test_hands_in_a_video_are_followed_with_what_ace_remembers(ace_folder, packaged_finder):
    tracker = open_tracker(ace_folder)
    keypoints_px = np.random.default_rng(0).uniform(30, 70, (21, 2))
    seen = HandPose("right", 0.9, keypoints_px, np.ones(21, bool), track=1)
    tracker.finder.step = lambda frame: [seen]
    picture = np.random.default_rng(1).integers(0, 256, (100, 100, 3), dtype=np.uint8)
    frames = [Frame(i, i / 30, colour=picture) for i in range(3)]
    poses = [pose for _, (pose,) in tracker.track(frames)]
    assert [pose.track for pose in poses] == [1, 1, 1]
    moved_mm = [np.abs(after.relative_mm - before.relative_mm).max() for before, after in pairwise(poses)]
    assert min(moved_mm) > 0  # of one picture: by what is remembered


def test_dirnet_has_its_own_back_ends(dirnet_folder, packaged_finder):
    with pytest.raises(HandfastError, match="backend 'cuda': expected onnxruntime, openvino"):
        open_tracker(dirnet_folder, "cuda")


@pytest.mark.parametrize("name", ["dirnet", "ace", "dense-hand21"])
@pytest.mark.parametrize(
    ("backend", "expected", "of_finder"),
    [("c", "onnxruntime", "c"), ("onnxruntime",) * 3, ("openvino", "openvino", None)],
)
def test_a_back_end_is_of_the_net_or_of_what_leads_it_or_of_both(
    name, backend, expected, of_finder, dirnet_folder, ace_folder, packaged_finder
):
    if backend == "openvino":
        pytest.importorskip("openvino")
    tracker = open_tracker({"dirnet": dirnet_folder, "ace": ace_folder}.get(name, name), backend)
    finder = DEFAULT_MODEL if name == "dense-hand21" else COLOUR_FINDER
    assert tracker.finder.asked_for == (finder, of_finder, False) and tracker.model.backend == expected


@pytest.mark.skipif(COLOUR_FINDER not in PACKAGED, reason=f"{COLOUR_FINDER} is not packaged")
def test_the_finder_is_packaged_and_sees_colour(dirnet_folder):
    assert open_tracker(dirnet_folder).finder.model.card.in_colour


@pytest.mark.parametrize(("model", "backend"), [("nowhere.onnx", "onnxruntime"), ("nowhere.xml", "openvino")])
def test_a_model_that_is_not_there_is_named(model, backend):
    with pytest.raises(HandfastError, match=model):
        open_tracker(model, backend)
