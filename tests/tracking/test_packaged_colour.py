"""The packaged finder in colour, and what it leads, see rendered hands, and none where there is none."""

from itertools import islice

import cv2
import numpy as np
import pytest

from handfast.data.benchmarks import BENCH_RGB
from handfast.packaged import COLOUR_FINDER
from handfast.sensors.views import hand_size_px
from handfast.structures import Frame
from handfast.tracking.opening import open_tracker
from handfast.tracking.tracker import Tracker

FRAMES = 6


def followed(pictures):
    tracker = Tracker(COLOUR_FINDER)
    return [tracker.step(Frame(i, i / 30, colour=picture)) for i, picture in enumerate(pictures)]


def panned(picture):
    """What a camera sees that turns slowly over it."""
    height, width = picture.shape[0] - 4 * FRAMES, picture.shape[1] - 6 * FRAMES
    return [picture[4 * i : 4 * i + height, 6 * i : 6 * i + width] for i in range(FRAMES)]


@pytest.fixture(scope="module")
def samples():
    """Three frames of a rendered hand."""
    world = BENCH_RGB.make_world(BENCH_RGB.seed)
    return list(islice(BENCH_RGB.clip(world, "test", 0), 3))


def test_a_rendered_hand_is_found(samples):
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


def things_that_move():
    """A clip (144, 192, 3): boxes, and a ball of the colour of skin with creases, over a rough gradient."""
    rng = np.random.default_rng(0)
    y, x = np.mgrid[:144, :192]
    rough = cv2.resize(rng.uniform(-20, 20, (18, 24, 3)), (192, 144), interpolation=cv2.INTER_CUBIC)
    ground = np.stack([0.6 * x + 40, 0.8 * y + 30, 200 - 0.6 * x], axis=-1) + rough
    for i in range(FRAMES):
        picture = ground.copy()
        cv2.rectangle(picture, (130 - 2 * i, 20), (180 - 2 * i, 60), (60, 160, 90), -1)
        cv2.rectangle(picture, (140, 90 + i), (175, 130 + i), (200, 60, 50), -1)
        centre_x, centre_y = 70 + 3 * i, 72 + i
        cv2.circle(picture, (centre_x, centre_y), 26, (205, 155, 125), -1, cv2.LINE_AA)
        for left in (-20, -7, 6):
            crease = (centre_x + left, centre_y - 20), (centre_x + left + 6, centre_y + 5)
            cv2.line(picture, *crease, (150, 100, 80), 2, cv2.LINE_AA)
        picture += rng.normal(0, 4, picture.shape)
        yield Frame(i, i / 30, colour=np.clip(picture, 0, 255).astype(np.uint8))


def test_dirnet_has_a_hand_in_each_frame_of_one_and_none_of_other_things(samples, monkeypatch):
    tracker = open_tracker("dirnet")
    of_hand = [hands for _, hands in tracker.track([sample.frame for sample in samples])]
    assert all(len(hands) == 1 and hands[0].relative_mm is not None for hands in of_hand)
    assert [hands for _, hands in tracker.track(things_that_move())] == [[]] * FRAMES
    # There is something to be taken in by: with every find told of there are hands.
    monkeypatch.setattr("handfast.tracking.tracker.is_no_ghost", lambda find: True)
    assert any(hands for _, hands in tracker.track(things_that_move()))
