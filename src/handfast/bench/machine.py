"""What a measurement was made on, and when."""

import platform
import subprocess
from collections.abc import Iterable
from datetime import date
from importlib import metadata

from handfast.bench.compiled import PEAK_FLAGS, PLAIN_FLAGS, find_compiler
from handfast.errors import HandfastError
from handfast.processor import processor_name
from handfast.runtime.native import FLAGS


def machine_facts(packages: Iterable[str]) -> dict:
    """Date, processor, system, C compiler and flags, versions of Python and of the packages that are here."""
    return {
        "date": date.today().isoformat(),
        "processor": processor_name(),
        "system": platform.platform(),
        "compiler": compiler_name(),
        "c_flags": " ".join(FLAGS),
        "plain_flags": " ".join(PLAIN_FLAGS),
        "peak_flags": " ".join(PEAK_FLAGS),
        "versions": {"python": platform.python_version()} | _versions(packages),
    }


def compiler_name() -> str | None:
    """The first line that the C compiler says of itself, None where there is none."""
    try:
        command = [find_compiler(), "--version"]
    except HandfastError:
        return None
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    return next(iter(done.stdout.splitlines()), None)


def _versions(packages: Iterable[str]) -> dict[str, str]:
    found = {}
    for package in packages:
        try:
            found[package] = metadata.version(package)
        except metadata.PackageNotFoundError:
            continue
    return found
