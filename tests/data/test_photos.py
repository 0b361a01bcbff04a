import json
from dataclasses import replace

import cv2
import numpy as np
import pytest

from data_set_fixtures import mixed_frame
from handfast.data.arrays import pack
from handfast.data.batches import BatchSource, Mix
from handfast.data.datasets.coco import write_coco
from handfast.data.photos import HELD_OUT_SOURCES, load_photos, observe_infrared, observe_photo
from handfast.data.synthesis import make_world
from handfast.errors import HandfastError
from handfast.sensors.images import normalise_exposure
from handfast.sensors.views import hand_size_px
from handfast.skeleton import HAND21_NAMES, SKELETONS
from handfast.structures import Frame, HandLabel, HandSample

GREEN, SKIN = (40, 180, 30), (120, 150, 220)
# An open right hand, palm to the camera: wrist below, fingers up, thumb to the right.
FINGERS_X = (190, 155, 130, 105, 80)
POINTS = np.array(
    [[130, 200], [155, 185], [170, 170], [180, 155], [190, 140]]
    + [[x, y] for x in FINGERS_X[1:] for y in (130, 105, 85, 65)],
    np.float32,
)


def photo(backdrop):
    image = np.full((256, 256, 3), backdrop, np.uint8)
    cv2.circle(image, (130, 160), 45, SKIN, -1)
    for finger in range(5):
        chain = POINTS[[0, *range(1 + 4 * finger, 5 + 4 * finger)]].astype(int)
        cv2.polylines(image, [chain], False, SKIN, 16)
    return image


@pytest.fixture
def folder(tmp_path):
    (tmp_path / "images").mkdir()
    labels = []
    for i, (source, backdrop) in enumerate(
        [("screen", GREEN), ("room", (90, 90, 90)), (HELD_OUT_SOURCES[0], (10, 20, 30))]
    ):
        cv2.imwrite(str(tmp_path / "images" / f"{i}.png"), photo(backdrop))
        side = ("right", "left")[i % 2]
        labels.append({"file": f"{i}.png", "source": source, "xy": POINTS.tolist(), "side": side})
    (tmp_path / "labels.jsonl").write_text("\n".join(map(json.dumps, labels)))
    return tmp_path


def test_sources_are_kept_apart_and_green_is_cut_out(folder):
    photos, held_out = load_photos(folder, held_out=False), load_photos(folder, held_out=True)
    assert photos.sources == ("room", "screen") and held_out.sources == HELD_OUT_SOURCES
    assert photos.slot.tolist() == [1, 0] and len(held_out) == 1
    screen, room = photos.grey
    assert screen[5, 5] == 0 and screen[160, 130] > 150
    assert room.min() > 0
    x, y = POINTS.astype(int).T
    assert (screen[y, x] > 0).all()


@pytest.mark.parametrize("photo_index", [0, 1])
def test_the_hand_is_brighter_than_what_is_behind(folder, photo_index):
    """Over many draws, as its light falls on the hand first."""
    grey = load_photos(folder, held_out=False).grey[photo_index]
    A = np.array([[0.46, 0, 20], [0, 0.46, 0]])
    points = POINTS @ A[:, :2].T + A[:, 2]
    inner = np.round(points[[9, 13, 17]]).astype(int)
    differences = []
    for seed in range(40):
        image = observe_photo(np.random.default_rng(seed), grey, points.astype(np.float32), A)
        assert image.shape == (120, 160) and image.dtype == np.uint8
        differences.append(np.median(image[inner[:, 1], inner[:, 0]]) - np.median(image[:20, :20]))
    assert np.median(differences) > 40


def test_photos_join_batches_with_their_labels(folder):
    world = make_world(3, 4)
    arrays = pack([mixed_frame(world, 3, i, i) for i in range(4)])
    photos = load_photos(folder, held_out=False)
    source = BatchSource(arrays, 5, Mix(photo_share=0.5), photos=photos)
    batch, again = source.batch(2, 64), source.batch(2, 64)
    assert all((batch[name] == again[name]).all() for name in batch)
    of_photos = ~batch["rendered"]
    assert 16 < of_photos.sum() < 48
    assert (batch["present"][of_photos].sum(axis=1) <= 1).all()


