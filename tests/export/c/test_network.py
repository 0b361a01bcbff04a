"""ONNX files as layers: the packaged networks whole, what has no kernel refused by name."""

import numpy as np
import onnx
import onnxruntime
import pytest
from onnx import TensorProto, helper

from handfast.compression.floats import run_floats
from handfast.errors import HandfastError
from handfast.export.c.folder import write_c
from handfast.export.c.network import Convolution, GlobalMax, Shuffle, Upsample, read_network, sources_of
from handfast.packaged import IN_GREY
from handfast.runtime.model import load_model, read_model


@pytest.mark.parametrize(("name", "keypoints"), [("tofnet-tof8", 8), ("tofnet-hand21", 21)])
def test_the_packaged_networks_are_read_whole(name, keypoints):
    network, card = read_network(read_model(name), name), load_model(name).card
    assert network.shapes[network.image] == (1, 120, 160)
    assert network.keypoints_per_hand == keypoints
    assert network.shapes[network.heatmaps] == (2 * keypoints, 60, 80)
    assert network.shapes[network.visibility] == (2 * (1 + keypoints), 1, 1)
    assert network.early_out_logit == pytest.approx(card.early_out_logit)
    convolutions = [layer for layer in network.layers if isinstance(layer, Convolution)]
    assert sum(c.weight.size + c.bias.size for c in convolutions) == card.parameters
    assert sum(c.weight.size * np.prod(network.shapes[c.target][1:]) for c in convolutions) == card.macs


@pytest.mark.parametrize("name", IN_GREY)
def test_layers_come_after_what_they_read_and_the_decoder_last(name):
    network = read_network(read_model(name), name)
    made = {network.image}
    for index, layer in enumerate(network.layers):
        assert made.issuperset(sources_of(layer))
        made.add(layer.target)
        if index == network.decoder_start - 1:
            assert network.visibility in made and network.heatmaps not in made
    assert any(isinstance(layer, Upsample) for layer in network.layers[network.decoder_start :])
    assert not any(isinstance(layer, GlobalMax) for layer in network.layers[network.decoder_start :])


def test_layers_compute_what_onnx_runtime_computes(nets):
    content = read_model("tofnet-tof8")
    network = read_network(content, "tofnet-tof8")
    image = np.kron(nets.random_images(12, 16, 1), np.ones((10, 10), np.uint8))
    content = onnx.load_from_string(content)
    next(t for t in content.graph.initializer if t.name == "early_out_logit").CopyFrom(
        onnx.numpy_helper.from_array(np.float32(-1e9), "early_out_logit")
    )
    session = onnxruntime.InferenceSession(content.SerializeToString())
    want = session.run(["heatmaps", "visibility"], {"image": image[:, None].astype(np.float32) / 255})
    maps = run_floats(network, image)
    for name, expected in zip((network.heatmaps, network.visibility), want, strict=True):
        np.testing.assert_allclose(maps[name].ravel(), expected.ravel(), atol=1e-4)


def sigmoid(net, x):
    return net.node("Sigmoid", [x], net.shapes[x])


def relu_of_a_pool(net, x):
    return net.relu(net.pool(x))


def average_pool(net, x):
    return net.node("AveragePool", [x], net.shapes[x], kernel_shape=[3, 3], pads=[1] * 4)


def pool_of_three(net, x):
    return net.node("MaxPool", [x], net.shapes[x], kernel_shape=[3, 3], pads=[1] * 4)


def padded_pool(net, x):
    return net.node("MaxPool", [x], (4, 3, 9), kernel_shape=[2, 2], strides=[2, 2], pads=[1] * 4)


def product(net, x):
    return net.node("Mul", [x, x], net.shapes[x])


def sum_with_a_number_a_channel(net, x):
    return net.node("Add", [x, net.constant(np.ones((1, 4, 1, 1), np.float32))], net.shapes[x])


def join_of_rows(net, x):
    return net.node("Concat", [x, x], (4, 10, 17), axis=2)


def mean_of_a_map(net, x):
    return net.node("ReduceMean", [x], (4, 1, 1), axes=[2, 3])


def greatest_of_the_channels(net, x):
    return net.node("ReduceMax", [x], (1, 5, 17), axes=[1])


def resized(net, x, scale=2, mode="nearest", rounding="asymmetric"):
    shape = 4, 5 * scale, 17 * scale
    scales = net.constant(np.float32([1, 1, scale, scale]))
    return net.node(
        "Resize",
        [x, "", scales],
        shape,
        mode=mode,
        coordinate_transformation_mode=rounding,
        nearest_mode="floor",
    )


def upsampled_between_pixels(net, x):
    return resized(net, x, mode="linear")


