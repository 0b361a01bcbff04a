import json
from importlib.resources import as_file, files

import cv2
import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper

from handfast.errors import HandfastError
from handfast.export.card import CARD_KEY
from handfast.packaged import IN_GREY
from handfast.runtime.model import Model, ModelCard, load_model, read_card
from handfast.sensors.images import normalise_exposure
from handfast.sensors.sources import open_source

CARD = {
    "name": "two-maps",
    "family": "test",
    "skeleton": "tof8",
    "input": {"width": 4, "height": 3},
    "parameters": 1,
    "macs": 2,
    "flops": 4,
    "weight_bytes": 4,
    "licence": "none",
    "trained_on": "nothing",
    "metrics": {},
}


def write_model(path, card, channels=1):
    """A graph that gives its image back twice."""
    shape = ["batch", channels, 3, 4]
    image = helper.make_tensor_value_info("image", TensorProto.FLOAT, shape)
    outputs = [
        helper.make_tensor_value_info(name, TensorProto.FLOAT, shape) for name in ("heatmaps", "visibility")
    ]
    nodes = [helper.make_node("Identity", ["image"], [output.name]) for output in outputs]
    graph = helper.make_graph(nodes, "test", [image], outputs)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    if card is not None:
        helper.set_model_props(model, {CARD_KEY: card if isinstance(card, str) else json.dumps(card)})
    onnx.save_model(model, path)
    return path


def test_bytes_become_floats_between_0_and_1(tmp_path):
    model = load_model(write_model(tmp_path / "m.onnx", CARD))
    assert model.card.name == "two-maps" and model.input_size == (4, 3) and model.skeleton.name == "tof8"
    images = np.arange(24, dtype=np.uint8).reshape(2, 3, 4) * 11
    heatmaps, visibility = model.run(images)
    assert heatmaps.dtype == np.float32
    np.testing.assert_allclose(heatmaps[:, 0], images / 255, rtol=1e-6)
    assert (heatmaps == visibility).all()


IN_COLOUR = CARD | {"input": {"width": 4, "height": 3, "image": "colour"}}


def test_colour_becomes_channels(tmp_path):
    model = load_model(write_model(tmp_path / "m.onnx", IN_COLOUR, channels=3))
    assert model.card.in_colour and not load_model(write_model(tmp_path / "grey.onnx", CARD)).card.in_colour
    images = np.arange(72, dtype=np.uint8).reshape(2, 3, 4, 3) * 3
    heatmaps, _ = model.run(images)
    np.testing.assert_allclose(heatmaps, images.transpose(0, 3, 1, 2) / 255, rtol=1e-6)


@pytest.mark.parametrize(("card", "shape"), [(CARD, (2, 3, 4)), (IN_COLOUR, (2, 3, 4, 3))])
def test_both_ways_the_columns_are_mirrored_and_the_sides_swapped(card, shape):
    """Of an engine whose answer for a side is the image's columns: the mean of it and its mirror image's."""

    def columns(images):
        rows = images.reshape(*images.shape[:3], -1).astype(np.float32)[..., :1].mean(axis=1)[..., 0]
        return np.stack([rows, 10 * rows], axis=1)[:, :, None, None], np.stack([rows, 10 * rows], axis=1)

    images = np.random.default_rng(0).integers(0, 255, shape, dtype=np.uint8)
    heatmaps, visibility = Model(ModelCard(**card), "toy", columns).run_both_ways(images)
    own = columns(images)[0][:, 0]
    np.testing.assert_allclose(heatmaps[:, 0], (own + 10 * own) / 2, rtol=1e-5)
    np.testing.assert_allclose(heatmaps[:, 1], heatmaps[:, 0], rtol=1e-5)
    flipped = own[:, 0, 0, ::-1]
    np.testing.assert_allclose(visibility[:, 0], (own[:, 0, 0] + 10 * flipped) / 2, rtol=1e-5)


