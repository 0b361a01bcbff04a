"""The tracker with a network whose answer is known: it reads toy hands made of three discs."""

from dataclasses import replace

import cv2
import numpy as np
import pytest

from handfast.errors import HandfastError
from handfast.geometry import Camera
from handfast.runtime.model import Model, ModelCard
from handfast.sensors.images import normalise_exposure
from handfast.skeleton import HAND21
from handfast.structures import Frame
from handfast.tracking.finds import Find
from handfast.tracking.sizes import size_of
from handfast.tracking.tracker import SEARCH_EVERY, Tracker

WIDTH, HEIGHT = 160, 120
# A toy hand: discs of three levels for wrist, middle fingertip and thumb, held together by dim bars.
WRIST, TIP, THUMB, BAR, GROUND = 255, 150, 70, 45, 10
# 21 key-points along the hand (wrist 0, tip 1) and across it, towards the thumb.
ALONG = np.array([0.0, *np.linspace(0.2, 1.0, 20)])
ACROSS = np.array([0.0, *np.tile([-0.3, -0.1, 0.1, 0.3, 0.5], 4)])


def toy_keypoints(wrist, tip, thumb):
    """Where the key-points of a toy hand are."""
    along = tip - wrist
    across = (thumb - wrist) - along * ((thumb - wrist) @ along) / (along @ along)
    across *= np.linalg.norm(along) / np.linalg.norm(across)
    return wrist + ALONG[:, None] * along + ACROSS[:, None] * across


def places(x, y, size, side, turn_rad=0.0):
    """Wrist, tip and thumb of a toy hand about (x, y): fingers up at turn 0, palm to the viewer."""
    c, s = np.cos(turn_rad), np.sin(turn_rad)
    R = np.array([[c, -s], [s, c]])
    outwards = -1 if side == "right" else 1
    local = np.array([[0, 0.5], [0, -0.5], [0.45 * outwards, 0.1]])
    return np.array([x, y]) + size * local @ R.T


@pytest.fixture(autouse=True)
def any_outline_is_expected(monkeypatch):
    """Toys do not look like hands."""

    def anywhere(prior, keypoints_px, sharpness, side):
        return keypoints_px, np.tile(1e6 * np.eye(2), (21, 1, 1))

    monkeypatch.setattr("handfast.tracking.tracker.expected_from_others", anywhere)


