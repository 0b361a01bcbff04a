"""Small networks, and their C compiled and run as programs of their own."""

import hashlib
import os
import shutil
import subprocess
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import onnxruntime
import pytest
from onnx import TensorProto, checker, helper, numpy_helper

from handfast.export.c.emit import emit
from handfast.export.early_out import add_early_out

DRIVER = Path(__file__).with_name("driver.c")
# {name: (target, compiler, flags)}
BUILDS = {
    "generic": ("generic", "cc", ()),
    "generic-fma": ("generic", "cc", ("-mfma",)),
    "avx2": ("avx2", "cc", ("-mavx2", "-mfma")),
    "avx512": ("avx512", "cc", ("-mavx512f", "-mavx512bw", "-mavx512vl", "-mfma")),
    "neon": ("neon", "aarch64-linux-gnu-gcc", ("-static",)),
    "sanitized": ("generic", "cc", ("-fsanitize=address,undefined", "-fno-sanitize-recover=all")),
}
EMULATOR = {"neon": ("qemu-aarch64",)}
NEEDED_MACROS = {
    "generic-fma": {"__FMA__"},
    "avx2": {"__AVX2__", "__FMA__"},
    "avx512": {"__AVX512F__", "__AVX512BW__", "__AVX512VL__"},
}


class NetBuilder:
    """An ONNX network, layer by layer: methods append one and give the name of what it makes."""

    def __init__(self, height, width, seed=0, channels=1):
        self.rng = np.random.default_rng(seed)
        self.nodes, self.weights = [], []
        self.shapes = {"image": (channels, height, width)}

    def node(self, operator, inputs, shape, **attributes):
        name = f"{operator.lower()}{len(self.nodes)}"
        self.nodes.append(helper.make_node(operator, inputs, [name], name=name, **attributes))
        self.shapes[name] = shape
        return name

    def constant(self, array):
        name = f"constant{len(self.weights)}"
        self.weights.append(numpy_helper.from_array(array, name))
        return name

    def conv(self, x, filters, kernel=1, groups=1, dilation=1, stride=1, relu=False):
        channels, height, width = self.shapes[x]
        shape = filters, channels // groups, kernel, kernel
        weight = self.rng.normal(0, (2 / np.prod(shape[1:])) ** 0.5, shape).astype(np.float32)
        bias = self.rng.normal(0, 0.5, filters).astype(np.float32)
        y = self.node(
            "Conv",
            [x, self.constant(weight), self.constant(bias)],
            (filters, -(-height // stride), -(-width // stride)),
            kernel_shape=[kernel] * 2, dilations=[dilation] * 2, strides=[stride] * 2,
            pads=[dilation * (kernel // 2)] * 4, group=groups,
        )  # fmt: skip
        return self.relu(y) if relu else y

    def relu(self, x):
        return self.node("Relu", [x], self.shapes[x])

    def pool(self, x):
        channels, height, width = self.shapes[x]
        return self.node(
            "MaxPool", [x], (channels, height // 2, width // 2), kernel_shape=[2, 2], strides=[2, 2]
        )

    def stem(self, filters):
        return self.pool(self.conv("image", filters, 3, stride=2, relu=True))

    def add(self, x, y, relu=False):
        total = self.node("Add", [x, y], self.shapes[x])
        return self.relu(total) if relu else total

    def concat(self, *parts):
        channels = sum(self.shapes[part][0] for part in parts)
        return self.node("Concat", parts, (channels, *self.shapes[parts[0]][1:]), axis=1)

    def shuffle(self, x, groups):
        channels, height, width = self.shapes[x]
        sizes = [1, groups, channels // groups, height, width]
        split = self.node("Reshape", [x, self.constant(np.int64(sizes))], None)
        dealt = self.node("Transpose", [split], None, perm=[0, 2, 1, 3, 4])
        return self.node("Reshape", [dealt, self.constant(np.int64([1, *self.shapes[x]]))], self.shapes[x])

    def upsample(self, x, relu=False):
        """To twice the size, then a depth-wise convolution."""
        channels, height, width = self.shapes[x]
        larger = self.node(
            "Resize", [x, "", self.constant(np.float32([1, 1, 2, 2]))], (channels, 2 * height, 2 * width),
            mode="nearest", coordinate_transformation_mode="asymmetric", nearest_mode="floor",
        )  # fmt: skip
        return self.conv(larger, channels, 3, groups=channels, relu=relu)

    def unit(self, x, groups, dilation, middle=1):
        """A residual one: 1x1, shuffle, dilated 3x3, 1x1; middle: channels of a group in between."""
        channels = self.shapes[x][0]
        y = self.conv(x, middle * groups, groups=groups, relu=True)
        y = self.shuffle(y, groups) if groups > 1 else y
        y = self.conv(y, middle * groups, 3, groups=groups, dilation=dilation, relu=True)
        return self.add(x, self.conv(y, channels, groups=groups), relu=True)

    def model(self, heatmaps, summary, early_out_logit=None, presence=(0, 0)):
        """-> the ONNX file's content. heatmaps (2 K, h, w): what becomes this output; summary: the map of
        whose maxima the visibility is told; presence: what is added to the logits of the two hands."""
        maps, height, width = self.shapes[heatmaps]
        keypoints = maps // 2
        channels = self.shapes[summary][0]
        most = self.node("ReduceMax", [summary], (channels, 1, 1), axes=[2, 3], keepdims=1)
        flat = self.node("Flatten", [self.conv(most, 5, relu=True)], None, axis=1)
        weight = self.rng.normal(0, 0.5, (2 * (1 + keypoints), 5)).astype(np.float32)
        bias = self.rng.normal(0, 0.5, len(weight)).astype(np.float32)
        bias[[0, 1 + keypoints]] += np.float32(presence)
        told = self.node("Gemm", [flat, self.constant(weight), self.constant(bias)], None, transB=1)
        outputs = {
            "heatmaps": (heatmaps, (2, keypoints, height, width)),
            "visibility": (told, (2, 1 + keypoints)),
        }
        for output, (name, sizes) in outputs.items():
            shape = self.constant(np.int64([-1, *sizes]))
            self.nodes.append(helper.make_node("Reshape", [name, shape], [output], name=output))
        graph = helper.make_graph(
            self.nodes,
            "net",
            [helper.make_tensor_value_info("image", TensorProto.FLOAT, ["batch", *self.shapes["image"]])],
            [
                helper.make_tensor_value_info(output, TensorProto.FLOAT, ["batch", *sizes])
                for output, (_, sizes) in outputs.items()
            ],
            self.weights,
        )
        model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
        if early_out_logit is not None:
            add_early_out(model, early_out_logit)
        checker.check_model(model, full_check=True)
        return model.SerializeToString()


@dataclass(frozen=True, eq=False)
class Answers:
    """Of some images: heatmaps (n, 2, K, h, w), visibility (n, 2, 1 + K); from C keypoints (n, 2, K, 4) and
    found (n,) too."""

    heatmaps: np.ndarray
    visibility: np.ndarray
    keypoints: np.ndarray | None = None
    found: np.ndarray | None = None


@cache
def native_macros(compiler):
    done = subprocess.run(
        [compiler, "-march=native", "-dM", "-E", "-x", "c", "-"],
        input="",
        capture_output=True,
        text=True,
        check=True,
    )
    return {line.split()[1] for line in done.stdout.splitlines()}


class Compiled:
    """Networks as programs, each compiled once a session."""

    def __init__(self, folder):
        self.folder = folder

    def run(self, content, build, images, table=None):
        """images: (n, H, W) or (n, H, W, 3) uint8; table: of blocks. Skips the test where a build cannot be
        made or run."""
        if reason := self.missing(build):
            pytest.skip(reason)
        done = subprocess.run(
            [*EMULATOR.get(build, ()), self._program(content, build, table)],
            input=images.tobytes(),
            capture_output=True,
            check=False,
            env=os.environ | {"ASAN_OPTIONS": "detect_leaks=0"},
        )
        assert done.returncode == 0, f"{build}: exit status {done.returncode} {done.stderr.decode()[:2000]}"
        session = onnxruntime.InferenceSession(content)
        sizes = {output.name: tuple(output.shape[1:]) for output in session.get_outputs()}
        keypoints = sizes["heatmaps"][1]
        record = np.dtype(
            [
                ("heatmaps", "<f4", sizes["heatmaps"]),
                ("visibility", "<f4", sizes["visibility"]),
                ("keypoints", "<f4", (2, keypoints, 4)),
                ("found", "<i4"),
            ]
        )
        records = np.frombuffer(done.stdout, record)
        assert len(records) == len(images)
        return Answers(*(records[name] for name in record.names))

    def missing(self, build):
        """What stands in the way of a build, or None."""
        _, compiler, _ = BUILDS[build]
        for program in (compiler, *EMULATOR.get(build, ())):
            if shutil.which(program) is None:
                return f"{program} is not installed"
        if build in NEEDED_MACROS and not NEEDED_MACROS[build] <= native_macros(compiler):
            return f"this processor cannot run {build}"
        return None

    def _program(self, content, build, table):
        target, compiler, flags = BUILDS[build]
        texts = emit(content, "net", target, table=table)
        key = hashlib.sha256(repr((build, sorted(texts.items()))).encode()).hexdigest()[:16]
        folder = self.folder / f"{build}-{key}"
        program = folder / "program"
        if not program.is_file():
            folder.mkdir()
            for file, text in texts.items():
                (folder / file).write_text(text)
            subprocess.run(
                [
                    compiler, "-std=gnu99", "-O0", "-Wall", "-Wextra", "-Werror", "-ffp-contract=off", *flags,
                    f"-I{folder}", folder / "net.c", DRIVER, "-o", program,
                ],
                check=True,
            )  # fmt: skip
        return program


def answers_of_onnx_runtime(content, images):
    session = onnxruntime.InferenceSession(content)
    answers = [
        session.run(["heatmaps", "visibility"], {"image": image[None].astype(np.float32) / 255})
        for image in (images[:, None] if images.ndim == 3 else images.transpose(0, 3, 1, 2))
    ]
    return Answers(*(np.concatenate(part) for part in zip(*answers, strict=True)))


def random_images(height, width, n=3, seed=0, channels=()):
    return np.random.default_rng(seed).integers(0, 256, (n, height, width, *channels), np.uint8)


@pytest.fixture(scope="session")
def nets():
    """What the tests share: NetBuilder, and functions of a network's content or of sizes."""
    return SimpleNamespace(Builder=NetBuilder, answers=answers_of_onnx_runtime, random_images=random_images)


@pytest.fixture(scope="session")
def compiled(tmp_path_factory):
    return Compiled(tmp_path_factory.mktemp("compiled"))
