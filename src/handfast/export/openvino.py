"""Networks in OpenVINO's own format. Needs the extra ``openvino``."""

import json
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING

import onnx

from handfast.errors import HandfastError
from handfast.export.card import CARD_KEY
from handfast.files import write_whole
from handfast.skeleton import SKELETONS

if TYPE_CHECKING:
    import openvino


def export_openvino(content: bytes, path: Path, precision: str, data: Path | None = None) -> dict:
    """Write the network of one of our ONNX files as ``path`` (.xml) and its weights beside it (.bin); -> its
    card.

    precision: fp32; fp16, where the weights take half the room; or int8, in which only dense regression is to
    be had (``compression.accuracy_control``) and which needs ``data``, a folder of bench-depth.

    The card, as JSON, is the network's runtime information under ``handfast_card``, with the precision and
    the bytes of the .bin; of int8 its metrics have the errors before and after, in mm.

    Raises HandfastError where a library is not installed, for int8 of another family, as the data do, and
    when a file cannot be written.
    """
    card = _card(content)
    if precision == "int8" and card["family"] != "dense":
        raise HandfastError(f"int8 in OpenVINO: expected dense regression, got {card['name']}")
    try:
        import openvino

        model = openvino.Core().read_model(content)
        if precision == "int8":
            from handfast.compression.accuracy_control import quantise_dense

            model, errors_mm = quantise_dense(model, SKELETONS[card["skeleton"]], data)
            card = card | {"metrics": card["metrics"] | errors_mm}
    except ImportError as error:
        raise HandfastError(
            f"{error.name} is not installed: pip install 'handfast[openvino,train]'"
        ) from error
    # Written twice: the card says how many bytes there are.
    weights = _written(model, precision)["model.bin"]
    card = card | {"weight_bytes": len(weights), "precision": precision}
    model.set_rt_info(json.dumps(card), [CARD_KEY])
    write_whole(path.with_suffix(".bin"), weights)
    write_whole(path, _written(model, precision)["model.xml"])
    return card


def _card(content: bytes) -> dict:
    metadata = {entry.key: entry.value for entry in onnx.load_from_string(content).metadata_props}
    return json.loads(metadata[CARD_KEY])


def _written(model: "openvino.Model", precision: str) -> dict[str, bytes]:
    """A network's files by their names."""
    import openvino

    with TemporaryDirectory() as folder:
        openvino.save_model(model, Path(folder) / "model.xml", compress_to_fp16=precision == "fp16")
        return {path.name: path.read_bytes() for path in Path(folder).iterdir()}
