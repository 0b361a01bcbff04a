"""Files that the user gives, in order, and those asked for: of the right kind, whole or not at all."""

import os
import re
from contextlib import suppress
from pathlib import Path

from handfast.errors import HandfastError


def natural(name: str) -> list[str | int]:
    """Text and numbers in turn, by which frame_2 sorts before frame_10."""
    return [int(part) if i % 2 else part for i, part in enumerate(re.split(r"([0-9]+)", name))]


def check_ending(path: Path, *endings: str) -> None:
    """HandfastError unless the path ends in one of these, such as '.png', in small or capital letters."""
    if path.suffix.lower() not in endings:
        raise HandfastError(f"{path}: expected a file name that ends in {', '.join(endings)}")


def make_folder(path: Path) -> None:
    """And those that it goes into, if there are none. Raises HandfastError where there can be none."""
    try:
        path.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise HandfastError(f"{path}: cannot be a folder ({error.strerror}); choose another place") from error


def write_whole(path: Path, content: bytes) -> None:
    """Write a file, and the folder it goes into if there is none.

    It has its name only once it is complete, and what had that name before stays until then. Raises
    HandfastError when it cannot be written.
    """
    part = path.parent / f".{path.name}.part"
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        part.write_bytes(content)
        os.replace(part, path)
    except OSError as error:
        raise HandfastError(
            f"{path}: cannot be written ({error.strerror}); make room or choose another place"
        ) from error
    finally:
        with suppress(OSError):  # gone if all went well
            part.unlink()
