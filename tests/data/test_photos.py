import json

import cv2
import numpy as np
import pytest

from handfast.data.arrays import pack
from handfast.data.batches import BatchSource
from handfast.data.photos import HELD_OUT_SOURCES, Photos, load_photos, observe_photo
from handfast.data.synthesis import make_world, synthesise
from handfast.errors import HandfastError

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
    arrays = pack([synthesise(world, 3, i, i) for i in range(4)])
    photos = load_photos(folder, held_out=False)
    source = BatchSource(arrays, 5, photos=photos, photo_share=0.5)
    batch, again = source.batch(2, 64), source.batch(2, 64)
    assert all((batch[name] == again[name]).all() for name in batch)
    of_photos = ~batch["rendered"]
    assert 16 < of_photos.sum() < 48
    assert (batch["present"][of_photos].sum(axis=1) <= 1).all()


def test_a_mirrored_right_hand_is_a_left_one(folder):
    """Seen from its wrist, the thumb of a right palm lies clockwise of the little finger."""
    world = make_world(3, 4)
    arrays = pack([synthesise(world, 3, 0, 0)])
    both = load_photos(folder, held_out=False)
    right = Photos(both.grey[:1], both.keypoints_px[:1], both.slot[:1] * 0 + 1, both.sources)
    batch = BatchSource(arrays, 5, photos=right, photo_share=1.0).batch(0, 40)
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
    lines = (folder / "labels.jsonl").read_text().replace('"side": "right"', '"side": "upper"')
    (folder / "labels.jsonl").write_text(lines)
    with pytest.raises(HandfastError, match=r"labels\.jsonl"):
        load_photos(folder, held_out=False)
