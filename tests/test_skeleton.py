import numpy as np
import pytest

from handfast.hand_model.model import joint_rotations, load_hand_asset, pose_hand
from handfast.skeleton import FINGERS, HAND21, ICVL16, LABEL17, NYU14, SKELETONS, TOF8


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
def test_every_set_is_one_tree_of_weighted_means(skeleton):
    assert np.array_equal(skeleton.from_hand21.sum(1), np.ones(len(skeleton)))
    assert len(set(skeleton.keypoints)) == len(skeleton)
    assert skeleton.parents.count(-1) == 1
    for keypoint in range(len(skeleton)):
        steps = 0
        while keypoint >= 0 and steps <= len(skeleton):
            keypoint, steps = skeleton.parents[keypoint], steps + 1
        assert keypoint == -1


@pytest.mark.parametrize("skeleton", SKELETONS.values(), ids=SKELETONS)
def test_an_unknown_joint_is_felt_by_what_is_made_of_it_alone(skeleton):
    points = np.random.default_rng(0).normal(size=(2, 21, 3))
    whole = skeleton.select(points)
    lost = HAND21.keypoints.index("middle_mcp")
    points[1, lost] = np.nan
    partly = skeleton.select(points)
    made_of_it = skeleton.from_hand21[:, lost] != 0
    assert made_of_it.any() and not made_of_it.all()
    assert np.isnan(partly[1, made_of_it]).all()
    np.testing.assert_array_equal(partly[1, ~made_of_it], whole[1, ~made_of_it])
    np.testing.assert_array_equal(partly[0], whole[0])


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


def rest_hand_mm():
    asset = load_hand_asset()
    rotations = joint_rotations(asset, np.zeros((21, 3)))
    return 1000 * pose_hand(asset, rotations, np.zeros(asset.shape_joints_m.shape[0]))[0]


def lengths(skeleton, points, pairs):
    ends = np.array([[skeleton.keypoints.index(name) for name in pair] for pair in pairs])
    return np.linalg.norm(points[ends[:, 0]] - points[ends[:, 1]], axis=-1)


def test_nyu14_has_the_proportions_of_its_published_labels():
    published_mm = {
        ("middle_tip", "middle_pip"): 57.2,
        ("ring_tip", "ring_pip"): 50.4,
        ("thumb_tip", "thumb_ip"): 24.7,
        ("wrist_thumb_side", "wrist_pinky_side"): 35.4,
        ("palm", "wrist_thumb_side"): 81.3,
        ("palm", "wrist_pinky_side"): 81.3,
    }
    ours_mm = lengths(NYU14, NYU14.select(rest_hand_mm()), list(published_mm))
    ratio = ours_mm / np.array(list(published_mm.values()))
    assert ratio.std() / ratio.mean() < 0.1


def test_nyu14_wrist_sides_lie_beside_the_wrist_on_the_side_of_their_names():
    hand = rest_hand_mm()
    points = dict(zip(NYU14.keypoints, NYU14.select(hand), strict=True))
    thumb_side, pinky_side = points["wrist_thumb_side"], points["wrist_pinky_side"]
    np.testing.assert_allclose((thumb_side + pinky_side) / 2, hand[0], atol=1e-4)
    thumb, pinky = points["thumb_mcp"], points["pinky_pip"]
    assert np.linalg.norm(thumb - thumb_side) < np.linalg.norm(thumb - pinky_side)
    assert np.linalg.norm(pinky - pinky_side) < np.linalg.norm(pinky - thumb_side)


def test_icvl16_is_the_palm_and_the_middles_of_bones():
    points = np.random.default_rng(1).standard_normal((21, 3))
    joint = dict(zip(HAND21.keypoints, points, strict=True))
    middles = dict(zip(ICVL16.keypoints, ICVL16.select(points), strict=True))
    np.testing.assert_allclose(middles["thumb_root"], (joint["thumb_cmc"] + joint["thumb_mcp"]) / 2)
    np.testing.assert_allclose(middles["ring_mid"], (joint["ring_pip"] + joint["ring_dip"]) / 2)
    np.testing.assert_allclose(middles["pinky_tip"], (joint["pinky_dip"] + joint["pinky_tip"]) / 2)
    assert ICVL16.keypoints[:4] == ("palm", "thumb_root", "thumb_mid", "thumb_tip")
    parent_of = {ICVL16.keypoints[c]: ICVL16.keypoints[p] for p, c in ICVL16.edges}
    for finger in FINGERS:
        assert parent_of[f"{finger}_root"] == "palm" and parent_of[f"{finger}_tip"] == f"{finger}_mid"
