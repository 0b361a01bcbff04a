"""Networks on crops are measured on every frame, and in clips as they run."""

from types import SimpleNamespace

import numpy as np
import pytest

from handfast.data.arrays import load_split
from handfast.data.cards import finished_card
from handfast.data.colour_clips import open_whole_clips
from handfast.data.datasets.bench import open_bench
from handfast.data.depth_batches import BenchFrames, crop_as_taken
from handfast.models.dirnet_gate import exit_by_policy, run_adaptive
from handfast.reproduce.measure_joints import errors_in_clips, errors_in_depth
from handfast.runtime.dirnet import ExitRule, RefinedHand, load_dirnet
from handfast.skeleton import NYU14
from handfast.training.checkpoint import load_checkpoint
from handfast.training.task import image_tensor

pytestmark = pytest.mark.usefixtures("one_thread")


@pytest.fixture(scope="module")
def depth_frames(depth_folder):
    """(frame, its crop) of all of a split."""
    frames = BenchFrames(load_split(depth_folder, finished_card(depth_folder, "test"), "test"))
    return [(frame, crop_as_taken(frames, frame)) for frame in (frames[i] for i in range(len(frames)))]


def answering(depth_frames, known):
    """Knows the joints of each crop, but for 3 and 4 mm, or says that it does not."""
    of_crop = {crop.depth.tobytes(): NYU14.select(frame.joints_mm) for frame, crop in depth_frames}

    def joints(crops):
        found_mm = np.stack([of_crop[crop.depth.tobytes()] for crop in crops]) + np.array([3.0, 4.0, 0.0])
        return np.where(known, found_mm, np.nan), None

    return SimpleNamespace(skeleton=NYU14, joints=joints)


def test_errors_in_depth_are_those_of_every_frame(depth_folder, depth_frames):
    samples = open_bench(depth_folder, "test")
    errors_mm = errors_in_depth(answering(depth_frames, True), samples)
    assert errors_mm == pytest.approx(np.full((5, 14), 5.0))


def test_joints_that_are_not_found_count_as_the_middle_of_the_crop(depth_folder, depth_frames):
    errors_mm = errors_in_depth(answering(depth_frames, False), open_bench(depth_folder, "test"))
    middles_mm = [NYU14.select(frame.joints_mm) - crop.centre_mm for frame, crop in depth_frames]
    assert errors_mm == pytest.approx(np.linalg.norm(middles_mm, axis=-1))


class Counting:
    """Is off by 5 mm, and remembers how many frames of its clip there have been."""

    def __init__(self, clips):
        batch = clips.batch(0, 2)
        pictures = batch["image"].reshape(12, -1)
        self.of_picture = dict(zip(map(bytes, pictures), batch["joints_m"].reshape(12, 21, 3), strict=True))

    def step(self, image, state):
        joints_m = self.of_picture[image.tobytes()] + np.array([0.003, 0, 0.004])
        before = state or 0
        return RefinedHand(joints_m, None, None, None, loops=before), before + 1


def test_each_clip_is_followed_from_its_beginning(dotted_folder):
    clips = open_whole_clips(dotted_folder, "test", 64)
    errors_mm, taken = errors_in_clips(Counting(clips), clips, frames=12)
    assert errors_mm == pytest.approx(np.full((12, 21), 5.0), abs=1e-3)
    assert taken.tolist() == [0, 1, 2, 3, 4, 5] * 2


def test_only_so_many_frames_are_followed(dotted_folder):
    clips = open_whole_clips(dotted_folder, "test", 64)
    errors_mm, taken = errors_in_clips(Counting(clips), clips, frames=8)
    assert errors_mm.shape == (8, 21) and taken.tolist() == [0, 1, 2, 3, 4, 5, 0, 1]


def test_an_exported_network_measures_as_the_trained_one(dotted_folder, dirnet_checkpoint, dirnet_folder):
    clips = open_whole_clips(dotted_folder, "test", 64)
    errors_mm, loops = errors_in_clips(load_dirnet(dirnet_folder, ExitRule("gate")), clips, frames=12)
    net, _ = load_checkpoint(dirnet_checkpoint)
    batch = clips.batch(0, 2)
    estimate, expected = run_adaptive(
        net.eval(),
        image_tensor(batch["image"].reshape(12, 64, 64, 3)),
        lambda each: exit_by_policy(each, temperature=1.0),
    )
    off_m = estimate.joints_3d.detach().numpy() - batch["joints_m"].reshape(12, 21, 3)
    assert loops.tolist() == expected.tolist() and 0 < loops.max() < 3  # some, and not all
    assert errors_mm == pytest.approx(1000 * np.linalg.norm(off_m, axis=-1), abs=1e-2)