def test_a_mirrored_right_hand_is_a_left_one(folder):
    """Seen from its wrist, the thumb of a right palm lies clockwise of the little finger."""
    world = make_world(3, 4)
    arrays = pack([mixed_frame(world, 3, 0, 0)])
    both = load_photos(folder, held_out=False)
    right = replace(both, slot=np.ones_like(both.slot))
    batch = BatchSource(arrays, 5, Mix(photo_share=1.0), photos=right).batch(0, 40)
    for slot, sign in ((0, -1), (1, 1)):
        points = batch["keypoints_px"][batch["present"][:, slot], slot]
        pinky, thumb = points[:, 17] - points[:, 0], points[:, 4] - points[:, 0]
        turn = pinky[:, 0] * thumb[:, 1] - pinky[:, 1] * thumb[:, 0]
        assert len(turn) > 5 and (np.sign(turn) == sign).all()


def test_bad_folders_are_refused(folder, tmp_path):
    with pytest.raises(HandfastError, match=r"labels\.jsonl"):
        load_photos(tmp_path / "nowhere", held_out=False)
    (folder / "images" / "1.png").write_bytes(b"no photo")
    with pytest.raises(HandfastError, match=r"1\.png"):
        load_photos(folder, held_out=False)
    cv2.imwrite(str(folder / "images" / "1.png"), np.zeros((100, 100, 3), np.uint8))
    with pytest.raises(HandfastError, match="one size"):
        load_photos(folder, held_out=False)
    first, *others = map(json.loads, (folder / "labels.jsonl").read_text().splitlines())
    for point in ([9.0, 9.0], [float("nan"), 9.0]):
        lines = [first | {"xy": [point] * 21}, *others]
        (folder / "labels.jsonl").write_text("\n".join(map(json.dumps, lines)))
        with pytest.raises(HandfastError, match="expected the key-points of a hand, got none"):
            load_photos(folder, held_out=False)
    lines = "\n".join(map(json.dumps, [first | {"side": "upper"}, *others]))
    (folder / "labels.jsonl").write_text(lines)
    with pytest.raises(HandfastError, match=r"labels\.jsonl"):
        load_photos(folder, held_out=False)


def own_frame(*hands, shape=(240, 320), sigma_px=3.0):
    """A frame, black but for a spot at the wrist of each hand."""
    y, x = np.mgrid[: shape[0], : shape[1]]
    wrists = [hand.keypoints_px[0] for hand in hands]
    spots = [np.exp(-((x - wx) ** 2 + (y - wy) ** 2) / (2 * sigma_px**2)) for wx, wy in wrists]
    amplitude = (255 * sum(spots, np.zeros(shape))).clip(0, 255).astype(np.uint8)
    return HandSample(Frame(0, 0.0, amplitude=amplitude), hands)


def hand_at(x, y, scale, side="right", **labels):
    return HandLabel(side, ((POINTS - POINTS[0]) * scale + (x, y)).astype(np.float32), **labels)


def own_folder(path, samples):
    """As a labelling tool leaves it: the folder, and what is in its annotation file."""
    write_coco(path, samples)
    file = path / "annotations" / "person_keypoints_default.json"
    return path, file, json.loads(file.read_text())


SIZES = ((0.3, (240, 320)), (1.0, (240, 320)), (2.6, (960, 1280)))


@pytest.mark.parametrize("scale, shape", SIZES)
def test_own_frames_become_crops_with_their_key_points(tmp_path, scale, shape):
    x, y = 0.3 * shape[1] + 0.3, 0.7 * shape[0] + 0.4
    samples = [own_frame(hand_at(x + i, y, scale), shape=shape, sigma_px=6 * scale) for i in range(3)]
    photos = load_photos(own_folder(tmp_path / "mine", samples)[0], held_out=False)
    assert photos.infrared and photos.sources == ("mine",)
    assert photos.labelled.all() and photos.visible.all() and photos.alone.all()
    assert photos.slot.tolist() == [1, 1]
    rows, columns = np.mgrid[: photos.grey.shape[1], : photos.grey.shape[2]]
    for grey, points in zip(photos.grey, photos.keypoints_px, strict=True):
        spot = [(grey * axis).sum() / grey.sum() for axis in (columns.astype(float), rows)]
        source_px = hand_size_px(points) / hand_size_px(POINTS * scale)
        np.testing.assert_allclose(spot, points[0], atol=0.1 * max(source_px, 1))
        assert hand_size_px(points) == pytest.approx(320 / 4.5, rel=1e-4)


