"""What a stage of a frame takes, from the depth image to the joints, or all of them with one engine."""

from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True)
class StageScore:
    """ms: its time on one core. fps: as many in a second. engine: what ran the network. gmacs: of that."""

    ms: float
    fps: float
    engine: str
    gmacs: float


def read_stages(facts: Mapping[str, dict]) -> dict[str, StageScore]:
    """Those of the stages and engines, from JSON."""
    return {part: StageScore(**values) for part, values in facts.items()}
