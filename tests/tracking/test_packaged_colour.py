"""The packaged finder in colour sees rendered hands, and none where there is none."""

from itertools import islice

import cv2
import numpy as np
import pytest

from handfast.data.benchmarks import BENCH_RGB
from handfast.sensors.views import hand_size_px
from handfast.structures import Frame
from handfast.tracking.opening import COLOUR_FINDER
from handfast.tracking.tracker import Tracker

FRAMES = 6


def followed(pictures):
    tracker = Tracker(COLOUR_FINDER)
    return [tracker.step(Frame(i, i / 30, colour=picture)) for i, picture in enumerate(pictures)]


def panned(picture):
    """What a camera sees that turns slowly over it."""
    height, width = picture.shape[0] - 4 * FRAMES, picture.shape[1] - 6 * FRAMES
    return [picture[4 * i : 4 * i + height, 6 * i : 6 * i + width] for i in range(FRAMES)]


def test_a_rendered_hand_is_found():
    world = BENCH_RGB.make_world(BENCH_RGB.seed)
    samples = list(islice(BENCH_RGB.clip(world, "test", 0), 3))
    for sample, hands in zip(samples, followed([sample.frame.colour for sample in samples]), strict=True):
        ((label,), (hand,)) = sample.hands, hands
        error_px = np.linalg.norm(hand.keypoints_px - label.keypoints_px, axis=1).mean()
        assert error_px < 0.3 * hand_size_px(label.keypoints_px)


def test_a_portrait_shows_none():
    """It had one in all frames while every find counted."""
    cbook = pytest.importorskip("matplotlib.cbook")
    path = cbook.get_sample_data("grace_hopper.jpg", asfileobj=False)
    picture = cv2.cvtColor(cv2.imread(str(path)), cv2.COLOR_BGR2RGB)
    assert followed(panned(picture)) == [[]] * FRAMES


@pytest.mark.parametrize("kind", ["noise", "gradient", "grey"])
def test_made_up_pictures_show_none(kind):
    rng = np.random.default_rng(0)
    picture = {
        "noise": rng.integers(0, 256, (300, 400, 3), dtype=np.uint8),
        "gradient": np.tile(np.linspace(0, 255, 400, dtype=np.uint8)[None, :, None], (300, 1, 3)),
        "grey": np.full((300, 400, 3), 128, np.uint8),
    }[kind]
    assert followed(panned(picture)) == [[]] * FRAMES
