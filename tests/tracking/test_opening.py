"""Each model gets the tracker of its family."""

import pytest

from handfast.errors import HandfastError
from handfast.tracking.opening import open_tracker
from handfast.tracking.tracker import Tracker


def test_a_network_on_images_tracks_by_itself():
    tracker = open_tracker("tofnet-tof8", "onnxruntime")
    assert isinstance(tracker, Tracker) and tracker.model.card.name == "tofnet-tof8"


@pytest.mark.parametrize(("model", "backend"), [("nowhere.onnx", "onnxruntime"), ("nowhere.xml", "openvino")])
def test_a_model_that_is_not_there_is_named(model, backend):
    with pytest.raises(HandfastError, match=model):
        open_tracker(model, backend)
