"""How well does DIR-Net place key-points in photos from a source that no network was trained on?

.venv/bin/python benchmarks/photos.py PHOTOS [--model NAME|FOLDER] [--finder NAME|FILE] [--photos N]
    [--clips BENCH_RGB] [--plot FILE] [--json]

PHOTOS holds images/ and labels.jsonl, see handfast.data.photos; those of its held-out sources are taken.
Their labels are another model's, so that an error is a disagreement. Hands are cut out (a) about the labels,
on the side that these say; (b) where the finder sees one in the whole photo, whose side counts. A hand is
found when the mean error of its key-points is below half of its size; of one that is not, all key-points are
wrong. PCK is at shares of the hand's size. Times are those of crop and network, on one thread.

The plot shows how the loops that the network chose go with the error in photos and, where there are clips,
with the share of hidden key-points in their split test.
"""

import argparse
import json
import time
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
from rich.progress import track

from handfast.data.colour_batches import open_clips_as_taken
from handfast.data.colour_pictures import Pictures, load_photographs
from handfast.data.datasets.check import spread
from handfast.errors import HandfastError
from handfast.evaluation.figures import check_plot, figure_type, write_figure
from handfast.evaluation.metrics import pck
from handfast.packaged import COLOUR_FINDER
from handfast.runtime.dirnet import RefinementModel, load_dirnet
from handfast.runtime.model import Model, load_model
from handfast.sensors.colour_crop import box_about_px, crop_colour
from handfast.sensors.views import hand_size_px
from handfast.skeleton import SIDES
from handfast.structures import Frame
from handfast.tracking.crop_tracker import CropTracker
from handfast.tracking.tracker import Tracker

PCK_SHARES = np.array([0.1, 0.2])
FOUND_WITHIN = 0.5  # of the hand's size
CLIP_FRAMES = 1000


class Refined(NamedTuple):
    """Hands cut out where they are known to be: errors (n, 21) in px of the picture; loops, seconds (n,)."""

    errors_px: np.ndarray
    loops: np.ndarray
    seconds: np.ndarray


def photo(photos: Pictures, index: int) -> np.ndarray:
    """(S, S, 3) uint8 RGB."""
    return photos.view(index, np.eye(2, 3), photos.size_px, photos.size_px)


def about_labels(model: RefinementModel, photos: Pictures, chosen: Sequence[int]) -> Refined:
    size_px = model.card.input["width"]
    rows = []
    for index in track(chosen, "about the labels", transient=True):
        picture, label_px = photo(photos, index), photos.keypoints_px[index]
        start_s = time.perf_counter()
        is_left = SIDES[photos.slot[index]] == "left"
        crop = crop_colour(picture, box_about_px(label_px), size_px, mirrored=is_left)
        found = model.refine(crop.image)
        seconds = time.perf_counter() - start_s
        errors_px = np.linalg.norm(crop.to_picture_px(found.keypoints_px) - label_px, axis=1)
        rows.append((errors_px, found.loops, seconds))
    return Refined(*map(np.array, zip(*rows, strict=True)))


def by_finder(
    model: RefinementModel, finder: Model, photos: Pictures, chosen: Sequence[int]
) -> tuple[np.ndarray, np.ndarray]:
    """Errors (n, 21) of the nearest hand to each label, infinite where none is found; which sides are right
    (n,) bool."""
    errors_px, right = np.full((len(chosen), 21), np.inf), np.zeros(len(chosen), bool)
    for row, index in enumerate(track(chosen, "by the finder", transient=True)):
        label_px = photos.keypoints_px[index]
        poses = CropTracker(model, Tracker(finder)).step(Frame(0, 0.0, colour=photo(photos, index)))
        if not poses:
            continue
        own_px = [np.linalg.norm(pose.keypoints_px - label_px, axis=1) for pose in poses]
        nearest = int(np.argmin([errors.mean() for errors in own_px]))
        if own_px[nearest].mean() < FOUND_WITHIN * hand_size_px(label_px):
            errors_px[row] = own_px[nearest]
            right[row] = poses[nearest].side == SIDES[photos.slot[index]]
    return errors_px, right


def hidden_by_loops(model: RefinementModel, folder: Path) -> tuple[np.ndarray, np.ndarray]:
    """Loops, and the share of hidden key-points, of rendered hands spread over the split test."""
    clips = open_clips_as_taken(folder, "test", model.card.input["width"])
    chosen = spread(len(clips), CLIP_FRAMES)
    rows = []
    for index in track(chosen, "clips", transient=True):
        batch = clips.batch(index, 1)
        rows.append((model.refine(batch["image"][0]).loops, 1 - batch["visible"][0].mean()))
    loops, hidden = zip(*rows, strict=True)
    return np.array(loops), np.array(hidden)


