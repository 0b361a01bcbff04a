"""What finding key-points between the cells of their maps gives, and what smoothing the maps first would.

.venv/bin/python benchmarks/decoding.py BENCH_TOF [--models NAME|FILE ...] [--json]

Errors are those of whole frames of the split test, over the key-points that can be seen, as in the tables of
docs/reproduction.md. "peak" takes a map's likeliest cell, "mean" the mean of the 7 x 7 cells about it, as
handfast does everywhere, "smoothed" the same where the map is likeliest within some cells rather than in one.
"""

import argparse
import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
from scipy.ndimage import gaussian_filter

from handfast.codecs.heatmaps import probabilities
from handfast.data.datasets.bench import open_bench
from handfast.errors import HandfastError
from handfast.reproduce.measure import measure_model
from handfast.runtime.model import Model, load_model

SMOOTHED_CELLS, KEPT_CELLS = 4.0, 5  # the Gaussian's sigma; how far from its peak cells may be taken
NEVER = -1e9  # as a logit


def peak(heatmaps: np.ndarray) -> np.ndarray:
    """Logits (..., H, W) of which the likeliest cell alone is left."""
    return np.where(heatmaps == heatmaps.max(axis=(-2, -1), keepdims=True), heatmaps, NEVER)


def smoothed(heatmaps: np.ndarray) -> np.ndarray:
    """Logits (..., H, W) of which the cells about the likeliest place are left."""
    *leading, height, width = heatmaps.shape
    sigma = (*(0 for _ in leading), SMOOTHED_CELLS, SMOOTHED_CELLS)
    maps = gaussian_filter(probabilities(heatmaps.copy()), sigma, mode="constant")
    rows, columns = np.unravel_index(maps.reshape(*leading, -1).argmax(axis=-1), (height, width))
    down = np.abs(np.arange(height) - rows[..., None]) <= KEPT_CELLS
    across = np.abs(np.arange(width) - columns[..., None]) <= KEPT_CELLS
    return np.where(down[..., None] & across[..., None, :], heatmaps, NEVER)


DECODINGS = {"peak": peak, "mean": lambda heatmaps: heatmaps, "smoothed": smoothed}


def decoded_by(model: Model, change: Callable[[np.ndarray], np.ndarray]) -> Model:
    def run(images: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        heatmaps, visibility = model.engine(images)
        return change(heatmaps).astype(np.float32), visibility

    return replace(model, engine=run)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("folder", type=Path, metavar="BENCH_TOF")
    parser.add_argument("--models", nargs="+", default=["tofnet-tof8"], metavar="NAME|FILE")
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    options = parser.parse_args()
    rows = {}
    try:
        frames = open_bench(options.folder, "test", "bench-tof")
        for name in options.models:
            model = load_model(name)
            for decoding, change in DECODINGS.items():
                score = measure_model(decoded_by(model, change), frames, "amplitude", knows_presence=True)
                rows.setdefault(name, {})[decoding] = {
                    "error_px": score.error_px,
                    "error_median_px": score.error_median_px,
                }
    except HandfastError as error:
        parser.exit(2, f"error: {error}\n")
    if options.json:
        print(json.dumps(rows))
        return
    for name, of_model in rows.items():
        for decoding, row in of_model.items():
            print(f"{name} {decoding:>8}: {row['error_px']:.3f} px, median {row['error_median_px']:.3f}")


if __name__ == "__main__":
    main()
