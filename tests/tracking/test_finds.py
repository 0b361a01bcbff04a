"""Finds of hands: when two are one, what several looks make of a hand, and which to believe."""

from dataclasses import replace

import numpy as np
import pytest

from handfast.tracking.finds import Find, apart, believed, distinct, is_no_ghost, merged, one_of_two, sides_of
from handfast.tracking.looks import Look

# Key-points of a hand 100 px high.
HAND_PX = np.column_stack([np.tile([0.0, 25.0, 50.0, 75.0, 100.0], 5)[:21], np.linspace(0, 100, 21)])


def find(x, probability=0.8, sharpness=0.9, side_logit=0.0, **more):
    """A find with its left end at x."""
    keypoints_px = (HAND_PX + np.array([x, 0])).astype(np.float32)
    return Find(probability, np.full(21, sharpness), side_logit, keypoints_px, np.ones(21, bool), **more)


@pytest.mark.parametrize(
    ("first", "second", "sides"),
    [
        (-9.0, -3.0, ["left", "right"]),
        (-3.0, -9.0, ["right", "left"]),
        (4.0, 7.0, ["left", "right"]),
        (4.0, -7.0, ["right", "left"]),
    ],
)
def test_two_hands_are_a_pair(first, second, sides):
    """Should both look like left ones, the surer one has its way."""
    assert sides_of([find(0, side_logit=logit) for logit in (first, second)]) == sides


@pytest.mark.parametrize(
    ("probability", "side_logit", "hands"), [(0.6, 1.0, 1), (0.6, -1.0, 2), (0.9, 1.0, 2), (0.2, -1.0, 1)]
)
def test_a_second_hand_of_the_same_side_has_to_be_surer(probability, side_logit, hands):
    first = find(100, 0.9, side_logit=2.0)
    assert len(believed([first, find(300, probability, 0.5, side_logit)])) == hands


def test_distances_are_in_hand_sizes_of_the_larger_one():
    small = replace(find(0), keypoints_px=(HAND_PX / 2).astype(np.float32))
    assert apart(find(0), find(50)) == pytest.approx(0.5)
    expected = np.linalg.norm(HAND_PX / 2, axis=1).mean() / 100
    assert apart(find(0), small) == apart(small, find(0)) == pytest.approx(expected, rel=1e-5)


def test_of_finds_of_one_hand_the_surest_is_kept_and_a_followed_one_stays_itself():
    better, worse, elsewhere = find(0, 0.9), find(10, 0.6), find(200, 0.7)
    assert distinct([worse, elsewhere, better]) == [better, elsewhere]
    followed = find(10, 0.6, track=3)
    assert distinct([better, followed]) == [followed]


def test_a_hand_in_the_place_of_another_is_not_believed():
    first, inside, beside = find(0, 0.9), find(45, 0.9), find(150, 0.9, side_logit=-1.0)
    assert believed([first, inside, beside]) == [first, beside]


def test_three_looks_at_a_hand_are_one_find_where_most_see_it():
    looks = (find(0, 0.6, side_logit=1.0), find(4, 0.9, side_logit=3.0), find(90, 0.6, side_logit=1.0))
    found = merged(looks)
    np.testing.assert_array_equal(found.keypoints_px, looks[1].keypoints_px)
    assert found.probability == pytest.approx(0.7) and found.side_logit == pytest.approx(5 / 3)
    assert merged((None, *looks[:2])).sharpness == pytest.approx(np.full(21, 0.6))  # one look saw nothing


def test_where_both_slots_mean_one_hand_each_key_point_is_the_surer_ones():
    maps = np.zeros((21, 3, 4), np.float32)
    left = replace(find(0, 0.5), looks=(Look(np.eye(2, 3), maps),))
    right = replace(find(10, 0.8, 0.5), looks=(Look(np.eye(2, 3), maps + 1),))
    left.sharpness[5:] = 0.2
    found = one_of_two(left, right, side_logit=0.7)
    np.testing.assert_array_equal(found.keypoints_px, [*left.keypoints_px[:5], *right.keypoints_px[5:]])
    assert found.probability == pytest.approx(1 - 0.5 * 0.2) and found.side_logit == 0.7
    (look,) = found.looks
    assert (look.maps[:5] == 0).all() and (look.maps[5:] == 1).all()


@pytest.mark.parametrize(
    ("now", "past_sharpness", "past_best", "told"),
    [
        ((0.9, 0.6), None, 0.0, True),
        ((0.9, 0.3), None, 0.0, False),  # blurred
        ((0.6, 0.4), None, 0.0, False),  # a score of 0.49
        ((0.6, 0.4), 0.5, 0.6, True),  # it was sure once
        ((0.9, 0.6), 0.2, 0.9, False),  # and blurred for long
    ],
)
def test_in_colour_a_hand_is_told_of_once_it_was_sure_and_while_it_is_sharp(
    now, past_sharpness, past_best, told
):
    assert is_no_ghost(find(0, *now, past_sharpness=past_sharpness, past_best=past_best)) is told
