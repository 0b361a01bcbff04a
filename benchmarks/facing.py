"""What networks do with hands by the side of them that is seen: the palm, the back, an edge.

.venv/bin/python benchmarks/facing.py BENCH_TOF [--models NAME|FILE ...] [--json]

Frames are those of the split test that show one hand and no other, each by itself, as in the tables of
docs/reproduction.md. Few training hands show their palm, and orientation is what an auxiliary loss of the
paper teaches (section 4): here is whether it mends the rare ones.
"""

import argparse
import json
from pathlib import Path

from rich.progress import track

from handfast.data.datasets.bench import open_bench
from handfast.data.datasets.samples import Samples
from handfast.errors import HandfastError
from handfast.reproduce.measure import measure_model
from handfast.runtime.model import load_model

# Orientation classes, an eighth of a turn each, 0 = palm to the camera (data/scenes.py).
FACES = {"palm": (7, 0, 1), "edge": (2, 6), "back": (3, 4, 5)}


def by_face(frames: Samples) -> dict[str, Samples]:
    """The frames that show one hand, by what of it is seen."""
    chosen = {face: [] for face in FACES}
    for index, sample in enumerate(track(frames, "reading labels", transient=True)):
        if len(sample.hands) == 1:
            [face] = [name for name, classes in FACES.items() if sample.hands[0].orientation in classes]
            chosen[face].append(index)
    return {face: subset(frames, indices) for face, indices in chosen.items()}


def subset(frames: Samples, indices: list[int]) -> Samples:
    return Samples(tuple(frames.keys[i] for i in indices), lambda index: frames[indices[index]])


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
        faces = by_face(open_bench(options.folder, "test", "bench-tof"))
        for name in options.models:
            model = load_model(name)
            for face, frames in faces.items():
                score = measure_model(model, frames, "amplitude", knows_presence=True)
                rows.setdefault(name, {})[face] = {
                    "hands": score.hands,
                    "error_px": score.error_px,
                    "error_median_px": score.error_median_px,
                    "wrong_side_rate": score.wrong_side_rate,
                }
    except HandfastError as error:
        parser.exit(2, f"error: {error}\n")
    if options.json:
        print(json.dumps(rows))
        return
    for name, of_model in rows.items():
        for face, row in of_model.items():
            print(
                f"{name} {face:>5}: {row['hands']} hands, {row['error_px']:.2f} px, median"
                f" {row['error_median_px']:.2f}, wrong side {100 * row['wrong_side_rate']:.1f} %"
            )


if __name__ == "__main__":
    main()
