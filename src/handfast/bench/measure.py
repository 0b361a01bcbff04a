"""Engines timed in turns on one core, so that they all meet the same moods of a shared machine."""

import ctypes
import os
import sys
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from statistics import median

import numpy as np

from handfast.bench.backends import Backend, Engine, Outputs
from handfast.bench.compiled import PeakLoop
from handfast.bench.machine import compiler_name
from handfast.bench.silence import silence
from handfast.bench.task import Task
from handfast.errors import HandfastError

LARGEST_DIFFERENCE = 1e-3  # of logits, where an engine computes in 32-bit floats
# Root mean square, as a share of the logits' own spread: enough to find what computes something else. How
# accurate 8 bits are is measured in key-points.
LARGEST_INT8_DIFFERENCE = 0.2
THREADS_CHECK_S = 0.1
M_TRIM_THRESHOLD, M_MMAP_THRESHOLD = -1, -3  # of glibc's malloc.h
LARGEST_KEPT_BYTES = 32 << 20  # more than that glibc refuses

Watch = Callable[[Iterable, str, int], Iterable]


@dataclass(frozen=True)
class Row:
    """What was found of one engine; None for what could not be measured.

    ms: a frame, as ``quietest_medians_s`` has it. ratio_to_c: how many times as long as the generated C
    takes. gflops: the network's 2 x MAC in that time, whatever the engine makes of them. peak_percent: of
    what the core does at best in 32-bit floats. problem: why there is no time, None if there is.
    """

    backend: str
    installed: bool
    ms: float | None = None
    ratio_to_c: float | None = None
    gflops: float | None = None
    peak_percent: float | None = None
    arena_bytes: int | None = None
    weight_bytes: int | None = None
    problem: str | None = None


@dataclass(frozen=True)
class Report:
    """peak_gflops: of multiply-adds on the core's widest vectors; None where there is no C compiler."""

    peak_gflops: float | None
    rows: tuple[Row, ...]


def measure(task: Task, backends: Mapping[str, Backend], rounds: int, seconds: float, watch: Watch) -> Report:
    """Make engines ready, check what they compute, time them beside each other; a row each, in their order.

    seconds: how long each engine runs in all, shared out over the rounds. watch: is handed what is gone
    through, what is done with it and how many there are; -> the same.
    """
    keep_freed_memory()
    ready = {
        name: make_ready(name, backend, task)
        for name, backend in watch(backends.items(), "making ready", len(backends))
    }
    engines = {name: engine for name, engine in ready.items() if isinstance(engine, Engine)}
    runs = {name: engine.run for name, engine in engines.items()}
    try:
        peak_loop = PeakLoop()
        runs["peak"] = peak_loop
    except HandfastError:  # which the rows of the engines in C say
        peak_loop = None
    with one_core():
        times_s = quietest_medians_s(runs, watch(range(rounds), "timing", rounds), seconds / rounds)
    peak_flops_per_s = peak_loop.flops / times_s["peak"] if peak_loop else None
    rows = (
        _timed(name, engines[name], task.cost.flops, times_s, peak_flops_per_s) if name in engines else found
        for name, found in ready.items()
    )
    return Report(peak_flops_per_s and peak_flops_per_s / 1e9, tuple(rows))


def make_ready(name: str, backend: Backend, task: Task) -> Engine | Row:
    """An engine that computes what it should on one thread, or a row that says why there is none."""
    try:
        with silence():
            engine = backend.prepare(task)
            problem = disagreement(engine.outputs(), task.expected, backend.is_exact)
            if problem is None and (threads := threads_used(engine.run)) > 1:
                problem = f"runs on {threads} threads instead of one"
    except ModuleNotFoundError:
        return Row(name, False, problem=f"pip install {' '.join(backend.packages)}")
    except HandfastError as error:
        is_installed = bool(backend.packages) or compiler_name() is not None
        return Row(name, is_installed, problem=str(error))
    except Exception as error:  # whatever an engine raises, the others are measured
        return Row(name, True, problem=" ".join(f"{type(error).__name__}: {error}".split())[:200])
    return Row(name, True, problem=problem) if problem else engine


def disagreement(found: Outputs, expected: Outputs, is_exact: bool) -> str | None:
    """What is wrong with an engine's heat-map and visibility logits, None if nothing is."""
    for name, own, right in zip(("heatmaps", "visibility"), found, expected, strict=True):
        difference = np.reshape(own, right.shape) - right
        if is_exact:
            size, limit = np.abs(difference).max(), LARGEST_DIFFERENCE
        else:
            size, limit = np.sqrt(np.mean(difference**2)) / right.std(), LARGEST_INT8_DIFFERENCE
        if not size <= limit:
            return f"its {name} are {size:.3g} off ONNX Runtime's, where up to {limit:g} may be"
    return None


