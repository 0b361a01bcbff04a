"""Clips keep their order and their one look, and boxes follow hands as late as a tracker's."""

from dataclasses import replace

import numpy as np
import pytest

from handfast.data.colour_batches import ColourMix, as_taken, open_clips_as_taken
from handfast.data.colour_clips import ClipBatches, ClipMix, open_clip_batches, open_whole_clips
from handfast.data.colour_frames import load_clips
from handfast.errors import HandfastError
from handfast.sensors.colour_crop import box_about_px, crop_colour

CLIP_FRAMES = 6
SHARP = ColourMix(64, filled_share=1.0, occluded_share=0.0, degraded_share=0.0)
STILL = ClipMix(as_taken(64), 3, most_stride=1, reversed_share=0.0, box_noise=0.0, lag_frames=0)


@pytest.fixture(scope="module")
def frames(dotted_folder):
    return load_clips(dotted_folder, "train")[1]


@pytest.fixture(scope="module")
def at_rest(frames):
    """Each clip's first frame six times."""
    first = np.arange(len(frames)) // CLIP_FRAMES * CLIP_FRAMES
    return replace(
        frames,
        encoded=tuple(frames.encoded[i] for i in first),
        keypoints_px=frames.keypoints_px[first],
        joints_m=frames.joints_m[first],
    )


def places(batch):
    """(b, T): which frames of their clips are shown, told from what is behind the hand."""
    backgrounds = np.median(batch["image"], axis=(2, 3, 4))
    found = (backgrounds - 20) / 6
    assert np.abs(found - np.rint(found)).max() < 0.4
    return np.rint(found).astype(int)


def test_batches_are_a_function_of_the_step(frames):
    mix = ClipMix(replace(SHARP, degraded_share=0.5, occluded_share=0.5), 3)
    one, again, other = (ClipBatches(frames, CLIP_FRAMES, seed, mix).batch(2, 4) for seed in (1, 1, 2))
    assert all((one[name] == again[name]).all() for name in one)
    assert (one["image"] != other["image"]).any()
    parts = [ClipBatches(frames, CLIP_FRAMES, 1, mix).batch(k, 2) for k in (4, 5)]
    assert all((np.concatenate([part[name] for part in parts]) == one[name]).all() for name in one)
    shapes = {name: values.shape for name, values in one.items()}
    assert shapes["image"] == (4, 3, 64, 64, 3) and shapes["joints_m"] == (4, 3, 21, 3)
    assert shapes["keypoints_px"] == (4, 3, 21, 2) and shapes["visible"] == (4, 3, 21)


@pytest.mark.parametrize(
    ("reversed_share", "most_stride", "steps"),
    [(0.0, 1, {1}), (1.0, 1, {-1}), (0.0, 2, {1, 2}), (0.0, 9, {1, 2}), (0.5, 2, {-2, -1, 1, 2})],
)
def test_frames_come_in_a_row_forwards_or_backwards(frames, reversed_share, most_stride, steps):
    mix = replace(STILL, look=SHARP, reversed_share=reversed_share, most_stride=most_stride)
    shown = places(ClipBatches(frames, CLIP_FRAMES, 1, mix).batch(0, 64))
    strides = np.diff(shown, axis=1)
    assert (strides == strides[:, :1]).all() and set(strides[:, 0].tolist()) == steps
    assert shown.min() == 0 and shown.max() == CLIP_FRAMES - 1


@pytest.mark.parametrize("lag_frames", [0, 1, 2])
def test_the_box_is_where_the_hand_was(frames, lag_frames):
    mix = replace(STILL, frames=4, lag_frames=lag_frames)
    batch = ClipBatches(frames, CLIP_FRAMES, 3, mix, in_order=True).batch(0, 8)
    for clip, shown in enumerate(places(batch)):
        for moment, place in enumerate(shown):
            index, seen = (CLIP_FRAMES * clip + p for p in (place, shown[max(moment - lag_frames, 0)]))
            box = box_about_px(frames.keypoints_px[seen])
            crop = crop_colour(frames.picture(index), box, 64, mirrored=bool(frames.is_left[index]))
            np.testing.assert_array_equal(batch["image"][clip, moment], crop.image)
            np.testing.assert_allclose(
                batch["keypoints_px"][clip, moment], crop.to_crop_px(frames.keypoints_px[index]), atol=1e-4
            )


def test_a_clip_is_turned_and_moved_as_one(at_rest):
    mix = replace(STILL, look=SHARP)
    shown = ClipBatches(at_rest, CLIP_FRAMES, 1, mix).batch(0, 16)
    for name in ("image", "keypoints_px", "joints_m"):
        assert (shown[name] == shown[name][:, :1]).all()
    assert len({clip.tobytes() for clip in shown["keypoints_px"]}) == 16


def test_a_tracker_s_box_is_never_quite_right(at_rest):
    exact, noisy = (
        ClipBatches(at_rest, CLIP_FRAMES, 1, replace(STILL, box_noise=noise), in_order=True)
        .batch(0, 64)["keypoints_px"]
        .astype(float)
        for noise in (0.0, 0.04)
    )
    off_px = (noisy - exact).mean(axis=2)  # (64, 3, 2)
    assert np.abs(off_px.mean(axis=(0, 1))).max() < 1
    np.testing.assert_allclose(off_px.std(axis=(0, 1)), 64 * 0.04, rtol=0.25)
    sizes = np.ptp(noisy, axis=2).max(-1) / np.ptp(exact, axis=2).max(-1)
    assert np.log(sizes).std() == pytest.approx(0.04, rel=0.25)
    assert np.abs(np.corrcoef(off_px[:, 0, 0], off_px[:, 1, 0])[0, 1]) < 0.3


