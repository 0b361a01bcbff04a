"""What 8-bit integers cost: key-point errors on bench-tof of the generated C in 32-bit floats and in 8 bits.

.venv/bin/python benchmarks/int8_accuracy.py BENCH_TOF [--models NAME|FILE ...] [--out FILE] [--json]

Errors are those of whole frames of the split test, over the key-points that can be seen, as in the tables of
docs/reproduction.md. Networks are calibrated on the frames of handfast.compression.calibration.
"""

import argparse
import json
from dataclasses import replace
from pathlib import Path

import numpy as np

from handfast.compression.calibration import FRAMES, SEED
from handfast.data.cards import finished_card
from handfast.data.datasets.bench import open_bench
from handfast.errors import HandfastError
from handfast.evaluation.keypoints import KeypointScore
from handfast.files import write_whole
from handfast.packaged import IN_GREY
from handfast.reproduce.measure import measure_model
from handfast.runtime.model import Model, load_model, read_model
from handfast.runtime.native import NativeNetwork, load_native


def with_network(model: Model, network: NativeNetwork) -> Model:
    def run(images: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        heatmaps, visibility = zip(*map(network.maps, images), strict=True)
        return np.stack(heatmaps), np.stack(visibility)

    return replace(model, backend="c", engine=run)


def compared(name: str, folder: Path) -> dict:
    """A model's errors in px in both kinds of numbers."""
    model, content = load_model(name), read_model(name)

    def score(int8: bool) -> KeypointScore:
        network = load_native(content, model.card.name, int8=int8)
        return measure_model(with_network(model, network), frames, "amplitude", knows_presence=True)

    frames = open_bench(folder, "test")
    card, floats, integers = finished_card(folder, "test"), score(int8=False), score(int8=True)
    return {
        "model": model.card.name,
        "benchmark": card.benchmark,
        "size": card.size,
        "seed": card.seed,
        "frames": floats.frames,
        "calibration": {"frames": FRAMES, "seed": SEED},
        "float32_px": floats.error_px,
        "int8_px": integers.error_px,
        "loss_percent": round(100 * (integers.error_px / floats.error_px - 1), 2),
        "float32_median_px": floats.error_median_px,
        "int8_median_px": integers.error_median_px,
        "float32_pck_auc": floats.pck_auc,
        "int8_pck_auc": integers.pck_auc,
    }


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("folder", type=Path, help="bench-tof, as handfast synth makes it")
    parser.add_argument("--models", nargs="+", default=IN_GREY)
    parser.add_argument("--out", type=Path, help="write the numbers to this file")
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    options = parser.parse_args()
    try:
        rows = [compared(name, options.folder) for name in options.models]
        if options.out:
            write_whole(options.out, (json.dumps({"rows": rows}, indent=1) + "\n").encode())
    except HandfastError as error:
        parser.exit(2, f"error: {error}\n")
    if options.json:
        print(json.dumps({"rows": rows}))
        return
    for row in rows:
        print(
            f"{row['model']}: {row['float32_px']:.2f} px in 32-bit floats, {row['int8_px']:.2f} px in 8-bit "
            f"integers: {row['loss_percent']:+.2f} % ({row['frames']} frames of {row['benchmark']} "
            f"{row['size']}, seed {row['seed']}; {FRAMES} frames of calibration, seed {SEED})"
        )


if __name__ == "__main__":
    main()
