"""python -m handfast.export runs/hand21/model.safetensors my_hand21.onnx"""

import argparse
import sys
from pathlib import Path

from handfast.errors import HandfastError
from handfast.export.onnx import export_onnx
from handfast.training.checkpoint import load_checkpoint


def main() -> None:
    parser = argparse.ArgumentParser(
        prog="python -m handfast.export", description="Write a trained net as an ONNX file with its card."
    )
    parser.add_argument("checkpoint", type=Path, help="model.safetensors of a training run")
    parser.add_argument("out", type=Path, help="the .onnx file to write")
    arguments = parser.parse_args()
    card = export_onnx(*load_checkpoint(arguments.checkpoint), arguments.out)
    print(
        f"{arguments.out}: {card['name']}, {card['parameters']:,} parameters, {card['flops'] / 1e6:.1f} MFLOP"
    )


if __name__ == "__main__":
    try:
        main()
    except HandfastError as error:
        print(f"error: {error}", file=sys.stderr)
        sys.exit(2)
