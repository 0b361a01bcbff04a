"""Run DIR-Net: four graphs, and a loop over two of them that ends when the network knows enough.

``extract`` sees a crop once; ``refine`` says how sure it is of each joint, and whether to go on; ``attend``
prepares the next refinement; ``pose`` says where the joints are, after the last. What is not needed is not
run.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from handfast.errors import HandfastError
from handfast.runtime.graphs import BACKENDS, Engine, as_channels, open_graphs
from handfast.runtime.model import ModelCard
from handfast.sensors.colour_crop import pixels_of
from handfast.skeleton import SKELETONS, Skeleton

RULES = ("gate", "variance", "never")
# The units of the log variances: hundredths of the crop, and cm.
CROP_SHARE, CENTIMETRE_M = 0.01, 0.01


@dataclass(frozen=True)
class ExitRule:
    """When to leave the loop.

    name: "gate", the learned one (section 4.2), "variance" (section 4.1), or "never", to run all loops.
    temperature: tau_gate, which softens what the gate says; the higher, the sooner it leaves. variance:
    tau_var; it leaves once the mean variance of the 2D coordinates, in hundredths of the crop squared, is no
    more.

    The gate's policy is a random one. Here it leaves at the median of when that would: as soon as the
    probability that it had left by now reaches one half. Raises HandfastError for settings that mean nothing.
    """

    name: str = "gate"
    temperature: float = 1.0
    variance: float = 1.0

    def __post_init__(self) -> None:
        if self.name not in RULES:
            raise HandfastError(f"exit rule: expected one of {', '.join(RULES)}, got {self.name!r}")
        for what in ("temperature", "variance"):
            if not 0 < getattr(self, what) < np.inf:
                raise HandfastError(f"exit rule: {what} must be above 0, got {getattr(self, what)}")


def read_exit_rule(text: str) -> ExitRule:
    """gate:TEMPERATURE, variance:VARIANCE or never -> the rule. Raises HandfastError for anything else."""
    name, colon, number = text.partition(":")
    if name == "never" and not colon:
        return ExitRule(name)
    try:
        setting = {"gate": "temperature", "variance": "variance"}[name]
        return ExitRule(name, **{setting: float(number)})
    except (KeyError, ValueError) as error:
        raise HandfastError(
            f"exit rule {text!r}: expected gate:TAU, variance:TAU or never, as in gate:1.0"
        ) from error


@dataclass(frozen=True, eq=False)
class RefinedHand:
    """What is known of the hand in a crop.

    joints_m (21, 3): from the wrist, along the crop's axes. keypoints_px (21, 2): in the crop.
    deviation_px (21,), deviation_m (21,): the standard deviations that the network expects, along one axis;
    that of the wrist in space means nothing. loops: how often it went on after the first estimate.
    """

    joints_m: np.ndarray
    keypoints_px: np.ndarray
    deviation_px: np.ndarray
    deviation_m: np.ndarray
    loops: int

    @property
    def effort(self) -> int:
        """As loops."""
        return self.loops


@dataclass(frozen=True, eq=False)
class RefinementModel:
    """DIR-Net ready to run. backend: which of ``BACKENDS`` runs it. engines: its graphs."""

    card: ModelCard
    backend: str
    engines: Mapping[str, Engine]
    max_loops: int
    rule: ExitRule

    @property
    def skeleton(self) -> Skeleton:
        return SKELETONS[self.card.skeleton]

    def refine(self, image: np.ndarray) -> RefinedHand:
        """A crop (S, S, 3) uint8, red, green, blue, of a right hand."""
        size_px = self.card.input["width"]
        (features,) = self.engines["extract"]({"image": as_channels(image, size_px)})
        attended, going = features, 1.0
        for loop in range(self.max_loops + 1):
            log_variance_2d, log_variance_3d, logits, pooled, encoded = self.engines["refine"](
                {"features": attended, "loop": np.array(loop, np.int64)}
            )
            going *= 1 - self._exit_probability(log_variance_2d, logits[0])
            if going <= 0.5 or loop == self.max_loops:
                break
            (attended,) = self.engines["attend"]({"features": features, "encoded": encoded})
        joints_3d, joints_2d = self.engines["pose"]({"pooled": pooled})
        return RefinedHand(
            joints_m=joints_3d[0],
            keypoints_px=pixels_of(joints_2d[0], size_px),
            deviation_px=_deviation(log_variance_2d[0]) * CROP_SHARE * size_px,
            deviation_m=_deviation(log_variance_3d[0]) * CENTIMETRE_M,
            loops=loop,
        )

    def step(self, image: np.ndarray, state: None = None) -> tuple[RefinedHand, None]:
        """As ``refine``: it remembers nothing of the frames before."""
        return self.refine(image), None

    def _exit_probability(self, log_variance_2d: np.ndarray, logits: np.ndarray) -> float:
        """As the gates in ``models.dirnet_gate``."""
        match self.rule.name:
            case "gate":
                lead = (float(logits[0]) - float(logits[1])) / self.rule.temperature
                return (1 + np.tanh(lead / 2)) / 2
            case "variance":
                return float(np.exp(log_variance_2d).mean() <= self.rule.variance)
        return 0.0


def load_dirnet(
    name_or_folder: str | Path, rule: ExitRule | None = None, backend: str = BACKENDS[0]
) -> RefinementModel:
    """A packaged DIR-Net by name, or a folder that ``handfast export`` wrote.

    rule: its card's own if not given. backend: one of ``BACKENDS``, with the same stand-in as
    ``open_graphs``, which also says what is refused.
    """
    graphs = open_graphs(name_or_folder, "dirnet", backend)
    card = graphs.card
    return RefinementModel(
        card, graphs.backend, graphs.engines, card.loops, rule or _own_rule(card, name_or_folder)
    )


def _own_rule(card: ModelCard, name: str | Path) -> ExitRule:
    try:
        return ExitRule(**(card.exit_rule or {}))
    except TypeError as error:
        raise HandfastError(
            f"model {name}: its handfast card is not whole (exit_rule: {error}); export it again"
        ) from error


def _deviation(log_variance: np.ndarray) -> np.ndarray:
    """(21, D) -> (21,), the root of the coordinates' mean variance."""
    return np.sqrt(np.exp(log_variance).mean(axis=-1))
