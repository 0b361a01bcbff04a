"""What a training run is made of: a frozen record, read from one small TOML file."""

import dataclasses
import hashlib
import json
import math
import tomllib
from dataclasses import dataclass, field
from importlib.resources import files
from pathlib import Path

from handfast.data.batches import Mix
from handfast.errors import HandfastError
from handfast.losses import LossWeights
from handfast.models import MODELS
from handfast.skeleton import SKELETONS

SCHEDULES = ("linear", "cosine")
PRECISIONS = ("32-true", "bf16-mixed")
WEIGHTINGS = ("fixed", "gradnorm")


@dataclass(frozen=True)
class Recipe:
    """One training run.

    model: a name in MODELS. skeleton: the key-points it predicts. auxiliary_skeleton: the key-points of the
    auxiliary decoder, "" for none. init_from: a packaged model's name or a checkpoint, whose tensors of the
    same name and shape start the net; "" for a fresh one. steps or epochs, one of them: how long; an epoch is
    one pass over the frames. batch_size: of all devices together. learning_rate: the highest, reached after
    warmup_steps and taken to zero by ``schedule``; the optimizer is Adam, its weight_decay decoupled (AdamW).
    gradient_clip: the gradient's highest norm. ema_decay: of the averaged weights that are validated and
    saved, 0 for the last ones. sigma_px: of the Gaussian targets, in map pixels, 0 for one-hot targets.
    hidden_weight: the weight of key- points that cannot be seen, 0 to leave them out. lone_hand_teaches_both:
    a hand that is alone trains the maps of both slots, for where its joints are does not depend on which hand
    it is. weighting: "fixed" as in ``losses``, or "gradnorm" to start there and adapt. losses: equation 1.
    data: what batches are made of.
    """

    model: str
    skeleton: str
    steps: int = 0
    epochs: float = 0.0
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
    hidden_weight: float = 0.3
    lone_hand_teaches_both: bool = True
    weighting: str = "fixed"
    precision: str = "bf16-mixed"
    seed: int = 0
    checkpoint_every_s: float = 120.0
    validate_every_s: float = 300.0
    log_every_steps: int = 20
    losses: LossWeights = field(default_factory=LossWeights)
    data: Mix = field(default_factory=Mix)

    def __post_init__(self) -> None:
        _check_choice("model", self.model, MODELS)
        _check_choice("skeleton", self.skeleton, SKELETONS)
        _check_choice("auxiliary_skeleton", self.auxiliary_skeleton, ("", *SKELETONS))
        _check_choice("schedule", self.schedule, SCHEDULES)
        _check_choice("precision", self.precision, PRECISIONS)
        _check_choice("weighting", self.weighting, WEIGHTINGS)
        for name in ("batch_size", "learning_rate", "gradient_clip", "log_every_steps"):
            if not getattr(self, name) > 0:
                raise HandfastError(f"recipe: {name} must be > 0, got {getattr(self, name)}")
        for name in ("steps", "epochs", "warmup_steps", "weight_decay", "sigma_px", "hidden_weight"):
            if not 0 <= getattr(self, name) < math.inf:
                raise HandfastError(f"recipe: {name} must be 0 or more, got {getattr(self, name)}")
        if (self.steps > 0) == (self.epochs > 0):
            raise HandfastError(
                f"recipe: expected one of steps and epochs, got steps {self.steps} and epochs {self.epochs}"
            )
        if not 0 <= self.ema_decay < 1:
            raise HandfastError(f"recipe: ema_decay must be in [0, 1), got {self.ema_decay}")

    def steps_on(self, frames: int) -> int:
        """How many steps the run has on a data set of so many frames."""
        return self.steps or math.ceil(self.epochs * frames / self.batch_size)

    @property
    def hash(self) -> str:
        """Names the recipe: 16 hexadecimal digits of SHA-256 over its values."""
        return hashlib.sha256(json.dumps(dataclasses.asdict(self), sort_keys=True).encode()).hexdigest()[:16]


def _check_choice(what: str, value: str, choices: object) -> None:
    if value not in choices:
        raise HandfastError(f"recipe: {what} must be one of {', '.join(map(repr, choices))}, got {value!r}")


def load_recipe(name_or_path: str | Path) -> Recipe:
    """A packaged recipe by name, or one in a TOML file.

    HandfastError if there is none, it is not TOML, or a key is unknown, missing or of another type.
    """
    packaged = files("handfast") / "recipes"
    path = packaged / f"{name_or_path}.toml"
    if not path.is_file():
        path = Path(name_or_path)
    try:
        values = tomllib.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        names = sorted(entry.name.removesuffix(".toml") for entry in packaged.iterdir())
        raise HandfastError(
            f"recipe {str(name_or_path)!r}: expected {', '.join(names)} or the path of a TOML file"
        ) from error
    except (OSError, ValueError) as error:
        raise HandfastError(f"{path}: expected a recipe in TOML: {error}") from error
    tables = {name: _table(path, values, name, record) for name, record in _TABLES.items() if name in values}
    _check_values(f"{path}", values, Recipe)
    missing = {"model", "skeleton"} - values.keys()
    if missing:
        raise HandfastError(f"{path}: lacks {', '.join(sorted(missing))}")
    return Recipe(**values | tables)


_TABLES = {"losses": LossWeights, "data": Mix}


def _table(path: object, values: dict, name: str, record: type) -> LossWeights | Mix:
    """Takes a table of the file out of its values."""
    table = values.pop(name)
    if not isinstance(table, dict):
        raise HandfastError(f"{path}: expected a table [{name}], got {table!r}")
    _check_values(f"{path}: [{name}]", table, record)
    return record(**table)


def _check_values(what: str, values: dict, record: type) -> None:
    types = {field.name: field.type for field in dataclasses.fields(record) if field.name not in _TABLES}
    for name, value in values.items():
        if name not in types:
            raise HandfastError(f"{what}: unknown key {name!r}; known are {', '.join(types)}")
        fits = (int, float) if types[name] is float else types[name]
        if not isinstance(value, fits) or (isinstance(value, bool) and types[name] is not bool):
            raise HandfastError(f"{what}: {name} must be {types[name].__name__}, got {value!r}")
