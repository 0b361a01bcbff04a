"""What every data-set reader gives: the samples of one split, read from disk one by one."""

import os
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from handfast.errors import HandfastError
from handfast.structures import HandSample


@dataclass(frozen=True, eq=False)
class Samples:
    """A split's samples in order: ``len``, indexing and iteration. Reading one may raise HandfastError.

    keys: what names each sample within the data set, such as a file's path.
    """

    keys: tuple[str, ...]
    read: Callable[[int], HandSample]

    def __len__(self) -> int:
        return len(self.keys)

    def __getitem__(self, index: int) -> HandSample:
        if not -len(self) <= index < len(self):
            raise IndexError(index)
        return self.read(index % len(self))

    def __iter__(self) -> Iterator[HandSample]:
        return (self.read(index) for index in range(len(self)))


@dataclass(frozen=True)
class DataSet:
    """A public data set: what it is called and how its folder is opened.

    splits: samples in each split of the complete original, None where its authors give no number.
    open: (folder, split) -> Samples; raises HandfastError for a missing or broken file, which it names.
    """

    title: str
    homepage: str
    licence: str
    splits: Mapping[str, int | None]
    open: Callable[[Path, str], Samples]


def check_split(split: str, splits: Mapping[str, int | None]) -> None:
    """HandfastError for a split that the data set does not have."""
    if split not in splits:
        raise HandfastError(f"split {split!r}: expected one of {', '.join(splits)}")


def need_file(path: Path, what: str) -> Path:
    """The path, if a file is there. Raises HandfastError with what it should hold if not."""
    if not path.is_file():
        raise HandfastError(f"{path}: missing; it should hold {what}")
    if not os.access(path, os.R_OK):
        raise HandfastError(f"{path}: cannot be read (permission denied); it should hold {what}")
    return path
