"""Run ACE: three graphs, of which the fine encoder's is run only when the gate asks for it.

``coarse`` sees every crop and says whether ``fine`` is to look as well; ``recur`` makes a pose of what they
saw and of what it remembers of the track.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np

from handfast.errors import HandfastError
from handfast.runtime.graphs import BACKENDS, Engine, as_channels, open_graphs
from handfast.runtime.model import ModelCard
from handfast.skeleton import SKELETONS, Skeleton

CENTIMETRE_M = 0.01
STATE_PARTS = 4  # h, c, h1, h2


@dataclass(frozen=True, eq=False)
class AceState:
    """What is kept of a track, each (1, H) float32: the LSTM's h and c after the last frame, its h one (h1)
    and two (h2) frames before. frames: how many it has seen."""

    h: np.ndarray
    c: np.ndarray
    h1: np.ndarray
    h2: np.ndarray
    frames: int = 0


@dataclass(frozen=True, eq=False)
class AceEstimate:
    """What is known of the hand in a crop.

    joints_m (21, 3): from the wrist, along the crop's axes. used_fine: whether the fine encoder ran.
    fine_probability: what the gate said, G_fine.
    """

    joints_m: np.ndarray
    used_fine: bool
    fine_probability: float

    @property
    def effort(self) -> int:
        """1 where the fine encoder ran."""
        return int(self.used_fine)


@dataclass(frozen=True, eq=False)
class AceModel:
    """ACE ready to run. backend: which of ``BACKENDS`` runs it. engines: its graphs; as ``image`` encoders
    take a crop as it is. threshold: lambda; the fine encoder runs where G_fine is above it."""

    card: ModelCard
    backend: str
    engines: Mapping[str, Engine]
    threshold: float

    @property
    def skeleton(self) -> Skeleton:
        return SKELETONS[self.card.skeleton]

    def step(self, image: np.ndarray, state: AceState | None = None) -> tuple[AceEstimate, AceState]:
        """The next crop (S, S, 3) uint8, red, green, blue, of a track of a right hand.

        state: what the step before returned; None for a track that begins. One that has seen as many frames
        as clips had in training, the card's ``state_frames``, is thrown away: beyond that it does harm.
        """
        if state is None or state.frames == self.card.state_frames:
            state = self._initial_state()
        seen = {"image": image, "h": state.h, "h1": state.h1, "h2": state.h2}
        g_fine, features = self.engines["coarse"](seen)
        used_fine = bool(g_fine[0] > self.threshold)
        if used_fine:
            (features,) = self.engines["fine"]({"image": image, "coarse": features, "g_fine": g_fine})
        joints_cm, h, c = self.engines["recur"]({"features": features, "h": state.h, "c": state.c})
        estimate = AceEstimate(CENTIMETRE_M * joints_cm[0], used_fine, float(g_fine[0]))
        return estimate, AceState(h, c, state.h, state.h1, state.frames + 1)

    def _initial_state(self) -> AceState:
        """That of a track which has just begun."""
        zeros = np.zeros((1, self.card.state_bytes // (4 * STATE_PARTS)), np.float32)
        return AceState(*(zeros,) * STATE_PARTS)


def load_ace(
    name_or_folder: str | Path, threshold: float | None = None, backend: str = BACKENDS[0]
) -> AceModel:
    """A packaged ACE by name, or a folder that ``handfast export`` wrote.

    threshold: its card's own if not given. backend: one of ``BACKENDS``, with the same stand-in as
    ``open_graphs``, which also says what is refused.
    """
    graphs = open_graphs(name_or_folder, "ace", backend)
    threshold = graphs.card.threshold if threshold is None else threshold
    if not 0 <= threshold <= 1:
        raise HandfastError(f"threshold (--gate): expected 0..1, got {threshold}")
    size_px = graphs.card.input["width"]
    encoders = {
        graph: partial(_on_crop, graphs.engines[graph], size_px, graph_px)
        for graph, graph_px in graphs.image_px.items()
    }
    return AceModel(graphs.card, graphs.backend, {**graphs.engines, **encoders}, threshold)


def _on_crop(engine: Engine, size_px: int, graph_px: int, inputs: dict[str, np.ndarray]) -> list[np.ndarray]:
    return engine(inputs | {"image": as_channels(inputs["image"], size_px, graph_px)})
