"""Benchmarks of a few frames on disk; the command, run in this process."""

import shutil
import sys
from dataclasses import replace

import cv2
import numpy as np
import pytest
from hypothesis import settings

from handfast import cli
from handfast.data.benchmarks import BENCH_DEPTH, BENCH_RGB, BENCH_TOF
from handfast.data.generate import in_processes, make, plan
from handfast.geometry import Camera, rotation_from_axis_angle
from handfast.structures import Frame, HandLabel, HandSample

pytest_plugins = ["data_set_fixtures", "network_fixtures", "track_fixtures"]

# How long an example takes depends on the machine, and the first one compiles.
settings.register_profile("any-machine", deadline=None)
settings.load_profile("any-machine")

DOT_PX = 4
DOTS = 60 + 195 * np.stack(np.meshgrid(*[[0, 0.5, 1]] * 3), axis=-1).reshape(-1, 3)[3:24]
DOTTED_CAMERA = Camera(320, 320, 126, 129, 256, 256)


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


def _dotted_hand():
    """(21, 3) m: a right hand's key-points, the fingers bent, no two dots in one place."""
    angles_rad = np.array([-0.9, -0.35, 0.0, 0.3, 0.6])[:, None]
    reach_m = 0.035 + np.array([0.02, 0.05, 0.08, 0.11])
    fingers_m = np.stack(
        np.broadcast_arrays(
            reach_m * np.sin(angles_rad), -reach_m * np.cos(angles_rad), -3 * (reach_m - 0.03) ** 2
        ),
        axis=-1,
    )
    return np.concatenate([np.zeros((1, 3)), fingers_m.reshape(20, 3)])


def dotted_clip(world, rng, person):
    """Six frames of a hand that moves, left in half of the clips; what is behind is brighter in each."""
    side = "left" if rng.random() < 0.5 else "right"
    R = rotation_from_axis_angle(rng.normal(0, 0.3, 3))
    shape_m = (_dotted_hand() * (-1 if side == "left" else 1, 1, 1)) @ R.T
    start_m = DOTTED_CAMERA.unproject(rng.uniform((80, 140), (170, 200)), np.array(rng.uniform(0.4, 0.5)))
    for index in range(6):
        joints_m = shape_m + start_m + index * np.array([0.004, -0.003, 0.002])
        keypoints_px = DOTTED_CAMERA.project(joints_m)
        picture = np.full((256, 256, 3), 20 + 6 * index, np.uint8)
        for (x, y), colour in zip(keypoints_px, DOTS, strict=True):
            cv2.circle(picture, (round(x), round(y)), DOT_PX, colour.tolist(), -1)
        hand = HandLabel(
            side,
            keypoints_px.astype(np.float32),
            joints_m.astype(np.float32),
            visible=np.ones(21, bool),
            key_pose=0,
            orientation=0,
        )
        frame = Frame(index, index / 30, camera=DOTTED_CAMERA, colour=picture)
        yield HandSample(frame, (hand,), np.zeros((256, 256), np.uint8))


@pytest.fixture(scope="session")
def dotted_folder(synthesise_into, tmp_path_factory):
    """A set like bench-rgb that takes no time, not to be changed: 8, 4 and 2 clips of six frames, in which
    a hand is a dot of its own colour for each key-point."""
    folder = tmp_path_factory.mktemp("dotted")
    dotted = replace(
        BENCH_RGB,
        clips={"small": {"train": 8, "validation": 4, "test": 2}},
        clip_frames=6,
        shard_clips=3,
        make_world=int,
        make_clip=dotted_clip,
    )
    synthesise_into(folder, dotted)
    return folder


@pytest.fixture(scope="session")
def dots():
    """(21, 3) the colours of the key-points."""
    return DOTS


@pytest.fixture
def one_thread():
    """PyTorch's alone: beside other processes two are slower."""
    torch = pytest.importorskip("torch")
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


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
