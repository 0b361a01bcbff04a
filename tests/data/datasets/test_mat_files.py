import numpy as np
import pytest
from scipy import io as scipy_io

from handfast.data.datasets.mat_files import load_mat
from handfast.errors import HandfastError


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
