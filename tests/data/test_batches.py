import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from data_set_fixtures import mixed_frame
from handfast.data.arrays import pack
from handfast.data.batches import MIN_LOOK_PX, BatchSource, Mix, mirror_sample, open_batches
from handfast.data.order import shuffled
from handfast.data.synthesis import HEIGHT, WIDTH, make_world
from handfast.errors import HandfastError
from handfast.sensors.views import hand_size_px


@pytest.fixture(scope="module")
def arrays():
    world = make_world(3, 4)
    return pack([mixed_frame(world, 3, i, i % 4) for i in range(24)])


def test_batches_are_a_function_of_the_step(arrays):
    one, two = BatchSource(arrays, 7).batch(5, 8), BatchSource(arrays, 7).batch(5, 8)
    other = BatchSource(arrays, 8).batch(5, 8)
    assert all((one[name] == two[name]).all() for name in one)
    assert (one["image"] != other["image"]).any()
    assert one["image"].shape == (8, HEIGHT, WIDTH) and one["image"].dtype == np.uint8


def test_devices_that_share_a_step_have_the_samples_of_one(arrays):
    source = BatchSource(arrays, 7)
    whole, parts = source.batch(3, 8), [source.batch(6, 4), source.batch(7, 4)]
    assert all((np.concatenate([part[name] for part in parts]) == whole[name]).all() for name in whole)


@settings(max_examples=30)
@given(st.integers(1, 500), st.integers(0, 2**31))
def test_an_epoch_meets_every_frame_once(count, seed):
    assert sorted(shuffled(i, count, seed) for i in range(count)) == list(range(count))


def test_mirrored_twice_is_unchanged(arrays):
    sample = {name: array[0] for name, array in arrays.items()}
    twice = mirror_sample(mirror_sample(sample))
    for name in ("amplitude", "depth_mm", "segmentation", "present", "visible", "key_pose", "orientation"):
        assert (twice[name] == sample[name]).all(), name
    assert np.allclose(twice["keypoints_px"], sample["keypoints_px"], atol=1e-4)
    assert np.allclose(twice["keypoints_m"], sample["keypoints_m"])


def test_mirroring_keeps_keypoints_on_their_hand(arrays):
    """The label under a visible key-point is its own hand's, before and after."""
    hits = total = 0
    for i in range(len(arrays["present"])):
        sample = mirror_sample({name: array[i] for name, array in arrays.items()})
        for slot in np.flatnonzero(sample["present"]):
            points = np.round(sample["keypoints_px"][slot][sample["visible"][slot]]).astype(int)
            points = points.clip(0, [WIDTH - 1, HEIGHT - 1])
            hits += (sample["segmentation"][points[:, 1], points[:, 0]] == 1 + slot).sum()
            total += len(points)
    assert total > 100 and hits / total > 0.85


def test_a_close_look_is_about_one_hand_and_a_whole_frame_about_all(arrays):
    sizes = np.array([[hand_size_px(hand) for hand in hands] for hands in arrays["keypoints_px"]])
    both = arrays["present"].all(axis=1) & (sizes > MIN_LOOK_PX).any(axis=1)
    assert both.any()
    pairs = {name: array[both] for name, array in arrays.items()}
    looks = BatchSource(pairs, 1, Mix(look_share=1.0)).batch(0, 40)
    frames = BatchSource(pairs, 1, Mix(look_share=0.0)).batch(0, 40)
    assert frames["present"].all(axis=1).any()
    about_one = looks["present"].sum(axis=1) == 1
    assert about_one.mean() > 0.75  # the others went astray
    looked_at = looks["keypoints_px"][about_one][looks["present"][about_one]]
    assert (np.ptp(looked_at, axis=1).max(axis=1) > 0.3 * HEIGHT).mean() > 0.9
    assert ((abs(looked_at.mean(axis=1) - (WIDTH / 2, HEIGHT / 2)) < 40).all(axis=1)).mean() > 0.9


def test_hands_that_hide_themselves_are_met_less_often(arrays):
    """Every frame a pass meets is there once, and all that can be read are."""
    source = BatchSource(arrays, 1)
    assert len(set(source.order.tolist())) == len(source) <= len(arrays["present"])
    hidden = {name: array.copy() for name, array in arrays.items()}
    hidden["visible"][:] = False
    hidden["present"][:, 0] = True
    assert len(BatchSource(hidden, 1)) < 0.6 * len(arrays["present"])
    hidden["visible"][3, 0] = True
    assert 3 in BatchSource(hidden, 1).order
    hidden["present"][:] = False
    assert len(BatchSource(hidden, 1)) == len(arrays["present"])


