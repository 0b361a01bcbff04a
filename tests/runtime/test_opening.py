"""A network is opened as what its card says it is."""

import pytest

from handfast.errors import HandfastError
from handfast.runtime.ace import AceModel
from handfast.runtime.dense import DenseModel
from handfast.runtime.dirnet import RefinementModel
from handfast.runtime.model import Model
from handfast.runtime.opening import open_network


@pytest.mark.parametrize(
    ("name", "kind"),
    [("tofnet-tof8", Model), ("dense-hand21", DenseModel), ("dirnet", RefinementModel), ("ace", AceModel)],
)
def test_each_family_runs_as_its_own(name, kind):
    network = open_network(name)
    assert type(network) is kind and network.card.name == name


def test_openvinos_files_are_dense_regression(tmp_path):
    with pytest.raises(HandfastError, match=r"nowhere\.xml"):
        open_network(tmp_path / "nowhere.xml", "openvino")


def test_a_back_end_that_a_family_lacks_is_refused():
    with pytest.raises(HandfastError, match="backend 'c': expected onnxruntime, openvino"):
        open_network("ace", "c")
