from dataclasses import replace
from itertools import islice

import numpy as np
import pytest

from handfast.data.clips import (
    FRAMES,
    RATE_HZ,
    SIZE_PX,
    film,
    first_person,
    make_clip,
    make_clip_world,
    third_person,
)
from handfast.data.skin import Complexion
from handfast.geometry import fit_affine
from handfast.skeleton import HAND21, SIDES

KNUCKLES = range(1, 21, 4)
BONES = [(parent, child) for parent, child in HAND21.edges if child not in HAND21.tips]


@pytest.fixture(scope="module")
def world():
    return make_clip_world(3)


def pictures(world, clip, count):
    return list(islice(film(world, clip, np.random.default_rng(0)), count))


@pytest.fixture(scope="module", params=[third_person, first_person])
def samples(request, world):
    """The first frames of three people's clips."""
    made = [request.param(world, np.random.default_rng([5, person]), person) for person in range(3)]
    return [sample for clip in made for sample in pictures(world, clip, 4)]


@pytest.fixture(scope="module", params=[third_person, first_person])
def whole_clips(request, world):
    """All frames of four clips, their pictures small."""
    made = [request.param(world, np.random.default_rng([6, person]), person) for person in range(4)]
    small = fit_affine(SIZE_PX, SIZE_PX, 32, 32)
    return [
        list(film(world, replace(clip, camera=clip.camera.warped(small, 32, 32)), np.random.default_rng(0)))
        for clip in made
    ]


def test_the_same_generator_gives_the_same_bytes_whatever_was_made_before(world):
    first, again, other = (
        list(islice(make_clip(world, np.random.default_rng(seed), person=4), 3)) for seed in (1, 1, 2)
    )
    for a, b in zip(first, again, strict=True):
        assert (a.frame.colour == b.frame.colour).all() and (a.segmentation == b.segmentation).all()
        assert (a.hands[0].keypoints_m == b.hands[0].keypoints_m).all()
    assert (first[0].frame.colour != other[0].frame.colour).any()


def test_a_frame_is_a_colour_picture_of_one_hand_with_its_camera(samples):
    for sample in samples:
        assert sample.frame.colour.shape == (SIZE_PX, SIZE_PX, 3)
        assert sample.frame.depth is None and sample.frame.amplitude is None
        (hand,) = sample.hands
        assert set(np.unique(sample.segmentation)) == {0, 1 + SIDES.index(hand.side)}
        # Neither black nor burnt out.
        assert 40 < sample.frame.colour.mean() < 220


def test_keypoints_project_to_their_pixels(samples):
    for sample in samples:
        (hand,) = sample.hands
        assert np.abs(sample.frame.camera.project(hand.keypoints_m) - hand.keypoints_px).max() < 0.01


def test_visible_keypoints_lie_on_the_hand(samples):
    checked = 0
    for sample in samples:
        (hand,) = sample.hands
        for x, y in np.round(hand.keypoints_px[hand.visible]).astype(int):
            assert sample.segmentation[max(y - 1, 0) : y + 2, max(x - 1, 0) : x + 2].any()
            checked += 1
    assert checked > 50


def test_palms_are_before_the_camera_and_things_are_in_right_hands(world):
    stb, fpha = (make(world, np.random.default_rng(7), 0) for make in (third_person, first_person))
    assert (stb.side, stb.held) == ("left", None)
    assert 0.3 < stb.palm_m[:, 2].min() and stb.palm_m[:, 2].max() < 0.95
    assert fpha.side == "right" and fpha.held is not None
    assert fpha.palm_m[:, 2].max() < 0.65


def test_a_clip_has_two_seconds_at_30_hz(whole_clips):
    for samples in whole_clips:
        assert [sample.frame.index for sample in samples] == list(range(FRAMES))
        assert np.allclose([sample.frame.time_s for sample in samples], np.arange(FRAMES) / 30)


def test_motion_has_bounded_speed_and_acceleration(whole_clips):
    for samples in whole_clips:
        keypoints_m = np.stack([sample.hands[0].keypoints_m for sample in samples]).astype(float)
        velocity_m_s = np.diff(keypoints_m, axis=0) * RATE_HZ
        acceleration_m_s2 = np.diff(velocity_m_s, axis=0) * RATE_HZ
        assert np.linalg.norm(velocity_m_s, axis=-1).max() < 4.0
        assert np.linalg.norm(acceleration_m_s2, axis=-1).max() < 60.0


def test_some_phases_are_slow_and_some_are_fast(whole_clips):
    wrists_m = np.stack([[sample.hands[0].keypoints_m[0] for sample in samples] for samples in whole_clips])
    speed_m_s = np.linalg.norm(np.diff(wrists_m, axis=1), axis=-1) * RATE_HZ
    assert np.quantile(speed_m_s, 0.1) < 0.05 and np.quantile(speed_m_s, 0.95) > 0.15


def test_a_hand_keeps_its_bones_throughout_a_clip_and_people_have_their_own(whole_clips):
    per_person = []
    for samples in whole_clips:
        keypoints_m = np.stack([sample.hands[0].keypoints_m for sample in samples])
        lengths_m = np.stack(
            [np.linalg.norm(keypoints_m[:, p] - keypoints_m[:, c], axis=-1) for p, c in BONES]
        )
        # Fingers turn a little before their knuckles.
        at_knuckle = np.array([parent in KNUCKLES for parent, _ in BONES])
        assert np.ptp(lengths_m[~at_knuckle], axis=1).max() < 1e-5
        assert np.ptp(lengths_m[at_knuckle], axis=1).max() < 0.01
        per_person.append(lengths_m[:, 0])
    assert np.ptp(per_person, axis=0).max() > 1e-3


def test_what_is_held_hides_part_of_the_hand(world):
    hidden = 0
    for person in range(6):
        clip = first_person(world, np.random.default_rng([8, person]), person)
        held, free = (pictures(world, c, 1)[0] for c in (clip, replace(clip, held=None)))
        assert (held.hands[0].visible <= free.hands[0].visible).all()
        assert ((held.segmentation > 0) <= (free.segmentation > 0)).all()
        hidden += int((free.hands[0].visible & ~held.hands[0].visible).sum())
    assert hidden >= 3


def test_skin_is_as_bright_as_its_person_s_tone(world):
    brightness = []
    for melanin in (0.1, 0.8, 2.4):
        looks = (replace(world.looks[0], complexion=Complexion(melanin, 0.3)), *world.looks[1:])
        own = replace(world, looks=looks)
        (sample,) = pictures(own, third_person(own, np.random.default_rng(9), 0), 1)
        assert (sample.segmentation > 0).sum() > 500
        brightness.append(sample.frame.colour[sample.segmentation > 0].mean())
    assert brightness[0] > brightness[1] + 5 > brightness[2] + 10


def test_people_differ_in_skin_and_sleeve(world):
    tones = [looks.complexion.melanin for looks in world.looks]
    assert len(set(tones)) == len(tones) == 40 and np.ptp(tones) > 2
    clips = [third_person(world, np.random.default_rng(10), person) for person in (0, 1)]
    assert all((a != b).any() for a, b in zip(clips[0].textures[:3], clips[1].textures[:3], strict=True))
    assert all((a == b).all() for a, b in zip(clips[0].textures[3:], clips[1].textures[3:], strict=True))
