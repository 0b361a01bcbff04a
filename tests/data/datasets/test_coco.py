import json
import tempfile
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from data_set_fixtures import mixed_frame
from handfast.data.datasets.coco import COCO, write_coco
from handfast.data.synthesis import make_world
from handfast.errors import HandfastError
from handfast.geometry import Camera
from handfast.skeleton import HAND21, HAND21_NAMES, SIDES, SKELETONS
from handfast.structures import Frame, HandLabel, HandSample

IMAGE = np.arange(20 * 30, dtype=np.uint8).reshape(20, 30)
POINTS = [n for k in range(21) for n in (k + 0.25, 2 * k, 2)]


def entry(**changes) -> dict:
    return {"id": 5, "image_id": 1, "category_id": 1, "bbox": [0, 0, 9, 9], "keypoints": POINTS} | changes


def content(*annotations: dict, **category) -> dict:
    return {
        "images": [{"id": 1, "file_name": "a.png", "width": 30, "height": 20}],
        "annotations": list(annotations),
        "categories": [{"id": 1, "name": "left_hand", "keypoints": list(HAND21_NAMES)} | category],
    }


@pytest.fixture(scope="module")
def rendered():
    """Three samples of 160 x 120 amplitude: a right and a left hand, a left hand, a right hand."""
    world = make_world(0, 4)
    return tuple(mixed_frame(world, 0, index, index % 4) for index in (7, 11, 2))


