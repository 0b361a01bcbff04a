"""The ``handfast export`` command."""

import json
import re
from dataclasses import asdict
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Annotated

import typer

from handfast.cli_common import Json, print_facts, training_libraries
from handfast.errors import HandfastError
from handfast.files import check_ending, write_whole

if TYPE_CHECKING:
    from handfast.models.ace import AceNet
    from handfast.models.dense_regression import DenseRegression
    from handfast.models.dirnet import DIRNet
    from handfast.models.tofnet import ToFNet
    from handfast.runtime.model import ModelCard

# As in cli.py, the command imports what it runs.

EXPORT_EXAMPLES = (
    "[bold]Examples[/]\n\n"
    "handfast export runs/tof8/model.safetensors --out tof8.onnx\n\n"
    "handfast export tofnet-tof8 --to c --target avx2 --out tof8_avx2\n\n"
    "handfast export tof8.onnx --to c --int8 --target cortex-m4 --out firmware/tof8\n\n"
    "handfast export dense.safetensors --to openvino --precision int8 --data data/depth --out dense.xml\n\n"
    "handfast export runs/dirnet/model.safetensors --out my_dirnet\n\n"
    "handfast export runs/ace/model.safetensors --out my_ace"
)
CHECKPOINT_ENDING = ".safetensors"
FORMATS = ("onnx", "c", "openvino")
DEFAULT_TARGET = "generic"
# What a card of several graphs says besides.
COSTS_OF = {
    "dirnet": ("loops", "loop_macs", "loop_flops"),
    "ace": ("gate", "threshold", "fine_macs", "fine_flops", "state_bytes"),
}
PARTS_OF_ACE = ("hourglass", "lstm")
PRECISIONS = ("fp32", "fp16", "int8")
ERRORS = ("error_mm_floats", "error_mm_int8")  # of validation crops, for int8


