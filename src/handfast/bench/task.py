"""What all engines are given: one network without branches, and one picture in which it sees a hand."""

from dataclasses import dataclass
from functools import cached_property
from importlib import resources

import cv2
import numpy as np
import onnx

from handfast.errors import HandfastError
from handfast.evaluation.cost import Cost, cost_of_file
from handfast.export.c.network import Network, read_network
from handfast.runtime.model import load_model, read_model
from handfast.sensors.images import as_floats, tinted
from handfast.sensors.sources import open_source


@dataclass(frozen=True, eq=False)
class Task:
    """A network to run on one image.

    name: as its card says. content: its ONNX file. image: (H, W) or (H, W, 3) uint8, in which the network
    sees a hand, so that no engine leaves the decoder out. expected: heat-map and visibility logits, as
    ``runtime.model.Model.run`` makes them of the image.
    """

    name: str
    content: bytes
    image: np.ndarray
    expected: tuple[np.ndarray, np.ndarray]

    @cached_property
    def network(self) -> Network:
        return read_network(self.content, self.name)

    @cached_property
    def cost(self) -> Cost:
        return cost_of_file(self.content)

    @cached_property
    def plain_onnx(self) -> bytes:
        """The ONNX file with the decoder where its branch was: some engines optimise across no branches."""
        model = onnx.load_from_string(self.content)
        nodes = []
        for node in model.graph.node:
            if node.op_type != "If":
                nodes.append(node)
                continue
            then = next(attribute.g for attribute in node.attribute if attribute.name == "then_branch")
            then.node[-1].output[0] = node.output[0]
            nodes += then.node
            model.graph.initializer.extend(then.initializer)
        del model.graph.node[:]
        model.graph.node.extend(nodes)
        return model.SerializeToString()

    def as_floats(self) -> np.ndarray:
        """The image as engines take it, (1, c, H, W) float32, 0..1; made anew, as for each camera frame."""
        return as_floats(self.image[None])


def read_task(model: str) -> Task:
    """A packaged model or a model file on that frame of the packaged clip in which it is surest of a hand,
    tinted for a model that sees colour.

    Raises HandfastError for a model that cannot be read, and for one that sees no hand in any frame.
    """
    ready = load_model(model, "onnxruntime")
    with resources.as_file(resources.files("handfast") / "assets" / "demo.zip") as clip:
        images = np.stack(
            [
                cv2.resize(frame.amplitude, ready.input_size, interpolation=cv2.INTER_AREA)
                for frame in open_source(clip)
            ]
        )
    if ready.card.in_colour:
        images = tinted(images)
    presence = ready.run(images)[1][:, :, 0].max(axis=1)
    if presence.max() <= 0:
        raise HandfastError(
            f"model {model}: it sees no hand in the packaged clip; train it longer before it is timed"
        )
    image = images[presence.argmax()]
    return Task(ready.card.name, read_model(model), image, ready.run(image[None]))
