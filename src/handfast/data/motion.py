"""Smooth motion through space with fast and slow phases, for wrists and heads."""

import numpy as np

# Natural logarithms: the mean and spread of how long a movement takes and a rest lasts, s. Set by hand;
# benchmarks/motion.py holds what comes of it against recordings.
_MOVEMENT = (np.log(0.55), 0.45)
_REST = (np.log(0.35), 1.0)
_SWAY = 0.06
_SWAY_HZ = (0.25, 1.2)


def wander(
    rng: np.random.Generator, time_s: np.ndarray, spread: np.ndarray, fastest: np.ndarray
) -> np.ndarray:
    """(T, D): minimum-jerk movements (Flash and Hogan 1985) from place to place about 0, with rests between.

    spread (D,): how far from 0 places lie, as a standard deviation; none is farther than twice that. fastest
    (D,): the highest speed of a movement, per s. Rests are not quite still: people sway.
    """
    places = np.empty((len(time_s), len(spread)))
    here = spread * np.clip(rng.standard_normal(len(spread)), -2, 2)
    start_s = time_s[0] - rng.uniform(0, 1.0)
    filled = 0
    while filled < len(time_s):
        there = spread * np.clip(rng.standard_normal(len(spread)), -2, 2)
        usual_s, rest_s = (np.exp(mean + width * rng.standard_normal()) for mean, width in (_MOVEMENT, _REST))
        # The peak speed of such a movement is 1.875 times its mean one.
        duration_s = max(usual_s, 1.875 * float(np.max(np.abs(there - here) / fastest)))
        stop = int(np.searchsorted(time_s, start_s + duration_s + rest_s))
        phase = np.clip((time_s[filled:stop, None] - start_s) / duration_s, 0, 1)
        places[filled:stop] = here + phase**3 * (10 - 15 * phase + 6 * phase**2) * (there - here)
        here, start_s, filled = there, start_s + duration_s + rest_s, max(stop, filled)
    turns = (
        2 * np.pi * (rng.uniform(*_SWAY_HZ, (2, 1, len(spread))) * time_s[:, None] + rng.random((2, 1, 1)))
    )
    return places + _SWAY * spread * np.sin(turns).sum(0)
