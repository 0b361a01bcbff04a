"""A network that knows the answers measures as perfect, whatever the shards."""

from types import SimpleNamespace

import numpy as np
import pytest

from handfast.codecs import gaussian_targets, input_to_map
from handfast.data.arrays import load_split
from handfast.data.augment import clean_picture
from handfast.data.cards import finished_card
from handfast.reproduce.measure import measure_model
from handfast.skeleton import TOF8

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
    score = measure_model(knowing_model(arrays, picture), tof_folder, picture, knows_presence=True)
    assert score.frames == 5 and score.hands == arrays["present"].sum() > 0
    assert score.error_median_px < 0.1  # more at the border, where the window is cut
    assert (score.wrong_side_rate, score.missed_rate) == (0.0, 0.0)
    assert score.surface_error_mm < 2
    assert 0 < score.label_joint_error_mm < 100
    assert score.lifted_share > 0.5


def test_wrong_answers_have_theirs(arrays, tof_folder):
    score = measure_model(
        knowing_model(arrays, "depth", shift_px=4.0), tof_folder, "depth", knows_presence=False
    )
    assert score.error_median_px == pytest.approx(4 * 2**0.5, abs=0.2)
    assert score.wrong_side_rate is None
