"""Networks in OpenVINO, on one thread. It is an extra: ``core`` and what asks it raise ImportError where it
is not installed."""

import logging
from functools import cache
from pathlib import Path
from threading import Lock
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    import openvino

# What runs networks on crops.
BACKENDS = ("onnxruntime", "openvino")
# 32-bit floats wherever a file has no integers: on some processors it would take 16 bits.
OPTIONS = {
    "INFERENCE_NUM_THREADS": 1,
    "PERFORMANCE_HINT": "LATENCY",
    "INFERENCE_PRECISION_HINT": "f32",
}


class Request:
    """A network ready to run, for which several threads wait in turn."""

    def __init__(self, model: "openvino.Model") -> None:
        self._request = core().compile_model(model, "CPU", OPTIONS).create_infer_request()
        self._outputs = [output.any_name for output in model.outputs]
        self._lock = Lock()

    def __call__(self, inputs: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
        """Inputs by name -> outputs by name, in their order."""
        with self._lock:
            found = self._request.infer(inputs, share_inputs=True)
            return dict(zip(self._outputs, found.values(), strict=True))


def core() -> "openvino.Core":
    """The process's only one, which is never thrown away.

    Each gives the thread that asks for it a stack for signals, and takes it away when it ends. Where several
    end in another order than they began, the thread is left with one that is gone, and the next Ctrl-C is a
    segmentation fault (seen in OpenVINO 2026.4).
    """
    import openvino

    return _kept(openvino.Core)


@cache
def _kept(make: "type[openvino.Core]") -> "openvino.Core":
    return make()


def read_network(model: bytes | Path) -> "openvino.Model":
    """From a file, or the content of one, in OpenVINO's own format or ONNX."""
    return core().read_model(model)


def say_it_is_not_installed(log: logging.Logger) -> None:
    """Where another back end stands in."""
    log.warning("back end openvino: not installed (pip install openvino); running with onnxruntime")
