"""Scores of joints in space by hand."""

import numpy as np
import pytest

from handfast.reproduce.joint_score import score_joints


def test_a_score_by_hand():
    """An error of e mm lies below the thresholds from e on."""
    errors_mm = np.array([[0.0, 10.0], [20.0, 35.0]])
    score = score_joints(errors_mm, ("wrist", "tip"), 2.5e8, loops=0.25)
    assert (score.frames, score.error_mm, score.error_median_mm) == (2, 16.25, 15.0)
    assert score.error_by_joint_mm == {"wrist": 10.0, "tip": 22.5}
    assert (score.frames_within[8], score.frames_within[9]) == (0.0, 0.5)
    assert (score.frames_within[33], score.frames_within[34]) == (0.5, 1.0)
    assert score.pck20 == 0.75
    assert score.auc_20_50 == pytest.approx((3 + 0.5) / 4, abs=0.01)
    assert score.auc_0_50 == pytest.approx((1 + 0.8 + 0.6 + 0.3) / 4, abs=0.01)
    assert (score.gflops, score.loops, score.p_fine) == (0.25, 0.25, None)
