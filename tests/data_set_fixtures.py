"""Small copies of data sets on disk, and what their cameras saw; frames of mix-tof."""

from dataclasses import dataclass

import cv2
import numpy as np
import pytest
from scipy.io import savemat

from handfast.data.meshes import join
from handfast.data.render import rasterise, shade, vertex_normals, visible
from handfast.data.scenes import BARE_ARM, place_hand
from handfast.data.synthesis import VISIBLE_TOLERANCE_M, World, make_world, mixed_clip
from handfast.geometry import Camera, random_rotation
from handfast.hand_model.pose_prior import sample_pose
from handfast.skeleton import ICVL16, NYU14
from handfast.structures import HandLabel, HandSample

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


def mixed_frame(world: World, seed: int, index: int, person: int) -> HandSample:
    """A frame of mix-tof, a function of seed and index."""
    (sample,) = mixed_clip(world, np.random.default_rng([seed, 1, index]), person)
    return sample


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
