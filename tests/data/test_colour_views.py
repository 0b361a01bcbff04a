"""Views of toy hands, a red disc on each key-point: labels lie where the hand is, and nowhere else is one."""

import json
from dataclasses import replace

import cv2
import numpy as np
import pytest

from handfast.data import colour_views
from handfast.data.batches import Mix
from handfast.data.colour_pictures import Pictures
from handfast.data.colour_views import SIZE_RANGE_PX, ColourViews, open_colour_views
from handfast.data.photos import HELD_OUT_SOURCES
from handfast.data.scenery import Scenes
from handfast.errors import HandfastError
from handfast.sensors.views import hand_size_px

SIZE_PX, RED, GREY, GREEN = 256, (230, 20, 20), (90, 100, 110), (20, 180, 30)
FRAMES = Mix(look_share=0.0, photo_share=0.0)
PHOTOS = replace(FRAMES, photo_share=1.0)
# The thumb points left and the fingers up.
HAND_PX = np.float32(
    [[130, 200], [105, 185], [90, 170], [75, 160], [60, 150]]
    + [[x, y] for x in (100, 120, 140, 160) for y in (130, 110, 90, 70)]
)


def jpeg(picture):
    return cv2.imencode(".jpg", picture[..., ::-1], (cv2.IMWRITE_JPEG_QUALITY, 95))[1].tobytes()


def toy(sides, rendered=False, ground=GREY):
    """Pictures of a hand each, at places of their own; a right one's thumb points left."""
    rng = np.random.default_rng(len(sides))
    jpegs, segmentations, points = [], [], []
    for side in sides:
        hand = HAND_PX + rng.uniform(-30, 30, 2)
        if side == 0:
            hand = hand * np.float32([-1, 1]) + np.float32([SIZE_PX - 1, 0])
        picture, labels = np.full((SIZE_PX, SIZE_PX, 3), ground, np.uint8), np.zeros((SIZE_PX,) * 2, np.uint8)
        for x, y in np.rint(hand).astype(int).tolist():
            cv2.circle(picture, (x, y), 9, RED, -1)
            cv2.circle(labels, (x, y), 9, 1 + side, -1)
        jpegs.append(jpeg(picture))
        segmentations.append(cv2.imencode(".png", labels)[1].tobytes())
        points.append(hand)
    n = len(sides)
    return Pictures(
        tuple(jpegs),
        tuple(f"{i}.jpg" for i in range(n)),
        SIZE_PX,
        np.float32(points),
        np.ones((n, 21), bool),
        np.array(sides),
        np.tile([0, 0, SIZE_PX - 1, SIZE_PX - 1], (n, 1)),
        np.full(n, ground == GREEN),
        tuple(segmentations) if rendered else (),
        np.full(n, 3),
        np.full(n, 5),
        "toys",
    )


@pytest.fixture
def frames():
    return toy([1, 0, 1, 1, 0], rendered=True)


@pytest.fixture
def photos():
    return toy([0, 1, 1])


@pytest.fixture
def always_hands(monkeypatch):
    monkeypatch.setattr(colour_views, "EMPTY_SHARE", 0.0)


@pytest.fixture
def true_colours(monkeypatch):
    """Nothing but hands is red, and no colour changes."""

    def unchanged(rng, picture):
        return picture

    for name in ("degrade", "shift_tones", "add_skin"):
        monkeypatch.setattr(colour_views, name, unchanged)
    monkeypatch.setattr(
        colour_views, "texture", lambda rng, width, height: np.full((height, width, 3), 70, np.uint8)
    )


def is_red(image):
    """(..., 3) -> (...) bool."""
    image = image.astype(int)
    return image[..., 0] - np.maximum(image[..., 1], image[..., 2]) > 50


def at_points(batch, images):
    """The pixels of key-points in the image."""
    b, slot, point = np.nonzero(batch["in_image"] & batch["present"][..., None])
    x, y = np.rint(batch["keypoints_px"][b, slot, point]).astype(int).T
    return images[b, y.clip(0, 119), x.clip(0, 159)], slot


def thumb_is_left(points_px):
    """Of hands (n, 21, 2): as that of a right one whose fingers point up, whichever way it is turned."""
    up, thumb = points_px[:, 9] - points_px[:, 0], points_px[:, 4] - points_px[:, 0]
    return up[:, 0] * thumb[:, 1] - up[:, 1] * thumb[:, 0] < 0


