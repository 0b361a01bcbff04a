import numpy as np
import pytest

from handfast.skeleton import HAND21, LABEL17, SKELETONS, TOF8


def test_hand21_runs_from_the_wrist_along_each_finger():
    assert HAND21.keypoints == (
        "wrist",
        *("thumb_cmc", "thumb_mcp", "thumb_ip", "thumb_tip"),
        *("index_mcp", "index_pip", "index_dip", "index_tip"),
        *("middle_mcp", "middle_pip", "middle_dip", "middle_tip"),
        *("ring_mcp", "ring_pip", "ring_dip", "ring_tip"),
        *("pinky_mcp", "pinky_pip", "pinky_dip", "pinky_tip"),
    )
    assert HAND21.parents == (-1, 0, 1, 2, 3, 0, 5, 6, 7, 0, 9, 10, 11, 0, 13, 14, 15, 0, 17, 18, 19)
    assert HAND21.tips == (4, 8, 12, 16, 20)
    assert np.array_equal(HAND21.from_hand21, np.eye(21))


def test_small_sets_hang_their_fingers_on_the_hand_centre():
    parent_of = {TOF8.keypoints[c]: TOF8.keypoints[p] for p, c in TOF8.edges}
    assert parent_of == {
        "thumb_mcp": "hand_centre",
        "thumb_tip": "thumb_mcp",
        "index_mcp": "hand_centre",
        "index_pip": "index_mcp",
        "index_tip": "index_pip",
        "middle_mcp": "hand_centre",
        "hand_centre": "wrist_centre",
    }
    parent_of = {LABEL17.keypoints[c]: LABEL17.keypoints[p] for p, c in LABEL17.edges}
    assert len(LABEL17) == 17
    assert [parent_of[f"thumb_{joint}"] for joint in ("mcp", "ip", "tip")] == [
        "hand_centre", "thumb_mcp", "thumb_ip",
    ]  # fmt: skip
    assert [parent_of[f"ring_{joint}"] for joint in ("mcp", "pip", "tip")] == [
        "hand_centre", "ring_mcp", "ring_pip",
    ]  # fmt: skip
    assert "wrist_centre" not in parent_of


@pytest.mark.parametrize("skeleton", SKELETONS.values(), ids=SKELETONS)
def test_every_set_is_one_tree_of_convex_combinations(skeleton):
    assert np.all(skeleton.from_hand21 >= 0)
    assert np.array_equal(skeleton.from_hand21.sum(1), np.ones(len(skeleton)))
    assert len(set(skeleton.keypoints)) == len(skeleton)
    assert skeleton.parents.count(-1) == 1
    for keypoint in range(len(skeleton)):
        steps = 0
        while keypoint >= 0 and steps <= len(skeleton):
            keypoint, steps = skeleton.parents[keypoint], steps + 1
        assert keypoint == -1


def test_weights_are_read_only():
    with pytest.raises(ValueError, match="read-only"):
        TOF8.from_hand21[0, 0] = 2


def test_select_takes_joints_and_mixes_the_hand_centre():
    points = np.random.default_rng(0).standard_normal((4, 21, 3)).astype(np.float32)
    index_of = HAND21.keypoints.index
    for skeleton in (TOF8, LABEL17):
        selected = skeleton.select(points)
        assert selected.dtype == np.float32
        for k, name in enumerate(skeleton.keypoints):
            if name == "hand_centre":
                expected = (points[:, 0] + points[:, index_of("middle_mcp")]) / 2
            else:
                expected = points[:, index_of("wrist" if name == "wrist_centre" else name)]
            np.testing.assert_allclose(selected[:, k], expected, rtol=1e-6)


def test_a_mixed_keypoint_is_visible_only_with_all_of_its_joints():
    visible = np.ones((2, 21), bool)
    visible[1, HAND21.keypoints.index("middle_mcp")] = False
    selected = TOF8.select_visible(visible)
    hidden = [TOF8.keypoints[k] for k in np.flatnonzero(~selected[1])]
    assert selected[0].all()
    assert hidden == ["middle_mcp", "hand_centre"]
