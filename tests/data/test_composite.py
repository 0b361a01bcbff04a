import numpy as np
import pytest
from hypothesis import assume, example, given, settings
from hypothesis import strategies as st

from data_set_fixtures import mixed_frame
from handfast.data.arrays import MIN_VISIBLE, pack
from handfast.data.composite import over_background, two_handed
from handfast.data.synthesis import HEIGHT, WIDTH, make_world
from handfast.skeleton import SIDES

PICTURES = ("amplitude", "depth_mm", "segmentation")


def background(depth_mm, brightness=50.0):
    """A sample without hands whose surfaces are all as bright at 1 m."""
    depth_mm = np.array(depth_mm, np.uint16)
    metres = np.where(depth_mm > 0, depth_mm, np.inf) / 1000
    return {
        "amplitude": np.rint(np.minimum(brightness / metres**2, 255)).astype(np.uint8),
        "depth_mm": depth_mm,
        "segmentation": np.zeros(depth_mm.shape, np.uint8),
        "present": np.zeros(2, bool),
        "keypoints_px": np.zeros((2, 21, 2), np.float32),
        "keypoints_m": np.zeros((2, 21, 3), np.float32),
        "visible": np.zeros((2, 21), bool),
        "key_pose": np.zeros(2, np.uint8),
        "orientation": np.zeros(2, np.uint8),
        "person": np.uint8(0),
    }


