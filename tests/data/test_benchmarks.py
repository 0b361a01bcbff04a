from itertools import combinations

import numpy as np
import pytest

from handfast.data.benchmarks import BENCHMARKS, SIZES, SPLITS
from handfast.data.headset import PALM_FACING

PEOPLE = 40


def test_people_are_split_28_4_8_and_nobody_is_in_two():
    assert {split: len(people) for split, people in SPLITS.items()} == {
        "train": 28,
        "validation": 4,
        "test": 8,
    }
    assert not any(set(a) & set(b) for a, b in combinations(SPLITS.values(), 2))
    assert max(max(people) for people in SPLITS.values()) == PEOPLE - 1


@pytest.mark.parametrize("benchmark", BENCHMARKS.values(), ids=lambda benchmark: benchmark.name)
def test_a_benchmark_is_complete(benchmark):
    assert tuple(benchmark.clips) == SIZES
    for clips in benchmark.clips.values():
        assert clips.keys() == SPLITS.keys()
        # Everybody is seen equally often.
        assert all(clips[split] % len(people) == 0 for split, people in SPLITS.items())
    assert benchmark.description.keys() == {"camera", "sensor", "poses", "shapes", "views"}
    assert benchmark.clip_frames > 0 and benchmark.shard_clips > 0


def test_seeds_differ():
    seeds = [benchmark.seed for benchmark in BENCHMARKS.values()]
    assert len(set(seeds)) == len(seeds)


@pytest.mark.parametrize(
    ("name", "small", "full"), [("bench-tof", 24_000, 200_000), ("bench-depth", 12_000, 100_000)]
)
def test_sizes(name, small, full):
    for size, least in (("small", small), ("full", full)):
        assert sum(BENCHMARKS[name].clips[size].values()) * BENCHMARKS[name].clip_frames >= least


def test_a_clip_depends_on_its_split_and_number_alone(tiny_tof):
    world = tiny_tof.make_world(tiny_tof.seed)

    def amplitude(split, clip):
        return next(tiny_tof.clip(world, split, clip)).frame.amplitude

    first = amplitude("test", 5)
    amplitude("train", 0)
    assert (amplitude("test", 5) == first).all()
    assert (amplitude("validation", 5) != first).any() and (amplitude("test", 13) != first).any()


def test_the_skew_of_bench_tof_is_the_paper_s(tiny_tof):
    """Mostly one hand, few palms, both sides; some frames without hands."""
    world = tiny_tof.make_world(tiny_tof.seed)
    samples = [next(tiny_tof.clip(world, "train", clip)) for clip in range(150)]
    counts = np.bincount([len(sample.hands) for sample in samples], minlength=3) / len(samples)
    assert counts[1] > 0.55 and counts[2] > 0.15 and counts[0] > 0.02
    hands = [hand for sample in samples for hand in sample.hands]
    palms = np.mean([hand.orientation in PALM_FACING for hand in hands])
    assert 0.02 < palms < 0.2
    assert 0.4 < np.mean([hand.side == "left" for hand in hands]) < 0.6


def test_rooms_of_people_are_their_own(tiny_tof):
    people = tiny_tof.make_world(tiny_tof.seed).people
    rooms = [room for person in people for room in person.rooms]
    assert len(people) == PEOPLE and len(set(rooms)) == len(rooms) == 6 * PEOPLE
