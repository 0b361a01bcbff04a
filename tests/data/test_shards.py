import io
import json
import tarfile
from dataclasses import replace

import numpy as np
import pytest

from handfast.data.shards import decode_shard, encode_shard, locate_frames
from handfast.structures import HandSample


@pytest.fixture(scope="module")
def samples(tiny_tof, tiny_depth):
    """The first few frames of each benchmark."""
    worlds = {b.name: b.make_world(b.seed) for b in (tiny_tof, tiny_depth)}
    return {
        b.name: [next(b.clip(worlds[b.name], "train", clip)) for clip in range(4)]
        for b in (tiny_tof, tiny_depth)
    }


def shard_of(samples):
    return encode_shard((sample, clip, 7) for clip, sample in enumerate(samples))


@pytest.mark.parametrize("name", ["bench-tof", "bench-depth"])
def test_samples_come_back_from_a_tar(samples, name):
    back = list(decode_shard(shard_of(samples[name])))
    assert len(back) == len(samples[name])
    for got, sample in zip(back, samples[name], strict=True):
        assert got.frame.camera == sample.frame.camera and got.frame.index == sample.frame.index
        for picture in ("amplitude", "depth"):
            had = getattr(sample.frame, picture)
            assert (getattr(got.frame, picture) is None) == (had is None)
            assert had is None or (getattr(got.frame, picture) == had).all()
        assert (got.segmentation == sample.segmentation).all()
        for a, b in zip(got.hands, sample.hands, strict=True):
            assert (a.side, a.key_pose, a.orientation) == (b.side, b.key_pose, b.orientation)
            assert (a.visible == b.visible).all()
            assert np.abs(a.keypoints_px - b.keypoints_px).max() < 1e-4
            assert np.abs(a.keypoints_m - b.keypoints_m).max() < 1e-6


def test_colour_and_times_come_back_too(samples):
    sample = samples["bench-tof"][0]
    red = np.zeros((*sample.frame.shape, 3), np.uint8)
    red[..., 0] = 200
    coloured = HandSample(replace(sample.frame, index=2, time_s=2 / 30, colour=red), (), sample.segmentation)
    (back,) = decode_shard(encode_shard([(coloured, 12, 0)]))
    assert np.abs(back.frame.colour.astype(int) - red).max() < 5
    assert back.frame.index == 2 and abs(back.frame.time_s - 2 / 30) < 1e-6


def test_the_tar_is_as_webdataset_groups_it(samples):
    """Plain members, those of a frame in a row, named by what is before the first dot."""
    with tarfile.open(fileobj=io.BytesIO(shard_of(samples["bench-tof"]))) as tar:
        members = tar.getmembers()
        names = [member.name for member in members]
        labels = json.load(tar.extractfile("000002-0000.json"))
    assert all(member.isreg() and member.mtime == 0 for member in members)
    kinds = ("amplitude.png", "depth.png", "segmentation.png", "json")
    assert names == [f"{clip:06d}-0000.{kind}" for clip in range(4) for kind in kinds]
    assert (labels["clip"], labels["index"], labels["person"]) == (2, 0, 7)
    assert len(labels["hands"]) == len(samples["bench-tof"][2].hands)


def test_frames_are_located_within_the_tar(samples):
    shard = shard_of(samples["bench-depth"])
    frames = locate_frames(shard)
    assert list(frames) == [f"{clip:06d}-0000" for clip in range(4)]
    assert json.loads(shard[frames["000003-0000"]["json"]])["clip"] == 3
    assert shard[frames["000001-0000"]["depth.png"]].startswith(b"\x89PNG")
