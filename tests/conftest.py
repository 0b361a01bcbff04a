"""Benchmarks of a few frames, and one of them on disk; the command, run in this process."""

import shutil
import sys
from dataclasses import replace

import pytest

from handfast import cli
from handfast.data.benchmarks import BENCH_DEPTH, BENCH_TOF
from handfast.data.generate import in_processes, make, plan


def tiny(benchmark):
    """Seven shards of one to three clips."""
    clips = {"small": {"train": 7, "validation": 4, "test": 5}}
    return replace(benchmark, clips=clips, shard_clips=3)


@pytest.fixture(scope="session")
def tiny_tof():
    return tiny(BENCH_TOF)


@pytest.fixture(scope="session")
def tiny_depth():
    return tiny(BENCH_DEPTH)


@pytest.fixture(scope="session")
def synthesise_into():
    """A function that makes, or finishes, a benchmark in a folder: the names of the shards it made."""

    def synthesise_into(folder, benchmark, run=None):
        card, jobs = plan(benchmark, "small", folder, "1.2.3")
        return [f"{job.split}/{job.name}" for job in make(folder, card, jobs, run or in_processes(1))]

    return synthesise_into


@pytest.fixture(scope="session")
def tof_folder(tiny_tof, synthesise_into, tmp_path_factory):
    """A finished one, not to be changed."""
    folder = tmp_path_factory.mktemp("tof")
    synthesise_into(folder, tiny_tof)
    return folder


@pytest.fixture(scope="session")
def depth_folder(tiny_depth, synthesise_into, tmp_path_factory):
    """A finished one of depth crops, not to be changed."""
    folder = tmp_path_factory.mktemp("depth")
    synthesise_into(folder, tiny_depth)
    return folder


@pytest.fixture
def tof_copy(tof_folder, tmp_path):
    """A finished one, to be broken."""
    return shutil.copytree(tof_folder, tmp_path / "tof")


@pytest.fixture(scope="session")
def dense_checkpoint(tmp_path_factory):
    """A function from the name of a net of dense regression to the checkpoint of one that says something."""
    import torch

    from handfast.models import MODELS
    from handfast.training.checkpoint import save_checkpoint
    from handfast.training.dense_regression import DenseRecipe
    from handfast.training.loop import model_card

    folder = tmp_path_factory.mktemp("dense")

    def dense_checkpoint(name):
        path = folder / f"{name}.safetensors"
        if not path.exists():
            torch.manual_seed(0)
            net = MODELS[name]()
            with torch.no_grad():
                for parameter in net.parameters():
                    if parameter.ndim == 4:  # at its own small weights it is all but silent
                        torch.nn.init.kaiming_normal_(parameter)
                    else:
                        parameter += 0.01 * torch.randn_like(parameter)
                depth = torch.rand(4, 1, 128, 128) * 1.5 - 0.5
                depth[..., :40, :] = -1
                net.branches(depth)  # leaves its statistics
            metrics = {f"crops_error_mm_l{level}": 10.0 * level for level in net.levels}
            recipe = DenseRecipe(model=name, skeleton="hand21" if net.joints == 21 else "nyu14", steps=1)
            save_checkpoint(path, net, model_card(recipe, "noise", 0, metrics))
        return path

    return dense_checkpoint


@pytest.fixture(scope="session")
def dense_onnx(dense_checkpoint, tmp_path_factory):
    """The smallest of these nets as an .onnx file, not to be changed."""
    from handfast.export.onnx import export_onnx
    from handfast.training.checkpoint import load_checkpoint

    path = tmp_path_factory.mktemp("dense_onnx") / "net.onnx"
    export_onnx(*load_checkpoint(dense_checkpoint("dense-lean-l3")), path)
    return path


@pytest.fixture
def handfast_command(capfd, monkeypatch):
    """A function that runs the command in this process: exit code, stdout and stderr."""

    def run(*arguments):
        monkeypatch.setattr(sys, "argv", ["handfast", *map(str, arguments)])
        code = 0
        try:
            cli.main()
        except SystemExit as done:
            code = done.code or 0
        return code, *capfd.readouterr()

    return run
