"""Pictures in memory are the files', seen from anywhere, and nothing else is taken for one."""

import json
from dataclasses import replace

import cv2
import numpy as np
import pytest

from handfast.data.colour_pictures import Pictures, load_frames, load_photographs
from handfast.data.photos import HELD_OUT_SOURCES
from handfast.errors import HandfastError
from handfast.geometry import apply_affine, crop_affine

SIZE_PX = 64


def encoded(kind, picture):
    return cv2.imencode(kind, picture, (cv2.IMWRITE_JPEG_QUALITY, 98) if kind == ".jpg" else ())[1].tobytes()


def pictures_of(picture, labels, hand_px):
    """One picture (S, S, 3) RGB."""
    return Pictures(
        (encoded(".jpg", picture[..., ::-1]),),
        ("0.jpg",),
        len(picture),
        hand_px[None].astype(np.float32),
        np.ones((1, 21), bool),
        np.array([1]),
        np.array([[0, 0, len(picture) - 1, len(picture) - 1]]),
        np.array([False]),
        (encoded(".png", labels),),
        np.array([0]),
        np.array([0]),
        "one",
    )


@pytest.fixture
def blob():
    """A picture with a smooth red blob at (100, 60), which is labelled 2."""
    y, x = np.mgrid[:256, :256]
    near = np.exp(-((x - 100) ** 2 + (y - 60) ** 2) / (2 * 20**2))
    picture = np.stack([220 * near, 0 * near, 60 + 0 * near], axis=-1).astype(np.uint8)
    hand_px = np.array([100, 60]) + 15 * np.stack([np.cos(np.arange(21)), np.sin(np.arange(21))], axis=-1)
    return pictures_of(picture, np.where(near > 0.5, 2, 0).astype(np.uint8), hand_px)


@pytest.mark.parametrize("width_px", [60, 150, 256, 500, 900, 2000])
@pytest.mark.parametrize("turn_rad", [0.0, 0.8])
def test_a_view_shows_what_the_affine_says_at_any_scale(blob, width_px, turn_rad):
    """However much smaller the picture is decoded: the blob's middle stays to a fifth of a pixel."""
    A = crop_affine((110, 65), width_px, 160, 120, turn_rad)
    image, labels = blob.view(0, A, 160, 120), blob.segmentation(0, A, 160, 120)
    y, x = np.mgrid[:120, :160]
    for weight, tolerance_px in ((image[..., 0].astype(float), 0.2), ((labels == 2).astype(float), 0.6)):
        middle = np.array([(x * weight).sum(), (y * weight).sum()]) / weight.sum()
        if width_px > 150:  # else it is cut off
            np.testing.assert_allclose(middle, apply_affine(A, np.array([100, 60])), atol=tolerance_px)
    assert image[..., 0].max() > 100 and image[..., 1].max() < 30  # red comes first


def test_a_mirrored_view_swaps_sides(blob):
    A = crop_affine((128, 128), 320, 160, 120)
    M = np.column_stack([-A[:, 0], A[:, 1], A[:, 2] + 255 * A[:, 0]])
    there, mirrored = blob.segmentation(0, A, 160, 120), blob.segmentation(0, M, 160, 120)
    assert set(np.unique(there)) == {0, 2} and set(np.unique(mirrored)) == {0, 1}
    assert ((there[:, ::-1] == 2) != (mirrored == 1)).mean() < 0.01


def test_a_covered_hand_is_gone_and_the_rest_stays(blob):
    bare, whole = blob.without_hand(0), blob.view(0, np.eye(2, 3), 256, 256)
    assert bare.shape == whole.shape and whole[50:70, 90:110, 0].min() > 150
    assert bare[45:75, 85:115, 0].max() < 150
    np.testing.assert_array_equal(bare[:, 160:], whole[:, 160:])
    filling = np.array([[0, 0], [255, 0], [255, 255]] * 7)
    everywhere = replace(blob, keypoints_px=filling[None].astype(np.float32))
    assert np.ptp(everywhere.without_hand(0), axis=(0, 1)).max() == 0  # nothing is left beside it


