"""What a training run is made of: a frozen record, read from one small TOML file."""

import dataclasses
import hashlib
import json
import tomllib
from dataclasses import dataclass, field
from pathlib import Path

from handfast.errors import HandfastError
from handfast.losses import LossWeights
from handfast.models import MODELS
from handfast.skeleton import SKELETONS

SCHEDULES = ("linear", "cosine")
PRECISIONS = ("32-true", "bf16-mixed")


@dataclass(frozen=True)
class Recipe:
    """One training run.

    model: a name in MODELS. skeleton: the key-points it predicts. auxiliary_skeleton: the key-points of the
    auxiliary decoder, "" for none. init_from: a checkpoint whose tensors of the same name and shape start the
    net, "" for a fresh one. learning_rate: the highest, reached after warmup_steps and taken to zero by
    ``schedule``. gradient_clip: the gradient's highest norm. ema_decay: of the averaged weights that are
    validated and saved. sigma_px: of the Gaussian targets, in map pixels.
    """

    model: str
    skeleton: str
    steps: int
    auxiliary_skeleton: str = ""
    init_from: str = ""
    batch_size: int = 32
    learning_rate: float = 5e-3
    warmup_steps: int = 200
    schedule: str = "cosine"
    weight_decay: float = 1e-4
    gradient_clip: float = 200.0
    ema_decay: float = 0.998
    sigma_px: float = 1.0
    precision: str = "bf16-mixed"
    seed: int = 0
    checkpoint_every_s: float = 120.0
    validate_every_s: float = 300.0
    log_every_steps: int = 20
    losses: LossWeights = field(default_factory=LossWeights)

    def __post_init__(self) -> None:
        _check_choice("model", self.model, MODELS)
        _check_choice("skeleton", self.skeleton, SKELETONS)
        _check_choice("auxiliary_skeleton", self.auxiliary_skeleton, ("", *SKELETONS))
        _check_choice("schedule", self.schedule, SCHEDULES)
        _check_choice("precision", self.precision, PRECISIONS)
        for name in ("steps", "batch_size", "learning_rate", "gradient_clip", "sigma_px", "log_every_steps"):
            if not getattr(self, name) > 0:
                raise HandfastError(f"recipe: {name} must be > 0, got {getattr(self, name)}")
        if not 0 <= self.ema_decay < 1:
            raise HandfastError(f"recipe: ema_decay must be in [0, 1), got {self.ema_decay}")

    @property
    def hash(self) -> str:
        """Names the recipe: 16 hexadecimal digits of SHA-256 over its values."""
        return hashlib.sha256(json.dumps(dataclasses.asdict(self), sort_keys=True).encode()).hexdigest()[:16]


def _check_choice(what: str, value: str, choices: object) -> None:
    if value not in choices:
        raise HandfastError(f"recipe: {what} must be one of {', '.join(map(repr, choices))}, got {value!r}")


def load_recipe(path: Path) -> Recipe:
    """Read a recipe. HandfastError if it is not TOML, or a key is unknown, missing or of another type."""
    try:
        values = tomllib.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise HandfastError(f"{path}: expected a recipe in TOML: {error}") from error
    losses = values.pop("losses", {})
    _check_values(f"{path}", values, Recipe)
    if not isinstance(losses, dict):
        raise HandfastError(f"{path}: expected a table [losses], got {losses!r}")
    _check_values(f"{path}: [losses]", losses, LossWeights)
    missing = {"model", "skeleton", "steps"} - values.keys()
    if missing:
        raise HandfastError(f"{path}: lacks {', '.join(sorted(missing))}")
    return Recipe(**values, losses=LossWeights(**losses))


def _check_values(what: str, values: dict, record: type) -> None:
    types = {field.name: field.type for field in dataclasses.fields(record) if field.name != "losses"}
    for name, value in values.items():
        if name not in types:
            raise HandfastError(f"{what}: unknown key {name!r}; known are {', '.join(types)}")
        fits = (int, float) if types[name] is float else types[name]
        if isinstance(value, bool) or not isinstance(value, fits):
            raise HandfastError(f"{what}: {name} must be {types[name].__name__}, got {value!r}")
