"""Labelled crops of third-person depth images, bench-depth: hands before a structured-light camera.

The camera is that of the NYU hand pose set (Tompson et al. 2014, "Real-Time Continuous Pose Recovery of
Human Hands Using Convolutional Networks"), a PrimeSense Carmine: it sees a person who holds the right hand
out in front. As the methods that are measured there do, a cube about the hand is cut out of the picture;
this one is a quarter wider than their 300 mm, so that a crop can still be moved, turned and scaled.
"""

from collections.abc import Iterator

import cv2
import numpy as np

from handfast.data.augment import ragged, stereo_shadow
from handfast.data.meshes import Mesh, join
from handfast.data.render import rasterise, shade, vertex_normals
from handfast.data.scenes import (
    PlacedHand,
    place_hand,
    sample_body,
    sample_objects,
    sample_orientation,
    sample_room,
    upper_arm,
)
from handfast.data.synthesis import World, hands_alone, label_of
from handfast.geometry import Camera, crop_affine
from handfast.hand_model.pose_prior import sample_pose
from handfast.structures import Frame, HandSample

CAMERA = Camera(fx=588.03, fy=587.07, cx=320, cy=240, width=640, height=480)
SIZE_PX, CUBE_M = 160, 0.375
DISTANCES_M = (0.5, 1.1)
VIEWS, VIEW_SHARES = ("desk", "sideways", "any"), (0.5, 0.2, 0.3)
# The crop is about the middle of the hand as somebody would find it, not as the labels have it.
CENTRE_ERROR_M = 0.01
# A hand that something else hides is no example of anything.
LEAST_VISIBLE = 5

# The sensor: projector beside the camera, disparity found by matching the dots and told in eighths of a pixel
# (Khoshelham and Elberink 2012, "Accuracy and Resolution of Kinect Depth Data").
BASELINE_M = 0.075
DISPARITY_STEP_PX = 1 / 8
DISPARITY_NOISE_PX = 0.08
RAGGED_PX = 0.6
# Dots are lost on surfaces seen more edge-on than this, and below this much light, cosine x albedo / z^2.
LEAST_COSINE, LEAST_LIGHT = 0.13, 0.008
RANGE_M = 4.0
_PATCH_PX = 6  # what a spot loses its neighbours lose too
_MARGIN_PX = 48  # what casts a shadow may lie beside the crop


def depth_clip(world: World, rng: np.random.Generator, person: int) -> Iterator[HandSample]:
    """The one frame of a clip of bench-depth: a 160 x 160 crop of depth in mm, with all labels.

    The camera is the crop's. The cube's middle is at the middle of the crop, CUBE_M * fx / SIZE_PX away.
    """
    while True:
        sample = _observe(*_sample_scene(world, rng, person), rng)
        if sample.hands[0].visible.sum() >= LEAST_VISIBLE:
            yield sample
            return


def _sample_scene(world: World, rng: np.random.Generator, person: int) -> tuple[PlacedHand, Mesh]:
    """A right hand whose middle is within the picture, and all that the camera can see."""
    who = world.people[person]
    distance_m = rng.uniform(*DISTANCES_M)
    border_px = 0.11 * CAMERA.fx / distance_m
    spot_px = rng.uniform((border_px, border_px), (CAMERA.width - border_px, CAMERA.height - border_px))
    centre_m = CAMERA.unproject(spot_px, np.array(distance_m))
    angles, key_pose = sample_pose(world.prior, rng)
    rotation = sample_orientation(rng, str(rng.choice(VIEWS, p=VIEW_SHARES)))
    hand, mesh = place_hand(world.asset, who, "right", angles, key_pose, rotation, centre_m)
    meshes = [
        mesh,
        upper_arm(rng, mesh, who),
        *sample_body(rng, CAMERA, distance_m),
        *sample_room(rng, distance_m + 0.5),
        *sample_objects(rng, CAMERA, distance_m + 0.2, int(rng.integers(0, 5)), ()),
    ]
    return hand, join(meshes)


