"""Crops stay true to their labels however they are turned and mirrored, and the same whenever asked for."""

import json
from dataclasses import replace

import cv2
import numpy as np
import pytest

from handfast.data.colour_batches import (
    VALIDATION_BATCHES,
    ColourBatches,
    ColourMix,
    as_taken,
    open_clips_as_taken,
    open_colour_batches,
)
from handfast.data.photos import HELD_OUT_SOURCES
from handfast.errors import HandfastError
from handfast.geometry import Camera
from handfast.sensors.colour_crop import box_about_px, crop_colour

SHARP = ColourMix(degraded_share=0.0, occluded_share=0.0)
GREEN, SKIN, GREY = (40, 180, 30), (200, 150, 120), (90, 90, 90)
POINTS = [[130, 200], [155, 185], [170, 170], [180, 155], [190, 140]] + [
    [x, y] for x in (155, 130, 105, 80) for y in (130, 105, 85, 65)
]


@pytest.fixture(scope="module")
def photo_folder(tmp_path_factory):
    """Two before a green screen, one of them of a left hand; one without xyz; one held out."""
    folder = tmp_path_factory.mktemp("photos")
    (folder / "images").mkdir()
    xyz = [[(x - 130) / 1000, (y - 130) / 1000, 0.01] for x, y in POINTS]
    labels = []
    for i, (source, backdrop, side) in enumerate(
        [
            ("screen", GREEN, "right"),
            ("screen", GREEN, "left"),
            ("room", GREY, "right"),
            (HELD_OUT_SOURCES[0], GREY, "right"),
        ]
    ):
        photo = np.full((256, 256, 3), backdrop, np.uint8)
        cv2.fillPoly(photo, [cv2.convexHull(np.array(POINTS, np.int32))], SKIN)
        cv2.imwrite(str(folder / "images" / f"{i}.jpg"), photo[..., ::-1])
        label = {"file": f"{i}.jpg", "source": source, "xy": POINTS, "side": side}
        labels.append(label if source == "room" else label | {"xyz": xyz})
    (folder / "labels.jsonl").write_text("\n".join(map(json.dumps, labels)))
    return folder


@pytest.fixture(scope="module")
def source(dotted_folder):
    return open_colour_batches(dotted_folder, SHARP, 3)


@pytest.fixture(scope="module")
def mixed(dotted_folder, photo_folder):
    return open_colour_batches(dotted_folder, SHARP, 3, photos=photo_folder)


def weak_perspective(joints_m, keypoints_px):
    """Of the best fit of each hand: its scale in px/m and the mean distance in px."""
    xy_m = joints_m[..., :2] - joints_m[..., :2].mean(axis=1, keepdims=True)
    xy_px = keypoints_px - keypoints_px.mean(axis=1, keepdims=True)
    scale = (xy_m * xy_px).sum((1, 2)) / (xy_m**2).sum((1, 2))
    return scale, np.linalg.norm(xy_px - scale[:, None, None] * xy_m, axis=-1).mean(axis=1)


def handedness(joints_m):
    """The sign says whether a hand whose fingers bend away from its palm's normal is a right one."""
    index, pinky, tip = (joints_m[:, i] for i in (5, 17, 12))
    return np.einsum("bi,bi->b", np.cross(index, pinky), tip)


def test_batches_are_a_function_of_the_step(dotted_folder, photo_folder, mixed):
    again, other = (
        open_colour_batches(dotted_folder, ColourMix(112), seed, photos=photo_folder) for seed in (3, 4)
    )
    one = ColourBatches(mixed.frames, 3, ColourMix(112), photos=mixed.photos).batch(4, 6)
    assert all((one[name] == again.batch(4, 6)[name]).all() for name in one)
    assert (one["image"] != other.batch(4, 6)["image"]).any()
    parts = [again.batch(8, 3), again.batch(9, 3)]
    assert all((np.concatenate([part[name] for part in parts]) == one[name]).all() for name in one)


