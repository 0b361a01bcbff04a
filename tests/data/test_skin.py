import numpy as np
import pytest

from handfast.data.skin import SHAPE, Complexion, paint_skin, reflectance, sample_complexion, texture_px
from handfast.hand_model.model import load_hand_asset


@pytest.fixture(scope="module")
def dark():
    return paint_skin(Complexion(2.2, 0.3), load_hand_asset(), np.random.default_rng(0))


def test_more_melanin_is_darker_and_skin_is_redder_than_green_than_blue():
    tones = reflectance(np.linspace(0, 2.6, 20), np.full(20, 0.3))
    assert np.all(np.diff(tones, axis=0) < 0)
    assert np.all(np.diff(tones, axis=1) < 0)
    assert 0 < tones.min() and tones.max() < 1


def test_complexions_cover_the_human_range():
    rng = np.random.default_rng(0)
    green = np.array(
        [reflectance(c.melanin, c.blood)[1] for c in (sample_complexion(rng) for _ in range(200))]
    )
    assert green.min() < 0.05 and green.max() > 0.4


def test_the_mean_hand_fits_into_its_picture():
    at = texture_px(load_hand_asset().vertices_m)
    assert at.min() >= 0 and np.all(at.max(0) <= np.array(SHAPE[::-1]) - 1)


def test_palms_are_lighter_than_backs_but_forearms_hardly(dark):
    hand, forearm = slice(300, 480), slice(20, 150)
    palm, back = dark[:, :, hand].mean((1, 2, 3))
    assert palm > 2 * back
    inner, outer = dark[:, :, forearm].mean((1, 2, 3))
    assert outer < inner < 1.5 * outer


def test_nails_are_lighter_than_the_skin_around(dark):
    asset = load_hand_asset()
    for tip, (column, row) in enumerate(texture_px(asset.vertices_m[asset.tip_vertices]).round().astype(int)):
        near = dark[1, row - 12 : row + 13, column - 18 : min(column + 5, SHAPE[1])].sum(-1)
        assert np.quantile(near, 0.95) > 1.8 * np.median(near), tip


def test_creases_are_darker_than_the_palm():
    palms = paint_skin(Complexion(0.3, 0.3), load_hand_asset(), np.random.default_rng(0))[0].sum(-1)
    # The middle of the line that crosses the palm's middle, x = -14 mm, y = 79 mm.
    (column, row), *_ = texture_px(np.array([[-0.014, 0.079, 0.0]])).round().astype(int)
    patch = palms[row - 10 : row + 11, column - 10 : column + 11]
    assert palms[row - 1 : row + 2, column - 1 : column + 2].min() < 0.85 * np.median(patch)


def test_the_same_generator_paints_the_same_hand(dark):
    again = paint_skin(Complexion(2.2, 0.3), load_hand_asset(), np.random.default_rng(0))
    assert (again == dark).all() and dark.shape == (2, *SHAPE, 3) and dark.dtype == np.float32
