"""The ``handfast export`` command."""

import json
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Annotated

import typer

from handfast.cli_common import Json, print_facts, training_libraries
from handfast.errors import HandfastError
from handfast.files import check_ending, write_whole

# As in cli.py, the command imports what it runs.

EXPORT_EXAMPLES = (
    "[bold]Examples[/]\n\n"
    "handfast export runs/tof8/model.safetensors --out tof8.onnx\n\n"
    "handfast export tofnet-tof8 --to c --target avx2 --out tof8_avx2\n\n"
    "handfast export tof8.onnx --to c --int8 --target cortex-m4 --out firmware/tof8"
)
CHECKPOINT_ENDING = ".safetensors"
FORMATS = ("onnx", "c")
DEFAULT_TARGET = "generic"


def export(
    model: Annotated[
        str,
        typer.Argument(
            help="model.safetensors of a run, a packaged model, or an .onnx file.",
            metavar="CHECKPOINT|NAME|FILE",
        ),
    ],
    out: Annotated[Path, typer.Option(help="The .onnx file, or the folder of C, to write.", metavar="PATH")],
    to: Annotated[str, typer.Option(help="onnx, which handfast runs, or c.", metavar="onnx|c")] = FORMATS[0],
    target: Annotated[
        str | None,
        typer.Option(
            help="Processor the C is for: generic, avx2, avx512, neon, mve, wasm or cortex-m4.",
            metavar="NAME",
            show_default=DEFAULT_TARGET,
        ),
    ] = None,
    int8: Annotated[
        bool, typer.Option("--int8", help="C in 8-bit integers, calibrated on synthetic frames.")
    ] = False,
    plain: Annotated[
        bool,
        typer.Option("--plain", help="Of a checkpoint, without branches: the decoder runs on every image."),
    ] = False,
    as_json: Json = False,
) -> None:
    """Write a network as a file that handfast runs, or as C.

    It has what is needed to find hands and nothing that only training needs.
    Its decoder does not run where no hand can be seen; --plain is for engines that know no branches.

    C comes as a folder that needs no library: from an image of bytes to key-points, with weights, a Makefile
    and a test of one frame, which make test runs.
    """
    if to not in FORMATS:
        raise HandfastError(f"--to: expected {' or '.join(FORMATS)}, got {to!r}")
    is_checkpoint = model.endswith(CHECKPOINT_ENDING)
    if plain and not is_checkpoint:
        raise HandfastError(f"--plain: expected the {CHECKPOINT_ENDING} file of a run, got {model!r}")
    if to == "onnx":
        if target is not None:
            raise HandfastError("--target is for --to c")
        if int8:
            raise HandfastError("--int8 is for --to c")
        check_ending(out, ".onnx")

    with TemporaryDirectory() as folder:
        network = _exported(Path(model), plain, Path(folder)) if is_checkpoint else model
        if to == "onnx":
            facts = _write_onnx(network, out)
        else:
            facts = _write_c(network, target or DEFAULT_TARGET, int8, out)
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


def _exported(checkpoint: Path, plain: bool, folder: Path) -> Path:
    with training_libraries():
        from handfast.export.early_out import EARLY_OUT_LOGIT
        from handfast.export.onnx import export_onnx
        from handfast.training.checkpoint import load_checkpoint

    path = folder / "model.onnx"
    export_onnx(*load_checkpoint(checkpoint), path, None if plain else EARLY_OUT_LOGIT)
    return path


def _write_onnx(network: str | Path, out: Path) -> dict:
    from handfast.runtime.model import load_model, read_model

    card = load_model(network).card
    write_whole(out, read_model(network))
    return {
        "out": str(out),
        "name": card.name,
        "parameters": card.parameters,
        "macs": card.macs,
        "flops": card.flops,
        "early_out_flops": card.early_out_flops,
        "weight_bytes": card.weight_bytes,
    }


def _write_c(network: str | Path, target: str, int8: bool, out: Path) -> dict:
    from handfast.runtime.model import load_model, read_model

    with training_libraries():
        from handfast.export.c.folder import write_c

    card = load_model(network).card
    written = write_c(read_model(network), card.name, target, out, int8)
    return {
        "out": str(out),
        "name": card.name,
        "target": target,
        "numbers": "int8" if int8 else "float32",
        "arena_bytes": written.arena_bytes,
        "weight_bytes": written.weight_bytes,
        "files": {file: len(text) for file, text in written.texts.items()},
    }
