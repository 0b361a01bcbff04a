import sys

import numpy as np
import pytest

from handfast.data.datasets.mat_files import load_mat
from handfast.errors import HandfastError

scipy_io = pytest.importorskip("scipy.io")


@pytest.fixture
def path(tmp_path):
    return tmp_path / "labels.mat"


def test_variables_come_by_name_and_nothing_else(path):
    scipy_io.savemat(path, {"handPara": np.arange(24.0).reshape(2, 3, 4)})
    variables = load_mat(path)
    assert list(variables) == ["handPara"]
    assert (variables["handPara"] == np.arange(24.0).reshape(2, 3, 4)).all()


def test_missing_and_broken_files_are_named(path):
    with pytest.raises(HandfastError, match=r"labels\.mat: missing"):
        load_mat(path)
    path.write_bytes(b"not MATLAB at all" * 20)
    with pytest.raises(HandfastError, match=r"labels\.mat: not a readable \.mat file"):
        load_mat(path)


def test_without_scipy_it_says_what_to_install(path, monkeypatch):
    path.write_bytes(b"")
    monkeypatch.setitem(sys.modules, "scipy.io", None)
    with pytest.raises(HandfastError, match=r'pip install "handfast\[datasets\]"'):
        load_mat(path)
