"""Training batches of clips: crops of one right hand in a row, as a tracker cuts them out.

A clip is turned, scaled and degraded as one. Batch k is a function of k, whatever was asked for
before.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from handfast.data.colour_batches import ColourMix, as_taken, degraded, draw_occluder, draw_view
from handfast.data.colour_frames import WHOLE, Batch, ColourFrames, load_clips, part_of
from handfast.data.order import shuffled
from handfast.errors import HandfastError
from handfast.sensors.colour_crop import LEAST_INSIDE, SquareBox

VALIDATION_BATCH, VALIDATION_BATCHES = 4, 8


@dataclass(frozen=True)
class ClipMix:
    """What is done to clips.

    look: to a clip as to a single picture, the same in all of its frames but for a passing patch; there are
    no clips of photos. frames: how many in a row. most_stride: of so many frames at most one is taken, the
    same all along, which makes hands fast. reversed_share: of clips that run backwards. box_noise: of a
    tracker's box, the deviation of its centre in sides, and of its side's logarithm. lag_frames: so many
    frames ago the hand was where the box is.
    """

    look: ColourMix = field(default_factory=ColourMix)
    frames: int = 16
    most_stride: int = 3
    reversed_share: float = 0.5
    box_noise: float = 0.03
    lag_frames: int = 1

    def __post_init__(self) -> None:
        if self.frames < 1 or self.most_stride < 1 or self.lag_frames < 0:
            raise HandfastError(
                "data: frames and most_stride must be 1 or more and lag_frames 0 or more, got "
                f"{self.frames}, {self.most_stride} and {self.lag_frames}"
            )
        if not 0 <= self.reversed_share <= 1:
            raise HandfastError(f"data: reversed_share must be in 0..1, got {self.reversed_share}")
        if not 0 <= self.box_noise <= 0.2:
            raise HandfastError(f"data: box_noise must be in 0..0.2, got {self.box_noise}")


@dataclass(frozen=True, eq=False)
class ClipBatches:
    """Clips by step.

    frames: in order, clip_frames of each clip. name, in_order, validation: as of ``ColourBatches``.
    """

    frames: ColourFrames
    clip_frames: int
    seed: int
    mix: ClipMix
    name: str = "synthetic"
    in_order: bool = False
    validation: Mapping[str, tuple[Batch, ...]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if self.mix.frames > self.clip_frames:
            raise HandfastError(
                f"data: expected at most the {self.clip_frames} frames of a clip, got {self.mix.frames}"
            )

    def __len__(self) -> int:
        """So many clips of T frames have about as many frames as there are."""
        return self._clips * (self.clip_frames // self.mix.frames)

    def batch(self, step: int, batch_size: int) -> Batch:
        """Batch number ``step``: what ``ColourBatches.batch`` gives, each of shape (b, T, ...)."""
        samples = [self._sample(step * batch_size + i) for i in range(batch_size)]
        return {name: np.stack([s[name] for s in samples]) for name in samples[0]}

    def origin(self, step: int, batch_size: int) -> str:
        """Which files batch number ``step`` was made from."""
        firsts = [self.clip_frames * self._choose(step * batch_size + i) for i in range(batch_size)]
        return ", ".join(sorted({self.frames.files[first] for first in firsts}))

    @property
    def _clips(self) -> int:
        return len(self.frames) // self.clip_frames

    def _choose(self, position: int) -> int:
        """The clip of a sample."""
        epoch, place = divmod(position, len(self))
        return (place if self.in_order else shuffled(place, len(self), self.seed + epoch)) % self._clips

    def _sample(self, position: int) -> Batch:
        rng = np.random.default_rng([self.seed, 7, position])
        clip = self._choose(position)
        for _ in range(self._clips):
            shown = self._shown(rng, clip)
            if shown is not None:
                return shown
            clip = (clip + 1) % self._clips  # this hand was lost on the way
        raise HandfastError(
            f"{self.frames.files[0]}: expected a clip whose hand stays in the picture, found none there nor "
            "in any other; are the pictures of the size that was labelled?"
        )

    def _shown(self, rng: np.random.Generator, clip: int) -> Batch | None:
        """T frames of a clip, (T, ...); None if a box comes to lie outside the picture, which is shown
        where clips come in order."""
        mix, length = self.mix, self.mix.frames
        indices = self.clip_frames * clip + _picked(rng, mix, self.clip_frames)
        view, occluder = draw_view(rng, mix.look), draw_occluder(rng, mix.look, self.frames)
        comes, goes = np.sort(rng.integers(0, length + 1, 2))
        least_inside = 0.0 if self.in_order else LEAST_INSIDE
        shown = []
        for moment, index in enumerate(indices):
            last_seen = indices[max(moment - mix.lag_frames, 0)]
            box = _as_tracked(rng, view.box(self.frames.keypoints_px[last_seen]), mix.box_noise)
            sample = self.frames.sample(index, box, mix.look.input_px, view.border, least_inside=least_inside)
            if sample is None:
                return None
            is_hidden = occluder is not None and comes <= moment < goes
            shown.append(occluder.over(sample) if is_hidden else sample)
        clip = {name: np.stack([frame[name] for frame in shown]) for name in shown[0]}
        return clip | {"image": degraded(rng, clip["image"], mix.look)}


def open_clip_batches(
    folder: Path, mix: ClipMix, seed: int, kind: str = "colour", part: str = WHOLE
) -> ClipBatches:
    """A folder made by ``handfast synth bench-rgb`` -> batches of train/, validated on clips of other people
    as taken, from anywhere within. kind, part: as of ``load_clips``. Raises HandfastError as that does, and
    for more frames than a clip has."""
    card, frames = load_clips(folder, "train", kind, part)
    others, taken = load_clips(folder, "validation", kind, part)[1], _as_taken(mix.look.input_px, mix.frames)
    unseen = ClipBatches(others, card.clip_frames, 0, taken)
    return ClipBatches(
        frames,
        card.clip_frames,
        seed,
        mix,
        name=f"{len(frames) // card.clip_frames} clips of {part_of(card.benchmark, part)}, seed {card.seed}",
        validation={
            "clips": tuple(unseen.batch(step, VALIDATION_BATCH) for step in range(VALIDATION_BATCHES))
        },
    )


def open_whole_clips(
    folder: Path, split: str, input_px: int, kind: str = "colour", part: str = WHOLE
) -> ClipBatches:
    """The clips of a split in their own order and as long as they are, with nothing done to their frames and
    the true boxes. kind, part, errors: as of ``load_clips``."""
    card, frames = load_clips(folder, split, kind, part)
    return ClipBatches(
        frames, card.clip_frames, seed=0, mix=_as_taken(input_px, card.clip_frames), in_order=True
    )


def _as_taken(input_px: int, frames: int) -> ClipMix:
    return ClipMix(as_taken(input_px), frames, 1, 0.0, 0.0, 0)


def _picked(rng: np.random.Generator, mix: ClipMix, clip_frames: int) -> np.ndarray:
    """(T,): which frames of a clip are shown, in this order."""
    longest = (clip_frames - 1) // max(mix.frames - 1, 1)
    stride = rng.integers(1, min(mix.most_stride, longest) + 1) if longest > 1 else 1
    places = stride * np.arange(mix.frames)
    places += rng.integers(0, clip_frames - places[-1])
    return places[::-1] if rng.random() < mix.reversed_share else places


def _as_tracked(rng: np.random.Generator, box: SquareBox, noise: float) -> SquareBox:
    """A box as a tracker takes it from key-points that are about right."""
    x, y = np.array(box.centre_px) + box.side_px * noise * rng.standard_normal(2)
    side_px = box.side_px * float(np.exp(noise * rng.standard_normal()))
    return SquareBox((float(x), float(y)), side_px, box.turn_rad)
