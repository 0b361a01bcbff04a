"""JSON files with one matrix a sample, of which only those asked for are parsed.

FreiHAND and HO-3D keep their vertices so, hundreds of megabytes of digits: parsed as a whole they would take
minutes and many gigabytes.
"""

import json
import mmap
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np

from handfast.data.datasets.samples import need_file
from handfast.errors import HandfastError


@dataclass(frozen=True, eq=False)
class JsonMatrices:
    """``[[[..], [..]], ..]``: ``len``, and a sample's matrix by index as nested lists.

    count: how many there must be; None for any. The first use looks through the file for the ends of
    matrices, and raises HandfastError, naming the file, where it is missing, broken or of another length.
    """

    path: Path
    count: int | None = None

    @cached_property
    def _bounds(self) -> np.ndarray:
        """(N + 1,) byte offsets between which the matrices lie."""
        with need_file(self.path, "a list of matrices, one a sample").open("rb") as file:
            try:
                text = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
            except ValueError:  # no byte to map
                raise self._broken("it is empty") from None
            with text:
                bounds = [text.find(b"[") + 1]
                while (end := text.find(b"]]", bounds[-1])) >= 0:
                    bounds.append(end + 2)
                if len(bounds) == 1 or text[bounds[-1] :].strip() != b"]":
                    raise self._broken("it is empty or cut off")
        if self.count not in (None, len(bounds) - 1):
            raise HandfastError(
                f"{self.path}: expected {self.count} matrices, as many as samples, got {len(bounds) - 1}; "
                "unpack the data set again"
            )
        return np.array(bounds)

    def __len__(self) -> int:
        return len(self._bounds) - 1

    def __getitem__(self, index: int) -> list[list[float]]:
        start, end = self._bounds[index : index + 2].tolist()
        with self.path.open("rb") as file:
            file.seek(start)
            text = file.read(end - start)
        try:
            return json.loads(text.lstrip(b", \t\r\n"))
        except ValueError as error:
            raise self._broken(f"entry {index}: {error}") from error

    def _broken(self, why: str) -> HandfastError:
        return HandfastError(f"{self.path}: not a JSON list of matrices ({why}); unpack the data set again")
