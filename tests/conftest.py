"""Benchmarks of a few frames, and small copies of data sets, on disk; the command, run in this process."""

import shutil
import sys
from dataclasses import dataclass, replace

import cv2
import numpy as np
import pytest
from scipy.io import savemat

from handfast import cli
from handfast.data.benchmarks import BENCH_DEPTH, BENCH_RGB, BENCH_TOF
from handfast.data.generate import in_processes, make, plan
from handfast.data.meshes import join
from handfast.data.render import rasterise, shade, vertex_normals, visible
from handfast.data.scenes import BARE_ARM, place_hand
from handfast.data.synthesis import VISIBLE_TOLERANCE_M, make_world
from handfast.geometry import Camera, random_rotation, rotation_from_axis_angle
from handfast.hand_model.pose_prior import sample_pose
from handfast.skeleton import ICVL16, NYU14
from handfast.structures import Frame, HandLabel, HandSample

# As convert_xyz_to_uvd.m of NYU has it.
NYU_CAMERA = Camera(588.036865, 587.075073, 320.0, 240.0, 640, 480)
NYU_JOINTS = [
    *(f"F{finger}_KNU{knuckle}_{end}" for finger in (1, 2, 3, 4) for knuckle in (3, 2, 1) for end in "AB"),
    *(f"TH_KNU{knuckle}_{end}" for knuckle in (3, 2, 1) for end in "AB"),
    *(f"PALM_{i}" for i in range(1, 7)),
]
NYU_EVALUATED = {
    "F1_KNU3_A": "pinky_tip", "F1_KNU2_B": "pinky_pip", "F2_KNU3_A": "ring_tip", "F2_KNU2_B": "ring_pip",
    "F3_KNU3_A": "middle_tip", "F3_KNU2_B": "middle_pip", "F4_KNU3_A": "index_tip", "F4_KNU2_B": "index_pip",
    "TH_KNU3_A": "thumb_tip", "TH_KNU3_B": "thumb_ip", "TH_KNU2_B": "thumb_mcp",
    "PALM_1": "wrist_pinky_side", "PALM_2": "wrist_thumb_side", "PALM_3": "palm",
}  # fmt: skip

ICVL_CAMERA = Camera(240.99, 240.96, 160.0, 120.0, 320, 240)
ICVL_NO_DEPTH = 32001
ICVL_JOINTS = [
    "palm",
    "thumb_root", "thumb_mid", "thumb_tip",
    "index_root", "index_mid", "index_tip",
    "middle_root", "middle_mid", "middle_tip",
    "ring_root", "ring_mid", "ring_tip",
    "pinky_root", "pinky_mid", "pinky_tip",
]  # fmt: skip
ICVL_NAMES = {
    "Training/labels.txt": [
        "201403121135/image_0000.png",
        "22-5/201403121135/image_0000.png",
        "201406191044/image_10402.png",
    ],
    "Testing/test_seq_1.txt": ["test_seq_1/image_0000.png", "test_seq_1/image_0001.png"],
    "Testing/test_seq_2.txt": ["test_seq_2/image_0000.png"],
}

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


@pytest.fixture(scope="session")
def dirnet_checkpoint(tmp_path_factory):
    """The checkpoint of a DIR-Net of three loops, for crops of 64 px, that tells them and its loops apart."""
    import torch

    from handfast.models import MODELS
    from handfast.training.checkpoint import save_checkpoint
    from handfast.training.dirnet import DIRNetRecipe
    from handfast.training.loop import model_card

    torch.manual_seed(0)
    net = MODELS["dirnet"]()
    torch.nn.init.normal_(net.pose_predictor.parameters_of_hand.weight, std=0.1)
    for head in (net.uncertainty.second, net.gate[-1]):
        torch.nn.init.normal_(head.weight, std=1.5)
    with torch.no_grad():
        for _ in range(4):  # leaves its statistics
            coarse = torch.rand(4, 3, 6, 6)
            net(torch.nn.functional.interpolate(coarse, size=(64, 64), mode="bilinear"))
    card = model_card(DIRNetRecipe(model="dirnet", skeleton="hand21", epochs=1, loops=3), "noise", 0, {})
    path = tmp_path_factory.mktemp("dirnet") / "net.safetensors"
    save_checkpoint(path, net, card | {"input": {"image": "colour crop", "height": 64, "width": 64}})
    return path


@pytest.fixture(scope="session")
def dirnet_folder(dirnet_checkpoint, tmp_path_factory):
    """The same as ``handfast export`` writes it, not to be changed."""
    from handfast.export.dirnet import export_dirnet
    from handfast.training.checkpoint import load_checkpoint

    folder = tmp_path_factory.mktemp("dirnet_onnx") / "net"
    export_dirnet(*load_checkpoint(dirnet_checkpoint), folder)
    return folder


@dataclass(frozen=True, eq=False)
class View:
    """What a camera sees: colour (H, W, 3) uint8 RGB, reddish; depth_m (H, W), 0 = nothing; segmentation
    (H, W); the hands with all their labels."""

    camera: Camera
    colour: np.ndarray
    depth_m: np.ndarray
    segmentation: np.ndarray
    hands: tuple[HandLabel, ...]