def with_hand(depth_mm, where, side="left", hand_mm=500, brightness=50.0, focal_px=100.0):
    """A flat hand in a rectangle (slices) of a picture, all key-points visible, 1 cm under its skin.

    Row by row they fill the rectangle from (left, top) to (right - 1, bottom - 1) px; the wrist is at the
    rectangle's lower end, the middle knuckle above it.
    """
    depth_mm = np.array(depth_mm, np.uint16)
    depth_mm[where] = hand_mm
    a = background(depth_mm, brightness)
    rows, columns = where
    # 3 columns of 7: joint 0 is at the middle of the bottom, joint 9 three sevenths up.
    k = np.arange(21)
    x = columns.start + np.array([0.5, 0.0, 1.0])[k % 3] * (columns.stop - 1 - columns.start)
    y = rows.stop - 1 - (k // 3) / 6 * (rows.stop - 1 - rows.start)
    points_px = np.stack([x, y], 1)
    z = hand_mm / 1000 + 0.01
    centre_px = (np.array(depth_mm.shape[::-1]) - 1) / 2
    points_m = np.column_stack([(points_px - centre_px) / focal_px * z, np.full(21, z)])
    slot = SIDES.index(side)
    a["segmentation"][where] = 1 + slot
    a["present"][slot] = a["visible"][slot] = True
    a["keypoints_px"][slot], a["keypoints_m"][slot] = points_px, points_m
    a["key_pose"][slot], a["orientation"][slot], a["person"] = 3, 5, np.uint8(7)
    return a


def flat(depth_mm, height=24, width=32):
    return np.full((height, width), depth_mm, np.uint16)


HAND = np.s_[8:16, 10:20]


def test_the_hand_stands_before_the_other_background():
    a = with_hand(flat(900, 3, 4), np.s_[0:3, 0:2])
    b = background([[0, 800, 800, 800], [0, 800, 800, 800], [0, 800, 800, 700]])
    c = over_background(a, b)
    assert c["depth_mm"].tolist() == [[500, 500, 800, 800], [500, 500, 800, 800], [500, 500, 800, 700]]
    assert c["segmentation"].tolist() == [[1, 1, 0, 0]] * 3
    # 50 / z^2, a little less where both were rounded.
    assert np.abs(c["amplitude"] - 50.0 / (c["depth_mm"] / 1000) ** 2).max() < 2
    assert c["present"].tolist() == [True, False]
    for name in ("keypoints_px", "keypoints_m", "visible", "key_pose", "orientation", "person"):
        assert np.array_equal(c[name], a[name]), name


def test_the_nearer_pixel_wins_in_every_picture_and_hides_keypoints():
    a = with_hand(flat(900), HAND)
    b = background(flat(800))
    b["depth_mm"][:10, :] = 300  # before the upper two rows of the hand
    b["amplitude"][:10, :] = 99
    c = over_background(a, b)
    assert (c["depth_mm"][:10] == 300).all() and (c["segmentation"][:10] == 0).all()
    assert len(np.unique(c["amplitude"][:10])) == 1
    hand = np.s_[10:16, 10:20]
    assert (c["depth_mm"][hand] == 500).all() and (c["segmentation"][hand] == 1).all()
    assert np.count_nonzero(c["segmentation"]) == 60
    # Key-points lie in rows 8 + 7 i / 6: those of row 8 are between rows 8 and 9, of row 9.17 partly free.
    assert (~c["visible"][0]).sum() == 3
    assert (c["visible"][0] == (a["keypoints_px"][0, :, 1] >= 9)).all()


def test_a_surface_just_before_a_joint_does_not_hide_it():
    """Joints lie under the skin: one at 510 mm stays visible 15 mm behind the surface of a pixel it lost."""
    a = with_hand(flat(900, 100, 80), np.s_[10:80, 10:50])
    b = background(flat(800, 100, 80))
    strip = np.s_[10:13]  # of 70 rows of hand
    b["depth_mm"][strip] = 495
    c = over_background(a, b)
    assert (c["segmentation"][strip] == 0).all() and c["visible"][0].all()
    b["depth_mm"][strip] = 485
    assert (~over_background(a, b)["visible"][0]).sum() == 3


def test_no_depth_in_the_background_is_far_and_in_the_hand_is_hand():
    a = with_hand(flat(900), HAND)
    a["depth_mm"][10:14, 12:16] = 0
    nothing = background(flat(0))
    c = over_background(a, nothing)
    assert np.array_equal(c["segmentation"], a["segmentation"])
    assert (c["depth_mm"][10:14, 12:16] == 0).all() and c["visible"][0].all()
    # The hole does not let through what is behind the hand, nor does it hide what is before.
    behind, before = background(flat(600)), background(flat(800))
    before["depth_mm"][12:16] = 400
    assert np.array_equal(over_background(a, behind)["segmentation"], a["segmentation"])
    a["visible"][0] = a["keypoints_px"][0, :, 1] < 11  # so that enough of them is left
    assert (over_background(a, before)["depth_mm"][12:16] == 400).all()


def test_white_without_depth_is_nearer_than_the_hand():
    a, b = with_hand(flat(900), HAND), background(flat(800))
    b["depth_mm"][:10], b["amplitude"][:10] = 0, 255
    c = over_background(a, b)
    assert (c["segmentation"][:10] == 0).all() and (c["segmentation"][10:16, 10:20] == 1).all()


def test_stray_near_values_of_the_background_do_not_pierce_the_hand():
    a, b = with_hand(flat(900), HAND), background(flat(800))
    b["depth_mm"][10, 12] = b["depth_mm"][13, 17] = 60
    assert np.array_equal(over_background(a, b)["segmentation"], a["segmentation"])


def test_the_hand_does_not_show_through_narrow_holes_of_what_is_before_it():
    a, b = with_hand(flat(900), HAND), background(flat(800))
    b["depth_mm"][:10] = 300
    b["depth_mm"][7:9, 14], b["depth_mm"][8, 17] = 0, 4000
    assert (over_background(a, b)["segmentation"][:10] == 0).all()


def test_the_arm_goes_with_the_hand_and_what_it_touches_does_not():
    """A hand that points up, its arm down and back to the border. A board beside the wrist is as deep, the
    finger-tips touch another, and the wall behind the arm is within its reach."""
    depth_mm = flat(720, 120, 160)
    depth_mm[60:, 70:90] = 500 + 3 * np.arange(60)[:, None]
    depth_mm[64:70, 90:] = 520
    depth_mm[10:20] = 515
    a = with_hand(depth_mm, np.s_[20:60, 60:100], focal_px=200)
    c = over_background(a, background(flat(3000, 120, 160)))
    arm, its_edge = np.s_[72:, 71:89], np.s_[72:, [70, 89]]
    assert np.array_equal(c["depth_mm"][arm], depth_mm[arm])
    assert (c["depth_mm"][its_edge] == 3000).all()  # mixed with what was behind it
    assert np.array_equal(c["segmentation"], a["segmentation"])
    # Where the board is the cone is 60 + 23 mm wide, 32 px: it ends at column 112.
    assert (c["depth_mm"][64:70, 114:] == 3000).all()
    assert (c["depth_mm"][72:, 91:] == 3000).all() and (c["depth_mm"][:, :60] == 3000).all()
    assert (c["depth_mm"][:20] == 3000).all()


def test_what_hides_the_hand_comes_along():
    a = with_hand(flat(900, 60, 80), np.s_[20:40, 20:50])
    bar = np.s_[5:55, 30:36]
    a["depth_mm"][bar], a["segmentation"][bar] = 300, 0
    c = over_background(a, background(flat(800, 60, 80)))
    assert (c["depth_mm"][8:52, 31:35] == 300).all() and (c["segmentation"][bar] == 0).all()
    assert (c["depth_mm"][:4] == 800).all() and (c["depth_mm"][20:40, 20:29] == 500).all()


@pytest.mark.parametrize("brightness", [25.0, 50.0, 100.0])
def test_hand_and_background_become_as_bright_beside_each_other(brightness):
    """The hand was as bright as its own wall, at 1 m: so it is before the other wall."""
    a = with_hand(flat(900, 60, 80), np.s_[10:50, 10:50])
    b = background(flat(800, 60, 80), brightness)
    c = over_background(a, b)
    skin, wall = (np.median(c["amplitude"][c["depth_mm"] == mm]) * mm**2 for mm in (500, 800))
    assert skin / wall == pytest.approx(1, abs=0.03)
    assert (c["amplitude"] <= np.maximum(a["amplitude"], b["amplitude"])).all()


def test_a_wall_before_the_hand_is_refused():
    assert over_background(with_hand(flat(900), HAND), background(flat(300))) is None


@pytest.mark.parametrize("wall_mm", [490, 500, 515])
def test_a_wall_through_the_hand_is_refused(wall_mm):
    assert over_background(with_hand(flat(900), HAND), background(flat(wall_mm))) is None


def test_a_hand_is_refused_when_more_than_a_third_of_its_keypoints_would_be_hidden():
    a, b = with_hand(flat(900, 60, 80), np.s_[10:50, 10:50]), background(flat(800, 60, 80))
    # Rows of three key-points at 10, 16.5, 23, ...
    b["depth_mm"][10:21] = 300
    assert over_background(a, b)["visible"][0].sum() == 15
    b["depth_mm"][10:26] = 300
    assert over_background(a, b) is None


def test_a_hand_is_refused_when_too_few_keypoints_would_be_left():
    a, b = with_hand(flat(900, 60, 80), np.s_[10:50, 10:50]), background(flat(800, 60, 80))
    b["depth_mm"][10:14] = 300
    a["visible"][0] = np.isin(np.arange(21), [0, 3, 6, 18])  # one of them in the hidden row
    assert a["visible"][0].sum() == MIN_VISIBLE
    assert over_background(a, b) is None
    a["visible"][0, 9] = True
    assert over_background(a, b)["visible"][0].sum() == MIN_VISIBLE


def test_two_hands_of_two_frames_are_both_labelled():
    a = with_hand(flat(900), np.s_[8:16, 2:10], "left", 500)
    b = with_hand(flat(900), np.s_[4:20, 20:30], "right", 600)
    b["key_pose"][1], b["orientation"][1] = 4, 6
    c = two_handed(a, b)
    assert np.array_equal(c["segmentation"], a["segmentation"] + b["segmentation"])
    assert c["present"].all() and c["visible"].all()
    assert c["key_pose"].tolist() == [3, 4] and c["orientation"].tolist() == [5, 6]
    for slot, source in enumerate((a, b)):
        for name in ("keypoints_px", "keypoints_m"):
            assert np.array_equal(c[name][slot], source[name][slot])


@pytest.mark.parametrize("left_mm", [400, 700])
def test_whichever_of_two_hands_is_laid_over_the_nearer_one_hides_the_other(left_mm):
    left = with_hand(flat(900, 60, 80), np.s_[10:50, 10:40], "left", left_mm)
    right = with_hand(flat(900, 60, 80), np.s_[10:50, 36:66], "right", 550)
    one, other = two_handed(left, right), two_handed(right, left)
    overlap = np.s_[10:50, 36:40]
    near, far = (0, 1) if left_mm < 550 else (1, 0)
    assert (one["segmentation"][overlap] == 1 + near).all()
    assert one["visible"][near].all()
    # The outer columns of key-points at x = 36 and 39; the lowest row is at the edge of both hands.
    hidden = (np.arange(21) % 3 == 1 + near) & (np.arange(21) >= 3)
    assert (one["visible"][far] == ~hidden).all()
    for name in ("depth_mm", "segmentation", "present", "visible", "keypoints_px", "keypoints_m"):
        assert np.array_equal(one[name], other[name]), name


def test_the_skin_of_two_hands_becomes_as_bright():
    left = with_hand(flat(900, 60, 80), np.s_[10:50, 4:34], "left", 500, brightness=30)
    right = with_hand(flat(900, 60, 80), np.s_[10:50, 40:70], "right", 600, brightness=60)
    left["amplitude"][left["segmentation"] == 0] = 250  # a brighter room
    c = two_handed(left, right)
    near, far = (np.median(c["amplitude"][c["segmentation"] == k]) for k in (1, 2))
    assert near / far == pytest.approx((600 / 500) ** 2, rel=0.03)


def test_a_mirrored_pair_gives_the_mirrored_composition():
    a = with_hand(flat(900, 60, 80), np.s_[10:50, 10:40])
    a["depth_mm"][50:, 20:30] = 520
    b = background(flat(800, 60, 80))
    b["depth_mm"][8:20, 30:60] = 350
    straight, turned = over_background(a, b), over_background(mirrored(a), mirrored(b))
    assert (straight["depth_mm"] == 520).any() and (~straight["visible"][0]).any()
    for name in (*PICTURES, "present", "visible"):
        assert np.array_equal(mirrored(straight)[name], turned[name]), name


def mirrored(a):
    width = a["depth_mm"].shape[1]
    return a | {
        **{name: np.ascontiguousarray(a[name][:, ::-1]) for name in ("amplitude", "depth_mm")},
        "segmentation": np.array([0, 2, 1], np.uint8)[a["segmentation"][:, ::-1]],
        **{name: a[name][::-1] for name in ("present", "visible", "key_pose", "orientation")},
        "keypoints_px": a["keypoints_px"][::-1] * np.float32([-1, 1]) + np.float32([width - 1, 0]),
        "keypoints_m": a["keypoints_m"][::-1] * np.float32([-1, 1, 1]),
    }


@settings(max_examples=60)
@given(
    st.integers(0, 2**32 - 1),
    st.integers(0, 200),
    st.integers(-20, 150),
    st.integers(300, 900),
    st.floats(5, 100),
    st.booleans(),
)
@example(102, 45, 13, 300, 5.0, True)
def test_every_pixel_comes_wholly_from_one_frame(seed, hand_mm, object_mm, wall_mm, brightness, two):
    """Depth tells the frame: odd or even; then amplitude, but for one factor, and label are of that frame.
    No input is changed."""
    rng = np.random.default_rng(seed)
    shape = (60, 80)
    a = with_hand(flat(901, *shape), np.s_[10:50, 10:40], "left", 401 + 2 * hand_mm, brightness)
    b = background(flat(1000 + 2 * wall_mm, *shape))
    if two:
        b = with_hand(b["depth_mm"], np.s_[5:45, 36:70], "right", 500)
    b["depth_mm"][:, 20:26] = 500 + 2 * object_mm
    for sample, parity in ((a, 1), (b, 0)):
        noisy = sample["depth_mm"] + 2 * rng.integers(-6, 7, shape)
        sample["depth_mm"] = noisy.astype(np.uint16)
        assert (sample["depth_mm"] % 2 == parity).all()
        sample["amplitude"] = rng.integers(1, 255, shape, dtype=np.uint8)
    before = [{name: value.copy() for name, value in sample.items()} for sample in (a, b)]
    c = (two_handed if two else over_background)(a, b)
    for sample, copy in zip((a, b), before, strict=True):
        assert all(np.array_equal(sample[name], copy[name]) for name in copy)
    assume(c is not None)
    of_a = c["depth_mm"] % 2 == 1
    assert of_a.any() and (~of_a).any()
    unchanged = 0
    for sample, mine in ((a, of_a), (b, ~of_a)):
        assert np.array_equal(c["depth_mm"][mine], sample["depth_mm"][mine])
        assert np.array_equal(c["segmentation"][mine], sample["segmentation"][mine])
        old, new = sample["amplitude"][mine].astype(float), c["amplitude"][mine].astype(float)
        # There is a factor from which all are what rounding gives.
        assert ((new - 0.5) / old).max() <= ((new + 0.5) / old).min() + 1e-9
        unchanged += (new == old).all()
    assert unchanged >= 1
    for slot in np.flatnonzero(c["present"]):
        assert c["visible"][slot].sum() >= MIN_VISIBLE


@pytest.fixture(scope="module")
def frames():
    world = make_world(5, 4)
    arrays = pack([mixed_frame(world, 5, i, i % 4) for i in range(90)])
    return [{name: array[i] for name, array in arrays.items()} for i in range(90)]


def only(frames, slot):
    return [f for f in frames if f["present"][slot] and set(np.unique(f["segmentation"])) == {0, 1 + slot}]


def test_made_frames_go_together_and_their_keypoints_stay_on_their_hand(frames):
    """As in the frames themselves the label under a visible key-point is its own hand's."""
    empty = [f for f in frames if not f["segmentation"].any()]
    left, right = only(frames, 0), only(frames, 1)
    pairs = [(over_background, a, b) for a in left + right for b in empty[:3]]
    pairs += [(two_handed, a, b) for a, b in zip(left, right, strict=False)]
    made = [c for lay, a, b in pairs if (c := lay(a, b)) is not None]
    assert 0.4 < len(made) / len(pairs) < 0.95
    assert any(c["present"].all() for c in made)
    hits = total = 0
    for c in made:
        for slot in np.flatnonzero(c["present"]):
            points = np.round(c["keypoints_px"][slot][c["visible"][slot]]).astype(int)
            points = points.clip(0, [WIDTH - 1, HEIGHT - 1])
            hits += (c["segmentation"][points[:, 1], points[:, 0]] == 1 + slot).sum()
            total += len(points)
    assert total > 500 and hits / total > 0.85