def test_batches_are_a_function_of_the_step(frames, photos):
    mix = Mix(look_share=0.5, photo_share=0.5, composite_share=0.5)
    one, two = (ColourViews(frames, 7, mix, photos) for _ in range(2))
    whole = one.batch(2, 8)
    assert all((whole[name] == two.batch(2, 8)[name]).all() for name in whole)
    parts = [two.batch(4, 4), two.batch(5, 4)]
    assert all((np.concatenate([part[name] for part in parts]) == whole[name]).all() for name in whole)
    assert (ColourViews(frames, 8, mix, photos).batch(2, 8)["image"] != whole["image"]).any()


@pytest.mark.parametrize("mix", [FRAMES, PHOTOS, Mix(look_share=1.0, photo_share=0.5)])
def test_key_points_lie_on_their_hand(frames, photos, mix, always_hands, true_colours):
    batch = ColourViews(frames, 1, mix, photos).batch(0, 60)
    pixels, _ = at_points(batch, batch["image"])
    assert len(pixels) > 0.7 * 60 * 21 and is_red(pixels).mean() > 0.95


@pytest.mark.parametrize("mix", [FRAMES, PHOTOS, Mix(look_share=1.0, photo_share=0.5)])
def test_a_hand_in_the_mirror_is_one_of_the_other_side(frames, photos, mix):
    batch = ColourViews(frames, 1, mix, photos).batch(0, 80)
    _, slot = np.nonzero(batch["present"])
    assert {0, 1} == set(slot.tolist())
    assert (thumb_is_left(batch["keypoints_px"][batch["present"]]) == (slot == 1)).all()


def test_rendered_frames_tell_of_pixels_and_poses(frames, photos, always_hands):
    batch = ColourViews(frames, 1, FRAMES, photos).batch(0, 60)
    assert batch["rendered"].all()
    labels, slot = at_points(batch, batch["segmentation"])
    assert (labels == 1 + slot).mean() > 0.95
    here = batch["present"]
    assert set(batch["key_pose"][here]) == {5} and set(batch["orientation"][here]) == {3, 8 - 3}
    assert not ColourViews(frames, 1, PHOTOS, photos).batch(0, 8)["rendered"].any()


def test_in_the_mirror_a_hand_is_turned_the_other_way(frames, always_hands):
    rights = replace(frames, slot=np.ones(len(frames), int))
    batch = ColourViews(rights, 1, FRAMES).batch(0, 40)
    i, slot = np.nonzero(batch["present"])
    assert (batch["orientation"][i, slot] == np.where(slot == 1, 3, 8 - 3)).all()


def test_hands_have_the_sizes_that_a_finder_meets(frames, photos):
    batch = ColourViews(frames, 1, PHOTOS, photos).batch(0, 120)
    sizes_px = np.array([hand_size_px(hand) for hand in batch["keypoints_px"][batch["present"]]])
    smallest, largest = SIZE_RANGE_PX
    # A turned hand's box is larger or smaller than its own.
    assert sizes_px.min() > 0.7 * smallest and sizes_px.max() < 1.4 * largest
    assert np.percentile(sizes_px, 20) < 40 and np.percentile(sizes_px, 80) > 65


def test_where_no_hand_is_none_is_seen(frames, photos, monkeypatch, true_colours):
    monkeypatch.setattr(colour_views, "EMPTY_SHARE", 1.0)
    mix = Mix(look_share=0.3, photo_share=0.5, composite_share=0.5)
    batch = ColourViews(frames, 1, mix, photos).batch(0, 60)
    assert not (batch["present"] | batch["in_image"].any(axis=-1)).any()
    assert not batch["segmentation"].any() and batch["rendered"].all()
    assert not is_red(batch["image"]).any()


def test_some_views_are_empty(frames):
    present = ColourViews(frames, 1, FRAMES).batch(0, 300)["present"].any(axis=1)
    assert 0.8 < present.mean() < 0.92


def test_pictures_without_hands_stand_behind_hands_and_alone(frames, photos, true_colours):
    blue = (20, 40, 220)
    scenes = Scenes((jpeg(np.full((90, 120, 3), blue, np.uint8)),), "a wall")
    batch = ColourViews(frames, 1, PHOTOS, photos, scenes).batch(0, 300)
    present = batch["present"].any(axis=1)
    assert 0.6 < present.mean() < 0.8
    share = (np.abs(batch["image"].astype(int) - blue).max(axis=3) < 20).mean(axis=(1, 2))
    assert 0.4 < (share[~present] > 0.6).mean() < 0.8
    assert (share[present] > 0.3).mean() > 0.1
    pixels, _ = at_points(batch, batch["image"])
    assert is_red(pixels).mean() > 0.95