def threads_used(run: Callable[[], object]) -> int:
    """How many threads do a tenth of the work or more. 1 where that is not known, off Linux."""
    before_ns = _thread_times_ns()
    end_s = time.perf_counter() + THREADS_CHECK_S
    while time.perf_counter() < end_s:
        run()
    spent_ns = [now_ns - before_ns.get(thread, 0) for thread, now_ns in _thread_times_ns().items()]
    return max(1, sum(thread_ns > sum(spent_ns) / 10 for thread_ns in spent_ns))


def _thread_times_ns() -> dict[str, int]:
    """Processor time of each thread of this process so far, by its number."""
    times_ns = {}
    for path in Path("/proc/self/task").glob("*/schedstat"):
        with suppress(OSError):  # a thread that has ended meanwhile
            times_ns[path.parent.name] = int(path.read_text().split()[0])
    return times_ns


def quietest_medians_s(
    runs: Mapping[str, Callable[[], object]], rounds: Iterable[object], turn_s: float
) -> dict[str, float]:
    """Time of a call of each, s: the median of a turn, of the turn in which that was least.

    In each round they take turns of ``turn_s``, at least one call long. The quietest turn is nearest to what
    the machine can do: what its neighbours run slows some engines more than others.
    """
    medians_s: dict[str, list[float]] = {name: [] for name in runs}
    for _ in rounds:
        for name, run in runs.items():
            run()  # brings back into the caches what the one before has put out
            medians_s[name].append(_median_of_a_turn(run, turn_s))
    return {name: min(own_medians_s) for name, own_medians_s in medians_s.items()}


def _median_of_a_turn(run: Callable[[], object], turn_s: float) -> float:
    times_s = []
    end_s = time.perf_counter() + turn_s
    while not times_s or time.perf_counter() < end_s:
        start_s = processor_s()
        run()
        times_s.append(processor_s() - start_s)
    return median(times_s)


def processor_s() -> float:
    """Processor time of all threads together: other programs' turns on the core do not count, which would
    lengthen long calls more often than short ones. Windows counts it in steps of 16 ms; there it is the
    clock's."""
    return time.perf_counter() if sys.platform == "win32" else time.process_time()


def keep_freed_memory() -> None:
    """From now on memory that was freed stays with this process, where the C library is glibc.

    It would give some back to the system and fetch it again page by page, depending on what else is in
    memory: by that alone PyTorch takes once or twice as long for the same image.
    """
    library = ctypes.CDLL(None) if sys.platform == "linux" else None
    if hasattr(library, "mallopt"):
        library.mallopt(M_TRIM_THRESHOLD, LARGEST_KEPT_BYTES)
        library.mallopt(M_MMAP_THRESHOLD, LARGEST_KEPT_BYTES)


@contextmanager
def one_core() -> Iterator[None]:
    """Keeps this process's threads on one core, on Linux; elsewhere engines are only asked for one thread."""
    if sys.platform != "linux":
        yield
        return
    before = {}
    for thread in map(int, os.listdir("/proc/self/task")):
        with suppress(ProcessLookupError):  # it has ended since
            before[thread] = os.sched_getaffinity(thread)
    core = max(os.sched_getaffinity(0))
    _set_affinity({thread: {core} for thread in before})
    try:
        yield
    finally:
        _set_affinity(before)


def _set_affinity(cores_of: Mapping[int, set[int]]) -> None:
    for thread, cores in cores_of.items():
        with suppress(ProcessLookupError):  # a thread that has ended meanwhile
            os.sched_setaffinity(thread, cores)


def _timed(
    name: str, engine: Engine, flops: int, times_s: Mapping[str, float], peak_flops_per_s: float | None
) -> Row:
    time_s = times_s[name]
    return Row(
        backend=name,
        installed=True,
        ms=1000 * time_s,
        ratio_to_c=time_s / times_s["c"] if "c" in times_s else None,
        gflops=flops / time_s / 1e9,
        peak_percent=100 * flops / time_s / peak_flops_per_s if peak_flops_per_s else None,
        arena_bytes=engine.arena_bytes,
        weight_bytes=engine.weight_bytes,
    )