@pytest.mark.parametrize("mix", [as_taken(224), SHARP, replace(SHARP, input_px=112, turn_rad=np.pi)])
def test_key_points_lie_on_what_they_name(source, dots, mix):
    batch = ColourBatches(source.frames, 5, mix).batch(0, 32)
    assert batch["image"].shape == (32, mix.input_px, mix.input_px, 3) and batch["image"].dtype == np.uint8
    found = []
    for image, points_px, visible in zip(
        batch["image"], batch["keypoints_px"], batch["visible"], strict=True
    ):
        x, y = np.rint(points_px[visible]).astype(int).T
        found += (np.abs(image[y, x] - dots[visible]).max(axis=1) < 60).tolist()
    assert np.mean(found) > 0.97 and len(found) > 0.95 * 32 * 21


@pytest.mark.parametrize("mix", [as_taken(224), SHARP])
def test_weak_perspective_fits(source, mix):
    batch = ColourBatches(source.frames, 5, mix).batch(0, 48)
    scale, error_px = weak_perspective(batch["joints_m"], batch["keypoints_px"])
    assert (scale > 300).all() and error_px.mean() < 2.5
    assert (batch["joints_m"][:, 0] == 0).all() and batch["has_3d"].all() and batch["rendered"].all()


@pytest.mark.parametrize("is_left", [False, True])
def test_what_lies_behind_the_middle_of_the_crop_lies_straight_ahead(source, is_left):
    """In the axes of a camera that looks there, however far from the middle of the picture the hand is."""
    camera = Camera(*source.frames.intrinsics[0], 256, 256)
    points_px, depths_m = np.full((21, 2), (215.0, 60)), np.full(21, 0.5)
    points_px[[5, 17]] += [[-20, -9], [20, 9]]
    depths_m[12] = 0.56
    points_m = camera.unproject(points_px, depths_m)
    frames = replace(
        source.frames,
        encoded=source.frames.encoded[:1],
        keypoints_px=points_px[None],
        joints_m=(points_m - points_m[0])[None],
        is_left=np.array([is_left]),
    )
    joints_m = ColourBatches(frames, 1, replace(SHARP, shift=0.0)).batch(0, 1)["joints_m"][0]
    np.testing.assert_allclose(joints_m[12], [0, 0, np.linalg.norm(points_m[12] - points_m[0])], atol=1e-6)


def test_all_are_right_hands_with_bones_as_long_as_they_were(source):
    frames = source.frames
    assert 0 < frames.is_left.mean() < 1
    (of_right,) = set(np.sign(handedness(frames.joints_m[~frames.is_left])))
    assert (np.sign(handedness(frames.joints_m[frames.is_left])) == -of_right).all()
    joints_m = ColourBatches(frames, 0, SHARP, in_order=True).batch(0, len(frames))["joints_m"]
    assert (np.sign(handedness(joints_m)) == of_right).all()
    np.testing.assert_allclose(
        np.linalg.norm(joints_m, axis=-1), np.linalg.norm(frames.joints_m, axis=-1), atol=1e-6
    )


def test_turning_the_crop_turns_the_joints(source):
    turned = ColourBatches(source.frames, 5, replace(SHARP, turn_rad=np.pi, shift=0.0))
    straight = ColourBatches(source.frames, 5, replace(SHARP, turn_rad=0.0, shift=0.0))
    (a, b) = (batches.batch(0, 12)["joints_m"].astype(float) for batches in (turned, straight))
    np.testing.assert_allclose(a[..., 2], b[..., 2], atol=1e-6)
    angle_rad = np.angle((a[..., 0] + 1j * a[..., 1]) / (b[..., 0] + 1j * b[..., 1] + 1e-12))[:, 1:]
    np.testing.assert_allclose(np.exp(1j * angle_rad), np.exp(1j * angle_rad[:, :1]).repeat(20, 1), atol=1e-4)
    assert np.ptp(angle_rad[:, 0]) > 1


def test_photos_come_in_their_share_with_what_is_known_of_them(mixed):
    batch = ColourBatches(mixed.frames, 1, replace(SHARP, photo_share=0.25), photos=mixed.photos).batch(
        0, 400
    )
    photos = ~batch["rendered"]
    assert photos.mean() == pytest.approx(0.25, abs=0.07)
    assert batch["has_3d"][~photos].all() and 0 < batch["has_3d"][photos].mean() < 1
    assert (batch["joints_m"][~batch["has_3d"]] == 0).all()
    known = photos & batch["has_3d"]
    scale, error_px = weak_perspective(batch["joints_m"][known], batch["keypoints_px"][known])
    assert (scale > 0).all() and error_px.max() < 1e-2  # of left hands too


