"""The tracker with a network whose answer is known: it marks the corners of bright boxes."""

import cv2
import numpy as np
import pytest

from handfast.geometry import Camera
from handfast.runtime.model import Model, ModelCard
from handfast.structures import Frame
from handfast.tracking.tracker import Tracker

WIDTH, HEIGHT = 160, 120
# 21 places within a hand's box, corners included.
LAYOUT = np.array([[i % 5 / 4, i // 5 / 4] for i in range(20)] + [[0.0, 1.0]])
LAYOUT[15:20, 1] = 1.0
LEFT, RIGHT = 1.5, 1.0  # width by height


class SquareFinder:
    """Stands for an ONNX session: the left slot is sure of wide bright boxes, the right one of squares."""

    def __init__(self):
        self.views = 0

    def run(self, _, inputs):
        images = inputs["image"][:, 0] * 255
        self.views += len(images)
        heatmaps = np.full((len(images), 2, 21, HEIGHT // 2, WIDTH // 2), -10.0, np.float32)
        visibility = np.full((len(images), 2, 22), -6.0, np.float32)
        for b, image in enumerate(images):
            _, _, boxes, _ = cv2.connectedComponentsWithStats((image > 150).astype(np.uint8))
            for x, y, width, height, area in boxes[1:]:
                if x == 0 or area < 20:
                    continue  # a wall from edge to edge, or a speck
                slot = int(width < 1.25 * height)
                points = (np.array([x, y]) + LAYOUT * (width - 1, height - 1) - 0.5) / 2
                gy, gx = np.mgrid[: HEIGHT // 2, : WIDTH // 2]
                for k, (px, py) in enumerate(points):
                    heatmaps[b, slot, k] = 8 - ((gx - px) ** 2 + (gy - py) ** 2) / 2
                visibility[b, slot] = 5.0
        return heatmaps, visibility


@pytest.fixture
def model():
    card = ModelCard(
        name="squares",
        family="test",
        skeleton="hand21",
        input={"width": WIDTH, "height": HEIGHT},
        parameters=0,
        macs=0,
        flops=0,
        weight_bytes=0,
        licence="",
        trained_on="",
        metrics={},
    )
    return Model(card, SquareFinder())


def frame(index, squares, shape=(480, 640), depth_mm=None):
    image = np.full(shape, 20, np.uint8)
    for x, y, size, aspect in squares:
        image[y : y + size, x : x + int(aspect * size)] = 240
    if depth_mm is None:
        return Frame(index, index / 30, amplitude=image)
    depth = np.where(image > 20, depth_mm, 3 * depth_mm).astype(np.uint16)
    return Frame(index, index / 30, image, depth, 1.0, Camera(500, 500, 320, 240, 640, 480))


def test_a_small_hand_is_found_to_the_pixel_by_looking_closely(model):
    x, y, size = 403, 211, 47
    (hand,) = Tracker(model).step(frame(0, [(x, y, size, RIGHT)]))
    expected = np.array([x, y]) + LAYOUT * (size - 1)
    # One pixel of the whole-frame view is four here.
    assert abs(hand.keypoints_px - expected).max() < 0.75
    assert hand.side == "right" and hand.visible.all() and hand.xyz_mm is None


def test_no_hands_no_ghosts(model):
    assert Tracker(model).step(frame(0, [])) == []


def test_identity_and_side_stay_while_hands_move(model):
    tracker = Tracker(model)
    seen = []
    for i in range(12):
        squares = [(60 + 9 * i, 100, 60, LEFT), (500 - 9 * i, 300, 60, RIGHT)]
        hands = tracker.step(frame(i, squares))
        seen.append({hand.track: hand.side for hand in hands})
    assert all(tracks == seen[0] for tracks in seen) and sorted(seen[0].values()) == ["left", "right"]


def test_a_hand_that_leaves_is_dropped_and_comes_back_as_another(model):
    tracker = Tracker(model)
    (first,) = tracker.step(frame(0, [(300, 200, 60, RIGHT)]))
    assert tracker.step(frame(1, [])) == []
    (second,) = tracker.step(frame(2, [(100, 200, 60, RIGHT)]))
    assert second.track != first.track


def test_depth_lifts_keypoints_with_the_pinhole_formula(model):
    (hand,) = Tracker(model).step(frame(0, [(300, 200, 80, RIGHT)], depth_mm=700))
    inner = [6, 7, 8, 11, 12, 13]
    z = hand.xyz_mm[inner, 2]
    assert np.allclose(z, 700)
    assert np.allclose(hand.xyz_mm[inner, 0], (hand.keypoints_px[inner, 0] - 320) * 700 / 500, atol=1e-3)


def test_track_is_step_over_a_source_and_starts_afresh(model):
    frames = [frame(i, [(300 + 5 * i, 200, 60, RIGHT)]) for i in range(4)]
    tracker = Tracker(model)
    runs = [
        [(f.index, [h.keypoints_px.tolist() for h in hands]) for f, hands in tracker.track(frames)]
        for _ in "ab"
    ]
    assert runs[0] == runs[1] and [index for index, _ in runs[0]] == [0, 1, 2, 3]


def test_a_steady_pair_of_hands_needs_no_look_at_the_whole_frame(model):
    squares = [(60, 100, 60, LEFT), (500, 300, 60, RIGHT)]
    tracker = Tracker(model)
    tracker.step(frame(0, squares))
    before = model.session.views
    tracker.step(frame(1, squares))
    assert (model.session.views - before) % 2 == 0