def accuracy(errors_px: np.ndarray, sizes_px: np.ndarray) -> dict:
    """Of errors (n, 21), infinite where a hand was not found, which the pixels leave out but not the PCK."""
    known_px = errors_px[np.isfinite(errors_px)]
    shares = pck(errors_px / sizes_px[:, None], PCK_SHARES)
    return {
        "error_px": round(float(known_px.mean()), 2) if known_px.size else None,
        "error_median_px": round(float(np.median(known_px)), 2) if known_px.size else None,
        **{f"pck_{at}": round(float(share), 4) for at, share in zip(PCK_SHARES, shares, strict=True)},
    }


def by_loops(refined: Refined) -> list[dict]:
    rows = []
    for loops in np.unique(refined.loops):
        these = refined.loops == loops
        rows.append(
            {
                "loops": int(loops),
                "hands": int(these.sum()),
                "error_px": round(float(refined.errors_px[these].mean()), 2),
                "median_ms": round(1e3 * float(np.median(refined.seconds[these])), 2),
            }
        )
    return rows


def plot(panels: list[tuple[str, np.ndarray, np.ndarray]], path: Path) -> None:
    """Each panel: what it shows, loops (n,) and values (n,), of which the quartiles are drawn."""
    figure = figure_type()(figsize=(4.5 * len(panels), 3.6), dpi=160, layout="constrained")
    for axes, (what, loops, values) in zip(
        figure.subplots(1, len(panels), squeeze=False)[0], panels, strict=True
    ):
        used = np.unique(loops)
        groups = [values[loops == count] for count in used]
        axes.boxplot(groups, positions=used, widths=0.6, showfliers=False)
        axes.set_xticks(used, [f"{count}\n{len(group)}" for count, group in zip(used, groups, strict=True)])
        axes.set_xlabel("loops used, hands")
        axes.set_ylabel(what)
        axes.set_ylim(bottom=0)
    write_figure(figure, path)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("folder", type=Path, metavar="PHOTOS")
    parser.add_argument("--model", default="dirnet", help="packaged, or a folder that handfast export wrote")
    parser.add_argument("--finder", default=COLOUR_FINDER, help="packaged, or an .onnx file")
    parser.add_argument("--photos", type=int, help="so many, spread over all")
    parser.add_argument("--clips", type=Path, help="bench-rgb, for the plot", metavar="BENCH_RGB")
    parser.add_argument("--plot", type=Path, help="a .png, .pdf or .svg", metavar="FILE")
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    options = parser.parse_args()
    try:
        if options.plot is not None:
            check_plot(options.plot)
        model, finder = load_dirnet(options.model), load_model(options.finder)
        photos = load_photographs(options.folder, held_out=True)
        if not len(photos):
            raise HandfastError(f"{options.folder}: none of its photos is of the source that is kept aside")
        hidden = None if options.clips is None else hidden_by_loops(model, options.clips)
    except HandfastError as error:
        parser.exit(2, f"error: {error}\n")
    chosen = spread(len(photos), options.photos or len(photos))
    sizes_px = np.array([hand_size_px(photos.keypoints_px[index]) for index in chosen])
    refined = about_labels(model, photos, chosen)
    found_px, right = by_finder(model, finder, photos, chosen)
    found = np.isfinite(found_px[:, 0])
    result = {
        "photos": len(chosen),
        "model": model.card.name,
        "finder": finder.card.name,
        "about_labels": accuracy(refined.errors_px, sizes_px),
        "by_finder": accuracy(found_px, sizes_px)
        | {
            "found": round(float(found.mean()), 4),
            "side_right": round(float(right[found].mean()), 4) if found.any() else None,
        },
        "mean_loops": round(float(refined.loops.mean()), 3),
        "median_ms": round(1e3 * float(np.median(refined.seconds)), 2),
        "by_loops": by_loops(refined),
    }
    if options.plot is not None:
        panels = [("mean error in photos, px", refined.loops, refined.errors_px.mean(axis=1))]
        if hidden is not None:
            panels.append(("share of hidden key-points", *hidden))
        plot(panels, options.plot)
    if options.json:
        print(json.dumps(result))
        return
    print(f"{result['photos']} photos, {result['model']} led by {result['finder']}")
    for what, name in (("about the labels", "about_labels"), ("by the finder", "by_finder")):
        print(f"{what}: " + ", ".join(f"{fact} {value}" for fact, value in result[name].items()))
    print(f"{result['median_ms']} ms a hand, {result['mean_loops']} loops in the mean")
    for row in result["by_loops"]:
        print(f"  {row['loops']} loops: {row['hands']} hands, {row['error_px']} px, {row['median_ms']} ms")


if __name__ == "__main__":
    main()