def test_sources_held_out_are_validated_on_and_never_trained_on(mixed):
    assert len(mixed.photos) == 3 and mixed.name.endswith("3 photos of room, screen")
    assert "48 frames of bench-rgb" in mixed.name and len(mixed) == 48
    assert set(mixed.validation) == {"clips", "photos"}
    (held_out,) = mixed.validation["photos"]
    assert len(held_out["image"]) == 1 and not held_out["rendered"].any()
    clips = mixed.validation["clips"]
    assert sum(len(batch["image"]) for batch in clips) == 24 and len(clips) <= VALIDATION_BATCHES


def test_validation_is_as_taken(source, dotted_folder):
    unseen = open_clips_as_taken(dotted_folder, "validation", 224)
    images = {image.tobytes() for image in unseen.batch(0, len(unseen))["image"]}
    (batch,) = source.validation["clips"]
    assert {image.tobytes() for image in batch["image"]} == images and len(images) == 24


def test_a_split_as_taken_is_in_order_and_untouched(dotted_folder):
    source = open_clips_as_taken(dotted_folder, "test", 96)
    frames = source.frames
    batch = source.batch(1, 6)
    for i in range(6):
        box = box_about_px(frames.keypoints_px[6 + i])
        crop = crop_colour(frames.picture(6 + i), box, 96, mirrored=bool(frames.is_left[6 + i]))
        np.testing.assert_array_equal(batch["image"][i], crop.image)
        np.testing.assert_allclose(
            batch["keypoints_px"][i], crop.to_crop_px(frames.keypoints_px[6 + i]), atol=1e-4
        )


def test_green_screens_become_other_pictures(mixed):
    screens = replace(SHARP, photo_share=1.0, filled_share=0.0)
    kept, gone = (
        ColourBatches(mixed.frames, 1, replace(screens, replaced_share=share), photos=mixed.photos).batch(
            0, 40
        )
        for share in (0.0, 1.0)
    )
    greens = [
        (np.abs(batch["image"].astype(int) - GREEN).max(axis=-1) < 30).mean(axis=(1, 2))
        for batch in (kept, gone)
    ]
    is_screen = greens[0] > 0.1
    assert 0.4 < is_screen.mean() < 0.9 and greens[1].max() < 0.01
    # The hand stays, and so does everything in the other photos.
    middle_px = gone["keypoints_px"].mean(axis=1).round().astype(int)
    on_hand = gone["image"][np.arange(40), middle_px[:, 1], middle_px[:, 0]]
    assert np.abs(on_hand.astype(int) - SKIN).max() < 25
    assert (kept["image"][~is_screen] == gone["image"][~is_screen]).all()


def test_what_lies_under_a_patch_is_not_visible(source):
    plain, hidden = (
        ColourBatches(source.frames, 2, replace(SHARP, occluded_share=share)).batch(0, 40)
        for share in (0.0, 1.0)
    )
    changed = (plain["image"] != hidden["image"]).any(axis=-1)
    assert 0.01 < changed.mean() < 0.15
    newly = plain["visible"] & ~hidden["visible"]
    assert 0.02 < newly.mean() < 0.4 and not (hidden["visible"] & ~plain["visible"]).any()
    which, point = np.nonzero(hidden["visible"])
    x, y = np.rint(hidden["keypoints_px"][which, point]).astype(int).T
    assert not changed[which, y, x].any()


def test_degraded_pictures_differ_in_nothing_else(source):
    """The rest of a sample was drawn before."""
    sharp, degraded = (
        ColourBatches(source.frames, 2, replace(SHARP, degraded_share=share)).batch(0, 40)
        for share in (0.0, 1.0)
    )
    changed = (sharp["image"] != degraded["image"]).any(axis=(1, 2, 3))
    assert changed.mean() > 0.9
    for name in ("keypoints_px", "joints_m", "visible"):
        np.testing.assert_array_equal(sharp[name], degraded[name])


