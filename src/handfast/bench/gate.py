"""What ACE's gate saves: a frame with it, in the mean and among the slowest, beside one that the fine encoder
always sees."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import partial
from itertools import count
from pathlib import Path
from tempfile import TemporaryDirectory
from time import perf_counter

import numpy as np
from torch import nn

from handfast.bench.folders import exported, made_ready, noise
from handfast.bench.measure import Watch, keep_freed_memory, one_core, processor_s
from handfast.data.colour_batches import ColourMix
from handfast.data.colour_clips import ClipMix
from handfast.errors import HandfastError
from handfast.export.ace import check_gated, export_ace
from handfast.runtime.ace import AceModel, load_ace
from handfast.runtime.graphs import Engine
from handfast.runtime.model import GRAPHS
from handfast.training.ace import AceRecipe

P_FINE = "clips_p_fine"  # among the metrics of a card, as the validation of a run leaves it
SLOWEST = 99


@dataclass(frozen=True)
class GateReport:
    """One back end; None for what was not measured, ``problem`` says why.

    p_fine: the share of frames for which the gate opens here. coarse_ms: of the coarse encoder and the gate,
    fine_ms: of the fine encoder, from the crop on, recur_ms: of the LSTM, medians. mean_ms, p99_ms: of a
    frame with the gate; always_fine_ms, always_fine_p99_ms: of one with the fine encoder and the LSTM alone.
    mean_share: of the one's mean in the other's. p99_limit_ms: what the slowest may take, always_fine_p99_ms
    and coarse_p99_ms.
    """

    backend: str
    installed: bool
    p_fine: float | None = None
    coarse_ms: float | None = None
    coarse_p99_ms: float | None = None
    fine_ms: float | None = None
    recur_ms: float | None = None
    mean_ms: float | None = None
    p99_ms: float | None = None
    always_fine_ms: float | None = None
    always_fine_p99_ms: float | None = None
    mean_share: float | None = None
    p99_limit_ms: float | None = None
    problem: str | None = None


class _Run:
    """A track of noise that goes on from frame to frame, and notes what each frame and each graph takes."""

    def __init__(self, model: AceModel) -> None:
        engines = {graph: self._noting(graph, engine) for graph, engine in model.engines.items()}
        self.model, self.noting, self.image = model, replace(model, engines=engines), noise(model.card)
        self.state = None
        self.frames_s: list[float] = []
        self.graphs_s: dict[str, list[float]] = {graph: [] for graph in GRAPHS["ace"]}

    def take_turn(self, turn_s: float) -> None:
        """One frame at least, after one that brings back into the caches what another run has put out."""
        self._step(self.model)
        end_s = perf_counter() + turn_s
        while True:
            start_s = processor_s()
            self._step(self.noting)
            self.frames_s.append(processor_s() - start_s)
            if perf_counter() >= end_s:
                return

    def _step(self, model: AceModel) -> None:
        _, self.state = model.step(self.image, self.state)

    def graph_ms(self, graph: str) -> float:
        return 1000 * float(np.median(self.graphs_s[graph]))

    def _noting(self, graph: str, engine: Engine) -> Engine:
        def run(inputs: dict[str, np.ndarray]) -> list[np.ndarray]:
            start_s = processor_s()
            outputs = engine(inputs)
            self.graphs_s[graph].append(processor_s() - start_s)
            return outputs

        return run


def measure_gate(
    name_or_path: str,
    p_fine: float | None,
    backends: Sequence[str],
    rounds: int,
    seconds: float,
    watch: Watch,
) -> tuple[GateReport, ...]:
    """Time ACE in some of the back ends of ``load_ace``, with its gate and always fine, in turns on one core.

    name_or_path: what ``load_ace`` takes; a checkpoint; or a name in MODELS, whose weights are random then.
    p_fine: for which share of the frames the gate is to open, evenly spread, whatever it says of noise; the
    card's if not given. seconds: how long each of the two runs in each back end. All frames count, of all
    rounds. Raises HandfastError as the checkpoint or ``load_ace`` does, and for a share that is not one.
    """
    keep_freed_memory()
    with TemporaryDirectory() as folder:
        path = exported(name_or_path, Path(folder) / "ace", _recipe_of, export_ace)
        p_fine = _checked(load_ace(path).card.metrics.get(P_FINE) if p_fine is None else p_fine)
        ready = {
            backend: made_ready(backend, partial(load_ace, path, None), _one_frame)
            for backend in watch(backends, "making ready", len(backends))
        }
    runs = {
        backend: (_Run(opened_for(model, p_fine)), _Run(always_fine(model)))
        for backend, model in ready.items()
        if isinstance(model, AceModel)
    }
    with one_core():
        for _ in watch(range(rounds), "timing", rounds):
            for pair in runs.values():
                for run in pair:
                    run.take_turn(seconds / rounds)
    return tuple(
        _report(backend, p_fine, *runs[backend])
        if isinstance(model, AceModel)
        else GateReport(backend, model.installed, problem=model.problem)
        for backend, model in ready.items()
    )


def opened_for(model: AceModel, p_fine: float) -> AceModel:
    """The same, whose gate is asked, but opens for this share of the frames, evenly spread."""
    frames, coarse = count(), model.engines["coarse"]

    def run(inputs: dict[str, np.ndarray]) -> list[np.ndarray]:
        _, *told = coarse(inputs)
        frame = next(frames)
        return [np.float32([int((frame + 1) * p_fine) - int(frame * p_fine)]), *told]

    return replace(model, engines={**model.engines, "coarse": run}, threshold=0.5)


def always_fine(model: AceModel) -> AceModel:
    """The fine encoder and the LSTM alone. The coarse one is run once, for the size of what it hands over;
    from then on it sees nothing, costs nothing and always asks for the fine one."""
    told: list[list[np.ndarray]] = []

    def run(inputs: dict[str, np.ndarray]) -> list[np.ndarray]:
        if not told:
            _, features, *_ = model.engines["coarse"](inputs)
            told.append([np.ones(1, np.float32), np.zeros_like(features)])
        return told[0]

    return replace(model, engines={**model.engines, "coarse": run}, threshold=0.5)


def _one_frame(model: AceModel) -> object:
    return model.step(noise(model.card))


def _recipe_of(name: str, net: nn.Module) -> AceRecipe:
    check_gated(net, name)
    look = ColourMix(input_px=max(net.coarse.input_px, net.fine.input_px))
    return AceRecipe(model=name, skeleton="hand21", epochs=1, data=ClipMix(look))


def _checked(p_fine: float | None) -> float:
    if p_fine is None:
        raise HandfastError("its card does not say how often the gate opens; say so with --p-fine")
    if not 0 <= p_fine <= 1:
        raise HandfastError(f"--p-fine: expected a share from 0 to 1, got {p_fine}")
    return p_fine


def _report(backend: str, p_fine: float, gated: _Run, always: _Run) -> GateReport:
    mean_ms, always_fine_ms = (1000 * float(np.mean(run.frames_s)) for run in (gated, always))
    p99_ms, always_p99_ms, coarse_p99_ms = (
        1000 * float(np.percentile(times_s, SLOWEST))
        for times_s in (gated.frames_s, always.frames_s, gated.graphs_s["coarse"])
    )
    return GateReport(
        backend=backend,
        installed=True,
        p_fine=p_fine,
        coarse_ms=gated.graph_ms("coarse"),
        coarse_p99_ms=coarse_p99_ms,
        fine_ms=always.graph_ms("fine"),
        recur_ms=gated.graph_ms("recur"),
        mean_ms=mean_ms,
        p99_ms=p99_ms,
        always_fine_ms=always_fine_ms,
        always_fine_p99_ms=always_p99_ms,
        mean_share=mean_ms / always_fine_ms,
        p99_limit_ms=always_p99_ms + coarse_p99_ms,
    )