def _observe(hand: PlacedHand, mesh: Mesh, rng: np.random.Generator) -> HandSample:
    """The crop about a hand, and the truth about it."""
    found_m = (hand.keypoints_m.min(0) + hand.keypoints_m.max(0)) / 2
    found_m += CENTRE_ERROR_M * rng.standard_normal(3)
    A = crop_affine(tuple(CAMERA.project(found_m)), CUBE_M * CAMERA.fx / found_m[2], SIZE_PX, SIZE_PX)
    # Only that part of the picture is rendered, in the sensor's own pixels.
    left, top, right, bottom = _part(A)
    part = CAMERA.warped(np.array([[1.0, 0, -left], [0, 1, -top]]), right - left, bottom - top)
    raster = rasterise(mesh.vertices_m, mesh.faces, part)
    normals = vertex_normals(mesh.vertices_m, mesh.faces)
    shading = shade(raster, mesh.vertices_m, mesh.faces, part, mesh.albedo, mesh.label, normals)
    depth_mm = structured_light(raster.depth_m, shading.cos_incidence, shading.albedo, part.fx, rng)
    from_part = np.column_stack([A[:, :2], A[:, 2] + A[:, :2] @ (left, top)])

    def crop(image: np.ndarray) -> np.ndarray:
        # The nearest pixel: between two depths there is nothing.
        return cv2.warpAffine(image, from_part, (SIZE_PX, SIZE_PX), flags=cv2.INTER_NEAREST)

    camera = CAMERA.warped(A, SIZE_PX, SIZE_PX)
    segmentation = crop(hands_alone(shading.label))
    label = label_of(hand, camera, raster, part)
    return HandSample(Frame(0, 0.0, depth=crop(depth_mm), camera=camera), (label,), segmentation)


def structured_light(
    depth_m: np.ndarray,
    cos_incidence: np.ndarray,
    albedo: np.ndarray,
    focal_px: float,
    rng: np.random.Generator,
) -> np.ndarray:
    """A rendered picture (H, W), depth in m and 0 = nothing, as the sensor has it: uint16 mm, 0 = no value.

    Disparity f b / z is noisy and comes in steps, so that depth does in steps of z^2 / (8 f b); edges
    wander. There is no value where the projector does not reach, on what is edge-on or dark, and beyond
    RANGE_M.
    """
    height, width = depth_m.shape
    focal_baseline = np.float32(focal_px * BASELINE_M)
    patches = rng.lognormal(0, 0.3, (height // _PATCH_PX + 2, width // _PATCH_PX + 2)).astype(np.float32)
    chance = cv2.resize(patches, (width, height), interpolation=cv2.INTER_LINEAR)
    lost = stereo_shadow(depth_m, focal_baseline, 1) | (depth_m > RANGE_M)
    lost |= cos_incidence < LEAST_COSINE * chance
    lost |= cos_incidence * albedo < LEAST_LIGHT * chance * depth_m**2
    seen_m = ragged(rng, np.where(lost, 0, depth_m), RAGGED_PX)
    known = seen_m > 0
    disparity = focal_baseline / np.where(known, seen_m, 1)
    disparity += np.float32(DISPARITY_NOISE_PX) * rng.standard_normal(seen_m.shape, np.float32)
    steps = np.maximum(np.rint(disparity / DISPARITY_STEP_PX), 1)
    return np.where(known, np.rint(1000 * focal_baseline / (steps * DISPARITY_STEP_PX)), 0).astype(np.uint16)


def _part(A: np.ndarray) -> tuple[int, int, int, int]:
    """Left, top, right, bottom, the last two excluded: what the crop shows of the picture, and its margin."""
    margin = np.array([_MARGIN_PX, 1])
    first, last = np.array([-0.5, SIZE_PX - 0.5])[:, None]
    low = np.floor((first - A[:, 2]) / A[0, 0]) - margin
    high = np.ceil((last - A[:, 2]) / A[0, 0]) + margin
    left, top = np.maximum(low, 0).astype(int).tolist()
    right, bottom = np.minimum(high, (CAMERA.width, CAMERA.height)).astype(int).tolist()
    return left, top, right, bottom
