import json

import pytest

from handfast.data.datasets.json_matrices import JsonMatrices
from handfast.errors import HandfastError

MATRICES = [[[1.5, -2.0], [3e-05, 4]], [[5, 6], [7, 8]], [[0, 0], [0, 1]]]


@pytest.mark.parametrize("separators", [(", ", ": "), (",", ":"), (",\n", ":")])
def test_each_matrix_comes_by_its_index(tmp_path, separators):
    path = tmp_path / "xyz.json"
    path.write_text(json.dumps(MATRICES, separators=separators) + "\n")
    matrices = JsonMatrices(path, count=3)
    assert len(matrices) == 3
    assert [matrices[i] for i in (2, 0, 1)] == [MATRICES[i] for i in (2, 0, 1)]


@pytest.mark.parametrize(
    "text", ["", "[]", "{}", json.dumps(MATRICES)[:-1], json.dumps(MATRICES)[:-9], "[[1, 2]]"]
)
def test_what_is_no_list_of_matrices_is_refused_by_name(tmp_path, text):
    path = tmp_path / "xyz.json"
    path.write_text(text)
    with pytest.raises(HandfastError, match=r"xyz\.json: not a JSON list of matrices"):
        len(JsonMatrices(path))


def test_a_broken_matrix_and_a_wrong_number_are_refused_by_name(tmp_path):
    path = tmp_path / "xyz.json"
    path.write_text(json.dumps(MATRICES).replace("5, 6", "5 6"))
    assert JsonMatrices(path)[2] == MATRICES[2]
    with pytest.raises(HandfastError, match=r"xyz\.json.*entry 1"):
        JsonMatrices(path)[1]
    with pytest.raises(HandfastError, match=r"xyz\.json: expected 4 matrices.*got 3"):
        len(JsonMatrices(path, count=4))
    with pytest.raises(HandfastError, match=r"none\.json: missing"):
        len(JsonMatrices(tmp_path / "none.json"))
