import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from handfast.data.batches import BatchSource, _shuffled, mirror_sample
from handfast.data.shards import load_shards, pack, write_shard
from handfast.data.synthesis import HEIGHT, WIDTH, make_world, synthesise
from handfast.errors import HandfastError


@pytest.fixture(scope="module")
def arrays():
    world = make_world(3, 4)
    return pack([synthesise(world, 3, i, i % 4) for i in range(24)])


def test_batches_are_a_function_of_the_step(arrays):
    one, two = BatchSource(arrays, 7).batch(5, 8), BatchSource(arrays, 7).batch(5, 8)
    other = BatchSource(arrays, 8).batch(5, 8)
    assert all((one[name] == two[name]).all() for name in one)
    assert (one["image"] != other["image"]).any()
    assert one["image"].shape == (8, HEIGHT, WIDTH) and one["image"].dtype == np.uint8


@settings(max_examples=30)
@given(st.integers(1, 500), st.integers(0, 2**31))
def test_an_epoch_meets_every_frame_once(count, seed):
    assert sorted(_shuffled(i, count, seed) for i in range(count)) == list(range(count))


def test_mirrored_twice_is_unchanged(arrays):
    sample = {name: array[0] for name, array in arrays.items()}
    twice = mirror_sample(mirror_sample(sample))
    for name in ("amplitude", "depth_mm", "segmentation", "present", "visible", "key_pose", "orientation"):
        assert (twice[name] == sample[name]).all(), name
    assert np.allclose(twice["keypoints_px"], sample["keypoints_px"], atol=1e-4)


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


def test_augmented_keypoints_stay_on_their_hand(arrays):
    batch = BatchSource(arrays, 1).batch(0, 24)
    hits = total = 0
    for i, slot in np.argwhere(batch["present"]):
        points = np.round(batch["keypoints_px"][i, slot][batch["visible"][i, slot]]).astype(int)
        points = points.clip(0, [WIDTH - 1, HEIGHT - 1])
        hits += (batch["segmentation"][i][points[:, 1], points[:, 0]] == 1 + slot).sum()
        total += len(points)
    assert total > 100 and hits / total > 0.8
    assert not (batch["visible"] & ~batch["in_image"]).any()


def test_missing_and_broken_shards_are_named(tmp_path):
    with pytest.raises(HandfastError, match="no shards"):
        load_shards(tmp_path)
    (tmp_path / "shard-00000.safetensors").write_bytes(b"\x00" * 100)
    with pytest.raises(HandfastError, match=r"shard-00000\.safetensors"):
        load_shards(tmp_path)


def test_a_written_shard_comes_back_and_does_not_depend_on_the_others(tmp_path, monkeypatch):
    monkeypatch.setattr("handfast.data.shards.SHARD_FRAMES", 4)
    write_shard(tmp_path, 1, seed=9, split="validation")
    write_shard(tmp_path, 0, seed=9, split="validation")
    both = load_shards(tmp_path)
    world = make_world(9)
    again = synthesise(world, 9, 5, 28 + 5 % 4)
    assert (both["amplitude"][5] == again.frame.amplitude).all()
    assert both["person"].tolist() == [28, 29, 30, 31] * 2