class ToyNetwork:
    """Stands for an engine: sure of toy hands, of their side by where the thumb is."""

    def __init__(self):
        self.views = 0

    def __call__(self, images):
        self.views += len(images)
        heatmaps = np.full((len(images), 2, 21, HEIGHT // 2, WIDTH // 2), -10.0, np.float32)
        visibility = np.full((len(images), 2, 22), -6.0, np.float32)
        gy, gx = np.mgrid[: HEIGHT // 2, : WIDTH // 2]
        for b, image in enumerate(images):
            count, parts = cv2.connectedComponents((image > 60).astype(np.uint8))
            for part in range(1, count):
                discs = [
                    cv2.erode(
                        ((parts == part) & (image > low) & (image < high)).astype(np.uint8), np.ones((3, 3))
                    )
                    for low, high in ((200, 256), (130, 200), (94, 130))
                ]
                if not all(disc.any() for disc in discs):
                    continue
                wrist, tip, thumb = (np.argwhere(disc)[:, ::-1].mean(0) for disc in discs)
                along, outwards = tip - wrist, thumb - wrist
                slot = int(along[0] * outwards[1] - along[1] * outwards[0] < 0)
                for k, (px, py) in enumerate((toy_keypoints(wrist, tip, thumb) - 0.5) / 2):
                    heatmaps[b, slot, k] = 8 - ((gx - px) ** 2 + (gy - py) ** 2) / 2
                visibility[b, slot] = 5.0
        return heatmaps, visibility


@pytest.fixture
def model():
    card = ModelCard(
        name="squares",
        family="test",
        skeleton="hand21",
        input={"width": WIDTH, "height": HEIGHT},
        parameters=0,
        macs=0,
        flops=0,
        weight_bytes=0,
        licence="",
        trained_on="",
        metrics={},
    )
    return Model(card, "toy", ToyNetwork())


class ToyColourNetwork(ToyNetwork):
    """Sees hands in blue alone, and wants three channels, whose exposure nobody has touched."""

    def __call__(self, images):
        assert images.shape[1:] == (HEIGHT, WIDTH, 3)
        assert (images[..., 0] == 255).any()
        return super().__call__(np.stack([normalise_exposure(image) for image in images[..., 2]]))


@pytest.fixture
def colour_model(model):
    """The same for colour."""
    card = replace(model.card, name="blues", input=model.card.input | {"image": "colour"})
    return Model(card, "toy", ToyColourNetwork())


def frame(index, hands, depth_mm=None):
    image = np.full((480, 640), GROUND, np.uint8)
    for hand in hands:
        wrist, tip, thumb = (tuple(int(v) for v in np.round(place)) for place in places(*hand))
        radius = int(0.14 * hand[2])
        cv2.line(image, wrist, tip, BAR, radius)
        cv2.line(image, wrist, thumb, BAR, radius)
        for place, level in ((wrist, WRIST), (tip, TIP), (thumb, THUMB)):
            cv2.circle(image, place, radius, level, -1)
    if depth_mm is None:
        return Frame(index, index / 30, amplitude=image)
    depth = np.full(image.shape, depth_mm, np.uint16)
    return Frame(index, index / 30, image, depth, 1.0, Camera(500, 500, 320, 240, 640, 480))


@pytest.mark.parametrize("turn_rad", [0.0, 0.7, np.pi / 2, np.pi, -2.2])
def test_a_hand_pointing_anywhere_is_found_to_the_pixel_by_looking_closely(model, turn_rad):
    hand = (400, 230, 130, "right", turn_rad)
    (found,) = Tracker(model).step(frame(0, [hand]))
    # One pixel of the whole-frame view is four here.
    assert np.linalg.norm(found.keypoints_px - toy_keypoints(*places(*hand)), axis=1).mean() < 2
    assert found.side == "right" and found.visible.all() and found.xyz_mm is None


def test_no_hands_no_ghosts(model):
    assert Tracker(model).step(frame(0, [])) == []


def test_identity_and_side_stay_while_hands_move_and_turn(model):
    tracker = Tracker(model)
    seen = []
    for i in range(12):
        hands = [(120 + 9 * i, 110, 120, "left", 0.1 * i), (520 - 9 * i, 350, 120, "right", -0.1 * i)]
        seen.append({hand.track: hand.side for hand in tracker.step(frame(i, hands))})
    assert all(tracks == seen[0] for tracks in seen) and sorted(seen[0].values()) == ["left", "right"]


def test_a_hand_that_leaves_is_dropped_and_comes_back_as_another(model):
    tracker = Tracker(model)
    (first,) = tracker.step(frame(0, [(450, 240, 130, "right")]))
    assert tracker.step(frame(1, [])) == []
    (second,) = tracker.step(frame(2, [(150, 240, 130, "right")]))
    assert second.track != first.track


def test_a_second_small_hand_is_found_while_the_first_is_followed(model):
    """It is a blur in the whole frame, so that only the search of parts can find it."""
    followed, late = (150, 240, 130, "right"), (520, 150, 64, "left")
    tracker = Tracker(model)
    (first,) = tracker.step(frame(0, [followed]))
    for i in range(1, 31):  # a second at 30 frames/s
        hands = tracker.step(frame(i, [followed, late]))
        if len(hands) == 2:
            break
    assert [hand.side for hand in hands] == ["right", "left"] and hands[0].track == first.track
    assert np.linalg.norm(hands[1].keypoints_px - toy_keypoints(*places(*late)), axis=1).mean() < 2


def test_a_hand_in_both_slots_is_one_hand_of_the_likelier_side(model):
    class Undecided(ToyNetwork):
        """Puts each hand into both slots and leans to one side only a little."""

        def __call__(self, images):
            heatmaps, visibility = super().__call__(images)
            own = visibility[:, :, 0].argmax(axis=1)
            for b, slot in enumerate(own):
                if visibility[b, slot, 0] > 0:
                    heatmaps[b, 1 - slot] = heatmaps[b, slot]
                    visibility[b, 1 - slot] = 3.0
            return heatmaps, visibility

    (hand,) = Tracker(Model(model.card, "toy", Undecided())).step(frame(0, [(320, 240, 130, "left")]))
    assert hand.side == "left" and hand.score > 0.5


def test_a_hand_of_which_nothing_tells_the_side_is_a_right_one(model):
    """As most are that people hold up."""

    class Blind(ToyNetwork):
        def __call__(self, images):
            heatmaps, visibility = super().__call__(images)
            best = np.maximum(heatmaps[:, 0], heatmaps[:, 1])
            return np.stack([best, best], axis=1), np.repeat(visibility.max(axis=1, keepdims=True), 2, axis=1)

    (hand,) = Tracker(Model(model.card, "toy", Blind())).step(frame(0, [(320, 240, 130, "left")]))
    assert hand.side == "right"


def test_depth_lifts_keypoints_with_the_pinhole_formula(model):
    (hand,) = Tracker(model).step(frame(0, [(320, 240, 130, "right")], depth_mm=700))
    assert np.allclose(hand.xyz_mm[:, 2], 700)
    assert np.allclose(hand.xyz_mm[:, :2], (hand.keypoints_px - (320, 240)) * 700 / 500, atol=1e-3)


def test_colour_models_see_colour_and_others_its_grey(model, colour_model):
    hand = (400, 230, 130, "right", 0.7)
    blue = frame(0, [hand]).amplitude
    in_colour = Frame(0, 0.0, colour=np.dstack([np.full_like(blue, 255), np.zeros_like(blue), blue]))
    (found,) = Tracker(colour_model).step(in_colour)
    assert np.linalg.norm(found.keypoints_px - toy_keypoints(*places(*hand)), axis=1).mean() < 2
    assert found.side == "right"
    unseen = Frame(0, 0.0, amplitude=np.full_like(blue, GROUND), colour=in_colour.colour)
    assert Tracker(model).step(unseen) == [] and len(Tracker(colour_model).step(unseen)) == 1
    alone = Frame(0, 0.0, colour=np.dstack([blue] * 3))
    (same,), (grey,) = Tracker(model).step(alone), Tracker(model).step(frame(0, [hand]))
    np.testing.assert_array_equal(same.keypoints_px, grey.keypoints_px)


def test_depth_in_another_unit_is_refused(model):
    depth = np.full((480, 640), 4000, np.uint16)
    camera = Camera(500, 500, 320, 240, 640, 480)
    for unit_mm, middle in ((125.0, r"5e\+05"), (0.001, "4")):
        with pytest.raises(HandfastError, match=rf"frame 2: the middle of its depth is {middle} mm"):
            Tracker(model).step(Frame(2, 0.0, depth=depth, depth_unit_mm=unit_mm, camera=camera))
    assert Tracker(model).step(Frame(2, 0.0, depth=depth, depth_unit_mm=0.125, camera=camera)) == []


def test_a_colour_model_says_what_it_lacks(colour_model):
    with pytest.raises(HandfastError, match=r"frame 3: blues needs a picture in colour.* tofnet-hand21"):
        Tracker(colour_model).step(frame(3, []))


def find(x, probability, track=0):
    """A find with key-points about (x, 100), 100 px high."""
    keypoints_px = toy_keypoints(*places(x, 100, 100, "right")).astype(np.float32)
    return Find(probability, np.full(21, 0.9), 0.0, keypoints_px, np.ones(21, bool), track=track)


def test_tracks_differ_within_a_frame(model):
    """A new hand has the number of one that was followed only where that is gone, and of two new ones but one
    has it."""
    tracker, followed, beside, other = Tracker(model), find(100, 0.4, track=7), find(160, 0.8), find(60, 0.7)
    gone = []
    assert [tracker._numbered(each, gone).track for each in (beside, followed)] == [1, 7]
    gone = [followed]
    assert [tracker._numbered(each, gone).track for each in (beside, other)] == [7, 2]


def test_a_surer_hand_beside_one_that_is_followed_is_another_one(model, monkeypatch):
    tracker = Tracker(model)
    followed = find(100, 0.2, track=1)
    tracker._previous, tracker._frames, tracker._tracks = [followed], 5, 1
    monkeypatch.setattr(tracker, "_look_closely", lambda levels, finds, *rest: [followed])
    monkeypatch.setattr(tracker, "_look_steadily", lambda levels, finds: [followed])
    monkeypatch.setattr(tracker, "_search", lambda levels, known, parts: [find(180, 0.8)])
    monkeypatch.setattr(tracker, "_consistent", lambda find, side, others: find)
    hands = tracker.step(frame(0, []))
    assert len(hands) == 2 and {hand.track for hand in hands} == {1, 2}


def test_another_hand_is_looked_for_now_and_then_or_at_once(model):
    tracker, one, other = Tracker(model), find(100, 0.9, track=1), find(400, 0.9, track=2)
    tracker._previous = [one, other]
    for frames, search, parts in ((1, False, 0), (1, True, 1), (SEARCH_EVERY, False, 1)):
        tracker._frames = frames
        assert len(tracker._parts_to_search([one], search)) == parts
        assert tracker._parts_to_search([one, other], search) == []  # there is no third


@pytest.mark.parametrize(
    ("seen", "told"),
    [
        ([(0.6, 0.45), (0.9, 0.45), (0.5, 0.45)], [0, 1, 1]),  # scores of 0.52, 0.64 and 0.47
        ([(1.0, 0.36), (1.0, 0.6), (1.0, 0.6)], [0, 1, 1]),  # sharp enough in the mean from the second on
    ],
)
def test_in_colour_a_hand_is_told_of_once_it_was_sure_and_is_sharp(
    model, colour_model, monkeypatch, seen, told
):
    """In grey at once."""
    picture = np.full((480, 640, 3), 255, np.uint8)
    for net, expected in ((colour_model, told), (model, [1, 1, 1])):
        tracker, hands = Tracker(net), []
        for index, (probability, sharpness) in enumerate(seen):
            now = replace(find(100, probability), sharpness=np.full(21, sharpness))
            followed = [replace(now, track=old.track) for old in tracker._previous]
            monkeypatch.setattr(tracker, "_look_closely", lambda levels, finds, followed=followed: followed)
            monkeypatch.setattr(tracker, "_look_steadily", lambda levels, finds: finds)
            monkeypatch.setattr(tracker, "_search", lambda levels, known, parts, now=now: [now])
            monkeypatch.setattr(tracker, "_consistent", lambda find, side, others: find)
            hands.append(len(tracker.step(Frame(index, index / 30, colour=picture))))
        assert hands == expected


def test_track_is_step_over_a_source_and_starts_afresh(model):
    frames = [frame(i, [(300 + 5 * i, 200, 130, "left")]) for i in range(4)]
    tracker = Tracker(model)
    runs = [
        [(f.index, [hand.keypoints_px.tolist() for hand in hands]) for f, hands in tracker.track(frames)]
        for _ in range(2)
    ]
    assert runs[0] == runs[1] and [index for index, _ in runs[0]] == [0, 1, 2, 3]


@pytest.mark.parametrize(("fast", "views"), [(False, 7), (True, 3)])
def test_a_steady_pair_of_hands_needs_few_views_each_and_none_of_the_whole_frame(model, fast, views):
    hands = [(150, 120, 120, "left"), (500, 340, 120, "right")]
    tracker = Tracker(model, fast=fast)
    assert len(tracker.step(frame(0, hands))) == 2
    before = model.engine.views
    found = tracker.step(frame(1, hands))
    assert model.engine.views - before == 2 * views
    for hand, pose in zip(hands, sorted(found, key=lambda pose: pose.side), strict=True):
        true_px = toy_keypoints(*places(*hand))
        assert np.linalg.norm(pose.keypoints_px - true_px, axis=1).mean() < 2


def depth_frame(index, camera_scale=1.0, depth_mm=700):
    """A hand 0.17 m long with a camera that is right, or that of another sensor."""
    seen = frame(index, [(320, 240, 130, "right")], depth_mm)
    camera = replace(seen.camera, fx=seen.camera.fx / camera_scale, fy=seen.camera.fy / camera_scale)
    return replace(seen, camera=camera)


def test_hands_of_an_impossible_size_are_remarked_on(model):
    tracker = Tracker(model)
    assert tracker.wrong_size is None
    right_mm = [hands[0].xyz_mm for _, hands in tracker.track([depth_frame(i) for i in range(3)])]
    size = size_of(right_mm[0], HAND21)
    for scale in (0.66 / size, 1.0 / size, 1.39 / size):
        list(tracker.track([depth_frame(i, scale) for i in range(3)]))
        assert tracker.wrong_size is None
    for scale in (0.5, 2.0):
        list(tracker.track([depth_frame(i, scale / size) for i in range(3)]))
        assert tracker.wrong_size == pytest.approx(scale, rel=0.02)
    list(tracker.track([frame(0, [])]))
    assert tracker.wrong_size is None  # of another source


@pytest.mark.parametrize("not_a_frame", [np.zeros((120, 160), np.uint8), None, "clip.mp4"])
def test_what_is_no_frame_is_refused(model, not_a_frame):
    with pytest.raises(HandfastError, match=r"expected a Frame, such as Frame\(0, 0.0, .*, got"):
        Tracker(model).step(not_a_frame)
