"""Rendered hands of which the tests write small copies of the data sets."""

from dataclasses import dataclass

import numpy as np
import pytest

from handfast.data.meshes import join
from handfast.data.render import rasterise, shade, vertex_normals, visible
from handfast.data.scenes import BARE_ARM, place_hand
from handfast.data.synthesis import VISIBLE_TOLERANCE_M, make_world
from handfast.geometry import Camera, random_rotation
from handfast.hand_model.pose_prior import sample_pose
from handfast.structures import HandLabel


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
