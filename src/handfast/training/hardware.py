"""What a run works on."""

import os
import platform
from pathlib import Path

import torch


def is_first_process() -> bool:
    """False in those that Fabric starts, by the same command, for the second device and on."""
    return os.environ.get("LOCAL_RANK", "0") == "0"


def hardware_facts() -> dict[str, str | int | None]:
    """The processor of this machine, its cores, the threads that torch uses, and the first GPU, JSON-able."""
    return {
        "cpu": _cpu_name(),
        "cores": os.cpu_count(),
        "threads": torch.get_num_threads(),
        "gpu": torch.cuda.get_device_name() if torch.cuda.is_available() else None,
    }


def _cpu_name() -> str:
    """As the system calls the processor."""
    info = Path("/proc/cpuinfo")  # elsewhere than on Linux platform knows it
    lines = info.read_text().splitlines() if info.exists() else []
    names = (line.split(":", 1)[1].strip() for line in lines if line.startswith("model name"))
    return next(names, platform.processor() or platform.machine())
