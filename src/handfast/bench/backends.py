"""Every engine that can be measured: what it needs, and how it is made ready for one network and one image.

All run on one thread and, but for c-int8, in 32-bit floats. Converting, packing weights and planning memory
belong to making ready and are not timed. What may be missing is imported where it is used.
"""

import ctypes
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np

from handfast.bench.plain import PlainNetwork
from handfast.bench.task import Task
from handfast.runtime.native import load_native
from handfast.runtime.openvino import OPTIONS, core, read_network

Outputs = tuple[np.ndarray, np.ndarray]


@dataclass(frozen=True, eq=False)
class Engine:
    """A network ready to run on the task's image.

    run: one frame, from the bytes of the image on; what is timed. outputs: one frame too; -> heat-map and
    visibility logits with their numbers in the ONNX file's order, whatever their shapes. arena_bytes: the
    working memory of a run; weight_bytes: of the weights that it reads; None: the engine does not say.
    keeps: what has to live as long as the engine.
    """

    run: Callable[[], object]
    outputs: Callable[[], Outputs]
    arena_bytes: int | None = None
    weight_bytes: int | None = None
    keeps: object = None


@dataclass(frozen=True)
class Backend:
    """How an engine is made ready, and the packages (names on PyPI) without which it cannot be. What needs no
    package needs a C compiler.

    ``prepare`` raises ModuleNotFoundError where a package is missing, and HandfastError where there is no
    compiler and for a layer that is not known.
    """

    prepare: Callable[[Task], Engine]
    packages: tuple[str, ...] = ()
    is_exact: bool = True  # the ONNX file's numbers but for rounding


def _generated(task: Task) -> Engine:
    return _native(task, int8=False)


def _generated_int8(task: Task) -> Engine:
    return _native(task, int8=True)


def _native(task: Task, int8: bool) -> Engine:
    network = load_native(task.content, task.name, int8=int8)
    image = np.ascontiguousarray(task.image)
    keypoints = np.empty((2, network.keypoints_per_hand, 4), np.float32)
    function = getattr(network.library, f"{network.symbol}_run")
    arguments = [array.ctypes.data_as(ctypes.c_void_p) for array in (image, keypoints, network.arena)]
    return Engine(
        lambda: function(*arguments), lambda: network.maps(image), network.arena_bytes, network.weight_bytes
    )


def _naive(task: Task) -> Engine:
    return _plain(task, as_matrix_product=False)


def _im2col(task: Task) -> Engine:
    return _plain(task, as_matrix_product=True)


def _plain(task: Task, as_matrix_product: bool) -> Engine:
    network = PlainNetwork(task.network, task.image, as_matrix_product)

    def outputs() -> Outputs:
        network.run()
        return network.outputs()

    return Engine(network.run, outputs, network.arena_bytes, task.cost.weight_bytes)


def _onnxruntime(task: Task) -> Engine:
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    session = onnxruntime.InferenceSession(task.plain_onnx, options, providers=["CPUExecutionProvider"])

    def run() -> list[np.ndarray]:
        return session.run(["heatmaps", "visibility"], {"image": task.as_floats()})

    return Engine(run, run)


def _openvino(task: Task) -> Engine:
    model = read_network(task.plain_onnx)
    model.reshape(list(task.as_floats().shape))
    request = core().compile_model(model, "CPU", OPTIONS).create_infer_request()

    def run() -> Outputs:
        found = request.infer({"image": task.as_floats()}, share_inputs=True, share_outputs=True)
        return found["heatmaps"], found["visibility"]

    return Engine(run, run)


def _ncnn(task: Task) -> Engine:
    import ncnn
    import pnnx
    import torch

    from handfast.bench.torch_network import TorchNetwork

    with TemporaryDirectory() as folder:
        path = Path(folder) / "network.pt"
        pnnx.export(TorchNetwork(task.network), str(path), (torch.from_numpy(task.as_floats()),), fp16=False)
        net = ncnn.Net()
        net.opt.num_threads = 1
        net.opt.use_fp16_packed = net.opt.use_fp16_storage = net.opt.use_fp16_arithmetic = False
        net.load_param(str(path.with_suffix(".ncnn.param")))
        net.load_model(str(path.with_suffix(".ncnn.bin")))

    def run() -> Outputs:
        image = task.as_floats()[0]  # kept here: ncnn's matrices do not own what they are made of
        with net.create_extractor() as extractor:
            extractor.input("in0", ncnn.Mat(image))
            return np.array(extractor.extract("out0")[1]), np.array(extractor.extract("out1")[1])

    return Engine(run, run)


def _litert(task: Task) -> Engine:
    import litert_torch
    import torch
    from ai_edge_litert.interpreter import Interpreter

    from handfast.bench.torch_network import TorchNetwork

    converted = litert_torch.convert(TorchNetwork(task.network), (torch.from_numpy(task.as_floats()),))
    with TemporaryDirectory() as folder:
        path = Path(folder) / "network.tflite"
        converted.export(str(path))
        content = path.read_bytes()
    interpreter = Interpreter(model_content=content, num_threads=1)
    interpreter.allocate_tensors()
    image = interpreter.get_input_details()[0]["index"]
    heatmaps, visibility = (found["index"] for found in interpreter.get_output_details())

    def run() -> Outputs:
        interpreter.set_tensor(image, task.as_floats())
        interpreter.invoke()
        return interpreter.get_tensor(heatmaps), interpreter.get_tensor(visibility)

    return Engine(run, run)


def _executorch(task: Task) -> Engine:
    import torch
    from executorch.backends.xnnpack.partition.xnnpack_partitioner import XnnpackPartitioner
    from executorch.exir import to_edge_transform_and_lower
    from executorch.extension.pybindings import portable_lib
    from executorch.runtime import Runtime

    from handfast.bench.torch_network import TorchNetwork

    exported = torch.export.export(TorchNetwork(task.network), (torch.from_numpy(task.as_floats()),))
    program = to_edge_transform_and_lower(exported, partitioner=[XnnpackPartitioner()]).to_executorch()
    # It has PyTorch's threads and a pool of its own, which there is no public way to change.
    torch.set_num_threads(1)
    portable_lib._unsafe_reset_threadpool(1)
    loaded = Runtime.get().load_program(program.buffer)
    method = loaded.load_method("forward")

    def run() -> list[torch.Tensor]:
        return method.execute([torch.from_numpy(task.as_floats())])

    return Engine(run, lambda: tuple(found.numpy() for found in run()), keeps=(program, loaded))


def _torch(task: Task) -> Engine:
    import torch

    from handfast.bench.torch_network import TorchNetwork

    torch.set_num_threads(1)
    network = TorchNetwork(task.network)

    def run() -> tuple[torch.Tensor, torch.Tensor]:
        with torch.inference_mode():
            return network(torch.from_numpy(task.as_floats()))

    return Engine(run, lambda: tuple(found.numpy() for found in run()), weight_bytes=task.cost.weight_bytes)


BACKENDS = {
    "c": Backend(_generated),
    "c-int8": Backend(_generated_int8, is_exact=False),
    "onnxruntime": Backend(_onnxruntime, ("onnxruntime",)),
    "openvino": Backend(_openvino, ("openvino",)),
    "litert": Backend(_litert, ("ai-edge-litert", "litert-torch", "torch")),
    "ncnn": Backend(_ncnn, ("ncnn", "pnnx", "torch")),
    "executorch": Backend(_executorch, ("executorch", "torch")),
    "torch": Backend(_torch, ("torch",)),
    "naive": Backend(_naive),
    "im2col": Backend(_im2col),
}
