import numpy as np
import pytest

from handfast.skeleton import HAND21, SKELETONS
from handfast.structures import Frame, HandLabel, HandPose, HandSample
from handfast.tracking.drawing import (
    contact_sheet,
    draw_caption,
    draw_hands,
    draw_labels,
    frame_as_picture,
)


def hand(points: int = 21, visible: bool = True) -> HandPose:
    """Key-points on a grid in the middle of a 160 x 120 picture."""
    grid = np.stack(np.meshgrid(np.arange(40.0, 110, 10), [50.0, 65.0, 80.0]), axis=-1).reshape(-1, 2)
    return HandPose("right", 0.87, grid[:points], np.full(points, visible))


def test_small_pictures_are_scaled_up_and_wide_ones_kept():
    assert draw_hands(np.zeros((240, 320, 3), np.uint8), []).shape == (720, 960, 3)
    wide = np.random.default_rng(0).integers(0, 255, (50, 1280, 3), dtype=np.uint8)
    np.testing.assert_array_equal(draw_hands(wide, []), wide)


def test_the_picture_given_is_not_drawn_on():
    for width in (160, 960):
        picture = np.zeros((720, width, 3), np.uint8)
        draw_hands(picture, [hand()])
        assert not picture.any()


@pytest.mark.parametrize("visible", [True, False])
def test_keypoints_are_where_they_belong_full_if_visible_and_hollow_if_not(visible):
    pose = hand(visible=visible)
    drawn = draw_hands(np.zeros((120, 160, 3), np.uint8), [pose])
    for x, y in (pose.keypoints_px + 0.5) * 6 - 0.5:
        assert (drawn[round(y), round(x)].max() > 150) == visible


def test_fingers_differ_in_colour():
    pose = hand()
    drawn = draw_hands(np.zeros((120, 160, 3), np.uint8), [pose])
    at = np.round((pose.keypoints_px[list(HAND21.tips)] + 0.5) * 6 - 0.5).astype(int)
    assert len({tuple(drawn[y, x]) for x, y in at}) == 5


def test_label_is_drawn_above_the_hand():
    pose = hand()
    drawn = draw_hands(np.zeros((120, 160, 3), np.uint8), [pose])
    top = int(pose.keypoints_px[:, 1].min() * 6)
    assert drawn[top - 40 : top - 12].max() > 200
    assert not drawn[: top - 60].any()


@pytest.mark.parametrize("points", [len(s) for s in SKELETONS.values()])
@pytest.mark.parametrize("offset", [0.0, -500.0, 1e7])
def test_every_skeleton_is_drawn_also_outside_the_picture(points, offset):
    pose = hand(points)
    pose = HandPose(pose.side, pose.score, pose.keypoints_px + offset, pose.visible)
    drawn = draw_hands(np.zeros((120, 160, 3), np.uint8), [pose])
    assert drawn.any()


def test_dark_amplitude_is_stretched_and_order_kept():
    ramp = np.tile(np.arange(10, 90, dtype=np.uint8), (50, 1))
    picture = frame_as_picture(Frame(0, 0.0, amplitude=ramp))
    assert picture.shape == (50, 80, 3)
    assert (picture.min(), picture.max()) == (0, 255)
    assert (np.diff(picture[0, :, 0].astype(int)) >= 0).all()
    flat = frame_as_picture(Frame(0, 0.0, amplitude=np.full((50, 80), 7, np.uint8)))
    assert len(np.unique(flat)) == 1


def test_depth_is_brighter_when_nearer_and_black_when_unknown():
    depth = np.tile(np.arange(400, 1200, 10, dtype=np.uint16), (50, 1))
    depth[:10] = 0
    picture = frame_as_picture(Frame(0, 0.0, depth=depth)).astype(int)
    assert not picture[:10].any()
    brightness = picture[20] @ (0.114, 0.587, 0.299)
    assert (np.diff(brightness) <= 1).all() and brightness[0] > 200 and brightness[-1] > 5
    nothing = frame_as_picture(Frame(0, 0.0, depth=np.zeros((5, 6), np.uint16)))
    assert not nothing.any()


def test_colour_is_shown_as_it_is():
    colour = np.random.default_rng(0).integers(0, 255, (5, 6, 3), dtype=np.uint8)
    np.testing.assert_array_equal(frame_as_picture(Frame(0, 0.0, colour=colour)), colour[..., ::-1])


@pytest.mark.parametrize("offset", [0.0, 900.0])
def test_labels_fill_the_picture_whatever_their_size_and_place(offset):
    """Key-points without a label count for nothing: here they lie in a corner."""
    points = (hand().keypoints_px / 4 + offset).astype(np.float32)
    labelled = np.ones(21, bool)
    points[[2, 7]], labelled[[2, 7]] = 0, False
    label = HandLabel("left", points, labelled=labelled)
    frame = Frame(0, 0.0, amplitude=np.zeros((1000, 1000), np.uint8))
    drawn = draw_labels(HandSample(frame, (label,)), 300, 200)
    assert drawn.shape == (200, 300, 3)
    columns = np.flatnonzero((drawn.max(axis=-1) > 100).any(axis=0))
    assert 150 < np.ptp(columns) < 300 and abs(columns.mean() - 150) < 40
    nothing = draw_labels(
        HandSample(frame, (HandLabel("left", points, labelled=~labelled & False),)), 300, 200
    )
    assert nothing.max() < 100


def test_a_single_labelled_joint_is_shown_in_its_surroundings():
    """A quarter of the frame's width: half the picture is brighter, 32 of 64 columns about the joint."""
    amplitude = np.zeros((192, 256), np.uint8)
    amplitude[:, 112:144] = 255
    points = np.zeros((21, 2), np.float32)
    points[0] = 127.5, 96
    label = HandLabel("right", points, labelled=np.arange(21) == 0)
    drawn = draw_labels(HandSample(Frame(0, 0.0, amplitude=amplitude), (label,)), 320, 240)
    assert (drawn[-1] > 200).all(axis=-1).sum() == pytest.approx(160, abs=2)


def test_every_skeleton_is_drawn_as_a_label():
    for skeleton in SKELETONS.values():
        points = skeleton.select(hand().keypoints_px).astype(np.float32)
        frame = Frame(0, 0.0, amplitude=np.zeros((120, 160), np.uint8))
        assert draw_labels(
            HandSample(frame, (HandLabel("right", points, skeleton=skeleton),)), 200, 150
        ).any()


def test_contact_sheet_holds_every_picture_in_reading_order():
    pictures = [np.full((30, 40, 3), 50 + 40 * i, np.uint8) for i in range(5)]
    sheet = contact_sheet(pictures, columns=3)
    rows, columns = sheet.shape[0] // 2, sheet.shape[1] // 3
    for i, picture in enumerate(pictures):
        cell = sheet[i // 3 * rows :, i % 3 * columns :][:rows, :columns]
        assert (cell == picture[0, 0]).all(axis=-1).sum() == 30 * 40


def test_caption_stays_in_its_corner():
    picture = np.zeros((200, 300, 3), np.uint8)
    draw_caption(picture, "frame 7")
    assert picture[150:, :150].max() > 200
    assert not picture[:150].any()
