"""The 8-bit C of small networks gives the bits of ``compression.integer``."""

import shutil
import subprocess
from pathlib import Path

import numpy as np
import pytest

from handfast.codecs import decode_heatmaps, map_to_input
from handfast.compression.integer import integer_logits
from handfast.compression.quantise import quantise
from handfast.errors import HandfastError
from handfast.export.c.emit_int8 import emit_int8
from handfast.export.c.network import read_network
from handfast.runtime.model import read_model

DRIVER = Path(__file__).with_name("driver.c")
# {name: (target, compiler and flags, what this processor has to have, what runs the program)}
BUILDS = {
    "generic": ("generic", ["cc"], (), ()),
    "sanitized": ("generic", ["cc", "-fsanitize=address,undefined", "-fno-sanitize-recover=all"], (), ()),
    "avx2": ("avx2", ["cc", "-mavx2", "-mfma"], ("avx2", "fma"), ()),
    "avx-vnni": ("avx2", ["cc", "-mavx2", "-mfma", "-mavxvnni"], ("avx2", "avx_vnni"), ()),
    "avx512": (
        "avx512",
        ["cc", "-mavx512f", "-mavx512bw", "-mavx512vl", "-mavx512vnni", "-mfma"],
        ("avx512bw", "avx512_vnni"),
        (),
    ),
    "neon": ("neon", ["aarch64-linux-gnu-gcc", "-static"], (), ("qemu-aarch64",)),
    "neon-dot": (
        "neon",
        ["aarch64-linux-gnu-gcc", "-static", "-march=armv8.2-a+dotprod"],
        (),
        ("qemu-aarch64", "-cpu", "max"),
    ),
}
EVERYWHERE = tuple(name for name in BUILDS if name != "sanitized")


def processor_flags():
    path = Path("/proc/cpuinfo")
    return set(path.read_text().split()) if path.is_file() else set()


@pytest.fixture(scope="module")
def outputs_of(tmp_path_factory):
    """A function of a quantised network, a build and images: what the compiled C gives, as a record array.
    Skips the test if the build cannot be made or run here."""

    def outputs_of(network, build, images):
        target, compiler, needed, emulator = BUILDS[build]
        for program in (compiler[0], *emulator[:1]):
            if shutil.which(program) is None:
                pytest.skip(f"{program} is not installed")
        if missing := set(needed) - processor_flags():
            pytest.skip(f"this processor has no {', '.join(sorted(missing))}")
        folder = tmp_path_factory.mktemp(build)
        for file, text in emit_int8(network, "net", target).items():
            (folder / file).write_text(text)
        strict = ["-std=gnu99", "-O1", "-Wall", "-Wextra", "-Werror", "-ffp-contract=off", f"-I{folder}"]
        program = folder / "program"
        subprocess.run([*compiler, *strict, folder / "net.c", DRIVER, "-o", program], check=True)
        done = subprocess.run([*emulator, program], input=images.tobytes(), capture_output=True, check=False)
        assert done.returncode == 0, done.stderr.decode()[:2000]
        k, (_, height, width) = network.keypoints_per_hand, network.shapes[network.heatmaps]
        shapes = {"heatmaps": (2, k, height, width), "visibility": (2, 1 + k), "keypoints": (2, k, 4)}
        return np.frombuffer(
            done.stdout, [*((name, "<f4", shape) for name, shape in shapes.items()), ("found", "<i4")]
        )

    return outputs_of


def widths_of_all_kinds(net, x):
    for filters in (3, 9, 5, 14):
        x = net.conv(net.conv(x, filters, relu=True), filters, 3, relu=True)
    return x


def groups_across_quads(net, x):
    x = net.conv(net.conv(x, 20, relu=True), 20, 3, groups=4, relu=True)
    x = net.conv(net.conv(x, 14, groups=2, relu=True), 14, 3, groups=2, relu=True)
    return net.conv(net.conv(x, 6, 3, groups=2, relu=True), 12, groups=6, relu=True)


