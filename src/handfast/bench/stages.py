"""Where dense regression spends a frame: pre-processing, network or decoding (pruned_hourglass2019, tables 5
and 6).

The network runs in several engines, on one thread each; what is before and after it is the same for all.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import NamedTuple

import numpy as np
import torch
from torch import nn
from torch.nn.utils.fusion import fuse_conv_bn_eval

from handfast.bench.measure import Watch, keep_freed_memory, one_core, quietest_medians_s, threads_used
from handfast.bench.silence import silence
from handfast.codecs.dense import DenseMaps, decode_joints, encode_joints
from handfast.data.benchmarks import BENCH_DEPTH
from handfast.data.depth_batches import middle_mm
from handfast.errors import HandfastError
from handfast.export.onnx import export_onnx
from handfast.geometry import Camera
from handfast.models import MODELS
from handfast.models.dense_regression import ConvRenorm, DenseRegression
from handfast.runtime.dense import Engine, load_dense
from handfast.sensors.depth_crop import CUBE_MM, DepthCrop, box_about, crop_hand
from handfast.skeleton import SKELETONS
from handfast.training.checkpoint import checkpoint_path, load_checkpoint
from handfast.training.dense_regression import DenseRecipe
from handfast.training.loop import model_card

BACKENDS = ("torch", "onnxruntime", "openvino")
# Of the maps' largest value, where an engine computes in 32-bit floats.
LARGEST_DIFFERENCE = 1e-3


@dataclass(frozen=True)
class StageRow:
    """What one frame takes with the network in one engine; None for what could not be measured, ``problem``
    says why."""

    backend: str
    installed: bool
    preprocess_ms: float | None = None
    network_ms: float | None = None
    decode_ms: float | None = None
    total_ms: float | None = None
    fps: float | None = None
    problem: str | None = None


class TimedFrame(NamedTuple):
    """depth_mm (H, W) uint16 with one right hand, whose joints (21, 3) mm are in camera space."""

    depth_mm: np.ndarray
    camera: Camera
    joints_mm: np.ndarray


def measure_stages(
    name_or_path: str, backends: Sequence[str], rounds: int, seconds: float, watch: Watch
) -> tuple[StageRow, ...]:
    """Time a network of dense regression in some of ``BACKENDS``, all in turns on one core; a row each.

    name_or_path: a name in MODELS, whose weights are random unless it is packaged; a checkpoint; or what
    ``load_dense`` takes, which PyTorch cannot run. seconds, watch: as ``measure`` has them. The times are the
    quietest medians.

    Decoded is what a network would say that makes no mistakes, so that its time does not hang on training.

    Raises HandfastError as the checkpoint or ``load_dense`` does.
    """
    keep_freed_memory()
    frame = example_frame()
    with TemporaryDirectory() as folder:
        net, path = _network(name_or_path, Path(folder))
        reference = load_dense(path)
        crop = _cut_out(frame)
        depth = reference.batch([crop])
        expected = reference.engine(depth)
        ready = {
            backend: _made_ready(backend, net, path, depth, expected)
            for backend in watch(backends, "making ready", len(backends))
        }

    joints_mm = reference.skeleton.select(frame.joints_mm)
    maps = _true_maps(joints_mm, crop, expected.heatmaps_2d.shape[-1])
    runs: dict[str, Callable[[], object]] = {
        "preprocess": lambda: reference.batch([_cut_out(frame)]),
        "decode": lambda: decode_joints(maps, [crop]),
    }
    engines = {backend: engine for backend, engine in ready.items() if not isinstance(engine, StageRow)}
    runs |= {backend: lambda engine=engine: engine(depth) for backend, engine in engines.items()}
    with one_core():
        times_s = quietest_medians_s(runs, watch(range(rounds), "timing", rounds), seconds / rounds)
    return tuple(_timed(name, times_s) if name in engines else row for name, row in ready.items())


def example_frame() -> TimedFrame:
    """The first test frame of bench-depth."""
    sample = next(iter(BENCH_DEPTH.clip(BENCH_DEPTH.make_world(BENCH_DEPTH.seed), "test", 0)))
    joints_mm = 1000.0 * sample.hands[0].keypoints_m.astype(np.float64)
    return TimedFrame(sample.frame.depth, sample.frame.camera, joints_mm)


def fold_normalisation(net: DenseRegression) -> None:
    """Take the normalisations of a net in evaluation mode, in place, into the convolutions before them, as
    exporting does."""
    for module in net.modules():
        if isinstance(module, ConvRenorm):
            module[0], module[1] = fuse_conv_bn_eval(module[0], module[1]), nn.Identity()


def _cut_out(frame: TimedFrame) -> DepthCrop:
    return crop_hand(frame.depth_mm, frame.camera, box_about(middle_mm(frame.camera), frame.camera, CUBE_MM))


def _network(name_or_path: str, folder: Path) -> tuple[DenseRegression | None, Path | str]:
    """The net, if it is one that PyTorch can run, and what ``load_dense`` takes."""
    checkpoint = checkpoint_path(name_or_path)
    if checkpoint.suffix == ".safetensors":
        net, card = load_checkpoint(checkpoint)
        if not isinstance(net, DenseRegression):
            raise HandfastError(f"{name_or_path}: {card['name']} is timed once it is exported")
    elif name_or_path in MODELS and name_or_path.startswith("dense-"):
        torch.manual_seed(0)
        net = MODELS[name_or_path]().eval()
        skeleton = next(name for name, skeleton in SKELETONS.items() if len(skeleton) == net.joints)
        card = model_card(DenseRecipe(model=name_or_path, skeleton=skeleton, steps=1), "nothing", 0, {})
    else:
        return None, name_or_path
    path = folder / "network.onnx"
    export_onnx(net, card, path)
    return net, path


def _made_ready(
    backend: str, net: DenseRegression | None, path: Path | str, depth: np.ndarray, expected: DenseMaps
) -> Engine | StageRow:
    """An engine that computes what it should on one thread, or a row that says why there is none."""
    if backend == "torch":
        if net is None:
            return StageRow(backend, True, problem="it runs checkpoints, not what is exported")
        engine = _torch_engine(net)
    else:
        with silence():
            model = load_dense(path, backend)
        if model.backend != backend:
            if backend == "openvino":
                return StageRow(backend, False, problem="pip install openvino")
            return StageRow(backend, True, problem=f"{path} runs in OpenVINO alone")
        engine = model.engine
    for name, own, right in zip(DenseMaps._fields, engine(depth), expected, strict=True):
        difference, limit = np.abs(own - right).max(), LARGEST_DIFFERENCE * np.abs(right).max()
        if not difference <= limit:
            problem = f"its {name} are {difference:.3g} off, where up to {limit:.3g} may be"
            return StageRow(backend, True, problem=problem)
    if (threads := threads_used(lambda: engine(depth))) > 1:
        return StageRow(backend, True, problem=f"runs on {threads} threads instead of one")
    return engine


def _torch_engine(net: DenseRegression) -> Engine:
    torch.set_num_threads(1)
    fold_normalisation(net)
    net.to(memory_format=torch.channels_last)  # a seventh to a third faster than channels first

    def run(depth: np.ndarray) -> DenseMaps:
        with torch.inference_mode():
            return DenseMaps(*(maps.numpy() for maps in net(torch.from_numpy(depth))))

    return run


def _true_maps(joints_mm: np.ndarray, crop: DepthCrop, size: int) -> DenseMaps:
    """As an engine would give them for one crop."""
    maps = encode_joints(joints_mm, crop, size)
    return DenseMaps(*(np.ascontiguousarray(kind[None], np.float32) for kind in maps))


def _timed(backend: str, times_s: Mapping[str, float]) -> StageRow:
    stages_ms = [1000 * times_s[stage] for stage in ("preprocess", backend, "decode")]
    total_ms = sum(stages_ms)
    return StageRow(backend, True, *stages_ms, total_ms, 1000 / total_ms)