@pytest.fixture(scope="session")
def look_at_hands():
    """A function of a camera, sides and a seed: the View of such hands beside each other, 0.5 m away.

    T_camera_scene (4, 4): where the scene is, so that several cameras can look at the same one.
    """
    world = make_world(5, people=2)

    def look(
        camera: Camera, sides: tuple[str, ...], seed: int, T_camera_scene: np.ndarray | None = None
    ) -> View:
        rng = np.random.default_rng(seed)
        T = np.eye(4) if T_camera_scene is None else T_camera_scene
        poses, meshes = [], []
        for i, side in enumerate(sides):
            angles, key_pose = sample_pose(world.prior, rng)
            centre = np.array([0.12 * (i - (len(sides) - 1) / 2), 0, 0.5])
            rotation = T[:3, :3] @ random_rotation(rng)
            pose, mesh = place_hand(
                world.asset,
                world.people[0],
                side,
                angles,
                key_pose,
                rotation,
                0,
                T[:3, :3] @ centre + T[:3, 3],
            )
            poses.append(pose)
            meshes.append(mesh)
        mesh = join(meshes)
        raster = rasterise(mesh.vertices_m, mesh.faces, camera)
        normals = vertex_normals(mesh.vertices_m, mesh.faces)
        shading = shade(raster, mesh.vertices_m, mesh.faces, camera, mesh.albedo, mesh.label, normals)
        light = 255 * shading.cos_incidence * shading.albedo + 20
        hands = tuple(
            HandLabel(
                side=pose.side,
                keypoints_px=camera.project(pose.keypoints_m),
                keypoints_m=pose.keypoints_m,
                visible=visible(pose.keypoints_m, raster, camera, VISIBLE_TOLERANCE_M),
                vertices_m=hand_mesh.vertices_m,
            )
            for pose, hand_mesh in zip(poses, meshes, strict=True)
        )
        return View(
            camera=camera,
            colour=(light[..., None] * (1, 0.7, 0.4)).astype(np.uint8),
            depth_m=raster.depth_m,
            segmentation=np.where(shading.label == BARE_ARM, 0, shading.label).astype(np.uint8),
            hands=hands,
        )

    return look


@pytest.fixture(scope="session")
def nyu_views(look_at_hands):
    """What the two frames of each split of a copy of NYU show."""
    return [look_at_hands(NYU_CAMERA, ("right",), seed) for seed in (0, 1)]


@pytest.fixture(scope="session")
def write_nyu(nyu_views):
    """A function that writes a copy of NYU into a folder, which it gives back."""

    def labels_of(view):
        """(36, 3) mm with y up and (36, 3) px, px, mm; joints that do not count are far away."""
        truth = dict(zip(NYU14.keypoints, NYU14.select(view.hands[0].keypoints_m), strict=True))
        names = (NYU_EVALUATED.get(joint) for joint in NYU_JOINTS)
        points_m = np.array([truth.get(name, (1.0, 1.0, 9.0)) for name in names])
        uvd = np.concatenate([NYU_CAMERA.project(points_m), 1000 * points_m[:, 2:]], axis=1)
        return points_m * (1000, -1000, 1000), uvd

    def write_nyu(folder):
        xyz, uvd = (np.array(labels) for labels in zip(*map(labels_of, nyu_views), strict=True))
        labels = {
            "joint_xyz": np.stack([xyz, -xyz, 2 * xyz]),
            "joint_uvd": np.stack([uvd, -uvd, 2 * uvd]),
            "joint_names": np.array(NYU_JOINTS, object),
        }
        for split in ("train", "test"):
            (folder / split).mkdir()
            savemat(folder / split / "joint_data.mat", labels)
            for number, view in enumerate(nyu_views, 1):
                high, low = np.divmod(np.rint(1000 * view.depth_m).astype(int), 256)
                packed_bgr = np.stack([low, high, np.zeros_like(low)], axis=-1).astype(np.uint8)
                for camera in (1, 2, 3):
                    name = f"{camera}_{number:07d}.png"
                    sees = camera == 1
                    cv2.imwrite(str(folder / split / f"depth_{name}"), packed_bgr * sees)
                    cv2.imwrite(str(folder / split / f"synthdepth_{name}"), packed_bgr * 0)
                    cv2.imwrite(str(folder / split / f"rgb_{name}"), view.colour[..., ::-1] * sees)
        return folder

    return write_nyu


@pytest.fixture(scope="session")
def nyu_folder(write_nyu, tmp_path_factory):
    """Such a copy, not to be changed."""
    return write_nyu(tmp_path_factory.mktemp("nyu"))


@pytest.fixture(scope="session")
def icvl_views(look_at_hands):
    """What the frames of a copy of ICVL show, from the first of each table of labels on."""
    return [look_at_hands(ICVL_CAMERA, ("left",), seed) for seed in range(3)]


@pytest.fixture(scope="session")
def write_icvl(icvl_views):
    """A function that writes a copy of ICVL into a folder, which it gives back."""

    def line_of(name, view):
        truth = dict(zip(ICVL16.keypoints, ICVL16.select(view.hands[0].keypoints_m), strict=True))
        points_m = np.array([truth[joint] for joint in ICVL_JOINTS])
        uvd = np.concatenate([ICVL_CAMERA.project(points_m), 1000 * points_m[:, 2:]], axis=1)
        return " ".join([name, *(f"{number:.3f}" for number in uvd.ravel())]) + " \n"

    def write_icvl(folder):
        for labels, names in ICVL_NAMES.items():
            table = folder / labels
            table.parent.mkdir(exist_ok=True)
            shown = list(zip(names, icvl_views, strict=False))
            table.write_text("\n".join(line_of(name, view) for name, view in shown) + "\n")
            for name, view in shown:
                picture = table.parent / "Depth" / name
                picture.parent.mkdir(parents=True, exist_ok=True)
                depth = np.where(view.depth_m > 0, np.rint(1000 * view.depth_m), ICVL_NO_DEPTH)
                cv2.imwrite(str(picture), depth.astype(np.uint16))
        return folder

    return write_icvl


@pytest.fixture(scope="session")
def icvl_folder(write_icvl, tmp_path_factory):
    """Such a copy, not to be changed."""
    return write_icvl(tmp_path_factory.mktemp("icvl"))


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
