import struct

import numpy as np
import pytest

from handfast.data.datasets.msra15 import MSRA15
from handfast.errors import HandfastError
from handfast.geometry import Camera
from handfast.skeleton import HAND21_NAMES

CAMERA = Camera(241.42, 241.42, 160.0, 120.0, 320, 240)
PEOPLE = [f"P{i}" for i in range(9)]
GESTURES = "1 2 3 4 5 6 7 8 9 I IP L MP RP T TIP Y".split()
# The names of the data set's readme, little finger and thumb in our words.
ORDER = [
    "wrist",
    "index_mcp", "index_pip", "index_dip", "index_tip",
    "middle_mcp", "middle_pip", "middle_dip", "middle_tip",
    "ring_mcp", "ring_pip", "ring_dip", "ring_tip",
    "pinky_mcp", "pinky_pip", "pinky_dip", "pinky_tip",
    "thumb_cmc", "thumb_mcp", "thumb_ip", "thumb_tip",
]  # fmt: skip
FRAMES = 2


@pytest.fixture(scope="module")
def views(look_at_hands):
    return [look_at_hands(CAMERA, ("right",), seed) for seed in range(3)]


def view_of(views, person, gesture, frame):
    return views[(PEOPLE.index(person) + GESTURES.index(gesture) + frame) % len(views)]


def picture_of(view):
    """The hand's box, cut out of the depth picture."""
    rows, columns = np.nonzero(view.depth_m)
    left, top, right, bottom = columns.min(), rows.min(), columns.max() + 1, rows.max() + 1
    box_mm = 1000 * view.depth_m[top:bottom, left:right].astype("<f4")
    return struct.pack("<6I", 320, 240, left, top, right, bottom) + box_mm.tobytes()


def line_of(view):
    joints_m = view.hands[0].keypoints_m[[HAND21_NAMES.index(name) for name in ORDER]]
    return " ".join(f"{number:.4f}" for number in (joints_m * (1000, -1000, -1000)).ravel()) + "\n"


@pytest.fixture
def folder(views, tmp_path):
    pictures = {id(view): picture_of(view) for view in views}
    for person in PEOPLE:
        for gesture in GESTURES:
            place = tmp_path / person / gesture
            place.mkdir(parents=True)
            seen = [view_of(views, person, gesture, frame) for frame in range(FRAMES)]
            (place / "joint.txt").write_text("".join([f"{FRAMES}\n", *map(line_of, seen)]))
            for frame, view in enumerate(seen):
                (place / f"{frame:06d}_depth.bin").write_bytes(pictures[id(view)])
    return tmp_path


def test_gives_the_rendered_truth_back(folder, views):
    samples = MSRA15.open(folder, "P4")
    assert len(samples) == len(GESTURES) * FRAMES
    assert samples.keys[:3] == (
        "P4/1/000000_depth.bin",
        "P4/1/000001_depth.bin",
        "P4/2/000000_depth.bin",
    )
    for key, sample in zip(samples.keys, samples, strict=True):
        person, gesture, name = key.split("/")
        view = view_of(views, person, gesture, int(name[:6]))
        (hand,) = sample.hands
        assert hand.side == "right"
        assert np.abs(hand.keypoints_m - view.hands[0].keypoints_m).max() < 1e-5
        assert np.abs(hand.keypoints_px - view.hands[0].keypoints_px).max() < 0.01
        assert np.abs(sample.frame.depth_m() - view.depth_m).max() < 0.0001
        assert sample.frame.depth_m().max() > 0.3


def test_without_a_person_are_all_the_others(folder):
    samples = MSRA15.open(folder, "without_P3")
    assert {key.split("/")[0] for key in samples.keys} == set(PEOPLE) - {"P3"}
    assert len(samples) == 8 * len(GESTURES) * FRAMES


def test_splits_have_the_original_sizes(folder):
    assert sum(MSRA15.splits[person] for person in PEOPLE) == 76_375
    assert MSRA15.splits["without_P2"] == 76_375 - 8_412
    with pytest.raises(HandfastError, match="'P9': expected one of P0, P1"):
        MSRA15.open(folder, "P9")


def test_missing_files_are_named(folder):
    (folder / "P0" / "TIP" / "000000_depth.bin").unlink()
    index = GESTURES.index("TIP") * FRAMES
    with pytest.raises(HandfastError, match=r"P0.TIP.000000_depth\.bin: missing"):
        MSRA15.open(folder, "P0")[index]
    (folder / "P0" / "TIP" / "000001_depth.bin").unlink()
    with pytest.raises(
        HandfastError, match=r"000001_depth\.bin: missing; .* last of the frames in .*joint\.txt"
    ):
        MSRA15.open(folder, "P0")
    (folder / "P1" / "Y" / "joint.txt").unlink()
    with pytest.raises(HandfastError, match=r"P1.Y.joint\.txt: missing"):
        MSRA15.open(folder, "P1")


@pytest.mark.parametrize(
    ("broken", "message"),
    [
        (lambda lines: ["3", *lines[1:]], r"joint\.txt, line 1: .* got '3' before 2 lines"),
        (lambda lines: lines[1:], r"joint\.txt, line 1: expected the number of lines that follow"),
        (lambda lines: [], r"joint\.txt, line 1: .* got nothing"),
        (
            lambda lines: [*lines[:2], lines[2] + " 1 2 3"],
            r"joint\.txt, line 3: expected 21 joints .* got 66",
        ),
        (lambda lines: [*lines[:2], "nan " + lines[2].split(" ", 1)[1]], r"joint\.txt, line 3: .* NaN"),
    ],
)
def test_broken_labels_are_refused(folder, broken, message):
    path = folder / "P5" / "MP" / "joint.txt"
    path.write_text("\n".join(broken(path.read_text().splitlines())))
    with pytest.raises(HandfastError, match=message):
        MSRA15.open(folder, "P5")


@pytest.mark.parametrize(
    "broken",
    [
        lambda content: b"",
        lambda content: content[:-4],
        lambda content: content + b"\0\0\0\0",
        lambda content: struct.pack("<6I", 320, 240, 10, 10, 5, 20) + content[24:],
        lambda content: struct.pack("<6I", 640, 480, 0, 0, 1, 1) + content[24:28],
        lambda content: struct.pack("<6I", 320, 240, 319, 0, 321, 1) + content[24:32],
    ],
)
def test_a_broken_picture_is_refused(folder, broken):
    path = folder / "P0" / "1" / "000000_depth.bin"
    path.write_bytes(broken(path.read_bytes()))
    with pytest.raises(HandfastError, match=r"000000_depth\.bin: expected a box within 320 x 240"):
        MSRA15.open(folder, "P0")[0]


def test_labels_with_z_forwards_are_refused(folder):
    path = folder / "P0" / "1" / "joint.txt"
    count, *lines = path.read_text().splitlines()
    flipped = [
        " ".join(str(-float(n)) if i % 3 == 2 else n for i, n in enumerate(line.split())) for line in lines
    ]
    path.write_text("\n".join([count, *flipped]))
    with pytest.raises(
        HandfastError, match=r"P0/1/000000_depth\.bin: expected points 0 to 10 m ahead of the camera"
    ):
        MSRA15.open(folder, "P0")[0]
