"""A network is opened as what its card says it is."""

import pytest

from handfast.errors import HandfastError
from handfast.runtime.ace import AceModel
from handfast.runtime.dense import DenseModel
from handfast.runtime.dirnet import ExitRule, RefinementModel
from handfast.runtime.model import Model
from handfast.runtime.opening import open_network


@pytest.mark.parametrize(
    ("name", "kind"),
    [("tofnet-tof8", Model), ("dense-hand21", DenseModel), ("dirnet", RefinementModel), ("ace", AceModel)],
)
def test_each_family_runs_as_its_own(name, kind):
    network = open_network(name)
    assert type(network) is kind and network.card.name == name


def test_a_gate_decides_as_it_is_told():
    assert open_network("ace", gate="0.25").threshold == 0.25
    assert open_network("dirnet", gate="variance:2.5").rule == ExitRule("variance", variance=2.5)
    assert open_network("dirnet", gate="gate:0.5").rule == ExitRule("gate", temperature=0.5)
    assert open_network("dirnet", gate="never").rule == ExitRule("never")


@pytest.mark.parametrize(
    ("name", "gate", "message"),
    [
        ("ace", "often", "gate 'often': of ACE expected a threshold in 0..1"),
        ("ace", "1.5", r"threshold \(--gate\): expected 0\.\.1, got 1\.5"),
        ("dirnet", "0.3", "exit rule '0.3': expected gate:TAU, variance:TAU or never"),
        ("dirnet", "variance", "exit rule 'variance': expected gate:TAU"),
        ("dirnet", "never:1", "exit rule 'never:1': expected gate:TAU"),
        ("dirnet", "gate:0", "temperature must be above 0, got 0"),
        ("tofnet-tof8", "0.3", "gate '0.3': model tofnet-tof8 has none"),
        ("dense-hand21", "never", "gate 'never': model dense-hand21 has none"),
    ],
)
def test_a_gate_that_a_network_does_not_have_is_refused(name, gate, message):
    with pytest.raises(HandfastError, match=message):
        open_network(name, gate=gate)


def test_openvinos_files_are_dense_regression(tmp_path):
    with pytest.raises(HandfastError, match=r"nowhere\.xml"):
        open_network(tmp_path / "nowhere.xml", "openvino")


def test_a_back_end_that_a_family_lacks_is_refused():
    with pytest.raises(HandfastError, match="backend 'c': expected onnxruntime, openvino"):
        open_network("ace", "c")