def test_one_camera_takes_a_clip(at_rest):
    """Frames of a hand at rest differ in noise alone, those of two clips in more."""
    mix = replace(STILL, look=replace(as_taken(64), degraded_share=1.0))
    images = ClipBatches(at_rest, CLIP_FRAMES, 1, mix).batch(0, 24)["image"].astype(float)
    inner = images[:, :, 8:-8]  # a blurred frame takes a little of its neighbour's edge
    means = inner.mean(axis=(2, 3))
    assert np.ptp(means, axis=1).max() < 1 and means[:, 0].std(axis=0).min() > 3
    is_noisy = (inner != inner[:, :1]).any(axis=(1, 2, 3, 4))
    assert 0.1 < is_noisy.mean() < 0.9


def test_patches_pass(at_rest):
    """They hide the same place for some frames in a row."""
    whole = replace(STILL, frames=6)
    hidden = replace(whole, look=replace(as_taken(64), occluded_share=1.0))
    plain, passed = (ClipBatches(at_rest, CLIP_FRAMES, 1, mix).batch(0, 32) for mix in (whole, hidden))
    changed = (plain["image"] != passed["image"]).any(axis=-1)
    is_hidden = changed.any(axis=(2, 3))
    assert 0.15 < is_hidden.mean() < 0.6 and is_hidden.any(axis=1).mean() > 0.6
    assert (np.abs(np.diff(is_hidden.astype(int), axis=1, prepend=0, append=0)).sum(axis=1) <= 2).all()
    for clip, when in zip(changed, is_hidden, strict=True):
        assert (clip[when] == clip[when][:1]).all()
    lost = plain["visible"] & ~passed["visible"]
    assert lost[is_hidden].mean() > 0.02 and not lost[~is_hidden].any()


def test_whole_clips_are_the_split_as_taken(dotted_folder):
    clips = open_whole_clips(dotted_folder, "test", 96).batch(0, 2)
    frames = open_clips_as_taken(dotted_folder, "test", 96).batch(0, 2 * CLIP_FRAMES)
    for name, values in clips.items():
        np.testing.assert_array_equal(values.reshape(frames[name].shape), frames[name])


def test_training_and_validation(dotted_folder):
    source = open_clip_batches(dotted_folder, ClipMix(SHARP, 3), 1)
    assert len(source) == 8 * 2 and source.name == "8 clips of bench-rgb, seed 3"
    assert source.origin(0, 16) == "shard-00000.tar, shard-00001.tar, shard-00002.tar"
    (batch, *_) = source.validation["clips"]
    assert batch["image"].shape[:2] == (4, 3)
    unseen = {
        image.tobytes()
        for image in open_clips_as_taken(dotted_folder, "validation", 64).batch(0, 24)["image"]
    }
    assert {image.tobytes() for image in batch["image"].reshape(-1, 64, 64, 3)} <= unseen


def test_an_epoch_meets_every_clip_as_often(frames):
    source = ClipBatches(frames, CLIP_FRAMES, 1, replace(STILL, frames=6))
    assert len(source) == 8
    first, second = (source.batch(k, 8)["keypoints_px"] for k in (0, 1))
    assert len({clip.tobytes() for clip in first}) == 8
    assert {c.tobytes() for c in first} == {c.tobytes() for c in second} and (first != second).any()


def test_a_clip_whose_hand_is_lost_is_passed_over(frames):
    away = frames.keypoints_px.copy()
    away[4] += 1000
    source = ClipBatches(replace(frames, keypoints_px=away), CLIP_FRAMES, 1, replace(STILL, frames=6))
    joints_m = source.batch(0, len(source))["joints_m"]
    assert len({clip.tobytes() for clip in joints_m}) == len(source) - 1


def test_in_order_a_lost_hand_is_black_until_it_is_back(frames):
    away = frames.keypoints_px.copy()
    away[4] += 1000
    mix = replace(STILL, frames=6, lag_frames=0)
    image = ClipBatches(replace(frames, keypoints_px=away), CLIP_FRAMES, 1, mix, in_order=True).batch(0, 2)[
        "image"
    ]
    assert not image[0, 4].any() and image[0, [3, 5]].any() and image[1].any()


def test_where_every_clip_loses_its_hand_is_said(frames):
    away = replace(frames, keypoints_px=frames.keypoints_px + 1000)
    with pytest.raises(HandfastError, match="expected a clip whose hand stays in the picture"):
        ClipBatches(away, CLIP_FRAMES, 1, STILL).batch(0, 1)


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"frames": 0}, "frames and most_stride must be 1"),
        ({"most_stride": 0}, "frames and most_stride must be 1"),
        ({"lag_frames": -1}, "lag_frames 0 or more"),
        ({"reversed_share": 2.0}, "reversed_share"),
        ({"box_noise": 1.0}, "box_noise"),
    ],
)
def test_a_mix_that_cannot_be_meant_is_refused(values, message):
    with pytest.raises(HandfastError, match=message):
        ClipMix(**values)


def test_more_frames_than_a_clip_has_are_refused(dotted_folder):
    with pytest.raises(HandfastError, match="expected at most the 6 frames of a clip, got 7"):
        open_clip_batches(dotted_folder, ClipMix(SHARP, 7), 1)
