"""Joints as dense maps, and back (Wan et al. 2018).

Each cell of a crop that shows the hand says where each joint is from there: how near, and in which direction.
What the best cells say is brought together by mean-shift (Comaniciu and Meer 2002).
"""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from handfast.errors import HandfastError
from handfast.jit import jit
from handfast.sensors.depth_crop import CROP_PX, DepthCrop, cell_centres_px, points_mm

CONE_CELLS = 4.0
REACH_MM = 80.0
CANDIDATES = 5
# The mean-shift begins in the heaviest of GRID^3 cells over -100 .. 100 mm from the crop's centre.
GRID, GRID_REACH_MM = 4, 100.0
SHIFTS, BANDWIDTH_MM = 10, 40.0


class DenseMaps(NamedTuple):
    """Maps of J joints over s x s cells, whatever stands before (J, ...).

    heatmaps_2d (J, s, s): 1 at a joint's place in the image, 0 from 4 cells off. heatmaps_3d (J, s, s): 1 on
    a joint, 0 from 80 mm off. unit_vectors (J, 3, s, s): from the surface at the cell to the joint, along the
    camera's axes. The latter two are 0 beyond 80 mm and where there is no surface.
    """

    heatmaps_2d: np.ndarray
    heatmaps_3d: np.ndarray
    unit_vectors: np.ndarray


def encode_joints(joints_mm: np.ndarray, crop: DepthCrop, size: int) -> DenseMaps:
    """Joints (J, 3) in camera space -> float32 maps of ``size`` x ``size`` cells. The maps of a joint that is
    NaN are 0."""
    at_px = cell_centres_px(size).astype(np.float32)
    x_px, y_px = crop.camera.project(joints_mm).T[..., None].astype(np.float32)
    across_px = np.hypot((at_px - x_px)[:, None, :], (at_px - y_px)[:, :, None])
    cone_px = np.float32(CONE_CELLS * CROP_PX / size)

    points, on_hand = points_mm(crop, size)
    from_centre = (joints_mm - crop.centre_mm).astype(np.float32)
    way = from_centre[:, :, None, None] - points.transpose(2, 0, 1)
    distance = np.sqrt((way * way).sum(axis=1))
    within = on_hand & (distance < REACH_MM)
    return DenseMaps(
        # fmax and comparisons take NaN for nothing.
        heatmaps_2d=np.fmax(1 - across_px / cone_px, np.float32(0)),
        heatmaps_3d=np.where(within, 1 - distance / np.float32(REACH_MM), 0),
        unit_vectors=np.where(
            within[:, None], way / np.fmax(distance, np.float32(1e-6))[:, None], np.float32(0)
        ),
    )


def decode_joints(maps: DenseMaps, crops: Sequence[DepthCrop]) -> tuple[np.ndarray, np.ndarray]:
    """Maps (b, J, ...) of b crops -> joints (b, J, 3) mm in camera space, and scores (b, J), both float32.

    The 5 cells with the most (heat-map 2D + 1) x heat-map 3D each propose a place, weighted by heat-map 2D
    where that lies in the image; the joint is where the Gaussian mean-shift from the heaviest part of space
    ends. The score, 0..1, is heat-map 2D at the joint. Where no cell proposes anything the joint is NaN and
    the score 0. Raises HandfastError for another number of maps than of crops.
    """
    b, joints, size = maps.heatmaps_2d.shape[:3]
    if len(crops) != b:
        raise HandfastError(f"expected as many maps as crops, got {b} and {len(crops)}")
    surfaces = [points_mm(crop, size) for crop in crops]
    stride = CROP_PX / size
    first = cell_centres_px(size)[0]
    # The map's pin-hole camera: cells instead of pixels.
    intrinsics = np.array(
        [
            (c.fx / stride, c.fy / stride, (c.cx - first) / stride, (c.cy - first) / stride)
            for c in (crop.camera for crop in crops)
        ]
    )
    centres = np.array([crop.centre_mm for crop in crops], np.float64)
    decoded = np.empty((b, joints, 4), np.float32)
    for n, (points, on_hand) in enumerate(surfaces):
        _decode_crop(*(each[n] for each in maps), points, on_hand, intrinsics[n], centres[n], decoded[n])
    return decoded[..., :3], decoded[..., 3]


