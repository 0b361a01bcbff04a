"""The open benchmarks: labelled frames of synthetic people that one command makes from one seed."""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from handfast.data.clips import FRAMES, make_clip, make_clip_world
from handfast.data.depth import depth_clip
from handfast.data.synthesis import make_world, mixed_clip, tof_clip
from handfast.data.tof_clips import make_tof_clip
from handfast.structures import HandSample

# As in the paper (section 5): 28 people to train on, 4 to validate, 8 to test.
SPLITS = {"train": range(0, 28), "validation": range(28, 32), "test": range(32, 40)}
SIZES = ("small", "full")


@dataclass(frozen=True)
class Benchmark:
    """What a benchmark is made of.

    clips: size ('small', 'full') -> split -> how many clips; the small one is the beginning of the full one.
    clip_frames: frames of every clip. shard_clips: clips of every shard but the last one of a split.
    make_world: seed -> what all clips share, its people among it.
    make_clip: (world, rng, person) -> the frames of a clip, Frame.index counting from 0. It draws from
        nothing but the rng, which is that of the seed, the split and the clip's number.
    description: what the card says of camera, sensor, poses, shapes and views.
    """

    name: str
    title: str
    seed: int
    clips: Mapping[str, Mapping[str, int]]
    clip_frames: int
    shard_clips: int
    make_world: Callable[[int], Any]
    make_clip: Callable[[Any, np.random.Generator, int], Iterator[HandSample]]
    description: Mapping[str, str]

    def person(self, split: str, clip: int) -> int:
        """Whose hands clip number ``clip`` of a split shows: the people of the split in turn."""
        return SPLITS[split][clip % len(SPLITS[split])]

    def clip(self, world: Any, split: str, clip: int) -> Iterator[HandSample]:
        """The frames of clip number ``clip`` of a split, whatever was made before it."""
        rng = np.random.default_rng([self.seed, 1, list(SPLITS).index(split), clip])
        return self.make_clip(world, rng, self.person(split, clip))


def clips_for(per_person: int) -> dict[str, int]:
    """So many clips of each person of every split."""
    return {split: per_person * len(people) for split, people in SPLITS.items()}


_POSES = "45 % of the eight key-poses, 45 % as recorded, 10 % with each finger as in another recording"

BENCH_TOF = Benchmark(
    name="bench-tof",
    title="The wearer's hands before a head-worn time-of-flight camera",
    seed=1,
    clips={"small": clips_for(600), "full": clips_for(5600)},
    clip_frames=1,
    shard_clips=800,
    make_world=make_world,
    make_clip=tof_clip,
    description={
        "camera": "pinhole, 160 x 120 px, 63 to 80 degrees wide, another one for every frame, worn on a head "
        "that looks down",
        "sensor": "time of flight at 20 MHz, 20 and 80 MHz or 60 and 80 MHz; amplitude is (I + Q) / sqrt(2), "
        "depth is along z in mm",
        "poses": f"{_POSES}; few palms face the camera",
        "shapes": "each person has a hand shape, skin, sleeve and six rooms, seen in 70 % of the frames",
        "views": "egocentric, 0.22 to 0.65 m away, arms from the shoulders; no hand in 7 % of the frames, "
        "one in 68 %, two in 25 %; up to ten distracting objects",
    },
)

MIX_TOF = Benchmark(
    name="mix-tof",
    title="Hands of all kinds before a time-of-flight camera: what the shipped networks are trained on",
    seed=4,
    clips={"small": clips_for(600), "full": clips_for(2600)},
    clip_frames=1,
    shard_clips=800,
    make_world=make_world,
    make_clip=mixed_clip,
    description={
        "camera": "pinhole, 160 x 120 px, another one for every frame: wide views and crops about a hand",
        "sensor": BENCH_TOF.description["sensor"],
        "poses": _POSES,
        "shapes": "each person has a hand shape, skin and a sleeve",
        "views": "of a camera on a desk, beside, above and anywhere, and in 30 % of the frames as in "
        "bench-tof; arms from the shoulders; no hand in 9 % of the frames, two in up to 32 %; up to ten "
        "distracting objects",
    },
)

BENCH_DEPTH = Benchmark(
    name="bench-depth",
    title="Right hands in third-person depth crops",
    seed=2,
    clips={"small": clips_for(500), "full": clips_for(2500)},
    clip_frames=1,
    shard_clips=500,
    make_world=make_world,
    make_clip=depth_clip,
    description={
        "camera": "640 x 480 px, fx 588.03, fy 587.07, as of NYU hand pose; a crop of 160 x 160 px shows "
        "375 mm about the hand, and the camera of the labels is that of the crop",
        "sensor": "structured light, projector 75 mm beside the camera, disparity in steps of 1/8 px; "
        "depth is along z in mm",
        "poses": _POSES,
        "shapes": "each person has a hand shape and a sleeve",
        "views": "a right hand 0.5 to 1.1 m away, its arm and body, a room, up to four objects",
    },
)

BENCH_RGB = Benchmark(
    name="bench-rgb",
    title="Clips of one hand before a colour camera",
    seed=3,
    clips={"small": clips_for(4), "full": clips_for(50)},
    clip_frames=FRAMES,
    shard_clips=10,
    make_world=make_clip_world,
    make_clip=make_clip,
    description={
        "camera": "pinhole, 256 x 256 px, 40 to 47 degrees wide, another one for every clip; 30 Hz",
        "sensor": "colour with blur of the lens and of motion, noise, one exposure and white balance a clip",
        "poses": "minimum-jerk motion as recorded, with rests; half the third-person clips count, the others "
        "take any pose; the first-person hand wraps, pinches or clenches what it holds",
        "shapes": "each person has a hand shape, a skin tone from very light to very dark, and a sleeve",
        "views": "in half the clips, as in STB, a left hand upright 0.4 to 0.8 m before a still camera, in "
        "one of six rooms; in the others, as in FPHA, a right hand over a table, seen from above its "
        "arm, with a bottle, can, cup, box or cutlery in it",
    },
)

BENCH_TOF_CLIPS = Benchmark(
    name="bench-tof-clips",
    title="Clips of one hand before a time-of-flight camera",
    seed=5,
    clips={"small": clips_for(4), "full": clips_for(50)},
    clip_frames=FRAMES,
    shard_clips=10,
    make_world=make_world,
    make_clip=make_tof_clip,
    description={
        "camera": "pinhole, 160 x 120 px, another one for every clip; 30 Hz",
        "sensor": BENCH_TOF.description["sensor"] + "; one exposure a clip",
        "poses": "minimum-jerk motion as recorded, with rests",
        "shapes": "each person has a hand shape, skin, a sleeve and six rooms",
        "views": "egocentric, over a desk, sideways, from above, any; one hand, left or right; something "
        "passes before it in half the clips; up to ten distracting objects",
    },
)

BENCHMARKS = {
    benchmark.name: benchmark for benchmark in (BENCH_TOF, BENCH_TOF_CLIPS, MIX_TOF, BENCH_DEPTH, BENCH_RGB)
}