def test_a_hand_beside_another_is_not_alone(tmp_path):
    near = [hand_at(90, 200, 0.4), hand_at(200, 200, 0.4, side="left")]
    few = np.arange(21) < 7  # too few to train on, but in the picture
    hardly = hand_at(200, 200, 0.4, side="left", labelled=few)
    samples = [own_frame(*near), own_frame(near[0], hardly), own_frame(near[0]), own_frame(near[0])]
    photos = load_photos(own_folder(tmp_path, samples)[0], held_out=False)
    assert photos.alone.tolist() == [False, False, False, True]
    assert photos.slot.tolist() == [1, 0, 1, 1]


def test_key_points_without_a_label_lie_at_one_beside_them(tmp_path):
    folder, file, content = own_folder(tmp_path, [own_frame(hand_at(100, 200, 0.5)) for _ in range(3)])
    names = list(HAND21_NAMES)
    unlabelled = [names.index(name) for name in ("wrist", "index_dip", "index_tip", "ring_pip")]
    hidden = [names.index("pinky_tip")]
    for annotation in content["annotations"]:
        for k in unlabelled:
            annotation["keypoints"][3 * k : 3 * k + 3] = [0, 0, 0]
        for k in hidden:
            annotation["keypoints"][3 * k + 2] = 1
    file.write_text(json.dumps(content))
    photos = load_photos(folder, held_out=False)
    assert np.flatnonzero(~photos.labelled[0]).tolist() == sorted(unlabelled)
    assert np.flatnonzero(~photos.visible[0]).tolist() == sorted(unlabelled + hidden)
    at = dict(zip(names, photos.keypoints_px[0].tolist(), strict=True))
    assert at["wrist"] == at["thumb_cmc"]
    assert at["index_dip"] == at["index_tip"] == at["index_pip"]
    assert at["ring_pip"] in (at["ring_mcp"], at["ring_dip"])


def test_the_last_tenth_in_the_order_of_names_is_held_out(tmp_path):
    samples = [own_frame(hand_at(100 + i, 200, 0.5)) for i in range(20)]
    folder, file, content = own_folder(tmp_path, [*samples, own_frame()])  # the last one has no hand
    train, held_out = (load_photos(folder, held_out) for held_out in (False, True))
    assert (len(train), len(held_out)) == (18, 2)
    backwards = list(range(21))[::-1]
    content["images"], content["annotations"] = content["images"][::-1], content["annotations"][::-1]
    for category in content["categories"]:
        category["keypoints"] = [HAND21_NAMES[k] for k in backwards]
    for annotation in content["annotations"]:
        rows = np.reshape(annotation["keypoints"], (21, 3))[backwards]
        annotation["keypoints"] = rows.ravel().tolist()
    file.write_text(json.dumps(content))
    for before, path in ((train, folder), (held_out, folder), (train, file)):
        after = load_photos(path, held_out=before is held_out)
        for name in ("grey", "keypoints_px", "slot", "labelled", "visible", "alone"):
            np.testing.assert_array_equal(getattr(after, name), getattr(before, name))


def test_depth_becomes_the_picture_that_the_tracker_sees(tmp_path):
    """Bright where it is near, whatever the unit of depth."""
    hand = hand_at(100, 200, 0.5)
    depth = np.full((240, 320), 2000, np.uint16)
    x, y = hand.keypoints_px[9].astype(int)
    cv2.circle(depth, (int(x), int(y)), 30, 500, -1)
    greys = []
    for unit in (1.0, 0.25):
        sample = HandSample(Frame(0, 0.0, depth=depth, depth_unit_mm=unit), (hand,))
        photos = load_photos(own_folder(tmp_path / str(unit), [sample] * 2)[0], held_out=True)
        greys.append(photos.grey[0])
    np.testing.assert_array_equal(*greys)
    x, y = np.round(photos.keypoints_px[0, 9]).astype(int)
    assert greys[0][y, x] == 255 and greys[0][y, x + 120] < 30