def export(
    model: Annotated[
        str,
        typer.Argument(
            help="model.safetensors of a run, a packaged model, or an .onnx file.",
            metavar="CHECKPOINT|NAME|FILE",
        ),
    ],
    out: Annotated[
        Path,
        typer.Option(
            help="The .onnx or .xml file to write; for C, DIR-Net and ACE a folder.", metavar="PATH"
        ),
    ],
    to: Annotated[
        str,
        typer.Option(
            help="What to write: onnx runs in handfast, and so does openvino of dense-...; c by itself.",
            metavar="onnx|openvino|c",
        ),
    ] = FORMATS[0],
    target: Annotated[
        str | None,
        typer.Option(
            help="For --to c: the processor, generic, avx2, avx512, neon, mve, wasm or cortex-m4.",
            metavar="NAME",
            show_default=DEFAULT_TARGET,
        ),
    ] = None,
    int8: Annotated[
        bool, typer.Option("--int8", help="For --to c: in 8-bit integers, calibrated on synthetic frames.")
    ] = False,
    name: Annotated[
        str | None,
        typer.Option(
            help="For --to c: what its functions begin with, where a program has several networks.",
            metavar="NAME",
            show_default="the model's",
        ),
    ] = None,
    plain: Annotated[
        bool,
        typer.Option(
            "--plain", help="For a checkpoint: without branches, so that the decoder runs on every image."
        ),
    ] = False,
    precision: Annotated[
        str | None,
        typer.Option(
            help="For --to openvino: fp32, fp16, or, of a dense-... network, int8.",
            metavar="NAME",
            show_default=PRECISIONS[0],
        ),
    ] = None,
    data: Annotated[
        Path | None,
        typer.Option(
            help="For --precision int8: folder of a bench-depth, whose split validation it calibrates on.",
            metavar="DIR",
        ),
    ] = None,
    mano: Annotated[
        Path | None,
        typer.Option(help="MANO_RIGHT.pkl, for a checkpoint that was trained with it.", metavar="FILE"),
    ] = None,
    as_json: Json = False,
) -> None:
    """Write a network as a file that handfast runs, for OpenVINO, or as C.

    It has what is needed to find hands and nothing that only training needs.
    Its decoder does not run where no hand can be seen; --plain is for engines that know no branches.

    C comes as a folder that needs no library: from an image of bytes to key-points, with weights, a Makefile
    and a test of one frame, which make test runs.

    For OpenVINO two files are written, .xml and .bin. In int8 the layers that cost accuracy stay floats.

    DIR-Net and ACE become a folder of several .onnx files, so that a loop or an encoder that is
    not needed takes no time.
    """
    from handfast.runtime.model import read_graphs

    if to not in FORMATS:
        raise HandfastError(f"--to: expected {', '.join(FORMATS)}, got {to!r}")
    is_checkpoint = model.endswith(CHECKPOINT_ENDING)
    for option, given in (("--plain", plain), ("--mano", mano is not None)):
        if given and not is_checkpoint:
            raise HandfastError(f"{option}: expected the {CHECKPOINT_ENDING} file of a run, got {model!r}")
    _check_target(to, target, int8, name)
    _check_precision(to, precision, data)

    net, card = _load(Path(model), mano) if is_checkpoint else (None, {})
    family = card.get("family")
    if family in PARTS_OF_ACE:
        raise HandfastError(f"{model}: {card['name']} is there to train and to compare with; export an ace")
    if family == "dense":
        _check_on_crops(card["name"], to, plain)
    if family in ("dirnet", "ace"):
        _check_folder(card["name"], to, plain, out)
        facts = _write_folder(net, card, out)
    elif net is None and len(graphs := read_graphs(model)) > 1:
        _check_folder(model, to, plain, out)
        facts = _copy_folder(graphs, model, out)
    else:
        if to != "c":
            check_ending(out, ".onnx" if to == "onnx" else ".xml")
        with TemporaryDirectory() as folder:
            network = model if net is None else _exported(net, card, plain, Path(folder))
            match to:
                case "onnx":
                    facts = _write_onnx(network, out)
                case "openvino":
                    facts = _write_openvino(network, precision or PRECISIONS[0], data, out)
                case _:
                    facts = _write_c(network, target or DEFAULT_TARGET, int8, out, name)
    if as_json:
        print(json.dumps(facts))
    else:
        files = facts.pop("files", {})
        print_facts(
            [
                *((what, fact) for what, fact in facts.items() if fact is not None),
                *((file, f"{size:,} bytes") for file, size in files.items()),
            ]
        )


def _check_target(to: str, target: str | None, int8: bool, name: str | None) -> None:
    from handfast.export.c.targets import find_target

    if to == "c":
        find_target(target or DEFAULT_TARGET)
        if name is not None and not re.fullmatch("[A-Za-z][A-Za-z0-9_-]*", name):
            raise HandfastError(f"--name: expected letters, digits, - and _, a letter first, got {name!r}")
    elif name is not None:
        raise HandfastError("--name is for --to c")
    elif target is not None:
        raise HandfastError("--target is for --to c")
    elif int8:
        raise HandfastError("--int8 is for --to c; for OpenVINO there is --precision int8")


def _check_precision(to: str, precision: str | None, data: Path | None) -> None:
    if precision is not None:
        if to != "openvino":
            raise HandfastError("--precision is for --to openvino")
        if precision not in PRECISIONS:
            raise HandfastError(f"--precision: expected {', '.join(PRECISIONS)}, got {precision!r}")
    if (precision == "int8") != (data is not None):
        raise HandfastError("--precision int8 and --data go together: it calibrates on what is there")


def _load(checkpoint: Path, mano: Path | None) -> tuple["ToFNet | DenseRegression | DIRNet | AceNet", dict]:
    with training_libraries():
        from handfast.training.checkpoint import load_checkpoint

    return load_checkpoint(checkpoint, mano)


