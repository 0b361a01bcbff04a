"""A split of clips is its frames in order, and its parts are what they are called."""

import numpy as np
import pytest

from handfast.data.colour_batches import as_taken, open_colour_batches
from handfast.data.colour_clips import ClipMix, open_clip_batches, open_whole_clips
from handfast.data.colour_frames import PARTS, load_clips
from handfast.errors import HandfastError

STILL = ClipMix(as_taken(32), 6, most_stride=1, reversed_share=0.0, box_noise=0.0, lag_frames=0)


def test_parts_are_the_sides_and_together_the_whole(dotted_folder):
    _, whole = load_clips(dotted_folder, "train")
    parts = {part: load_clips(dotted_folder, "train", part=part)[1] for part in PARTS}
    assert parts["third-person"].is_left.all() and not parts["first-person"].is_left.any()
    for part, frames in parts.items():
        chosen = np.flatnonzero(whole.is_left == (part == "third-person"))
        assert 0 < len(frames) == len(chosen) < len(whole)
        assert frames.encoded == tuple(whole.encoded[i] for i in chosen)
        assert frames.files == tuple(whole.files[i] for i in chosen)
        np.testing.assert_array_equal(frames.joints_m, whole.joints_m[chosen])


def test_batches_of_a_part_are_of_nothing_else(dotted_folder):
    first_person = load_clips(dotted_folder, "train", part="first-person")[1]
    clips = open_clip_batches(dotted_folder, STILL, 1, part="first-person")
    frames = open_colour_batches(dotted_folder, as_taken(32), 1, part="first-person")
    assert clips.frames.encoded == frames.frames.encoded == first_person.encoded
    assert clips.name == f"{len(clips)} clips of bench-rgb, first-person, seed 3"
    assert frames.name == f"{len(frames)} frames of bench-rgb, first-person, seed 3"
    # A clip is still one hand's.
    joints_m = clips.batch(0, len(clips))["joints_m"]
    assert np.abs(np.diff(joints_m, axis=1)).max() < 0.01
    whole = open_clip_batches(dotted_folder, STILL, 1)
    shown, all_shown = (
        {image.tobytes() for image in np.concatenate([b["image"] for b in of.validation["clips"]])}
        for of in (clips, whole)
    )
    assert shown < all_shown


def test_the_shard_of_a_batch_is_that_of_its_frames(dotted_folder):
    _, frames = load_clips(dotted_folder, "train", part="third-person")
    clips = open_whole_clips(dotted_folder, "train", 32, part="third-person")
    for step in range(len(clips)):
        assert clips.origin(step, 1) == frames.files[6 * step]


def test_other_benchmarks_are_refused(depth_folder):
    with pytest.raises(HandfastError, match="expected bench-rgb, got bench-depth"):
        load_clips(depth_folder, "train")


def test_a_part_that_is_not_there_is_refused(dotted_folder, monkeypatch):
    monkeypatch.setitem(PARTS, "first-person", "neither")
    with pytest.raises(HandfastError, match="expected first-person clips in test, got none"):
        load_clips(dotted_folder, "test", part="first-person")
