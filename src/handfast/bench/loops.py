"""What DIR-Net's loops cost: milliseconds against loops, beside what their multiply-accumulates say."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np

from handfast.bench.folders import exported, made_ready, noise
from handfast.bench.measure import Watch, keep_freed_memory, one_core, processor_s, quietest_medians_s
from handfast.errors import HandfastError
from handfast.export.dirnet import export_dirnet
from handfast.models.dirnet import DIRNet
from handfast.runtime.dirnet import ExitRule, RefinementModel, load_dirnet
from handfast.runtime.graphs import Engine
from handfast.runtime.model import GRAPHS
from handfast.training.dirnet import DIRNetRecipe

NEVER = ExitRule("never")


@dataclass(frozen=True)
class LoopRow:
    """A crop that is refined ``loops`` times after the first estimate.

    total_ms: a whole run, from the crop on. extract_ms, refine_ms, attend_ms, pose_ms: of it, what each graph
    took. over_macs: how much more of the time of a run without loops one took in the mean than of its MACs; 1
    if time followed MACs, None without loops.
    """

    loops: int
    extract_ms: float
    refine_ms: float
    attend_ms: float
    pose_ms: float
    total_ms: float
    macs: int
    over_macs: float | None


@dataclass(frozen=True)
class LoopReport:
    """A row for each number of loops in one back end; none where ``problem`` says why.

    loop_ms: what one more loop takes in the mean.
    """

    backend: str
    installed: bool
    loop_ms: float | None = None
    rows: tuple[LoopRow, ...] = ()
    problem: str | None = None


class _Run:
    """A whole run of so many loops, on noise, that notes what each graph takes: beside the others, since they
    put each other's weights out of the caches."""

    def __init__(self, model: RefinementModel, loops: int) -> None:
        engines = {graph: self._noting(graph, engine) for graph, engine in model.engines.items()}
        self.model = replace(model, max_loops=loops, engines=engines)
        self.image = noise(model.card)
        self._spent_s: dict[str, float] = {}
        self._runs_s: list[tuple[float, dict[str, float]]] = []

    def __call__(self) -> None:
        self._spent_s = dict.fromkeys(GRAPHS["dirnet"], 0.0)
        start_s = processor_s()
        self.model.refine(self.image)
        self._runs_s.append((processor_s() - start_s, self._spent_s))

    def parts_ms(self, total_s: float) -> dict[str, float]:
        """What each graph took in the run that is the nearest to one of this length."""
        _, spent_s = min(self._runs_s, key=lambda run: abs(run[0] - total_s))
        return {graph: 1000 * time_s for graph, time_s in spent_s.items()}

    def _noting(self, graph: str, engine: Engine) -> Engine:
        def run(inputs: dict[str, np.ndarray]) -> list[np.ndarray]:
            start_s = processor_s()
            outputs = engine(inputs)
            self._spent_s[graph] += processor_s() - start_s
            return outputs

        return run


def measure_loops(
    name_or_path: str, backends: Sequence[str], rounds: int, seconds: float, watch: Watch
) -> tuple[LoopReport, ...]:
    """Time DIR-Net in some of the back ends of ``load_dirnet``, all in turns on one core; a report each.

    name_or_path: what ``load_dirnet`` takes; a checkpoint; or a name in MODELS, whose weights are random
    then. seconds, watch: as ``measure`` has them. The times are the quietest medians. No run ends early.

    Raises HandfastError as the checkpoint or ``load_dirnet`` does, and for a network without loops.
    """
    keep_freed_memory()
    with TemporaryDirectory() as folder:
        path = exported(name_or_path, Path(folder) / "dirnet", _recipe_of, export_dirnet)
        if load_dirnet(path).max_loops == 0:
            raise HandfastError(f"model {name_or_path}: expected loops to time; it has not learnt any")
        ready = {
            backend: made_ready(
                backend, partial(load_dirnet, path, NEVER), lambda model: model.refine(noise(model.card))
            )
            for backend in watch(backends, "making ready", len(backends))
        }
    runs = {
        (backend, loops): _Run(model, loops)
        for backend, model in ready.items()
        if isinstance(model, RefinementModel)
        for loops in range(model.max_loops + 1)
    }
    with one_core():
        times_s = quietest_medians_s(runs, watch(range(rounds), "timing", rounds), seconds / rounds)
    return tuple(
        _timed(model, [(runs[of, n], time_s) for (of, n), time_s in times_s.items() if of == backend])
        if isinstance(model, RefinementModel)
        else LoopReport(backend, model.installed, problem=model.problem)
        for backend, model in ready.items()
    )


def _recipe_of(name: str, net: DIRNet) -> DIRNetRecipe:
    return DIRNetRecipe(model=name, skeleton="hand21", epochs=1, loops=net.max_loops)


def _timed(model: RefinementModel, runs: Sequence[tuple[_Run, float]]) -> LoopReport:
    """runs: of no loop, one, and so on, with what they took, s."""
    card, (_, first_s) = model.card, runs[0]
    rows = tuple(
        LoopRow(
            loops=loops,
            **{f"{graph}_ms": time_ms for graph, time_ms in run.parts_ms(total_s).items()},
            total_ms=1000 * total_s,
            macs=card.macs + loops * card.loop_macs,
            over_macs=(total_s / first_s - 1) / (loops * card.loop_macs / card.macs) if loops else None,
        )
        for loops, (run, total_s) in enumerate(runs)
    )
    loop_ms = (rows[-1].total_ms - rows[0].total_ms) / model.max_loops
    return LoopReport(model.backend, True, loop_ms, rows)
