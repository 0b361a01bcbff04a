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