def groups_of_one_channel(net, x):
    x = net.conv(net.conv(x, 9, relu=True), 9, 3, groups=9, relu=True)
    return net.conv(x, 18, groups=9, relu=True)


def groups_in_no_order(net, x):
    """Outputs that see inputs further and further behind."""
    x = net.shuffle(net.conv(x, 24, groups=4, relu=True), 4)
    return net.conv(net.shuffle(net.conv(x, 24, groups=6, relu=True), 6), 8, 3, groups=8, relu=True)


def dilations_up_to_more_than_the_map(net, x):
    for dilation in (2, 3, 6, 19):
        x = net.conv(x, 6, 3, dilation=dilation, relu=True)
    return x


def residual_units(net, x):
    x = net.conv(x, 8, relu=True)
    for groups, dilation in ((2, 1), (4, 2), (1, 4), (2, 11)):
        x = net.unit(x, groups, dilation, middle=2)
    return x


def a_residual_that_is_read_again(net, x):
    y = net.unit(net.conv(x, 8, relu=True), 2, 1, middle=3)
    return net.unit(net.concat(y, net.unit(y, 2, 1, middle=3)), 4, 1)


def sums_of_maps(net, x):
    first, second = net.conv(x, 8, 3, relu=True), net.conv(x, 8, relu=True)
    return net.add(net.add(first, second), net.conv(first, 8), relu=True)


def signed_maps(net, x):
    return net.conv(net.conv(x, 7), 8, relu=True)


def joined(net, x):
    x = net.conv(x, 8, relu=True)
    first = net.conv(net.conv(x, 5, 3, relu=True), 4, relu=True)
    return net.conv(net.concat(x, first, net.conv(first, 8, 3, relu=True)), 6, 3, groups=2, dilation=2)


def pooled_joins(net, x):
    x = net.pool(net.concat(x, net.conv(x, 4, 3, relu=True)))
    return net.conv(x, 12, relu=True)


def upsampled_twice(net, x):
    x = net.conv(net.upsample(net.conv(x, 5), relu=True), 6, relu=True)
    return net.upsample(net.conv(x, 3))


def upsampled_and_added(net, x):
    small = net.conv(net.pool(x), 6, relu=True)
    y = net.add(net.upsample(small), net.conv(x, 6), relu=True)
    return net.add(net.upsample(net.pool(net.conv(y, 4, relu=True))), net.conv(x, 4), relu=True)


LAYERS = (
    widths_of_all_kinds, groups_across_quads, groups_of_one_channel, groups_in_no_order,
    dilations_up_to_more_than_the_map, residual_units, a_residual_that_is_read_again, sums_of_maps,
    signed_maps, joined, pooled_joins, upsampled_twice, upsampled_and_added,
)  # fmt: skip
NETWORKS = {layers.__name__: layers for layers in LAYERS}


def quantised(nets, layers, height=24, width=72):
    """A network of a stem, these layers and heads; images, of which the first three calibrated it."""
    net = nets.Builder(height, width)
    x = layers(net, net.stem(4))
    images = nets.random_images(height, width, 5)
    return quantise(read_network(net.model(net.conv(x, 4), x), "net"), images[:3]), images


def assert_same_bits(got, network, images):
    heatmaps, visibility = integer_logits(network, images)
    np.testing.assert_array_equal(got["visibility"], visibility)
    np.testing.assert_array_equal(got["heatmaps"], heatmaps)


@pytest.mark.parametrize("build", ["generic", "avx512"])
@pytest.mark.parametrize("layers", NETWORKS)
def test_layers_compute_the_integers(nets, outputs_of, layers, build):
    network, images = quantised(nets, NETWORKS[layers])
    assert_same_bits(outputs_of(network, build, images), network, images)


def all_kinds(nets, height, width, early_out_logit=None):
    net = nets.Builder(height, width)
    x = net.stem(8)
    x = net.concat(net.unit(x, 2, 1, middle=5), net.conv(x, 4, 3, relu=True))
    small = net.pool(x) if min(net.shapes[x][1:]) > 1 else net.conv(x, 12, relu=True)
    small = net.unit(net.unit(small, 4, 1), 2, 2, middle=3)
    maps = net.conv(net.upsample(small, relu=True), 4)
    images = nets.random_images(height, width, 6)
    content = net.model(net.upsample(maps), small, early_out_logit)
    return quantise(read_network(content, "net"), images[:3]), images


