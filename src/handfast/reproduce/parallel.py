"""Test frames measured side by side."""

import os
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

T = TypeVar("T")
# What is done -> the same, one by one: a bar of progress may stand between.
Watch = Callable[[Iterable], Iterable]


def on_every_core(work: Callable[[int], T], count: int, watch: Watch = iter) -> list[T]:
    """What ``work`` makes of 0 .. count - 1, in this order."""
    # A session of ONNX Runtime has one thread, so every core can have one. C takes one frame at a time.
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        return list(watch(pool.map(work, range(count))))
