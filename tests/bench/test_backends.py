import pytest

from handfast.bench.backends import BACKENDS, Engine
from handfast.bench.measure import make_ready

MODULES = {
    "openvino": ["openvino"],
    "litert": ["ai_edge_litert", "litert_torch"],
    "ncnn": ["ncnn", "pnnx"],
    "executorch": ["executorch"],
}


@pytest.mark.parametrize("name", BACKENDS)
def test_an_engine_computes_what_onnx_runtime_does(name, task, request):
    for module in MODULES.get(name, ()):
        pytest.importorskip(module)
    if not BACKENDS[name].packages:
        request.getfixturevalue("compiler")
    ready = make_ready(name, BACKENDS[name], task)
    assert isinstance(ready, Engine), ready
    ready.run()


@pytest.mark.usefixtures("compiler")
def test_integers_take_less_than_half_the_memory(task):
    floats, integers = (make_ready(name, BACKENDS[name], task) for name in ("c", "c-int8"))
    assert integers.weight_bytes < floats.weight_bytes / 2
    assert integers.arena_bytes < floats.arena_bytes / 2