def test_augmented_keypoints_stay_on_their_hand(arrays):
    batch = BatchSource(arrays, 1).batch(0, 24)
    hits = total = 0
    for i, slot in np.argwhere(batch["present"]):
        points = np.round(batch["keypoints_px"][i, slot][batch["visible"][i, slot]]).astype(int)
        points = points.clip(0, [WIDTH - 1, HEIGHT - 1])
        hits += (batch["segmentation"][i][points[:, 1], points[:, 0]] == 1 + slot).sum()
        total += len(points)
    assert total > 100 and hits / total > 0.75
    assert not (batch["visible"] & ~batch["in_image"]).any()


def test_a_benchmark_on_disk_is_trained_and_validated_on(tof_folder, monkeypatch):
    monkeypatch.setattr("handfast.data.batches.VALIDATION_BATCH", 4)
    monkeypatch.setattr("handfast.data.batches.VALIDATION_BATCHES", 2)
    source = open_batches(tof_folder, Mix(), 5)
    assert len(source.arrays["present"]) == 7 and source.name == "7 frames of bench-tof, seed 1"
    assert {kind: len(batches) for kind, batches in source.validation.items()} == {"looks": 2, "frames": 2}
    batch = source.batch(0, 4)
    assert batch["image"].shape == (4, HEIGHT, WIDTH) and batch["present"].any()


def test_pictures_as_the_sensor_gave_them(arrays):
    """The amplitude picture has nothing of the depth, and the other way round; labels are the same."""
    other = arrays | {"depth_mm": arrays["depth_mm"][::-1].copy()}
    for picture, changes in (("amplitude", False), ("depth", True)):
        mix = Mix(picture=picture, look_share=0.0)
        one, two = BatchSource(arrays, 1, mix).batch(0, 8), BatchSource(other, 1, mix).batch(0, 8)
        assert (one["image"] != two["image"]).any() == changes
        np.testing.assert_array_equal(one["keypoints_px"], two["keypoints_px"])


def test_composed_frames_have_more_pairs_and_other_backgrounds(arrays):
    """Hands of one frame stand in others: nothing else changes how many there are of either kind."""
    lone = arrays["present"].sum(axis=1) < 2
    few = {name: array[lone] for name, array in arrays.items()}
    assert {0, 1} == set(few["present"].sum(axis=1).tolist())
    plain, composed = (
        BatchSource(few, 1, Mix(look_share=0.0, picture="amplitude", composite_share=share)).batch(0, 240)
        for share in (0.0, 1.0)
    )
    assert not plain["present"].all(axis=1).any()
    assert composed["present"].all(axis=1).mean() > 0.1
    empty = {name: array[few["present"].sum(axis=1) == 0] for name, array in few.items()}
    alone = BatchSource(empty, 1, Mix(composite_share=1.0)).batch(0, 8)
    assert not alone["present"].any()


@pytest.mark.parametrize("composite_share", [0.0, 1.0])
def test_the_files_of_a_batch_are_named(arrays, composite_share):
    mix = Mix(picture="amplitude", composite_share=composite_share)
    source = BatchSource(arrays, 7, mix, shard_frames=1)
    one = {name: array.copy() for name, array in arrays.items()}
    named = [int(name[6:11]) for name in source.origin(3, 4).split(", ")]
    one["amplitude"][named] = 0  # those frames and no others
    assert (BatchSource(one, 7, mix).batch(3, 4)["image"] == 0).all()
    whole = BatchSource(arrays, 7, shard_frames=len(arrays["present"]))
    assert whole.origin(3, 4) == "shard-00000.tar"
    assert (len(named) > 4) == (composite_share > 0)


def test_a_benchmark_without_amplitude_is_refused(tiny_depth, synthesise_into, tmp_path):
    synthesise_into(tmp_path, tiny_depth)
    with pytest.raises(HandfastError, match=r"amplitude images of 160 x 120.*bench-tof"):
        open_batches(tmp_path, Mix(), 5)


def test_a_folder_without_a_card_is_refused(tmp_path):
    with pytest.raises(HandfastError, match=r"card\.json: missing"):
        open_batches(tmp_path, Mix(), 5)