def test_both_ways_what_is_not_decoded_does_not_dilute_the_other():
    """Of four images both, the first, the mirrored and none of the two may show a hand."""
    logits = np.array([[3, 0], [3, -2], [-2, 3], [-2, -2]], np.float32)  # of an image, of its mirror image
    maps = np.array([[4, 2], [4, 0], [0, 2], [0, 0]], np.float32)

    def engine(_):
        seen = [np.repeat(values.T.reshape(-1, 1), 2, axis=1) for values in (maps, logits)]
        return seen[0][:, :, None, None, None].copy(), seen[1][:, :, None].copy()

    card = ModelCard(**CARD, early_out_logit=-1.0)
    heatmaps, visibility = Model(card, "toy", engine).run_both_ways(np.zeros((4, 3, 4), np.uint8))
    np.testing.assert_array_equal(heatmaps[:, 0, 0, 0, 0], [3, 4, 2, 0])
    np.testing.assert_array_equal(visibility[:, 0, 0], [1.5, 0.5, 0.5, -2])


def test_the_card_says_when_it_is_an_early_out_and_at_what_cost(tmp_path):
    later = {
        "early_out_logit": -1.0,
        "early_out_macs": 1,
        "early_out_flops": 2,
        "receptive_field_px": {"heatmaps": [3, 3], "visibility": [4, 3]},
    }
    card = load_model(write_model(tmp_path / "m.onnx", CARD | later)).card
    assert {name: getattr(card, name) for name in later} == later
    older = load_model(write_model(tmp_path / "older.onnx", CARD)).card
    assert {getattr(older, name) for name in later} == {None}


@pytest.mark.parametrize("name", IN_GREY)
def test_packaged_models_load_and_run(name):
    model = load_model(name)
    width, height = model.input_size
    heatmaps, visibility = model.run(np.zeros((2, height, width), np.uint8))
    keypoints = len(model.skeleton)
    assert model.card.name == name
    assert heatmaps.shape[:3] == (2, 2, keypoints) and visibility.shape == (2, 2, 1 + keypoints)


@pytest.mark.parametrize("name", IN_GREY)
def test_both_ways_do_not_care_about_left_and_right(name):
    """The mirror image gives the mirrored answer, exactly; and a batch gives what single images give, where
    both show hands and are decoded."""
    model = load_model(name)
    with as_file(files("handfast") / "assets" / "demo.zip") as clip:
        frames = [frame.amplitude for frame in open_source(clip)]
    images = np.stack([normalise_exposure(cv2.resize(frames[i], (160, 120))) for i in (0, 30)])
    heatmaps, visibility = model.run_both_ways(images)
    mirrored = model.run_both_ways(images[..., ::-1])
    assert heatmaps[0].any() and heatmaps[1].any()
    np.testing.assert_allclose(mirrored[0][:, ::-1, :, :, ::-1], heatmaps, atol=1e-4)
    np.testing.assert_allclose(mirrored[1][:, ::-1], visibility, atol=1e-4)
    np.testing.assert_allclose(model.run_both_ways(images[1:])[0][0], heatmaps[1], atol=1e-4)


def test_unknown_names_are_answered_with_the_known_ones():
    with pytest.raises(HandfastError, match="tofnet-hand21, tofnet-tof8"):
        load_model("mediapipe")


def test_a_file_cut_in_half_is_refused(tmp_path):
    whole = files("handfast").joinpath(f"assets/{IN_GREY[0]}.onnx").read_bytes()
    path = tmp_path / "half.onnx"
    for size in (0, 100, len(whole) // 2, len(whole) - 1):
        path.write_bytes(whole[:size])
        with pytest.raises(HandfastError, match=r"half\.onnx"):
            load_model(path)


def test_what_is_no_model_is_told_apart(tmp_path):
    (tmp_path / "model.safetensors").touch()
    (tmp_path / "empty").mkdir()
    for name, message in (
        ("model.safetensors", "is a checkpoint"),
        ("empty", "holds no exported network; expected tofnet-hand21"),
    ):
        for read in (load_model, read_card):
            with pytest.raises(HandfastError, match=message):
                read(tmp_path / name)
    with pytest.raises(HandfastError, match=r"got dense regression; give .*open_tracker takes any"):
        load_model("dense-hand21")


@pytest.mark.parametrize(
    "card",
    [
        None,
        "{",
        "[]",
        {"name": "x"},
        {name: value for name, value in CARD.items() if name != "licence"},
        CARD | {"skeleton": "octopus"},
        CARD | {"input": {}},
    ],
)
def test_a_graph_without_a_whole_card_is_refused(tmp_path, card):
    with pytest.raises(HandfastError, match="card"):
        load_model(write_model(tmp_path / "m.onnx", card))
