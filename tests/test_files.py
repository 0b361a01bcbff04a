import errno
from pathlib import Path

import pytest

from handfast.errors import HandfastError
from handfast.files import check_ending, write_whole


def test_a_file_and_its_folder_appear_and_what_was_there_is_replaced(tmp_path):
    path = tmp_path / "new" / "folder" / "file.bin"
    for content in (b"first", b""):
        write_whole(path, content)
        assert path.read_bytes() == content
        assert list(path.parent.iterdir()) == [path]


@pytest.mark.parametrize("name", ["folder", "a_file/below.png", f"{'x' * 250}.png", "x" * 300, ""])
def test_what_cannot_be_written_leaves_nothing(tmp_path, monkeypatch, name):
    monkeypatch.chdir(tmp_path)
    Path("folder").mkdir()
    Path("a_file").touch()
    before = sorted(tmp_path.rglob("*"))
    with pytest.raises(HandfastError, match=r"cannot be written .*; make room or choose another place"):
        write_whole(Path(name), b"content")
    assert sorted(tmp_path.rglob("*")) == before


@pytest.mark.parametrize("failure", [OSError(errno.ENOSPC, "No space left on device"), KeyboardInterrupt()])
def test_a_write_that_stops_half_way_leaves_what_was_there(tmp_path, monkeypatch, failure):
    path = tmp_path / "file.bin"
    path.write_bytes(b"before")
    write_bytes = Path.write_bytes

    def stop_half_way(path, content):
        write_bytes(path, content[:2])
        raise failure

    monkeypatch.setattr(Path, "write_bytes", stop_half_way)
    with pytest.raises((HandfastError, KeyboardInterrupt)):
        write_whole(path, b"content")
    assert path.read_bytes() == b"before" and list(tmp_path.iterdir()) == [path]


def test_endings():
    for name in ("a.png", "a.b.PNG", "folder/a.svg"):
        check_ending(Path(name), ".png", ".svg")
    for name in ("a.jpg", "png", ".png", "a.png.txt", ""):
        with pytest.raises(HandfastError, match=r"expected a file name that ends in \.png, \.svg"):
            check_ending(Path(name), ".png", ".svg")
