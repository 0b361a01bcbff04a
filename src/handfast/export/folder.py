"""Networks of several graphs: a folder of ONNX files that all carry the same card."""

import json
import os
from collections.abc import Mapping
from pathlib import Path
from shutil import rmtree

import onnx
from onnx import ModelProto

from handfast.errors import HandfastError
from handfast.export.card import CARD_KEY


def write_graphs(folder: Path, graphs: Mapping[str, ModelProto], card: dict) -> None:
    """Write each graph as ``folder``/NAME.onnx with the card in it, under ``handfast_card``, all or none.

    Raises HandfastError for a folder with something in it, and for one that cannot be written.
    """
    for graph in graphs.values():
        graph.metadata_props.add(key=CARD_KEY, value=json.dumps(card))
        onnx.checker.check_model(graph, full_check=True)
    write_folder(folder, {f"{name}.onnx": graph.SerializeToString() for name, graph in graphs.items()})


def write_folder(folder: Path, contents: Mapping[str, bytes]) -> None:
    """Files in a new folder, or in one with nothing in it. It has its name only once it is complete. Raises
    HandfastError as ``write_graphs``."""
    part = folder.parent / f".{folder.name}.part"
    try:
        if folder.exists() and any(folder.iterdir()):
            raise HandfastError(f"{folder}: expected a new or an empty folder; choose another --out")
        part.mkdir(parents=True, exist_ok=True)
        for name, content in contents.items():
            (part / name).write_bytes(content)
        if folder.exists():
            folder.rmdir()
        os.replace(part, folder)
    except OSError as error:
        raise HandfastError(
            f"{folder}: cannot be written ({error.strerror}); make room or choose another place"
        ) from error
    finally:
        rmtree(part, ignore_errors=True)  # gone if all went well
