"""What CVAT has to be told before it takes COCO key-points: that a hand is 21 points and has a side.

CVAT makes no skeletons of its own accord when annotations come in: the task must have one, point for point
under the same names. It is pasted into the tab "Raw" of a new task's labels.
"""

import json

import numpy as np

from handfast.hand_model.model import hand21_keypoints, load_hand_asset
from handfast.skeleton import HAND21, SIDES

_COLOUR = "#42baff"
_CANVAS, _MARGIN, _RADIUS = 100, 5, 0.75  # of the drawing that a new hand starts from


def cvat_labels() -> str:
    """The JSON to paste: a label hand with an attribute side, as ``write_annotated`` has them."""
    side = {
        "name": "side",
        "input_type": "select",
        "mutable": False,
        "values": list(SIDES),
        "default_value": "right",
    }
    hand = {
        "name": "hand",
        "color": _COLOUR,
        "type": "skeleton",
        "attributes": [side],
        "sublabels": [{"name": name, "type": "points", "attributes": []} for name in HAND21.keypoints],
        "svg": _drawing(),
    }
    return json.dumps([hand], indent=1)


def _drawing() -> str:
    """A right hand at rest, seen from its back, as the lines and circles of an SVG, numbered from 1.

    CVAT adds the frame and the colours itself.
    """
    asset = load_hand_asset()
    points = hand21_keypoints(asset, asset.joints_m, asset.vertices_m)[:, :2] * (1, -1)
    low, high = points.min(axis=0), points.max(axis=0)
    points = (points - (low + high) / 2) * (_CANVAS - 2 * _MARGIN) / np.max(high - low) + _CANVAS / 2
    points = points.round(2).tolist()
    lines = [
        f'<line x1="{points[a][0]}" y1="{points[a][1]}" x2="{points[b][0]}" y2="{points[b][1]}" '
        f'data-type="edge" data-node-from="{a + 1}" data-node-to="{b + 1}"></line>'
        for a, b in HAND21.edges
    ]
    circles = [
        f'<circle r="{_RADIUS}" cx="{x}" cy="{y}" data-type="element node" data-element-id="{k}" '
        f'data-node-id="{k}" data-label-name="{name}"></circle>'
        for k, (name, (x, y)) in enumerate(zip(HAND21.keypoints, points, strict=True), start=1)
    ]
    return "".join(lines + circles)
