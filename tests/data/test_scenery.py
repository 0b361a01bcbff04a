import cv2
import numpy as np
import pytest

from handfast.data.scenery import LONGER_SIDE_PX, load_scenes
from handfast.errors import HandfastError


@pytest.fixture
def folder(tmp_path):
    """A wide green picture, and a small blue one in a folder of its own."""
    (tmp_path / "more").mkdir()
    cv2.imwrite(str(tmp_path / "wide.png"), np.full((300, 1280, 3), (0, 200, 0), np.uint8))
    cv2.imwrite(str(tmp_path / "more" / "small.JPG"), np.full((60, 80, 3), (200, 0, 0), np.uint8))
    (tmp_path / "notes.txt").write_text("no picture")
    return tmp_path


def test_pictures_of_all_folders_are_there_none_larger_than_needed(folder):
    scenes = load_scenes(folder)
    sizes = {cv2.imdecode(np.frombuffer(jpeg, np.uint8), cv2.IMREAD_COLOR).shape[:2] for jpeg in scenes.jpegs}
    assert sizes == {(60, 80), (150, LONGER_SIDE_PX)}
    assert scenes.name == f"2 pictures without hands of {folder.name}"


def test_a_view_shows_one_of_them_and_nothing_else(folder):
    scenes = load_scenes(folder)
    seen = set()
    for seed in range(30):
        view = scenes.view(np.random.default_rng(seed), 160, 120)
        assert view.shape == (120, 160, 3) and view.dtype == np.uint8 and np.ptp(view, axis=(0, 1)).max() < 12
        seen.add("rgb"[view[60, 80].argmax()])
    assert seen == {"g", "b"}


def test_views_answer_to_the_generator_and_differ(tmp_path):
    """In place, size, turn and mirror image."""
    noise = np.random.default_rng(0).integers(0, 256, (90, 120, 3), dtype=np.uint8)
    cv2.imwrite(str(tmp_path / "noise.png"), cv2.resize(noise, (480, 360)))
    scenes = load_scenes(tmp_path)
    views = [scenes.view(np.random.default_rng(seed), 160, 120) for seed in (0, 0, 1, 2)]
    assert np.array_equal(views[0], views[1])
    assert all(np.abs(views[0].astype(int) - other).mean() > 20 for other in views[2:])


def test_a_folder_without_pictures_and_a_broken_one_are_refused(tmp_path):
    with pytest.raises(HandfastError, match=r"nowhere: expected pictures without hands, .+; there is none"):
        load_scenes(tmp_path / "nowhere")
    (tmp_path / "cut.png").write_bytes(b"\x89PNG\r\n")
    with pytest.raises(HandfastError, match=r"cut\.png: not a readable picture; remove it"):
        load_scenes(tmp_path)
