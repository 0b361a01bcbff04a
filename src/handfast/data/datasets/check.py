"""Whether a user's copy of a data set is complete and can be read."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from handfast.data.datasets.samples import DataSet, Samples
from handfast.errors import HandfastError
from handfast.structures import HandSample

READ_SAMPLES = 16  # of each split
KEPT_SAMPLES = 12  # of all splits


@dataclass(frozen=True)
class SplitReport:
    """What there is of a split.

    samples: how many, 0 if it cannot be opened. expected: how many the original has, None if not known.
    problem: why it cannot be opened. read: how many samples were tried. unreadable: those of them that cannot
    be read, and why.
    """

    split: str
    samples: int
    expected: int | None
    problem: str | None
    read: int
    unreadable: tuple[tuple[str, str], ...]

    @property
    def complete(self) -> bool:
        """Not fewer samples than expected, one at least, and all that were tried can be read."""
        return self.samples >= max(self.expected or 0, 1) and not self.unreadable

    @property
    def usable(self) -> bool:
        """Something of it can be read."""
        return self.read > len(self.unreadable)


@dataclass(frozen=True, eq=False)
class Report:
    """What there is of a data set. kept: some samples of each split, with split and key, to look at."""

    splits: tuple[SplitReport, ...]
    kept: tuple[tuple[str, str, HandSample], ...]

    @property
    def complete(self) -> bool:
        return all(split.complete for split in self.splits)

    @property
    def usable(self) -> bool:
        return any(split.usable for split in self.splits)


def _unwatched(split: str, indices: Sequence[int]) -> Sequence[int]:
    return indices


def check_folder(
    dataset: DataSet, folder: Path, watch: Callable[[str, Sequence[int]], Iterable[int]] = _unwatched
) -> Report:
    """Count the samples of every split and read some: the first, the last and others evenly between.

    watch: (split, indices to read) -> the same indices, taken one by one as the samples are read: a place
    for a bar. Raises HandfastError if there is no such folder.
    """
    if not folder.exists():
        raise HandfastError(f"{folder}: no such folder; give the one that holds {dataset.title}")
    reports, kept = [], []
    wanted = -(-KEPT_SAMPLES // len(dataset.splits))
    for split, expected in dataset.splits.items():
        try:
            samples = dataset.open(folder, split)
        except HandfastError as error:
            reports.append(SplitReport(split, 0, expected, str(error), 0, ()))
            continue
        indices = spread(len(samples), READ_SAMPLES)
        read, unreadable = _read(samples, watch(split, indices))
        reports.append(SplitReport(split, len(samples), expected, None, len(indices), tuple(unreadable)))
        kept += [(split, samples.keys[i], read[i]) for i in _some(list(read), wanted)]
    return Report(tuple(reports), tuple(kept[:KEPT_SAMPLES]))


def spread(count: int, wanted: int) -> list[int]:
    """At most so many of the indices below count: the first, the last and others evenly between."""
    return np.unique(np.linspace(0, count - 1, min(count, wanted)).round().astype(int)).tolist()


def _some(items: list[int], wanted: int) -> list[int]:
    return [items[i] for i in spread(len(items), wanted)]


def _read(samples: Samples, indices: Iterable[int]) -> tuple[dict[int, HandSample], list[tuple[str, str]]]:
    """The samples that can be read, and the keys of the others with what is wrong."""
    read, unreadable = {}, []
    for index in indices:
        try:
            read[index] = samples[index]
        except HandfastError as error:
            unreadable.append((samples.keys[index], str(error)))
    return read, unreadable
