"""What a run works on."""

import os

import torch

from handfast.processor import processor_name


def is_first_process() -> bool:
    """False in those that Fabric starts, by the same command, for the second device and on."""
    return os.environ.get("LOCAL_RANK", "0") == "0"


def hardware_facts() -> dict[str, str | int | None]:
    """The processor of this machine, its cores, the threads that torch uses, and the first GPU, JSON-able."""
    return {
        "cpu": processor_name(),
        "cores": os.cpu_count(),
        "threads": torch.get_num_threads(),
        "gpu": torch.cuda.get_device_name() if torch.cuda.is_available() else None,
    }
