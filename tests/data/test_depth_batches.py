"""Crops stay true to their labels however they are turned, and are the same whenever they are asked for."""

import numpy as np
import pytest

from handfast.data.depth_batches import DepthBatches, DepthMix, open_depth_batches
from handfast.errors import HandfastError
from handfast.geometry import Camera
from handfast.sensors.depth_crop import CROP_PX, CUBE_MM, NO_DEPTH, UNIT_MM, ZERO_MM


@pytest.fixture(scope="module")
def source(depth_folder):
    return open_depth_batches(depth_folder, DepthMix(), 3)


def surface_at(sample, points_px):
    """Depth in mm of a sample's crop at pixels (n, 2), NaN where there is none."""
    x, y = np.rint(points_px).astype(int).clip(0, CROP_PX - 1).T
    depth = sample["depth"][y, x]
    return np.where(depth > NO_DEPTH, depth * UNIT_MM + ZERO_MM + sample["centre_mm"][2], np.nan)


def test_batches_are_a_function_of_the_step(source, depth_folder):
    again, other = (open_depth_batches(depth_folder, DepthMix(), seed).batch(4, 3) for seed in (3, 4))
    one = source.batch(4, 3)
    assert all((one[name] == again[name]).all() for name in one)
    assert (one["depth"] != other["depth"]).any()
    parts = [source.batch(8, 2), source.batch(9, 2)]
    whole = source.batch(4, 4)
    assert all((np.concatenate([part[name] for part in parts]) == whole[name]).all() for name in whole)


@pytest.mark.parametrize("mix", [None, DepthMix(), DepthMix(degraded_share=0.0)])
def test_joints_lie_on_what_the_crop_shows(source, mix):
    batch = DepthBatches(source.frames, 5, mix).batch(0, 60)
    assert batch["depth"].shape == (60, CROP_PX, CROP_PX) and batch["depth"].dtype == np.float32
    near = []
    for i in range(60):
        sample = {name: values[i] for name, values in batch.items()}
        camera = Camera(*sample["intrinsics"], CROP_PX, CROP_PX)
        surface_mm = surface_at(sample, camera.project(sample["joints_mm"]))
        # A joint lies in the finger: a little behind the skin that hides it, or further behind another.
        behind_mm = sample["joints_mm"][:, 2] - surface_mm
        near += ((behind_mm > -4) & (behind_mm < 40)).tolist()
        assert np.abs(sample["joints_mm"].mean(axis=0) - sample["centre_mm"]).max() < CUBE_MM / 2
    assert np.mean(near) > 0.75


def test_turning_keeps_bones_as_long(source):
    """About the viewing axis; what perspective changes of it is small."""
    as_taken, turned = (
        DepthBatches(source.frames, 5, mix).batch(0, 7)["joints_mm"]
        for mix in (None, DepthMix(degraded_share=0.0))
    )
    lengths = [np.sort(np.linalg.norm(hands[:, 9] - hands[:, 0], axis=-1)) for hands in (as_taken, turned)]
    np.testing.assert_allclose(lengths[0], lengths[1], rtol=0.2)


def test_degraded_crops_lose_some_depth(source):
    clean, degraded = (
        DepthBatches(source.frames, 5, DepthMix(turn_rad=0.0, degraded_share=share)).batch(0, 40)["depth"]
        for share in (0.0, 1.0)
    )
    assert (clean != degraded).any()
    assert 0.8 < (degraded > NO_DEPTH).sum() / (clean > NO_DEPTH).sum() < 1.05


def test_torn_hands_lose_the_joints_in_the_hole_and_no_others(source):
    whole, torn = (
        DepthBatches(source.frames, 5, DepthMix(degraded_share=0.0, torn_share=share)).batch(0, 60)
        for share in (0.0, 1.0)
    )
    gone = np.isnan(torn["joints_mm"]).any(axis=2)
    # Where so little is left that there is no crop, another frame comes instead.
    same = [(torn["joints_mm"][i] == whole["joints_mm"][i])[~gone[i]].all() for i in range(60)]
    assert np.mean(same) > 0.75
    # From a few joints to all of them.
    assert gone.any(axis=1).all() and gone.all(axis=1).any() and (gone.sum(axis=1) < 11).any()
    holes, surfaces = [], []
    for i in np.flatnonzero(same):
        sample = {name: values[i] for name, values in torn.items()}
        camera = Camera(*sample["intrinsics"], CROP_PX, CROP_PX)
        points_px = camera.project(whole["joints_mm"][i])
        inside = ((points_px > 0) & (points_px < CROP_PX - 1)).all(axis=1)
        surface_mm = surface_at(sample, points_px)
        holes += np.isnan(surface_mm[gone[i] & inside]).tolist()
        surfaces += np.isfinite(surface_mm[~gone[i] & inside]).tolist()
    assert np.mean(holes) > 0.97 and np.mean(surfaces) > 0.75


def test_validation_is_of_other_people_and_as_taken(source):
    (first, *_) = source.validation["crops"]
    assert len(source.validation["crops"]) > 1
    assert not any(
        np.array_equal(first["joints_mm"][0], joints) for joints in source.batch(0, 7)["joints_mm"]
    )


def test_the_shards_of_a_batch_are_named(source):
    names = source.origin(0, len(source)).split(", ")
    assert names == sorted(set(names)) == ["shard-00000.tar", "shard-00001.tar", "shard-00002.tar"]


def test_other_benchmarks_are_refused(tof_folder):
    with pytest.raises(HandfastError, match="expected bench-depth, got bench-tof"):
        open_depth_batches(tof_folder, DepthMix(), 0)


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"turn_rad": 4.0}, "turn_rad"),
        ({"degraded_share": 2.0}, "degraded_share"),
        ({"torn_share": -0.1}, "torn_share"),
    ],
)
def test_a_mix_that_cannot_be_meant_is_refused(values, message):
    with pytest.raises(HandfastError, match=message):
        DepthMix(**values)
