import os
import platform
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from threading import Barrier
from types import SimpleNamespace

import numpy as np
import pytest

from handfast.bench import measure as measuring
from handfast.bench.backends import Backend, Engine
from handfast.bench.measure import (
    Row,
    disagreement,
    make_ready,
    measure,
    one_core,
    quietest_medians_s,
)
from handfast.errors import HandfastError

on_linux = pytest.mark.skipif(sys.platform != "linux", reason="threads are watched and bound on Linux alone")


@pytest.fixture
def clock(monkeypatch):
    """Time that passes only as engines say."""

    class Clock:
        now_s = 0.0

        def taking(self, *durations_s):
            """An engine's run that takes these times in turn."""
            calls = []

            def run():
                self.now_s += durations_s[len(calls) % len(durations_s)]
                calls.append(self.now_s)

            return run

    clock = Clock()
    now = SimpleNamespace(perf_counter=lambda: clock.now_s, process_time=lambda: clock.now_s)
    monkeypatch.setattr(measuring, "time", now)
    return clock


PACKAGES = ("some-engine", "its-converter")


def backend(task, run=lambda: None, error=None, found=None, is_exact=True, packages=PACKAGES):
    """An engine that takes what ``run`` takes, and computes the right thing unless told otherwise."""

    def prepare(given):
        if error is not None:
            raise error
        return Engine(run, lambda: found or given.expected, arena_bytes=7, weight_bytes=8)

    return Backend(prepare, packages, is_exact)


def unwatched(items, what, total):
    return items


class TestRows:
    def test_times_become_ratios_and_shares_of_the_peak(self, task, clock, monkeypatch):
        flops = task.cost.flops
        monkeypatch.setattr(measuring, "PeakLoop", lambda: _with_flops(clock.taking(0.001), flops * 2))
        backends = {
            "slow": backend(task, clock.taking(0.003)),
            "c": backend(task, clock.taking(0.001, 0.001, 0.009)),
        }
        report = measure(task, backends, 5, 0.1, unwatched)
        assert report.peak_gflops == pytest.approx(flops * 2 / 1e6)
        slow, c = report.rows
        assert (slow.backend, slow.installed, slow.problem) == ("slow", True, None)
        assert (slow.ms, slow.ratio_to_c, slow.peak_percent) == pytest.approx((3, 3, 100 / 6))
        assert (c.ms, c.ratio_to_c, c.gflops) == pytest.approx((1, 1, flops / 1e6))
        assert (c.arena_bytes, c.weight_bytes) == (7, 8)

    def test_without_c_and_a_compiler_there_is_nothing_to_compare_with(self, task, clock, monkeypatch):
        monkeypatch.setattr(measuring, "PeakLoop", _no_compiler)
        monkeypatch.setattr(measuring, "compiler_name", lambda: None)
        backends = {
            "c": backend(task, error=HandfastError("no C compiler"), packages=()),
            "other": backend(task, clock.taking(0.002)),
        }
        report = measure(task, backends, 1, 0.1, unwatched)
        assert report.peak_gflops is None
        assert report.rows[0] == Row("c", False, problem="no C compiler")
        assert report.rows[1].ms == pytest.approx(2)
        assert report.rows[1].ratio_to_c is report.rows[1].peak_percent is None

    def test_what_is_not_installed_says_what_to_install(self, task):
        row = make_ready("some", backend(task, error=ModuleNotFoundError("some_engine")), task)
        assert row == Row("some", False, problem="pip install some-engine its-converter")

    @pytest.mark.usefixtures("compiler")
    @pytest.mark.parametrize("packages", [PACKAGES, ()])
    def test_a_layer_that_is_not_known_is_no_lack_of_an_engine(self, task, packages):
        row = make_ready("some", backend(task, error=HandfastError("Gelu"), packages=packages), task)
        assert row == Row("some", True, problem="Gelu")

    def test_a_package_that_is_broken_is_installed(self, task):
        row = make_ready("some", backend(task, error=ImportError("libsome.so: cannot open")), task)
        assert row == Row("some", True, problem="ImportError: libsome.so: cannot open")

    def test_an_engine_that_fails_has_no_time(self, task):
        row = make_ready("some", backend(task, error=RuntimeError("operator\n  unknown")), task)
        assert row == Row("some", True, problem="RuntimeError: operator unknown")

    def test_an_engine_that_computes_something_else_has_no_time(self, task):
        heatmaps, visibility = task.expected
        row = make_ready("some", backend(task, found=(heatmaps, visibility + 0.01)), task)
        assert row.installed and row.ms is None
        assert row.problem.startswith("its visibility are 0.01 off")

    @on_linux
    def test_an_engine_on_more_than_one_thread_has_no_time(self, task):
        together = Barrier(2)

        def work(numbers):
            together.wait()  # so that one thread cannot do both pieces
            return sum(numbers)

        with ThreadPoolExecutor(2) as pool:
            both = backend(task, lambda: list(pool.map(work, [range(200_000)] * 2)))
            assert make_ready("some", both, task).problem == "runs on 2 threads instead of one"