def upsampled_by_three(net, x):
    return resized(net, x, 3)


def upsampled_from_half_pixels(net, x):
    return resized(net, x, rounding="half_pixel")


def transposed(net, x):
    return net.node("Transpose", [x], (4, 5, 17), perm=[1, 0, 2, 3])


def convolution(net, x, kernel, **attributes):
    weight = net.constant(np.ones((4, 4, *kernel), np.float32))
    return net.node("Conv", [x, weight], net.shapes[x], kernel_shape=kernel, **attributes)


def oblong_kernel(net, x):
    return convolution(net, x, [1, 3], pads=[0, 1, 0, 1])


def lopsided_padding(net, x):
    return convolution(net, x, [3, 3], pads=[2, 2, 0, 0])


def uneven_dilation(net, x):
    return convolution(net, x, [3, 3], pads=[1, 2, 1, 2], dilations=[1, 2])


def padding_of_the_runtime_s_choice(net, x):
    return convolution(net, x, [3, 3], auto_pad="SAME_UPPER")


UNKNOWN = (
    sigmoid, relu_of_a_pool, average_pool, pool_of_three, padded_pool, product, sum_with_a_number_a_channel,
    join_of_rows, mean_of_a_map, greatest_of_the_channels, upsampled_between_pixels, upsampled_by_three,
    upsampled_from_half_pixels, transposed, oblong_kernel, lopsided_padding, uneven_dilation,
    padding_of_the_runtime_s_choice,
)  # fmt: skip


@pytest.mark.parametrize("layer", UNKNOWN, ids=lambda layer: layer.__name__)
def test_an_unknown_layer_is_refused_by_name_before_a_file_is_written(nets, tmp_path, layer):
    net = nets.Builder(20, 68)
    x = net.stem(4)
    name = layer(net, x)
    graph = helper.make_graph(
        net.nodes,
        "net",
        [helper.make_tensor_value_info("image", TensorProto.FLOAT, ["batch", 1, 20, 68])],
        [helper.make_tensor_value_info(name, TensorProto.FLOAT, None)],
        net.weights,
    )
    content = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)]).SerializeToString()
    with pytest.raises(HandfastError, match=rf"model my-net: layer {name}: "):
        write_c(content, "my-net", "generic", tmp_path / "out")
    assert not (tmp_path / "out").exists()


def small(nets, **options):
    net = nets.Builder(20, 68)
    x = net.stem(4)
    return net.model(net.conv(x, 4), x, **options)


def test_other_outputs_are_refused(nets, tmp_path):
    model = onnx.load_from_string(small(nets))
    model.graph.node[-1].output[0] = model.graph.output[-1].name = "hands"
    with pytest.raises(
        HandfastError, match="expected the outputs heatmaps and visibility, got heatmaps, hands"
    ):
        write_c(model.SerializeToString(), "net", "generic", tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_what_is_no_onnx_file_is_refused():
    with pytest.raises(HandfastError, match=r"model cut\.onnx: not a whole ONNX file"):
        read_network(read_model("tofnet-tof8")[:-1000], "cut.onnx")


def test_a_branch_other_than_the_early_out_is_refused(nets):
    model = onnx.load_from_string(small(nets, early_out_logit=0.0))
    threshold = next(t for t in model.graph.initializer if t.name == "early_out_logit")
    branch = next(node for node in model.graph.node if node.op_type == "If")
    for node in model.graph.node:
        node.input[:] = ["limit" if name == threshold.name else name for name in node.input]
    threshold.name = "limit"
    with pytest.raises(HandfastError, match=f"layer {branch.name}: an If that is not the early-out"):
        read_network(model.SerializeToString(), "net")


def test_an_early_out_s_layers_are_those_of_the_network_without(nets):
    plain, branched = (read_network(small(nets, early_out_logit=logit), "net") for logit in (None, -2.5))
    assert (plain.early_out_logit, branched.early_out_logit) == (None, -2.5)
    assert plain.decoder_start == branched.decoder_start < len(plain.layers) == len(branched.layers)
    assert [type(layer) for layer in plain.layers] == [type(layer) for layer in branched.layers]


def test_a_shuffle_is_one_layer(nets):
    net = nets.Builder(20, 68)
    x = net.stem(4)
    y = net.shuffle(net.conv(x, 6, groups=2), 2)
    network = read_network(net.model(net.conv(y, 4), x), "net")
    (shuffle,) = (layer for layer in network.layers if isinstance(layer, Shuffle))
    assert shuffle.groups == 2 and network.shapes[shuffle.target] == network.shapes[shuffle.source] == (
        6,
        5,
        17,
    )
