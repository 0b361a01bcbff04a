"""A network that knows the answers measures as perfect, whatever the shards and the size of the frames."""

from types import SimpleNamespace

import cv2
import numpy as np
import pytest

from handfast.codecs import gaussian_targets, input_to_map
from handfast.data.arrays import load_split
from handfast.data.augment import clean_picture
from handfast.data.cards import finished_card
from handfast.data.datasets.bench import open_bench
from handfast.reproduce.measure import measure_model
from handfast.skeleton import HAND21, TOF8

STRIDE = 2


@pytest.fixture(scope="module")
def arrays(tof_folder):
    return load_split(tof_folder, finished_card(tof_folder, "test"), "test")


def knowing_model(arrays, picture, shift_px=0.0):
    """Knows each test frame by its picture, and answers with its labels."""
    pictures = zip(arrays["amplitude"], arrays["depth_mm"], strict=True)
    index_of = {clean_picture(*pair, picture).tobytes(): index for index, pair in enumerate(pictures)}
    points_px = input_to_map(TOF8.select(arrays["keypoints_px"]) + shift_px, STRIDE)
    presence = np.where(arrays["present"], 5.0, -5.0)

    def run(images):
        indices = [index_of[image.tobytes()] for image in images]
        maps = np.log(gaussian_targets(points_px[indices], 60, 80, 1.0) + 1e-30)
        return maps, np.repeat(presence[indices][..., None], 1 + len(TOF8), axis=-1)

    return SimpleNamespace(skeleton=TOF8, input_size=(160, 120), run=run)


@pytest.mark.parametrize("picture", ["amplitude", "depth"])
def test_right_answers_have_no_error(arrays, tof_folder, picture):
    samples = open_bench(tof_folder, "test")
    score = measure_model(knowing_model(arrays, picture), samples, picture, knows_presence=True)
    assert score.frames == 5 and score.hands == arrays["present"].sum() > 0
    assert score.error_median_px < 0.1  # more at the border, where the window is cut
    assert (score.wrong_side_rate, score.missed_rate) == (0.0, 0.0)
    assert score.surface_error_mm < 2
    assert 0 < score.label_joint_error_mm < 100
    assert score.lifted_share > 0.5


def test_wrong_answers_have_theirs(arrays, tof_folder):
    samples = open_bench(tof_folder, "test")
    score = measure_model(
        knowing_model(arrays, "depth", shift_px=4.0), samples, "depth", knows_presence=False
    )
    assert score.error_median_px == pytest.approx(4 * 2**0.5, abs=0.2)
    assert score.wrong_side_rate is None


def as_seen(points_px):
    """Where points of a picture of 256 x 256 px are in one of 160 x 120 that shows all of it."""
    return (points_px + 0.5) * (120 / 256) - 0.5 + (20, 0)


def test_larger_pictures_in_colour_are_fitted_into_the_image(dotted_folder):
    samples = open_bench(dotted_folder, "test")
    pictures = [cv2.resize(s.frame.colour, (120, 120), interpolation=cv2.INTER_AREA) for s in samples]
    seen = np.stack([cv2.copyMakeBorder(picture, 0, 0, 20, 20, cv2.BORDER_CONSTANT) for picture in pictures])
    hands = [sample.hands[0] for sample in samples]
    labels_px = np.stack([as_seen(hand.keypoints_px) for hand in hands])
    met = []

    def run(images):
        (image,) = images
        index = np.abs(seen.astype(int) - image).mean(axis=(1, 2, 3)).argmin()
        met.append(index)
        maps = np.log(gaussian_targets(input_to_map(labels_px[index] + 3.0, STRIDE), 60, 80, 1.0) + 1e-30)
        presence = [9.0 if side == hands[index].side else -9.0 for side in ("left", "right")]
        return np.stack([maps, maps])[None], np.repeat(np.array(presence)[None, :, None], 22, axis=-1)

    model = SimpleNamespace(skeleton=HAND21, input_size=(160, 120), run=run)
    score = measure_model(model, samples, "colour", knows_presence=True)
    assert sorted(met) == list(range(12)) and score.hands == 12
    assert score.error_median_px == pytest.approx(3 * 2**0.5, abs=0.1)
    assert (score.wrong_side_rate, score.missed_rate, score.ghost_rate) == (0.0, 0.0, None)
    assert score.joint_error_mm is None
    sizes_px = [np.linalg.norm(np.ptp(points, axis=0)) / 2**0.5 for points in labels_px]
    assert score.error_percent_of_hand == pytest.approx(
        (100 * score.error_px / np.array(sizes_px)).mean(), rel=1e-2
    )
