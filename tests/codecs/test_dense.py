"""Dense maps: what is encoded is decoded, hand-worked targets, and what nothing can be decoded from."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from handfast.codecs.dense import DenseMaps, decode_joints, encode_joints
from handfast.errors import HandfastError
from handfast.geometry import Camera
from handfast.sensors.depth_crop import NO_DEPTH, DepthCrop, cell_centres_px, points_mm

CAMERA = Camera(fx=260, fy=250, cx=-20, cy=150, width=128, height=128)
CENTRE_MM = CAMERA.unproject(np.array([63.5, 63.5]), np.array(550.0))


def crop_of(seed, share_of_hand=1.0, centre_mm=CENTRE_MM):
    """A wavy surface about the centre, in blocks of 8 px partly gone."""
    rng = np.random.default_rng(seed)
    phase = rng.uniform(0, 6, 2)[:, None]
    along, across = np.sin(np.arange(128) / 15 + phase)
    depth = 0.5 + 0.05 * (along[:, None] + across)
    hand = rng.random((16, 16)) < share_of_hand
    hand[8, 8] = True
    hand = hand.repeat(8, axis=0).repeat(8, axis=1)
    return DepthCrop(np.where(hand, depth, NO_DEPTH).astype(np.float32), CAMERA, centre_mm)


def joints_near(seed, crop, size, n=14):
    """Joints up to 25 mm beside and behind cells that show the hand."""
    rng = np.random.default_rng(seed)
    points, on_hand = points_mm(crop, size)
    cells = points[on_hand]
    chosen = cells[rng.integers(0, len(cells), n)]
    return chosen + rng.uniform((-25, -25, 0), 25, (n, 3)) + crop.centre_mm


def batched(*maps):
    return DenseMaps(*(np.stack(each).astype(np.float32) for each in zip(*maps, strict=True)))


@given(st.integers(0, 10**6), st.sampled_from([4, 8, 16, 32]), st.floats(0.3, 1))
def test_joints_are_decoded_from_their_maps(seed, size, share_of_hand):
    crop = crop_of(seed, share_of_hand)
    if not points_mm(crop, size)[1].any():
        return
    joints_mm = joints_near(seed, crop, size)
    decoded_mm, scores = decode_joints(batched(encode_joints(joints_mm, crop, size)), [crop])
    np.testing.assert_allclose(decoded_mm[0], joints_mm, atol=0.05)
    assert scores.shape == (1, 14)


def test_small_errors_of_maps_make_small_errors_of_joints():
    """The candidates' mean is nearer than any of them is likely to be."""
    crop = crop_of(0)
    joints_mm = joints_near(1, crop, 32)
    maps = encode_joints(joints_mm, crop, 32)
    rng = np.random.default_rng(2)
    noisy = DenseMaps(*(m + 0.03 * rng.standard_normal(m.shape) for m in maps))
    decoded_mm, _ = decode_joints(batched(noisy), [crop])
    error_mm = np.linalg.norm(decoded_mm[0] - joints_mm, axis=1)
    assert error_mm.mean() < 0.03 * 80 and error_mm.max() < 3 * 0.03 * 80


def test_batched_equals_single():
    crops = [crop_of(0), crop_of(1, 0.5), crop_of(2, centre_mm=CENTRE_MM + np.array([5.0, 0, 30]))]
    maps = [encode_joints(joints_near(i, crop, 16), crop, 16) for i, crop in enumerate(crops)]
    together_mm, together_scores = decode_joints(batched(*maps), crops)
    with pytest.raises(HandfastError, match=f"as many maps as crops, got {len(crops)} and {len(crops) - 1}"):
        decode_joints(batched(*maps), crops[1:])
    for i, crop in enumerate(crops):
        joints_mm, scores = decode_joints(batched(maps[i]), [crop])
        np.testing.assert_array_equal(together_mm[i], joints_mm[0])
        np.testing.assert_array_equal(together_scores[i], scores[0])
    assert together_mm.dtype == together_scores.dtype == np.float32


def test_targets_at_a_cell_by_hand():
    """A joint 40 mm behind the surface at cell (row 10, column 20) of 32, in the direction of the ray."""
    crop = crop_of(0)
    points, _ = points_mm(crop, 32)
    surface_mm = points[10, 20] + crop.centre_mm
    ray = surface_mm / np.linalg.norm(surface_mm)
    maps = encode_joints((surface_mm + 40 * ray)[None], crop, 32)
    assert maps.heatmaps_2d.shape == (1, 32, 32) and maps.unit_vectors.shape == (1, 3, 32, 32)
    assert maps.heatmaps_2d[0, 10, 20] == pytest.approx(1, abs=1e-4)
    assert maps.heatmaps_2d[0, 10, 21] == pytest.approx(0.75, abs=1e-4)
    assert maps.heatmaps_2d[0, 12, 20] == pytest.approx(0.5, abs=1e-4)
    assert maps.heatmaps_2d[0, 14, 20] == maps.heatmaps_2d[0, 10, 24] == pytest.approx(0, abs=1e-4)
    assert maps.heatmaps_3d[0, 10, 20] == pytest.approx(0.5, abs=1e-4)
    np.testing.assert_allclose(maps.unit_vectors[0, :, 10, 20], ray, atol=1e-4)