def _with_flops(run, flops):
    run.flops = flops
    return run


def _no_compiler():
    raise HandfastError("no C compiler")


class TestDisagreement:
    RIGHT = (np.array([[1.0, -3.0], [2.0, 0.0]]), np.array([0.5, -0.5]))

    @pytest.mark.parametrize(("off", "is_exact", "fits"), [
        (9e-4, True, True), (2e-3, True, False), (0.01, False, True), (0.5, False, False),
        (np.nan, True, False), (np.nan, False, False),
    ])  # fmt: skip
    def test_is_measured_in_logits_and_for_integers_in_their_spread(self, off, is_exact, fits):
        heatmaps, visibility = self.RIGHT
        assert (disagreement((heatmaps + off, visibility), self.RIGHT, is_exact) is None) == fits

    def test_shapes_may_differ_as_long_as_the_order_does_not(self):
        heatmaps, visibility = self.RIGHT
        assert disagreement((heatmaps.reshape(1, 4), visibility[:, None]), self.RIGHT, True) is None
        assert "heatmaps" in disagreement((heatmaps.T, visibility), self.RIGHT, True)


def run_python(code):
    """What a program prints."""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    return done.stdout.strip()


class TestTurns:
    def test_each_runs_in_each_round_and_its_first_call_does_not_count(self, clock):
        order = []

        def logged(name, *durations_s):
            run = clock.taking(*durations_s)
            return lambda: (order.append(name), run())

        # Each turn of "a" is a call of 0.5 s to begin with and two of 0.25 s; "b" outlasts its turn at once.
        medians_s = quietest_medians_s(
            {"a": logged("a", 0.5, 0.25, 0.25), "b": logged("b", 2.0)}, range(2), turn_s=0.5
        )
        assert "".join(order) == "aaabb" * 2
        assert medians_s == {"a": 0.25, "b": 2.0}

    def test_the_quietest_round_counts_and_in_it_the_median(self, clock):
        loud, quiet = (3.0, 3.0, 3.0, 3.0), (3.0, 1.0, 2.0, 5.0)
        run = clock.taking(*loud, *quiet, *loud)
        assert quietest_medians_s({"a": run}, range(3), turn_s=7.5) == {"a": 2.0}

    def test_work_in_this_thread_or_in_one_other_is_work_in_one(self):
        """In a process that no other test has left a thread in."""
        assert run_python(COUNT_THREADS) == "1 1"


COUNT_THREADS = """
from concurrent.futures import ThreadPoolExecutor
from handfast.bench.measure import threads_used

with ThreadPoolExecutor(1) as pool:
    print(
        threads_used(lambda: sum(range(20_000))),
        threads_used(lambda: pool.submit(sum, range(1_000_000)).result()),
    )
"""


ALLOCATE = """
from resource import RUSAGE_SELF, getrusage
import numpy as np
from handfast.bench.measure import keep_freed_memory

keep_freed_memory()
for i in range(11):
    if i == 1:
        before = getrusage(RUSAGE_SELF).ru_minflt
    [np.ones(393_216) for _ in range(4)]  # 3072 pages
print(getrusage(RUSAGE_SELF).ru_minflt - before)
"""


@pytest.mark.skipif(not platform.libc_ver()[0], reason="other C libraries keep memory as they please")
def test_freed_memory_is_not_fetched_again():
    # In a process of its own: glibc learns from what was freed before.
    assert int(run_python(ALLOCATE)) < 1000  # 30,000 if it were fetched again


@on_linux
class TestOneCore:
    def test_threads_are_on_one_core_and_free_again(self):
        before = os.sched_getaffinity(0)
        with pytest.raises(ValueError), one_core():
            assert len(os.sched_getaffinity(0)) == 1
            raise ValueError
        assert os.sched_getaffinity(0) == before