def test_every_pass_meets_every_frame_once(source):
    plain = ColourBatches(source.frames, 2, as_taken(32))
    seen = [{s.tobytes() for s in plain.batch(k, 48)["keypoints_px"]} for k in range(2)]
    assert len(seen[0]) == 48 and seen[0] == seen[1]
    first, second = (plain.batch(k, 48)["keypoints_px"] for k in range(2))
    assert (first != second).any()


def test_the_files_of_a_batch_are_named(source, mixed):
    assert source.origin(0, 48) == "shard-00000.tar, shard-00001.tar, shard-00002.tar"
    photos = ColourBatches(mixed.frames, 1, replace(SHARP, photo_share=1.0), photos=mixed.photos)
    assert photos.origin(0, 5) == "5 photos"


def test_a_hand_outside_its_picture_is_passed_over(source):
    frames = source.frames
    away = frames.keypoints_px.copy()
    away[::2] += 1000
    batches = ColourBatches(replace(frames, keypoints_px=away), 0, as_taken(32))
    joints_m = batches.batch(0, len(frames))["joints_m"]
    assert len({joints.tobytes() for joints in joints_m}) == len(frames) // 2


def test_in_order_a_hand_outside_its_picture_is_a_black_crop(source):
    frames = source.frames
    away = frames.keypoints_px.copy()
    away[::2] += 1000
    batches = ColourBatches(replace(frames, keypoints_px=away), 0, as_taken(32), in_order=True)
    image = batches.batch(0, 4)["image"]
    assert not image[::2].any() and image[1::2].reshape(2, -1).any(axis=1).all()


def test_where_all_hands_are_outside_their_pictures_is_said(source):
    away = replace(source.frames, keypoints_px=source.frames.keypoints_px + 1000)
    with pytest.raises(HandfastError, match=r"shard-\d+\.tar: expected key-points within the picture"):
        ColourBatches(away, 0, as_taken(32)).batch(0, 1)


@pytest.mark.parametrize(
    ("break_it", "message"),
    [
        (lambda folder: (folder / "labels.jsonl").unlink(), "expected labels.jsonl and images/"),
        (lambda folder: (folder / "labels.jsonl").write_text("[1]"), "expected labels.jsonl and images/"),
        (lambda folder: (folder / "images" / "2.jpg").unlink(), r"2\.jpg: cannot be read"),
        (
            lambda folder: (folder / "images" / "2.jpg").write_bytes(b"GIF89a"),
            r"2\.jpg: not a readable photo",
        ),
        (
            lambda folder: (folder / "labels.jsonl").write_text(
                json.dumps({"file": "1.jpg", "source": "a", "side": "left", "xy": [[3, 3]] * 21})
            ),
            r"1\.jpg: expected the key-points of a hand",
        ),
        (
            lambda folder: (folder / "labels.jsonl").write_text(
                json.dumps({"file": "3.jpg", "source": HELD_OUT_SOURCES[0], "side": "left", "xy": POINTS})
            ),
            "expected photos to train on, got none",
        ),
    ],
)
def test_broken_photos_are_refused(dotted_folder, photo_folder, tmp_path, break_it, message):
    (tmp_path / "images").mkdir()
    for path in photo_folder.rglob("*.*"):
        (tmp_path / path.relative_to(photo_folder)).write_bytes(path.read_bytes())
    break_it(tmp_path)
    with pytest.raises(HandfastError, match=message):
        open_colour_batches(dotted_folder, SHARP, 0, photos=tmp_path)


@pytest.mark.parametrize(
    "values",
    [
        {"input_px": 100},
        {"input_px": 0},
        {"turn_rad": 4.0},
        {"scale_range": (1.2, 0.8)},
        {"scale_range": (0.1, 1.0)},
        {"shift": 0.5},
        {"photo_share": 1.5},
        {"occluded_share": -0.1},
        {"degraded_share": float("nan")},
    ],
)
def test_a_mix_that_cannot_be_meant_is_refused(values):
    with pytest.raises(HandfastError, match=f"data: {next(iter(values))} must"):
        ColourMix(**values)


def test_photos_that_a_mix_would_not_show_are_refused(dotted_folder, photo_folder):
    """A model's card would name them."""
    with pytest.raises(HandfastError, match=r"shows no photos, its data\.photo_share is 0"):
        open_colour_batches(dotted_folder, replace(SHARP, photo_share=0.0), 3, photos=photo_folder)