@pytest.mark.parametrize("build", EVERYWHERE)
def test_every_target_gives_the_same_bits(nets, outputs_of, build):
    network, images = all_kinds(nets, 92, 60)
    assert_same_bits(outputs_of(network, build, images), network, images)


@pytest.mark.parametrize("build", ["sanitized", "avx512"])
@pytest.mark.parametrize("size", [(4, 4), (4, 80), (80, 4), (39, 14), (45, 77), (25, 330)])
def test_odd_sizes(nets, outputs_of, size, build):
    network, images = all_kinds(nets, *size)
    assert_same_bits(outputs_of(network, build, images), network, images)


@pytest.mark.parametrize("build", ["generic", "avx512"])
def test_the_packaged_network(nets, outputs_of, build):
    images = nets.random_images(120, 160, 3)
    images[0] = images[0, ::8, ::8].repeat(8, 0).repeat(8, 1)
    network = quantise(read_network(read_model("tofnet-tof8"), "tofnet-tof8"), images)
    assert_same_bits(outputs_of(network, build, images), network, images)


@pytest.mark.parametrize("build", ["generic", "avx512"])
def test_key_points_are_those_of_the_maps(nets, outputs_of, build):
    network, images = all_kinds(nets, 44, 76)
    got = outputs_of(network, build, images)
    there = got["visibility"][:, :, 0] > 0
    np.testing.assert_array_equal(got["found"], there @ [1, 2])
    points_map, sharpness = decode_heatmaps(got["heatmaps"])
    visible = 1 / (1 + np.exp(-got["visibility"][:, :, 1:]))
    want = np.concatenate([map_to_input(points_map, 2), visible[..., None], sharpness[..., None]], axis=-1)
    np.testing.assert_allclose(got["keypoints"], want * there[..., None, None], atol=1e-4)


def test_where_no_hand_may_be_the_decoder_does_not_run(nets, outputs_of):
    network, images = all_kinds(nets, 44, 76, early_out_logit=0.0)
    likeliest = integer_logits(network, images)[1][:, :, 0].max(axis=1)
    network, images = all_kinds(nets, 44, 76, early_out_logit=float(np.median(likeliest)))
    got = outputs_of(network, "generic", images)
    assert_same_bits(got, network, images)
    assert np.count_nonzero(got["heatmaps"].any(axis=(1, 2, 3, 4))) == 3


def test_the_packaged_network_is_small():
    images = np.random.default_rng(0).integers(0, 256, (2, 120, 160), np.uint8)
    network = quantise(read_network(read_model("tofnet-tof8"), "tofnet-tof8"), images)
    header = emit_int8(network, "net", "avx512")["net.h"]
    arena_bytes = int(header.split("ARENA_BYTES ")[1].split()[0])
    assert arena_bytes <= 48 * 1024


def signed_before_3x3(net, x):
    return net.conv(net.conv(x, 4), 4, 3, relu=True)


def two_3x3_in_a_sum(net, x):
    return net.add(net.conv(x, 4, 3), net.conv(x, 4, 3, dilation=2), relu=True)


def joins_within_quads(net, x):
    return net.concat(net.conv(x, 3, relu=True), net.conv(x, 5, relu=True))


@pytest.mark.parametrize("layers", [signed_before_3x3, two_3x3_in_a_sum, joins_within_quads])
def test_layers_without_a_kernel_are_refused_by_name(nets, layers):
    network, _ = quantised(nets, layers)
    with pytest.raises(HandfastError, match=r"model net: layer \w+: there is no 8-bit C kernel"):
        emit_int8(network, "net", "generic")


def test_an_unknown_target_is_refused(nets):
    with pytest.raises(HandfastError, match="target 'z80': expected generic, "):
        emit_int8(quantised(nets, signed_maps)[0], "net", "z80")