def test_a_joint_without_a_label_has_empty_maps_and_leaves_the_others_alone():
    crop = crop_of(0)
    joints_mm = joints_near(1, crop, 32)
    partly_mm = joints_mm.copy()
    partly_mm[[2, 5]] = np.nan
    lost = np.isin(np.arange(14), [2, 5])
    for all_maps, maps in zip(
        encode_joints(joints_mm, crop, 32), encode_joints(partly_mm, crop, 32), strict=True
    ):
        assert maps.dtype == np.float32 and not maps[lost].any()
        np.testing.assert_array_equal(maps[~lost], all_maps[~lost])
    found_mm, scores = decode_joints(batched(encode_joints(partly_mm, crop, 32)), [crop])
    np.testing.assert_array_equal(np.isnan(found_mm[0]).all(axis=1), lost)
    assert not scores[0, lost].any()


def test_beyond_80_mm_and_off_the_hand_there_are_no_vectors():
    crop = crop_of(3, 0.5)
    joints_mm = joints_near(3, crop, 32)
    points, on_hand = points_mm(crop, 32)
    maps = encode_joints(joints_mm, crop, 32)
    away_mm = np.linalg.norm(points + crop.centre_mm - joints_mm[:, None, None], axis=-1)
    within = on_hand & (away_mm < 80)
    np.testing.assert_array_equal(maps.heatmaps_3d > 0, within)
    lengths = np.linalg.norm(maps.unit_vectors, axis=1)
    np.testing.assert_allclose(lengths[within], 1, atol=1e-5)
    assert not lengths[~within].any() and not maps.heatmaps_3d[~within].any()
    assert (maps.heatmaps_2d[:, ~on_hand] > 0).any(), "the cone knows nothing of the depth"


def test_the_heavier_of_two_places_wins_and_is_not_pulled():
    """Two joints' maps laid over each other, the second fainter: as another hand's would be."""
    crop = crop_of(0)
    points, _ = points_mm(crop, 32)
    joints_mm = np.stack([points[6, 6], points[26, 26]]) + crop.centre_mm + [0, 0, 15.0]
    first, second = (encode_joints(joint_mm[None], crop, 32) for joint_mm in joints_mm)
    both = DenseMaps(*(one + 0.6 * other for one, other in zip(first, second, strict=True)))
    both = both._replace(heatmaps_3d=np.maximum(first.heatmaps_3d, 0.95 * second.heatmaps_3d))
    decoded_mm, _ = decode_joints(batched(both), [crop])
    np.testing.assert_allclose(decoded_mm[0, 0], joints_mm[0], atol=1)


def test_a_joint_beside_the_crop_is_decoded_too():
    """Its candidates are outside the image, where heat-map 2D, the weight, is that of the border."""
    crop = crop_of(0)
    points, _ = points_mm(crop, 32)
    joint_mm = points[16, 31] + crop.centre_mm + [60.0, 0, 5]
    maps = encode_joints(joint_mm[None], crop, 32)
    assert not maps.heatmaps_2d.any()
    decoded_mm, scores = decode_joints(batched(maps), [crop])
    np.testing.assert_allclose(decoded_mm[0, 0], joint_mm, atol=0.05)
    assert scores[0, 0] == 0


def nothing(crop, size=32):
    return encode_joints(CENTRE_MM[None] + [0, 0, 1000.0], crop, size)


def test_where_no_cell_proposes_anything_a_joint_is_not_a_number():
    crop = crop_of(0)
    empty = DepthCrop(np.full((128, 128), NO_DEPTH, np.float32), CAMERA, CENTRE_MM)
    good = encode_joints(CENTRE_MM[None], crop, 32)
    lost = [
        (nothing(crop), crop),
        (good, empty),
        (DenseMaps(*(np.full_like(m, np.nan) for m in good)), crop),
        (good._replace(unit_vectors=np.full_like(good.unit_vectors, np.nan)), crop),
        (good._replace(unit_vectors=np.full_like(good.unit_vectors, np.inf)), crop),
        (good._replace(heatmaps_3d=-good.heatmaps_3d), crop),
    ]
    maps, crops = zip(*lost, strict=True)
    decoded_mm, scores = decode_joints(batched(*maps), crops)
    assert np.isnan(decoded_mm).all() and not scores.any()
    decoded_mm, scores = decode_joints(batched(good), [crop])
    assert np.isfinite(decoded_mm).all() and scores[0, 0] > 0.8


def test_the_score_is_the_heatmap_at_the_joint():
    crop = crop_of(0)
    points, _ = points_mm(crop, 32)
    maps = encode_joints((points[9, 12] + crop.centre_mm)[None], crop, 32)
    for scale, expected in ((1, 1), (0.3, 0.3), (1.7, 1), (-1, 0)):
        scaled = maps._replace(heatmaps_2d=scale * maps.heatmaps_2d)
        _, scores = decode_joints(batched(scaled), [crop])
        assert scores[0, 0] == pytest.approx(expected, abs=1e-3)


def test_cells_are_those_of_the_crop():
    """The cone's top lies at the pixel that the cell samples."""
    crop = crop_of(0)
    row, column = 5, 3
    at_px = cell_centres_px(8)[[column, row]].astype(float)
    joint_mm = CAMERA.unproject(at_px, np.array(560.0))
    maps = encode_joints(joint_mm[None], crop, 8)
    assert maps.heatmaps_2d[0, row, column] == pytest.approx(1, abs=1e-4)
