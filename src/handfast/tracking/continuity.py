"""Whether a frame goes on from the one before it, or something lies between them."""

from collections import deque
from dataclasses import dataclass
from enum import Enum
from statistics import median

import cv2
import numpy as np

# A gap is so many usual intervals: one frame may be missing, not two.
GAP = 2.5
USUAL_OF = 9  # the latest intervals, whose median is the usual one
LONGEST_S = 0.25  # at any rate: what is remembered of a hand is of another pose by then
# From one scene to another both are more, from one frame to the next next to never both; `benchmarks/cuts.py`
# counts. Alone the first would call a turning head a cut, the second a wall whose brightness drifts.
CUT_LEVELS = 15.0  # of 255, the mean difference of a picture's 16 x 16 parts
CUT_COLOURS = 0.25  # of its pixels, that have changed to another colour
THUMBNAIL_PX = 16
SHADES, GREYS = 8, 32  # there are 8 x 8 x 8 colours; where all are grey, 32
SAMPLED_PX = 120  # of a picture's shorter side, so that large pictures cost no more


class Passage(Enum):
    """GAP: the same scene, but later than usual: frames were dropped, or come more slowly from now on. CUT:
    another scene, another size of frames, or time that runs backwards or is not known."""

    ON = "on"
    GAP = "gap"
    CUT = "cut"


@dataclass(frozen=True, eq=False)
class _Look:
    """thumbnail: (16, 16, 3). colours (512,), greys (32,): the share of pixels that have each; greys of a
    grey picture alone."""

    time_s: float
    shape: tuple[int, int]
    thumbnail: np.ndarray
    colours: np.ndarray
    greys: np.ndarray | None

    def is_cut_from(self, before: "_Look") -> bool:
        if self.shape != before.shape or not self.time_s >= before.time_s:
            return True
        levels = np.abs(self.thumbnail - before.thumbnail).mean()
        both_grey = self.greys is not None and before.greys is not None
        changed = self.greys - before.greys if both_grey else self.colours - before.colours
        return levels > CUT_LEVELS and np.abs(changed).sum() / 2 > CUT_COLOURS


class Continuity:
    """Follows the pictures of a source."""

    def __init__(self) -> None:
        self._before: _Look | None = None
        self._intervals_s: deque[float] = deque(maxlen=USUAL_OF)
        self._late_s: float | None = None  # the last interval, if it was longer than usual

    def passage(self, time_s: float, picture: np.ndarray) -> Passage:
        """From the last picture that was asked about to this one, (H, W, 3) uint8; ``ON`` for the first."""
        before, self._before = self._before, _look(time_s, picture)
        if before is None:
            return Passage.ON
        if self._before.is_cut_from(before):
            self._intervals_s.clear()
            self._late_s = None
            return Passage.CUT
        return self._in_time(time_s - before.time_s)

    def _in_time(self, passed_s: float) -> Passage:
        """Late twice alike is another rate, late once is a gap."""
        before_s, self._late_s = self._late_s, None
        if self._intervals_s and passed_s > GAP * median(self._intervals_s):
            if before_s is None or passed_s > GAP * before_s:
                self._late_s = passed_s
                return Passage.GAP
            self._intervals_s.clear()
        if passed_s > LONGEST_S:
            return Passage.GAP
        if passed_s > 0:
            self._intervals_s.append(passed_s)
        return Passage.ON


def _look(time_s: float, picture: np.ndarray) -> _Look:
    shape = picture.shape[:2]
    step = max(min(shape) // SAMPLED_PX, 1)
    some = np.ascontiguousarray(picture[::step, ::step])
    thumbnail = cv2.resize(some, (THUMBNAIL_PX, THUMBNAIL_PX), interpolation=cv2.INTER_AREA)
    colours = _shares(some, [0, 1, 2], SHADES)
    greys = _shares(some, [0], GREYS) if (some == some[..., :1]).all() else None
    return _Look(time_s, shape, thumbnail.astype(np.float32), colours, greys)


def _shares(picture: np.ndarray, channels: list[int], levels: int) -> np.ndarray:
    """Of pixels that have each combination of so many levels."""
    counts = cv2.calcHist([picture], channels, None, [levels] * len(channels), [0, 256] * len(channels))
    return counts.ravel() / counts.sum()
