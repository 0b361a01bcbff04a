"""Figure 4 of DIR-Net's paper: what is expected to be off is where it is drawn, and as far; and whether it is
off as far."""

import importlib
import sys
from pathlib import Path
from types import SimpleNamespace

import cv2
import numpy as np
import pytest

from handfast.data.colour_batches import open_clips_as_taken
from handfast.runtime.dirnet import RefinedHand

GAP_PX = 8


@pytest.fixture
def uncertainty(monkeypatch):
    monkeypatch.syspath_prepend(str(Path(__file__).parents[2] / "benchmarks"))
    return importlib.import_module("uncertainty")


@pytest.fixture
def run(uncertainty, monkeypatch):
    """A function that runs the command with these arguments."""

    def run(*arguments):
        monkeypatch.setattr(sys, "argv", ["uncertainty.py", *map(str, arguments)])
        uncertainty.main()

    return run


def test_heat_is_one_at_a_key_point_and_falls_with_its_own_deviation(uncertainty):
    heat = uncertainty.heat_of(np.array([[10.0, 20.0], [40.0, 50.0]]), np.array([2.0, 6.0]), 64)
    assert heat.shape == (64, 64) and heat[20, 10] == heat[50, 40] == heat.max() == 1  # rows are y
    falls = np.exp(-0.5)
    assert heat[20, 12] == pytest.approx(falls) and heat[22, 10] == pytest.approx(falls)
    assert heat[50, 46] == pytest.approx(falls) and heat[44, 40] == pytest.approx(falls)


def test_a_tile_is_brighter_the_less_is_certain(uncertainty):
    def bright(deviation_px):
        at_px = np.full((21, 2), 63.5)
        hand = RefinedHand(np.zeros((21, 3)), at_px, np.full(21, deviation_px), np.zeros(21), loops=1)
        tile = uncertainty.draw_uncertainty(np.zeros((128, 128, 3), np.uint8), hand)
        rows, columns = np.nonzero((tile[:250] > 100).any(axis=-1))  # above the caption
        assert abs(rows.mean() - 159.5) < 1 and abs(columns.mean() - 159.5) < 1
        return len(rows)

    assert 3.5 * bright(2.0) < bright(4.0) < 4.5 * bright(2.0)


def test_frames_of_a_benchmark_and_pictures_are_tiles_of_one_sheet(run, uncertainty, dotted_folder, tmp_path):
    picture = np.random.default_rng(0).integers(0, 256, (200, 300, 3), dtype=np.uint8)
    cv2.imwrite(str(tmp_path / "hand.png"), picture)
    run("dirnet", dotted_folder, tmp_path / "hand.png", "--out", tmp_path / "new" / "sheet.png")
    sheet = cv2.imread(str(tmp_path / "new" / "sheet.png"))
    step_px = uncertainty.TILE_PX + GAP_PX
    assert sheet.shape == (GAP_PX + 3 * step_px, GAP_PX + 4 * step_px, 3)
    tiles = [
        sheet[GAP_PX + row * step_px :, GAP_PX + column * step_px :][:320, :320]
        for row in range(3) for column in range(4)
    ]  # fmt: skip
    assert all(tile.max() > 200 for tile in tiles[:9]) and all(tile.max() < 50 for tile in tiles[9:])
    assert len({tile.tobytes() for tile in tiles[:9]}) == 9


class Wrong:
    """Is off by (dx, dy) = (3, 4) px and (0, 0, 10) mm at all joints, and expects other deviations."""

    card = SimpleNamespace(input={"width": 128})

    def __init__(self, folder, deviation_px):
        clips = open_clips_as_taken(folder, "test", 128)
        batches = [clips.batch(index, 1) for index in range(len(clips))]
        self.truth = {batch["image"][0].tobytes(): batch for batch in batches}
        self.deviation_px = deviation_px

    def refine(self, image):
        batch = self.truth[image.tobytes()]
        keypoints_px = batch["keypoints_px"][0] + np.array([3.0, 4.0])
        joints_m = batch["joints_m"][0] + np.array([0, 0, 0.01])
        loops = 2 if batch["visible"][0].mean() <= 0.75 else 1
        return RefinedHand(joints_m, keypoints_px, np.full(21, self.deviation_px), np.full(21, 0.005), loops)


@pytest.mark.parametrize(("deviation_px", "within"), [(3.0, 0.0), (4.0, 1.0)])
def test_deviations_are_held_against_errors_along_an_axis(uncertainty, dotted_folder, deviation_px, within):
    trust = uncertainty.trust(Wrong(dotted_folder, deviation_px), dotted_folder, 1000)
    assert (trust["error_px"], trust["deviation_px"], trust["within"]) == (3.5, deviation_px, within)
    assert (trust["error_mm"], trust["deviation_mm"]) == (5.8, 5.0)
    of = {"0% to 25%": 1.0, "25% to 50%": 2.0, "50% to 100%": 2.0}
    assert trust["loops_by_hidden"].items() <= of.items() and trust["loops_by_hidden"]


def test_frames_are_taken_evenly(uncertainty):
    assert uncertainty.evenly(16, 8) == [1, 3, 5, 7, 9, 11, 13, 15]
    assert uncertainty.evenly(3, 8) == [0, 1, 2]


def test_a_left_hand_is_seen_in_the_mirror(uncertainty, tmp_path):
    half_white = np.zeros((60, 100, 3), np.uint8)
    half_white[:, :50] = 255
    cv2.imwrite(str(tmp_path / "hand.png"), half_white)
    right, left = (uncertainty.middle_of(tmp_path / "hand.png", 64, is_left) for is_left in (False, True))
    assert right[32, 5].min() > 200 > 50 > right[32, 58].max()
    np.testing.assert_allclose(left, right[:, ::-1], atol=1)


@pytest.mark.parametrize(
    ("source", "out", "message"),
    [
        ("none.png", "sheet.png", "none.png: expected a picture of a hand"),
        ("none.png", "sheet.jpg", "expected a file name that ends in .png"),
        (".", "sheet.png", "card.json"),
    ],
)
def test_what_cannot_be_drawn_is_said(run, tmp_path, capsys, source, out, message):
    with pytest.raises(SystemExit) as exit_:
        run("dirnet", tmp_path / source, "--out", tmp_path / out)
    assert exit_.value.code == 2 and message in capsys.readouterr().err
    assert not (tmp_path / out).exists()
