import pytest

from handfast.data.datasets import samples
from handfast.data.datasets.samples import need_file
from handfast.errors import HandfastError


def test_a_file_that_is_missing_or_may_not_be_read_is_named(tmp_path, monkeypatch):
    path = tmp_path / "labels.json"
    with pytest.raises(HandfastError, match=r"labels\.json: missing; it should hold hands"):
        need_file(path, "hands")
    path.touch()
    assert need_file(path, "hands") == path
    monkeypatch.setattr(samples.os, "access", lambda path, mode: False)  # root may read everything
    with pytest.raises(HandfastError, match=r"labels\.json: cannot be read"):
        need_file(path, "hands")
