from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

from handfast.data.datasets import DATASETS, bench
from handfast.data.datasets.bench import open_bench
from handfast.errors import HandfastError


def test_samples_are_read_in_any_order(tof_folder, tiny_tof):
    samples = DATASETS["bench-tof"].open(tof_folder, "train")
    assert len(samples) == 7 and samples.keys[4] == "train/000004-0000"
    world = tiny_tof.make_world(tiny_tof.seed)
    for clip in (4, 0, 6):
        made = next(tiny_tof.clip(world, "train", clip))
        assert (samples[clip].frame.amplitude == made.frame.amplitude).all()
        assert [hand.side for hand in samples[clip].hands] == [hand.side for hand in made.hands]


def test_threads_read_a_shard_once(tof_folder, monkeypatch):
    read, names = bench.read_shard, []

    def counted(folder, card, split, name):
        names.append(name)
        return read(folder, card, split, name)

    monkeypatch.setattr(bench, "read_shard", counted)
    samples = open_bench(tof_folder, "train")
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(samples.read, [*range(len(samples))] * 4))
    assert len(names) == len(set(names)) > 1


def test_depth_crops_are_read(tiny_depth, synthesise_into, tmp_path):
    synthesise_into(tmp_path, tiny_depth)
    for sample in DATASETS["bench-depth"].open(tmp_path, "validation"):
        assert sample.frame.amplitude is None and sample.frame.depth.any()
        (hand,) = sample.hands
        projected = sample.frame.camera.project(hand.keypoints_m)
        assert np.abs(projected - hand.keypoints_px).max() < 0.01


def test_every_split_of_the_card_is_a_split_of_the_data_set(tof_folder):
    for split in DATASETS["bench-tof"].splits:
        assert len(open_bench(tof_folder, split)) > 0


def test_another_benchmark_is_refused(tof_folder):
    with pytest.raises(HandfastError, match="expected bench-depth, got bench-tof"):
        DATASETS["bench-depth"].open(tof_folder, "train")


def test_only_what_is_read_from_an_edited_shard_is_refused(tof_copy):
    path = tof_copy / "train" / "shard-00001.tar"
    path.write_bytes(path.read_bytes()[:-1] + b"x")
    samples = open_bench(tof_copy, "train")
    assert samples[0].frame.amplitude is not None and samples[6].frame.amplitude is not None
    with pytest.raises(HandfastError, match=r"train/shard-00001\.tar.*edited"):
        samples[3]
