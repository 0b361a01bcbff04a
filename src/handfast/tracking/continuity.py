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
# From one scene to another both are more, from one frame to the next never both: the nearest that 2,880
# synthetic frames came, hand-held and worn, was a third of the way, of every third frame 0.7; of pairs out of
# different clips 99 in 100 were 1.3 times apart or more. Alone the first would call a turning head a cut, the
# second a wall whose brightness drifts.
CUT_LEVELS = 15.0  # of 255, the mean difference of a picture's 16 x 16 parts
CUT_COLOURS = 0.25  # of its pixels, that have changed to another of 8 x 8 x 8 colours
THUMBNAIL_PX, SHADES = 16, 8
SAMPLED_PX = 120  # of a picture's shorter side, so that large pictures cost no more


class Passage(Enum):
    """GAP: the same scene, but later than usual: frames were dropped, or come more slowly from now on. CUT:
    another scene, another size of frames, or time that runs backwards."""

    ON = "on"
    GAP = "gap"
    CUT = "cut"


@dataclass(frozen=True, eq=False)
class _Look:
    """thumbnail: (16, 16, 3). colours (512,): the share of pixels that have each."""

    time_s: float
    shape: tuple[int, int]
    thumbnail: np.ndarray
    colours: np.ndarray

    def is_cut_from(self, before: "_Look") -> bool:
        if self.shape != before.shape or self.time_s < before.time_s:
            return True
        levels = np.abs(self.thumbnail - before.thumbnail).mean()
        return levels > CUT_LEVELS and np.abs(self.colours - before.colours).sum() / 2 > CUT_COLOURS


class Continuity:
    """Follows the pictures of a source."""

    def __init__(self) -> None:
        self._before: _Look | None = None
        self._intervals_s: deque[float] = deque(maxlen=USUAL_OF)

    def passage(self, time_s: float, picture: np.ndarray) -> Passage:
        """From the last picture that was asked about to this one, (H, W, 3) uint8; ``ON`` for the first."""
        before, self._before = self._before, _look(time_s, picture)
        if before is None:
            return Passage.ON
        if self._before.is_cut_from(before):
            self._intervals_s.clear()
            return Passage.CUT
        passed_s = time_s - before.time_s
        if self._intervals_s and passed_s > GAP * median(self._intervals_s):
            self._intervals_s.clear()  # the rate may be another from now on
            return Passage.GAP
        if passed_s > 0:
            self._intervals_s.append(passed_s)
        return Passage.ON


def _look(time_s: float, picture: np.ndarray) -> _Look:
    shape = picture.shape[:2]
    step = max(min(shape) // SAMPLED_PX, 1)
    some = np.ascontiguousarray(picture[::step, ::step])
    thumbnail = cv2.resize(some, (THUMBNAIL_PX, THUMBNAIL_PX), interpolation=cv2.INTER_AREA)
    colours = cv2.calcHist([some], [0, 1, 2], None, [SHADES] * 3, [0, 256] * 3).ravel()
    return _Look(time_s, shape, thumbnail.astype(np.float32), colours / colours.sum())