@jit(error_model="numpy")
def _decode_crop(heatmaps_2d, heatmaps_3d, unit_vectors, points, on_hand, intrinsics, centre, decoded):
    """Fills decoded (J, 4): x, y, z, score."""
    size = len(on_hand)
    cells = np.empty(CANDIDATES, np.int64)
    scores = np.empty(CANDIDATES)
    places = np.empty((CANDIDATES, 3))
    weights = np.empty(CANDIDATES)
    joint = np.empty(3)
    for j in range(len(decoded)):
        count = 0
        for i in range(_best_cells(heatmaps_2d[j], heatmaps_3d[j], on_hand, cells, scores)):
            row, column = cells[i] // size, cells[i] % size
            away_mm = REACH_MM * max(1 - heatmaps_3d[j, row, column], 0.0)
            for axis in range(3):
                way = away_mm * unit_vectors[j, axis, row, column]
                places[count, axis] = points[row, column, axis] + way
            if np.isfinite(places[count].sum()):
                weights[count] = max(_value_at(heatmaps_2d[j], places[count], intrinsics, centre), 0.0)
                scores[count] = scores[i]
                count += 1
        if count == 0:
            decoded[j, :3] = np.nan
            decoded[j, 3] = 0
            continue
        if weights[:count].sum() == 0:
            weights[:] = scores
        _mean_shift(places[:count], weights[:count], joint)
        decoded[j, :3] = joint + centre
        decoded[j, 3] = min(max(_value_at(heatmaps_2d[j], joint, intrinsics, centre), 0.0), 1.0)


@jit(error_model="numpy")
def _best_cells(heatmap_2d, heatmap_3d, on_hand, cells, scores):
    """Fills in the cells with the highest scores, best first; -> how many there are."""
    size = len(on_hand)
    count = 0
    for row in range(size):
        for column in range(size):
            near = heatmap_3d[row, column]
            if not (on_hand[row, column] and near > 0):
                continue
            score = (heatmap_2d[row, column] + 1) * near
            if count == CANDIDATES and not score > scores[CANDIDATES - 1]:
                continue
            if not (0 < score < np.inf):
                continue
            count = min(count + 1, CANDIDATES)
            i = count - 1
            while i > 0 and scores[i - 1] < score:
                scores[i], cells[i] = scores[i - 1], cells[i - 1]
                i -= 1
            scores[i], cells[i] = score, row * size + column
    return count


@jit(error_model="numpy")
def _value_at(heatmap, place, intrinsics, centre):
    """The heat-map's value where a place (3,), from the crop's centre, is in the image, or next to that."""
    fx, fy, cx, cy = intrinsics
    z = place[2] + centre[2]
    if not z > 0:
        return 0.0
    last = len(heatmap) - 1
    column = (place[0] + centre[0]) / z * fx + cx
    row = (place[1] + centre[1]) / z * fy + cy
    return heatmap[round(min(max(row, 0), last)), round(min(max(column, 0), last))]


@jit(error_model="numpy")
def _mean_shift(places, weights, joint):
    """Weighted places (n, 3) -> joint (3,), where they are densest."""
    part = np.empty(len(places), np.int64)
    for i in range(len(places)):
        part[i] = 0
        for axis in range(3):
            along = (places[i, axis] + GRID_REACH_MM) / (2 * GRID_REACH_MM) * GRID
            part[i] = part[i] * GRID + int(min(max(along, 0), GRID - 1))
    heaviest, most = 0, -1.0
    for i in range(len(places)):
        weight = 0.0
        for k in range(len(places)):
            if part[k] == part[i]:
                weight += weights[k]
        if weight > most:
            heaviest, most = part[i], weight
    _weighted_mean(places, weights * (part == heaviest), joint)
    for _ in range(SHIFTS):
        squared = np.zeros(len(places))
        for axis in range(3):
            squared += (places[:, axis] - joint[axis]) ** 2
        _weighted_mean(places, weights * np.exp(-squared / (2 * BANDWIDTH_MM**2)), joint)


@jit(error_model="numpy")
def _weighted_mean(places, weights, mean):
    """Stays where it is if nothing weighs anything."""
    total = weights.sum()
    if total > 0:
        for axis in range(3):
            mean[axis] = (places[:, axis] * weights).sum() / total
