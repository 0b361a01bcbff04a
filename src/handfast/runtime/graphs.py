"""Networks of several graphs in a folder: opened together, in ONNX Runtime or OpenVINO."""

import logging
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
import onnxruntime

from handfast.errors import HandfastError
from handfast.runtime.model import GRAPHS, ON_CROPS, ModelCard, card_of, open_session, read_graphs
from handfast.runtime.openvino import BACKENDS, Request, read_network, say_it_is_not_installed

# What a graph may be given, by name -> its outputs in order.
Engine = Callable[[dict[str, np.ndarray]], list[np.ndarray]]


@dataclass(frozen=True, eq=False)
class OpenGraphs:
    """The graphs of a network ready to run, by name. backend: which of ``BACKENDS`` runs them. image_px: of
    each graph that takes an image, how wide that is."""

    card: ModelCard
    backend: str
    engines: Mapping[str, Engine]
    image_px: Mapping[str, int]


def open_graphs(name_or_folder: str | Path, family: str, backend: str) -> OpenGraphs:
    """A packaged network by name, or a folder that ``handfast export`` wrote. family: one of ``GRAPHS``.

    Where OpenVINO is not installed, ONNX Runtime stands in and the log says so. Raises HandfastError for an
    unknown name or back end, a missing or broken file, and for a network of another family.
    """
    if backend not in BACKENDS:
        raise HandfastError(f"backend {backend!r}: expected {', '.join(BACKENDS)}")
    contents = read_graphs(name_or_folder)
    sessions = {graph: open_session(content, name_or_folder) for graph, content in contents.items()}
    card, *others = (card_of(session, name_or_folder) for session in sessions.values())
    if card.family != family or tuple(contents) != GRAPHS[family]:
        raise HandfastError(
            f"model {name_or_folder}: expected a folder of {ON_CROPS[family]}, got {card.name}"
        )
    if any(other != card for other in others):
        raise HandfastError(f"model {name_or_folder}: its files are of different networks; export it again")
    image_px = {
        graph: taken.shape[-1]
        for graph, session in sessions.items()
        for taken in session.get_inputs()
        if taken.name == "image"
    }
    if backend == "openvino":
        try:
            engines = {graph: _openvino_engine(content) for graph, content in contents.items()}
            return OpenGraphs(card, backend, engines, image_px)
        except ImportError:
            say_it_is_not_installed(logging.getLogger(__name__))
    engines = {graph: _onnx_engine(session) for graph, session in sessions.items()}
    return OpenGraphs(card, "onnxruntime", engines, image_px)


def as_channels(image: np.ndarray, size_px: int, graph_px: int | None = None) -> np.ndarray:
    """A crop (S, S, 3) uint8 -> (1, 3, s, s) float32, 0..1, as a graph takes it. graph_px: s, of which S is a
    multiple; the crop is averaged down to it, in whole levels. S if not given. HandfastError for another
    shape or type."""
    if image.shape != (size_px, size_px, 3) or image.dtype != np.uint8:
        raise HandfastError(
            f"image: expected a crop ({size_px}, {size_px}, 3) uint8, got {image.shape} {image.dtype}"
        )
    graph_px = graph_px or size_px
    if graph_px != size_px:
        image = cv2.resize(image, (graph_px, graph_px), interpolation=cv2.INTER_AREA)
    # Many times as fast as to divide and move axes in one go, and nowhere off by more than one last digit.
    levels = image.astype(np.float32)
    levels *= np.float32(1 / 255)
    channels = np.empty((3, graph_px, graph_px), np.float32)
    cv2.split(levels, list(channels))
    return channels[None]


def _onnx_engine(session: onnxruntime.InferenceSession) -> Engine:
    names = [taken.name for taken in session.get_inputs()]
    return lambda inputs: session.run(None, {name: inputs[name] for name in names})


def _openvino_engine(content: bytes) -> Engine:
    model = read_network(content)
    request, names = Request(model), [taken.any_name for taken in model.inputs]
    return lambda inputs: list(request({name: inputs[name] for name in names}).values())
