"""Errors and the course of a training, as a few numbers."""

import json

import numpy as np
import pytest

from handfast.reproduce.dense_score import LOSS_POINTS, converged_step, score_errors, score_training


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
        "converged_step": 50,
    }
    assert score_training(log, 4)["converged_step"] == 30


def test_a_long_curve_is_shortened_to_the_means_of_stretches(tmp_path):
    losses = [
        {"step": step, "time_s": 0.0, "train/maps": float(step % 2)}
        for step in range(1, 10 * LOSS_POINTS + 1)
    ]
    curve = np.array(score_training(log_of(tmp_path, losses), 4)["loss"])
    assert curve.shape == (LOSS_POINTS, 2)
    assert curve[:2].tolist() == [[5.5, 0.5], [15.5, 0.5]]


@pytest.mark.parametrize(
    ("errors_mm", "expected"),
    [([], None), ([20.0], None), ([30.0, 21.0, 20.0], 2), ([30.0, 20.9, 25.0, 20.0], 2), ([9.0, 20.0], 1)],
)
def test_converged_is_what_has_come_within_5_percent_of_the_last_error(errors_mm, expected):
    assert converged_step([[step, error] for step, error in enumerate(errors_mm, start=1)]) == expected