def test_frames_are_those_of_the_benchmark(dotted_folder, dots):
    frames = load_frames(dotted_folder, "train")
    assert len(frames) == 48 and frames.size_px == 256 and len(frames.segmentations) == 48
    assert set(frames.slot.tolist()) == {0, 1} and frames.sources.startswith("48 frames of bench-rgb")
    image = frames.view(9, np.eye(2, 3), 256, 256)
    x, y = np.rint(frames.keypoints_px[9]).astype(int).T
    assert np.abs(image[y, x].astype(int) - dots).max() < 60


@pytest.fixture
def photo_folder(tmp_path):
    """Two photos to train on, the second padded with black and before a green screen, and one held out."""
    (tmp_path / "images").mkdir()
    room = np.full((SIZE_PX, SIZE_PX, 3), 128, np.uint8)
    screen = np.zeros_like(room)
    screen[20:, 8:] = (30, 190, 40)
    labels = []
    for i, (picture, source) in enumerate(((room, "room"), (screen, "screen"), (room, HELD_OUT_SOURCES[0]))):
        (tmp_path / "images" / f"{i}.jpg").write_bytes(encoded(".jpg", picture[..., ::-1]))
        xy = [[2.0 * k, 3.0 * k] for k in range(21)]
        labels.append({"file": f"{i}.jpg", "source": source, "xy": xy, "side": "left"})
    (tmp_path / "labels.jsonl").write_text("\n".join(map(json.dumps, labels)))
    return tmp_path


def test_photos_know_their_padding_and_their_screen(photo_folder):
    photos = load_photographs(photo_folder, held_out=False)
    assert photos.files == ("0.jpg", "1.jpg") and photos.sources == "2 photos of room, screen"
    assert photos.green.tolist() == [False, True] and photos.segmentations == ()
    assert photos.bounds_px[0].tolist() == [0, 0, 63, 63]
    x0, y0, x1, y1 = photos.bounds_px[1].tolist()
    assert 8 <= x0 <= 12 and 20 <= y0 <= 24 and (x1, y1) == (63, 63)
    assert photos.slot.tolist() == [0, 0] and photos.keypoints_px[1, 5].tolist() == [10, 15]
    assert load_photographs(photo_folder, held_out=True).files == ("2.jpg",)


def test_bad_folders_are_refused(photo_folder):
    def damaged(old, new, message):
        text = (photo_folder / "labels.jsonl").read_text()
        (photo_folder / "labels.jsonl").write_text(text.replace(old, new))
        with pytest.raises(HandfastError, match=message):
            load_photographs(photo_folder, held_out=False)
        (photo_folder / "labels.jsonl").write_text(text)

    damaged('"left"', '"both"', "expected labels.jsonl and images/")
    damaged('"xy"', '"points"', "expected labels.jsonl and images/")
    damaged('"file"', '"name"', "expected labels.jsonl and images/")
    damaged("1.jpg", "4.jpg", r"4\.jpg: cannot be read .*remove its line from labels\.jsonl")
    (photo_folder / "images" / "1.jpg").write_bytes(b"no photo")
    damaged("", "", r"1\.jpg: not a readable photo")
    (photo_folder / "images" / "1.jpg").write_bytes(encoded(".jpg", np.zeros((32, 64, 3), np.uint8)))
    damaged("", "", "expected 64 x 64 px as of the first photo, got 64 x 32")
    (photo_folder / "labels.jsonl").write_text("")
    with pytest.raises(HandfastError, match="expected photos to train on, got none"):
        load_photographs(photo_folder, held_out=False)


def test_photos_of_ones_own_need_none_to_validate_on(photo_folder):
    labels = (photo_folder / "labels.jsonl").read_text()
    (photo_folder / "labels.jsonl").write_text(labels.replace(HELD_OUT_SOURCES[0], "kitchen"))
    assert len(load_photographs(photo_folder, held_out=False)) == 3
    assert len(load_photographs(photo_folder, held_out=True)) == 0