def test_a_second_hand_is_of_the_other_side_and_hides_nothing(frames, photos, always_hands, true_colours):
    batch = ColourViews(frames, 1, replace(FRAMES, composite_share=1.0), photos).batch(0, 60)
    both = batch["present"].all(axis=1)
    assert both.mean() > 0.3 and not batch["rendered"][both].any()
    pixels, _ = at_points(batch, batch["image"])
    assert is_red(pixels).mean() > 0.95
    _, slot = np.nonzero(batch["present"])
    assert (thumb_is_left(batch["keypoints_px"][batch["present"]]) == (slot == 1)).all()


def test_a_close_look_asks_about_one_hand(frames, photos):
    batch = ColourViews(frames, 1, Mix(look_share=1.0, composite_share=1.0), photos).batch(0, 60)
    assert not batch["present"].all(axis=1).any()
    assert (~batch["rendered"]).mean() > 0.25  # there are others, of photos, in it


def test_beyond_the_window_it_is_black_and_nothing_is_labelled(frames, always_hands, monkeypatch):
    monkeypatch.setattr(colour_views, "BARS_SHARE", 1.0)
    batch = ColourViews(frames, 1, FRAMES).batch(0, 40)
    lit = batch["image"].max(axis=3) > 0
    assert (~lit.any(axis=1)).any() and (~lit.any(axis=2)).any()
    for image, points, inside in zip(lit, batch["keypoints_px"], batch["in_image"], strict=True):
        columns, rows = np.flatnonzero(image.any(axis=0)), np.flatnonzero(image.any(axis=1))
        low, high = (columns[0], rows[0]), (columns[-1], rows[-1])
        assert ((points[inside] >= np.array(low) - 0.5) & (points[inside] <= np.array(high) + 0.5)).all()


def test_green_screens_are_cut_out(frames, always_hands, true_colours):
    screens = toy([1, 0, 1], ground=GREEN)
    batch = ColourViews(frames, 1, PHOTOS, screens).batch(0, 24)
    assert not (np.abs(batch["image"].astype(int) - GREEN).max(axis=3) < 60).any()
    pixels, _ = at_points(batch, batch["image"])
    assert is_red(pixels).mean() > 0.85


@pytest.fixture
def photo_folder(tmp_path):
    folder = tmp_path / "photos"
    (folder / "images").mkdir(parents=True)
    picture = np.full((SIZE_PX, SIZE_PX, 3), GREY, np.uint8)
    labels = []
    for i, source in enumerate(["desk", "desk", HELD_OUT_SOURCES[0]]):
        (folder / "images" / f"{i}.jpg").write_bytes(jpeg(picture))
        labels.append({"file": f"{i}.jpg", "source": source, "xy": HAND_PX.tolist(), "side": "right"})
    (folder / "labels.jsonl").write_text("\n".join(map(json.dumps, labels)))
    return folder


def test_a_benchmark_on_disk_is_trained_and_validated_on(dotted_folder, photo_folder, monkeypatch):
    monkeypatch.setattr(colour_views, "VALIDATION_BATCH", 4)
    monkeypatch.setattr(colour_views, "VALIDATION_BATCHES", 2)
    views = open_colour_views(dotted_folder, Mix(), 5, photo_folder)
    assert len(views) == 48 and len(views.photos) == 2
    assert views.name.startswith("48 frames of bench-rgb, seed ") and views.name.endswith(
        "; 2 photos of desk"
    )
    assert {kind: len(batches) for kind, batches in views.validation.items()} == {"clips": 2, "photos": 2}
    assert views.validation["clips"][0]["rendered"].all()
    assert not views.validation["photos"][0]["rendered"][
        views.validation["photos"][0]["present"].any(1)
    ].any()
    named = set(views.origin(0, 30).split(", "))
    assert named & {"0.jpg", "1.jpg"} and named & {"shard-00000.tar", "shard-00001.tar", "shard-00002.tar"}
    assert set(open_colour_views(dotted_folder, Mix(), 5).validation) == {"clips"}
    with_scenes = open_colour_views(dotted_folder, Mix(), 5, scenes=photo_folder)
    assert len(with_scenes.scenes.jpegs) == 3 and with_scenes.name.endswith(
        "; 3 pictures without hands of photos"
    )


def test_another_benchmark_is_refused(tof_folder):
    with pytest.raises(HandfastError, match="expected bench-rgb, got bench-tof"):
        open_colour_views(tof_folder, Mix(), 5)
