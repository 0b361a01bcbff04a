import json
import re
from xml.etree import ElementTree

import numpy as np
import pytest

from handfast.data.cvat import cvat_labels
from handfast.data.datasets.coco import write_coco
from handfast.skeleton import HAND21
from handfast.structures import Frame, HandLabel, HandSample

# CVAT drops other attributes without a word.
KEPT_ATTRIBUTES = {
    "line": {"x1", "y1", "x2", "y2", "data-type", "data-node-from", "data-node-to"},
    "circle": {"r", "cx", "cy", "data-type", "data-element-id", "data-node-id", "data-label-name"},
}


@pytest.fixture
def hand():
    (hand,) = json.loads(cvat_labels())
    return hand


def test_the_label_is_the_category_of_the_annotations(hand, tmp_path):
    """CVAT finds the label, its points and its attributes by their names."""
    frame = Frame(0, 0.0, amplitude=np.zeros((4, 4), np.uint8))
    hands = tuple(HandLabel(side, np.ones((21, 2), np.float32)) for side in ("left", "right"))
    write_coco(tmp_path, [HandSample(frame, hands)])
    written = json.loads((tmp_path / "annotations" / "person_keypoints_default.json").read_text())
    (category,) = written["categories"]
    assert (hand["name"], hand["type"]) == (category["name"], "skeleton")
    assert [point["name"] for point in hand["sublabels"]] == category["keypoints"]
    assert {point["type"] for point in hand["sublabels"]} == {"points"}
    edges = re.findall(r'data-node-from="(\d+)" data-node-to="(\d+)"', hand["svg"])
    assert [[int(a), int(b)] for a, b in edges] == category["skeleton"]
    (side,) = hand["attributes"]
    assert [a["attributes"] for a in written["annotations"]] == [{side["name"]: v} for v in side["values"]]


def test_the_drawing_has_a_node_for_each_point(hand):
    drawing = ElementTree.fromstring(f"<svg>{hand['svg']}</svg>")
    for element in drawing:
        assert set(element.attrib) == KEPT_ATTRIBUTES[element.tag]
    nodes = {int(node.get("data-node-id")): node for node in drawing.iter("circle")}
    assert [nodes[k].get("data-label-name") for k in range(1, 22)] == list(HAND21.keypoints)
    places = {k: (float(node.get("cx")), float(node.get("cy"))) for k, node in nodes.items()}
    assert all(0 < x < 100 and 0 < y < 100 for x, y in places.values())
    for line in drawing.iter("line"):
        a, b = (places[int(line.get(f"data-node-{end}"))] for end in ("from", "to"))
        assert (float(line.get("x1")), float(line.get("y1"))) == a
        assert (float(line.get("x2")), float(line.get("y2"))) == b


def test_the_drawing_is_the_back_of_a_right_hand_that_points_up(hand):
    nodes = ElementTree.fromstring(f"<svg>{hand['svg']}</svg>").iter("circle")
    at = {node.get("data-label-name"): (float(node.get("cx")), float(node.get("cy"))) for node in nodes}
    assert at["middle_tip"][1] < at["middle_mcp"][1] < at["wrist"][1]
    assert at["thumb_tip"][0] < at["pinky_tip"][0] - 20