@pytest.fixture
def hand_folder(tmp_path):
    """Writes content as an annotation file beside one grey image."""

    def write(
        content: dict, image: str = "images/a.png", file: str = "annotations/person_keypoints_default.json"
    ):
        for name in (image, file):
            (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        cv2.imwrite(str(tmp_path / image), IMAGE)
        (tmp_path / file).write_text(json.dumps(content))
        return tmp_path

    return write


def only_hand(folder) -> HandLabel:
    (sample,) = COCO.open(folder, "all")
    (hand,) = sample.hands
    return hand


def test_keypoints_visibility_and_labels(hand_folder):
    points = [*POINTS]
    points[2], points[3:6] = 1, [0, 0, 0]
    hand = only_hand(hand_folder(content(entry(keypoints=points))))
    assert hand.side == "left" and hand.skeleton is HAND21
    assert not hand.visible[:2].any() and hand.visible[2:].all()
    assert np.flatnonzero(~hand.labelled).tolist() == [1]
    np.testing.assert_array_equal(hand.keypoints_px[[0, 1, 20]], [[0.25, 0], [0, 0], [20.25, 40]])


@pytest.mark.parametrize(
    "annotation, category, side",
    [
        ({}, "left_hand", "left"),
        ({}, "Right Hand", "right"),
        ({"attributes": {"side": "Right", "occluded": False}}, "left_hand", "right"),
        ({"attributes": {"handedness": "left"}}, "hand", "left"),
    ],
)
def test_side(hand_folder, annotation, category, side):
    assert only_hand(hand_folder(content(entry(**annotation), name=category))).side == side


@pytest.mark.parametrize("category", ["hand", "leftovers", "left_or_right", None])
def test_without_a_side_the_annotation_is_refused_by_name(hand_folder, category):
    folder = hand_folder(content(entry(), name=category))
    with pytest.raises(HandfastError, match=r"default.json: annotation 5: expected left or right"):
        COCO.open(folder, "all")[0]


def test_keypoints_are_found_by_their_names_and_other_names_mean_our_order(hand_folder):
    backwards = [name.upper() for name in HAND21_NAMES[::-1]]
    hand = only_hand(hand_folder(content(entry(), keypoints=backwards)))
    np.testing.assert_array_equal(hand.keypoints_px[HAND21_NAMES.index("wrist")], [20.25, 40])
    numbered = [str(k + 1) for k in range(21)]
    for names in (numbered, None):
        hand = only_hand(hand_folder(content(entry(), keypoints=names)))
        np.testing.assert_array_equal(hand.keypoints_px[HAND21_NAMES.index("wrist")], [0.25, 0])


def test_whole_body_annotations_give_both_hands(hand_folder):
    left = [n for k in range(21) for n in (k, 1, 1.0)]
    right = [n for k in range(21) for n in (k, 3, float(k != 4))]
    both = {"lefthand_kpts": left, "righthand_kpts": right}
    body = {"keypoints": [1.0, 2.0, 2] * 17, **both, "lefthand_valid": True, "righthand_valid": True}
    hands = COCO.open(hand_folder(content(entry(**body), name="person")), "all")[0].hands
    assert [hand.side for hand in hands] == ["left", "right"]
    np.testing.assert_array_equal(hands[0].keypoints_px, [(k, 1) for k in range(21)])
    assert hands[0].labelled is None and hands[0].visible is None
    assert np.flatnonzero(~hands[1].labelled).tolist() == [4]
    folder = hand_folder(content(entry(**body | {"lefthand_valid": False}), name="person"))
    assert only_hand(folder).side == "right"


def test_boxes_unlabelled_hands_and_empty_images_give_no_hands(hand_folder):
    box = {"id": 6, "image_id": 1, "category_id": 1, "bbox": [1, 2, 3, 4]}
    folder = hand_folder(content(box, entry(keypoints=[0] * 63)))
    assert COCO.open(folder, "all")[0].hands == ()


@pytest.mark.parametrize(
    "image, file, name",
    [
        ("images/default/a.png", "annotations/person_keypoints_default.json", "a.png"),
        ("images/a.png", "result.json", "images\\a.png"),
        ("val2017/a.png", "annotations/coco_wholebody_val_v1.0.json", "a.png"),
        ("a.png", "labels.json", "a.png"),
        ("val2017/a.png", "annotations/person_keypoints_val2017.json", "a.png"),
        ("images/train2017/a.png", "annotations/hands_train2017.json", "a.png"),
        ("images/fold1/a.png", "annotations/person_keypoints_fold1.json", "a.png"),
        ("images/my_subset/a.png", "annotations/person_keypoints_my_subset.json", "a.png"),
        ("images/test-dev/a.png", "annotations/person_keypoints_test-dev.json", "a.png"),
    ],
)
def test_images_are_found_where_the_tools_put_them(hand_folder, image, file, name):
    labels = content(entry())
    labels["images"][0]["file_name"] = name
    folder = hand_folder(labels, image, file)
    for path in (folder, folder / file):
        np.testing.assert_array_equal(COCO.open(path, "all")[0].frame.amplitude, IMAGE)


SUBSETS = ("train", "val", "my_val", "my-val", "trainval", "fold1", "fold11")


def test_the_subset_in_the_name_of_the_file_tells_its_images(hand_folder):
    """The same name in all subsets: each annotation file has its own."""
    for value, subset in enumerate(SUBSETS):
        folder = hand_folder(
            content(entry()), f"images/{subset}/a.png", f"annotations/person_keypoints_{subset}.json"
        )
        cv2.imwrite(str(folder / "images" / subset / "a.png"), IMAGE * 0 + value)
    for value, subset in enumerate(SUBSETS):
        sample = COCO.open(folder / "annotations" / f"person_keypoints_{subset}.json", "all")[0]
        assert (sample.frame.amplitude == value).all()
    with pytest.raises(
        HandfastError, match=r"person_keypoints_train.json, .*person_keypoints_val.json.*; give the path"
    ):
        COCO.open(folder, "all")


def test_the_image_decides_what_the_frame_holds(hand_folder):
    folder = hand_folder(content(entry()))
    file = folder / "images" / "a.png"
    cv2.imwrite(str(file), IMAGE.astype(np.uint16) * 100)
    frame = COCO.open(folder, "all")[0].frame
    np.testing.assert_array_equal(frame.depth, IMAGE.astype(np.uint16) * 100)
    for channels in (3, 4):
        cv2.imwrite(str(file), np.stack([IMAGE, IMAGE // 2, IMAGE // 3, IMAGE][:channels], axis=-1))
        frame = COCO.open(folder, "all")[0].frame
        np.testing.assert_array_equal(frame.colour, np.stack([IMAGE // 3, IMAGE // 2, IMAGE], axis=-1))
    cv2.imwrite(str(file), np.zeros((20, 30, 3), np.uint16))
    with pytest.raises(HandfastError, match=r"a.png: expected 8-bit grey"):
        COCO.open(folder, "all")[0]


@pytest.mark.parametrize(
    "change, reason",
    [
        ({"keypoints": POINTS[:-3]}, r"expected numbers of shape \(63,\), got shape \(60,\)"),
        ({"keypoints": [*POINTS[:-1], "x"]}, r"expected numbers of shape \(63,\)"),
        ({"keypoints": [float("nan"), *POINTS[1:]]}, "expected finite"),
        ({"keypoints": [*POINTS[:-1], 3]}, "expected v of 0, 1 or 2"),
        ({"lefthand_kpts": POINTS[:-1], "lefthand_valid": True}, r"expected numbers of shape \(63,\)"),
    ],
)
def test_wrong_keypoints_are_refused_by_file_and_annotation(hand_folder, change, reason):
    folder = hand_folder(content(entry(**change)))
    with pytest.raises(HandfastError, match=f"default.json: annotation 5: {reason}"):
        COCO.open(folder, "all")[0]


@pytest.mark.parametrize(
    "annotation, category",
    [
        ({"category_id": [1]}, {}),
        ({}, {"keypoints": 5}),
        ({"attributes": ["left"]}, {}),
    ],
)
def test_entries_of_another_type_are_refused_by_file_and_annotation(hand_folder, annotation, category):
    folder = hand_folder(content(entry(**annotation), **category))
    with pytest.raises(HandfastError, match=r"default.json: annotation 5: not as COCO describes it: "):
        COCO.open(folder, "all")[0]


@pytest.mark.parametrize(
    "change, reason",
    [
        ({"camera": {"fx": 30, "fy": 30, "cx": "a", "cy": 10}}, ""),
        ({"camera": {"fx": 30, "fy": 30, "cx": float("nan"), "cy": 10}}, ".*finite centre"),
        ({"camera": {"fx": 30, "fy": 30}}, ".*cx"),
        ({"camera": [30, 30, 15, 10]}, ""),
        ({"depth_unit_mm": -1}, "expected depth_unit_mm above 0"),
        ({"depth_unit_mm": float("nan")}, "expected depth_unit_mm above 0"),
        ({"depth_unit_mm": "mm"}, ""),
    ],
)
def test_a_wrong_camera_or_depth_unit_is_refused_by_image(hand_folder, change, reason):
    labels = content(entry())
    labels["images"][0] |= change
    with pytest.raises(
        HandfastError, match=rf"default.json: a.png: camera or depth_unit_mm is wrong: {reason}"
    ):
        COCO.open(hand_folder(labels), "all")[0]


def test_a_category_of_other_keypoints_is_refused(hand_folder):
    folder = hand_folder(content(entry(keypoints=[1, 2, 2] * 4), keypoints=["a", "b", "c", "d"]))
    with pytest.raises(HandfastError, match="annotation 5: expected the 21 key-points of hand21"):
        COCO.open(folder, "all")[0]


def test_images_missing_broken_or_of_another_size_are_named(hand_folder):
    folder = hand_folder(content(entry()))
    file = folder / "images" / "a.png"
    for write, reason in (
        (lambda: cv2.imwrite(str(file), IMAGE[:, :10]), "expected 30 x 20 pixels .* got 10 x 20"),
        (lambda: file.write_bytes(b"\x89PNG"), "not a readable picture"),
        (lambda: file.unlink(), "person_keypoints_default.json lists it, but it is in none of"),
    ):
        write()
        with pytest.raises(HandfastError, match=f"a.png: {reason}"):
            COCO.open(folder, "all")[0]


def test_broken_annotation_files_are_named(hand_folder, tmp_path):
    with pytest.raises(HandfastError, match="got none"):
        COCO.open(tmp_path, "all")
    with pytest.raises(HandfastError, match=r"no.json: missing"):
        COCO.open(tmp_path / "no.json", "all")
    for labels, reason in (
        ([], "expected COCO's images"),
        ({"images": []}, "categories"),
        (content(entry(image_id=2)), r"images that are not listed: \[2\]"),
        (content(entry(image_id="x"), entry(image_id=9)), r"images that are not listed: \[9, 'x'\]"),
    ):
        with pytest.raises(HandfastError, match=f"person_keypoints_default.json: .*{reason}"):
            COCO.open(hand_folder(labels), "all")
    (tmp_path / "annotations" / "person_keypoints_default.json").write_text('{"images": [')
    with pytest.raises(HandfastError, match=r"person_keypoints_default.json: expected JSON"):
        COCO.open(tmp_path, "all")


coordinates = st.floats(-1e4, 1e4, width=32)


@st.composite
def labels(draw, skeleton):
    masks = hnp.arrays(bool, len(skeleton))
    labelled = draw(st.none() | masks.filter(np.any))
    points = draw(hnp.arrays(np.float32, (len(skeleton), 2), elements=coordinates))
    if labelled is not None:
        points[~labelled] = 0
    return HandLabel(
        draw(st.sampled_from(SIDES)),
        points,
        visible=draw(st.none() | masks),
        skeleton=skeleton,
        labelled=labelled,
    )


@st.composite
def frames(draw):
    kind, dtype, last = draw(
        st.sampled_from([("amplitude", np.uint8, ()), ("depth", np.uint16, ()), ("colour", np.uint8, (3,))])
    )
    shape = draw(st.tuples(st.integers(1, 9), st.integers(1, 9)))
    image = draw(hnp.arrays(dtype, (*shape, *last)))
    camera = draw(st.none() | st.just(Camera(210.5, 211.0, 4.25, 3.0, shape[1], shape[0])))
    unit = draw(st.sampled_from([1.0, 0.125])) if kind == "depth" else 1.0
    return Frame(0, 0.0, camera=camera, depth_unit_mm=unit, **{kind: image})


@st.composite
def sample_lists(draw):
    skeleton = draw(st.sampled_from(list(SKELETONS.values())))
    hands = st.lists(labels(skeleton), max_size=2).map(tuple)
    return draw(st.lists(st.builds(HandSample, frames(), hands), max_size=3))


def assert_same(got, truth):
    assert (got is None) == (truth is None)
    if truth is not None:
        np.testing.assert_array_equal(got, truth)


@settings(max_examples=40)
@given(sample_lists())
def test_what_is_written_is_read_back(samples):
    with tempfile.TemporaryDirectory() as folder:
        write_coco(Path(folder), samples)
        read = list(COCO.open(Path(folder), "all"))
        assert not list(Path(folder).rglob("*.part"))
    assert len(read) == len(samples)
    for got, truth in zip(read, samples, strict=True):
        for image in ("amplitude", "depth", "colour"):
            assert_same(getattr(got.frame, image), getattr(truth.frame, image))
        assert (got.frame.camera, got.frame.depth_unit_mm) == (truth.frame.camera, truth.frame.depth_unit_mm)
        for hand, true_hand in zip(got.hands, truth.hands, strict=True):
            labelled = np.ones(len(hand.skeleton), bool) if true_hand.labelled is None else true_hand.labelled
            visible = labelled if true_hand.visible is None else true_hand.visible & labelled
            assert (hand.side, hand.skeleton) == (true_hand.side, true_hand.skeleton)
            np.testing.assert_array_equal(hand.keypoints_px, true_hand.keypoints_px)
            assert_same(hand.labelled, None if labelled.all() else labelled)
            np.testing.assert_array_equal(hand.visible, visible)


def test_writes_what_the_format_asks_for(rendered, tmp_path):
    write_coco(tmp_path, rendered)
    written = json.loads((tmp_path / "annotations" / "person_keypoints_default.json").read_text())
    assert [image["id"] for image in written["images"]] == [1, 2, 3]
    assert all(
        (tmp_path / "images" / "default" / image["file_name"]).is_file() for image in written["images"]
    )
    assert [(c["id"], c["name"]) for c in written["categories"]] == [(1, "hand")]
    assert written["categories"][0]["skeleton"][:2] == [[1, 2], [2, 3]]
    hands = [(number, hand) for number, sample in enumerate(rendered, start=1) for hand in sample.hands]
    for annotation, (image, hand) in zip(written["annotations"], hands, strict=True):
        points = hand.keypoints_px.astype(float)
        assert annotation["image_id"] == image
        assert (annotation["category_id"], annotation["attributes"]) == (1, {"side": hand.side})
        assert annotation["num_keypoints"] == 21
        assert annotation["keypoints"][2::3] == [2 if seen else 1 for seen in hand.visible]
        np.testing.assert_allclose(annotation["bbox"], [*points.min(axis=0), *np.ptp(points, axis=0)])
        assert annotation["area"] == pytest.approx(annotation["bbox"][2] * annotation["bbox"][3])


def test_hands_of_two_skeletons_do_not_go_into_one_file(rendered, tmp_path):
    hand = rendered[1].hands[0]
    other = SKELETONS["tof8"]
    small = HandLabel(hand.side, other.select(hand.keypoints_px), skeleton=other)
    with pytest.raises(HandfastError, match="sample 1: expected key-points hand21"):
        write_coco(tmp_path, [rendered[1], replace(rendered[1], hands=(small,))])
    assert not (tmp_path / "annotations").exists()