def test_own_frames_join_batches(tmp_path):
    arrays = pack([mixed_frame(make_world(3, 4), 3, 0, 0)])
    hands = [hand_at(100 + i, 200, 0.5) for i in range(4)]
    photos = load_photos(own_folder(tmp_path, [own_frame(hand) for hand in hands])[0], held_out=False)
    batch = BatchSource(arrays, 5, Mix(photo_share=1.0), photos=photos).batch(0, 24)
    assert not batch["rendered"].any() and (batch["present"].sum(axis=1) <= 1).all()
    assert batch["present"].any(axis=1).mean() > 0.9
    assert (batch["image"].max(axis=(1, 2)) > 0).all()


def test_own_pictures_stay_as_they_are_or_get_noise():
    """About half of them each; what lies beyond the picture is black, as the tracker sees it."""
    grey = np.random.default_rng(0).integers(1, 200, (200, 200), dtype=np.uint8)
    A = np.array([[1, 0, -100], [0, 1, 0]], float)
    clean = normalise_exposure(np.pad(grey[:120, 100:], ((0, 0), (0, 60))))
    seen = [observe_infrared(np.random.default_rng(seed), grey, A) for seed in range(40)]
    assert all(image.shape == (120, 160) and image.dtype == np.uint8 for image in seen)
    assert 10 < sum((image == clean).all() for image in seen) < 30


def test_own_frames_that_cannot_be_used_are_refused(tmp_path):
    hand = hand_at(100, 200, 0.5)
    colour = HandSample(Frame(0, 0.0, colour=np.zeros((240, 320, 3), np.uint8)), (hand,))
    other = SKELETONS["tof8"]
    eight = HandSample(
        own_frame(hand).frame, (HandLabel("left", other.select(hand.keypoints_px), skeleton=other),)
    )
    few = own_frame(hand_at(100, 200, 0.5, labelled=np.arange(21) < 7))
    for name, samples, reason in (
        ("colour", [colour] * 2, r"colour: 000000.png: expected a grey image .*labels\.jsonl"),
        ("eight", [eight] * 2, r"eight: 000000.png: expected the key-points of hand21, got tof8"),
        ("one", [own_frame(hand), own_frame()], "expected two images or more with a hand .* got 1"),
        ("few", [few] * 3, "a hand of 8 labelled key-points or more, .* got 0"),
        ("none", [], "got 0; label some"),
    ):
        folder, *_ = own_folder(tmp_path / name, samples)
        with pytest.raises(HandfastError, match=reason):
            load_photos(folder, held_out=False)


def test_an_annotation_without_a_side_is_named_with_what_to_do(tmp_path):
    folder, file, content = own_folder(tmp_path, [own_frame(hand_at(100, 200, 0.5)) for _ in range(3)])
    for annotation in content["annotations"]:
        annotation["attributes"] = {"occluded": False}
    file.write_text(json.dumps(content))
    with pytest.raises(HandfastError, match=r"annotation 1: .* left or right .*; set the attribute, or name"):
        load_photos(folder, held_out=False)
    for annotation in content["annotations"]:
        annotation["attributes"]["side"] = "left"
    file.write_text(json.dumps(content))
    assert load_photos(folder, held_out=False).slot.tolist() == [0, 0]


def test_key_points_without_a_label_are_not_in_the_image(tmp_path):
    """Nor do they make a hand absent; views of a hand beside another are close looks."""
    arrays = pack([mixed_frame(make_world(3, 4), 3, 0, 0)])
    labelled = np.arange(21) < 10
    right = hand_at(90, 200, 0.4, labelled=labelled, visible=np.arange(21) < 9)
    samples = [own_frame(right, hand_at(140, 200, 0.4, side="left", labelled=np.arange(21) < 7))] * 2
    photos = load_photos(own_folder(tmp_path, samples)[0], held_out=False)
    batch = BatchSource(arrays, 5, Mix(look_share=0.0, photo_share=1.0), photos=photos).batch(0, 24)
    known, seen = batch["in_image"].any(axis=1), batch["visible"].any(axis=1)
    assert known[:, :9].mean() > 0.9 and not known[:, 10:].any()
    assert (seen[:, :9] == known[:, :9]).all() and not seen[:, 9:].any()
    assert batch["present"].any(axis=1).mean() > 0.9
    slot = batch["present"].argmax(axis=1)
    sizes = [hand_size_px(points[s]) for points, s in zip(batch["keypoints_px"], slot, strict=True)]
    assert 50 < np.median(sizes) and min(sizes) > 30
