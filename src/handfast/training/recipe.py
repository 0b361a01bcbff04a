"""What every training run is made of: a frozen record, read from one small TOML file.

Each family of networks has a record of its own with this one as its base (``families``).
"""

import dataclasses
import hashlib
import json
import math
import tomllib
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path
from typing import get_args, get_origin

from handfast.errors import HandfastError
from handfast.models import MODELS
from handfast.skeleton import SKELETONS

SCHEDULES = ("linear", "cosine")
PRECISIONS = ("32-true", "bf16-mixed")
WEIGHTINGS = ("fixed", "gradnorm")


@dataclass(frozen=True, kw_only=True)
class Recipe:
    """One training run.

    model: a name in MODELS. skeleton: the key-points it predicts. init_from: a packaged model's name or a
    checkpoint, whose tensors of the same name and shape start the net; "" for a fresh one. steps or epochs,
    one of them: how long; an epoch is one pass over the frames that the data takes. batch_size: of all
    devices together. learning_rate: the highest, reached after warmup_steps and taken to zero by
    ``schedule``; the optimizer is Adam, its weight_decay decoupled (AdamW). gradient_clip: the gradient's
    highest norm. ema_decay: of the averaged weights that are validated and saved, 0 for the last ones.
    weighting: of the losses, "fixed", or "gradnorm" to start there and adapt.
    """

    model: str
    skeleton: str
    steps: int = 0
    epochs: float = 0.0
    init_from: str = ""
    batch_size: int = 32
    learning_rate: float = 5e-3
    warmup_steps: int = 200
    schedule: str = "cosine"
    weight_decay: float = 1e-4
    gradient_clip: float = 200.0
    ema_decay: float = 0.998
    weighting: str = "fixed"
    precision: str = "bf16-mixed"
    seed: int = 0
    checkpoint_every_s: float = 120.0
    validate_every_s: float = 300.0
    log_every_steps: int = 20

    def __post_init__(self) -> None:
        check_choice("model", self.model, MODELS)
        check_choice("skeleton", self.skeleton, SKELETONS)
        check_choice("schedule", self.schedule, SCHEDULES)
        check_choice("precision", self.precision, PRECISIONS)
        check_choice("weighting", self.weighting, WEIGHTINGS)
        for name in ("batch_size", "learning_rate", "gradient_clip", "log_every_steps"):
            if not 0 < getattr(self, name) < math.inf:
                raise HandfastError(f"recipe: {name} must be > 0 and finite, got {getattr(self, name)}")
        check_not_negative(self, "steps", "epochs", "warmup_steps", "weight_decay", "seed")
        if (self.steps > 0) == (self.epochs > 0):
            raise HandfastError(
                f"recipe: expected one of steps and epochs, got steps {self.steps} and epochs {self.epochs}"
            )
        if not 0 <= self.ema_decay < 1:
            raise HandfastError(f"recipe: ema_decay must be in [0, 1), got {self.ema_decay}")

    def starts(self) -> dict[str, str]:
        """What the net starts from: packaged models, checkpoints or earlier runs, by name, each by what its
        tensors have before their names in the net, "" for all of it."""
        return {"": self.init_from} if self.init_from else {}

    def interface(self) -> dict:
        """What the card of the trained network says of its input and output, as JSON-able values."""
        raise NotImplementedError

    def steps_on(self, frames: int) -> int:
        """How many steps the run has on a data set of so many frames."""
        return self.steps or math.ceil(self.epochs * frames / self.batch_size)

    @property
    def hash(self) -> str:
        """Names the recipe: 16 hexadecimal digits of SHA-256 over its values."""
        return hashlib.sha256(json.dumps(dataclasses.asdict(self), sort_keys=True).encode()).hexdigest()[:16]


def check_choice(what: str, value: str, choices: object) -> None:
    """Raises HandfastError for a value that is none of the choices."""
    if value not in choices:
        raise HandfastError(f"recipe: {what} must be one of {', '.join(map(repr, choices))}, got {value!r}")


def check_not_negative(recipe: Recipe, *names: str) -> None:
    """Raises HandfastError for a value below zero, or one without end."""
    for name in names:
        if not 0 <= getattr(recipe, name) < math.inf:
            raise HandfastError(f"recipe: {name} must be 0 or more, got {getattr(recipe, name)}")


def read_recipe(name_or_path: str | Path) -> tuple[Path, dict]:
    """The place of a packaged recipe, by name, or of a TOML file, and the values in it.

    Raises HandfastError if there is none, and if it is not TOML.
    """
    packaged = files("handfast") / "recipes"
    path = packaged / f"{name_or_path}.toml"
    if not path.is_file():
        path = Path(name_or_path)
    try:
        return path, tomllib.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        names = sorted(entry.name.removesuffix(".toml") for entry in packaged.iterdir())
        raise HandfastError(
            f"recipe {str(name_or_path)!r}: expected {', '.join(names)} or the path of a TOML file"
        ) from error
    except (OSError, ValueError) as error:
        raise HandfastError(f"{path}: expected a recipe in TOML: {error}") from error


def make_record(what: str, values: dict, record: type) -> object:
    """A frozen record from the values of a file; those that are records themselves come as tables.

    Raises HandfastError for a key that is unknown, missing or of another type, and as the record does.
    """
    fields = {field.name: field for field in dataclasses.fields(record)}
    made = {}
    for name, value in values.items():
        if name not in fields:
            raise HandfastError(f"{what}: unknown key {name!r}; known are {', '.join(fields)}")
        kind = fields[name].type
        if dataclasses.is_dataclass(kind):
            if not isinstance(value, dict):
                raise HandfastError(f"{what}: expected a table [{name}], got {value!r}")
            made[name] = make_record(f"{what}: [{name}]", value, kind)
            continue
        if get_origin(kind) is tuple:
            count = len(get_args(kind))
            if not (isinstance(value, list) and len(value) == count and all(map(_is_number, value))):
                raise HandfastError(f"{what}: {name} must be {count} numbers, got {value!r}")
            made[name] = tuple(map(float, value))
            continue
        fits = (int, float) if kind is float else kind
        if not isinstance(value, fits) or (isinstance(value, bool) and kind is not bool):
            raise HandfastError(f"{what}: {name} must be {kind.__name__}, got {value!r}")
        made[name] = value
    needed = [name for name, f in fields.items() if f.default is f.default_factory is dataclasses.MISSING]
    if missing := sorted(set(needed) - made.keys()):
        raise HandfastError(f"{what}: lacks {', '.join(missing)}")
    try:
        return record(**made)
    except HandfastError as error:
        raise HandfastError(f"{what}: {error}") from error


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)