def _exported(net: "ToFNet | DenseRegression", card: dict, plain: bool, folder: Path) -> Path:
    with training_libraries():
        from handfast.export.early_out import EARLY_OUT_LOGIT
        from handfast.export.onnx import export_onnx

    path = folder / "model.onnx"
    export_onnx(net, card, path, None if plain else EARLY_OUT_LOGIT)
    return path


def _check_on_crops(name: str, to: str, plain: bool) -> None:
    if plain:
        raise HandfastError(f"--plain: {name} has no branches in its graphs; leave it out")
    if to == "c":
        raise HandfastError(f"--to c: expected a net on whole images, got {name}; choose onnx")


def _check_folder(name: str, to: str, plain: bool, out: Path) -> None:
    """Of a network of several graphs, which are driven by ``runtime``."""
    from handfast.packaged import PACKAGED

    _check_on_crops(name, to, plain)
    if to == "openvino":
        raise HandfastError(
            f"--to openvino: it reads the .onnx files of {name} as they are; export with --to onnx, run with "
            "--backend openvino"
        )
    if out.suffix == ".onnx":
        raise HandfastError(f"--out: expected a folder for the files of {name}, got {out}")
    if str(out) in PACKAGED:
        raise HandfastError(
            f"--out: {out} is the name of a packaged network, which --model would take for it; "
            f"choose another, such as my_{out}"
        )


def _copy_folder(graphs: dict[str, bytes], model: str, out: Path) -> dict:
    from handfast.export.folder import write_folder
    from handfast.runtime.model import read_card

    card = asdict(read_card(model))
    write_folder(out, {f"{name}.onnx": content for name, content in graphs.items()})
    return _folder_costs(card, out)


def _write_folder(net: "DIRNet | AceNet", card: dict, out: Path) -> dict:
    with training_libraries():
        from handfast.export.ace import export_ace
        from handfast.export.dirnet import export_dirnet

    export = export_ace if card["family"] == "ace" else export_dirnet
    return _folder_costs(export(net, card, out), out)


def _folder_costs(card: dict, out: Path) -> dict:
    names = ("name", "parameters", "macs", "flops", *COSTS_OF[card["family"]], "weight_bytes")
    return {"out": str(out), **{name: card[name] for name in names}}


def _write_onnx(network: str | Path, out: Path) -> dict:
    content, card = _read(network)
    write_whole(out, content)
    return {"out": str(out), **_costs(asdict(card))}


def _write_openvino(network: str | Path, precision: str, data: Path | None, out: Path) -> dict:
    from handfast.export.openvino import export_openvino

    content, _ = _read(network)
    card = export_openvino(content, out, precision, data)
    facts = {"out": str(out), "precision": precision, **_costs(card)}
    if precision == "int8":
        facts |= {name: round(card["metrics"][f"crops_{name}"], 3) for name in ERRORS}
    return facts


def _read(network: str | Path) -> tuple[bytes, "ModelCard"]:
    from handfast.runtime.model import read_card, read_model

    return read_model(network), read_card(network)


def _costs(card: dict) -> dict:
    """What a card says of the network's costs; one from before the early-out says less."""
    names = ("name", "parameters", "macs", "flops", "early_out_flops", "weight_bytes")
    return {name: card.get(name) for name in names}


def _write_c(network: str | Path, target: str, int8: bool, out: Path, name: str | None) -> dict:
    from handfast.runtime.model import load_model, read_model

    with training_libraries():  # onnx
        from handfast.export.c.folder import write_c

    card = load_model(network, "onnxruntime").card  # refuses what has no C
    name = name or card.name
    written = write_c(read_model(network), name, target, out, int8)
    return {
        "out": str(out),
        "name": name,
        "target": target,
        "numbers": "int8" if int8 else "float32",
        "arena_bytes": written.arena_bytes,
        "weight_bytes": written.weight_bytes,
        "files": {file: len(text) for file, text in written.texts.items()},
    }
