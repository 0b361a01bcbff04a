"""Errors and the course of a training, as a few numbers."""

import json
from dataclasses import asdict

import numpy as np
import pytest

from handfast.reproduce.dense_score import LOSS_POINTS, reached, read_scores, score_errors, score_training


def test_errors_by_hand():
    errors_mm = np.array([[1.0, 2.0], [3.0, 10.5], [4.0, 90.0]])
    score = score_errors(errors_mm, ("palm", "thumb_tip"))
    assert (score["frames"], score["error_mm"], score["error_median_mm"]) == (3, 18.416667, 3.5)
    assert score["error_by_joint_mm"] == {"palm": 2.666667, "thumb_tip": 34.166667}
    within = score["frames_within"]
    assert [within[mm - 1] for mm in (1, 2, 10, 11, 80)] == pytest.approx(
        [0, 1 / 3, 1 / 3, 2 / 3, 2 / 3], abs=1e-6
    )


def log_of(tmp_path, lines):
    path = tmp_path / "metrics.jsonl"
    path.write_text("".join(json.dumps(line) + "\n" for line in lines))
    return path


def test_a_training_is_read_from_its_log(tmp_path):
    log = log_of(
        tmp_path,
        [
            {"step": 20, "time_s": 1.0, "train/maps": 900.0},
            {
                "step": 30,
                "time_s": 2.0,
                "validation/crops_error_mm_l3": 50.0,
                "validation/crops_error_mm_l4": 40.0,
            },
            {"step": 40, "time_s": 3.0, "train/maps": 600.0},
            {
                "step": 50,
                "time_s": 4.0,
                "validation/crops_error_mm_l3": 20.0,
                "validation/crops_error_mm_l4": 39.0,
            },
        ],
    )
    assert score_training(log, 3) == {
        "loss": [[20.0, 900.0], [40.0, 600.0]],
        "validation_mm": [[30, 50.0], [50, 20.0]],
    }
    assert score_training(log, 4)["validation_mm"] == [[30, 40.0], [50, 39.0]]


def test_a_long_curve_is_shortened_to_the_means_of_stretches(tmp_path):
    losses = [
        {"step": step, "time_s": 0.0, "train/maps": float(step % 2)}
        for step in range(1, 10 * LOSS_POINTS + 1)
    ]
    curve = np.array(score_training(log_of(tmp_path, losses), 4)["loss"])
    assert curve.shape == (LOSS_POINTS, 2)
    assert curve[:2].tolist() == [[5.5, 0.5], [15.5, 0.5]]


@pytest.mark.parametrize(
    ("curve", "expected"),
    [
        ([[100, 40.0], [300, 30.0], [700, 20.0]], (500, 400)),
        ([[100, 40.0], [300, 25.0], [700, 20.0]], (300, 200)),
        ([[100, 40.0], [200, 24.0], [400, 30.0], [500, 20.0]], (193.75, 100)),
        ([[100, 24.0], [200, 30.0], [300, 20.0]], (100, 100)),
        ([[250, 20.0]], (250, 250)),
    ],
)
def test_an_error_is_reached_on_the_line_between_two_validations(curve, expected):
    assert reached(curve, 25.0) == expected


def test_scores_are_read_back_and_others_refused(make_dense_score):
    score = make_dense_score(9.0)
    assert read_scores({"l4": asdict(score)}) == {"l4": score}
    with pytest.raises(TypeError, match="unknown_step"):
        read_scores({"l4": asdict(score) | {"unknown_step": 30}})
