"""How sure is DIR-Net of each key-point? Figure 4 of its paper: the variances that it expects, as heat-maps.

.venv/bin/python benchmarks/uncertainty.py MODEL SOURCE [SOURCE ...] --out SHEET.png [--left]
    [--gate RULE] [--frames N]

MODEL is a packaged network or a folder of handfast export. A SOURCE is a folder of handfast synth bench-rgb,
of whose test clips eight frames are shown, hands cut out by their labels; or a picture, whose middle square
is taken as the crop of a hand, a right one unless told otherwise: about 1.6 times as wide as the hand. Over
the darkened crop each key-point is a Gaussian of its expected deviation, all of the same height: what is
certain is a dot, what is not spreads. Below stand the loops that were taken and the mean deviation, in px of
the crop. Of a folder it is also said how far deviations are from errors, and how loops go with what is
hidden.
"""

import argparse
import json
from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path

import cv2
import numpy as np
from rich.progress import track

from handfast.data.colour_batches import open_clips_as_taken
from handfast.errors import HandfastError
from handfast.files import check_ending, write_whole
from handfast.runtime.dirnet import RefinedHand, RefinementModel, load_dirnet, read_exit_rule
from handfast.sensors.colour_crop import SquareBox, crop_colour
from handfast.tracking.drawing import contact_sheet, draw_caption, png_bytes

TILE_PX, COLUMNS = 320, 4
SHOWN = 8  # of the frames of a folder
HIDDEN_SHARES = (0.0, 0.25, 0.5, 1.0)  # of the key-points, between which frames are counted
DARKENED = 0.45


def heat_of(keypoints_px: np.ndarray, deviation_px: np.ndarray, size_px: int) -> np.ndarray:
    """Key-points (K, 2) and their deviations (K,) in a square picture -> (S, S) 0..1: the highest of their
    Gaussians, each 1 at its key-point."""
    pixels = np.arange(size_px)
    x, y = (((pixels - of_axis[:, None]) / deviation_px[:, None]) ** 2 for of_axis in keypoints_px.T)
    return np.exp(-(x[:, None, :] + y[:, :, None]) / 2).max(axis=0)


def draw_uncertainty(crop: np.ndarray, hand: RefinedHand) -> np.ndarray:
    """What is known of the hand in a crop (S, S, 3) uint8, red, green, blue -> a tile, blue, green, red."""
    scale = TILE_PX / len(crop)
    heat = heat_of((hand.keypoints_px + 0.5) * scale - 0.5, hand.deviation_px * scale, TILE_PX)
    colours = cv2.applyColorMap((255 * heat).astype(np.uint8), cv2.COLORMAP_INFERNO)
    picture = cv2.cvtColor(cv2.resize(crop, (TILE_PX, TILE_PX)), cv2.COLOR_RGB2BGR)
    tile = (DARKENED * picture * (1 - heat[..., None]) + colours * heat[..., None]).astype(np.uint8)
    draw_caption(tile, f"loops: {hand.loops}, {hand.deviation_px.mean():.1f} px")
    return tile


def middle_of(path: Path, size_px: int, is_left: bool) -> np.ndarray:
    """The middle square of a picture as a crop of a right hand. Raises HandfastError for another file."""
    picture = cv2.imread(str(path))
    if picture is None:
        raise HandfastError(f"{path}: expected a picture of a hand")
    height, width = picture.shape[:2]
    box = SquareBox(((width - 1) / 2, (height - 1) / 2), min(height, width))
    return crop_colour(cv2.cvtColor(picture, cv2.COLOR_BGR2RGB), box, size_px, mirrored=is_left).image


def crops_of(folder: Path, size_px: int) -> list[np.ndarray]:
    """Test frames of bench-rgb, evenly spread over all of them. Raises HandfastError for another folder."""
    frames = open_clips_as_taken(folder, "test", size_px)
    return [frames.batch(index, 1)["image"][0] for index in evenly(len(frames), SHOWN)]


def evenly(n: int, count: int) -> list[int]:
    """So many of n things, or all, from the middles of stretches as long as one another."""
    count = min(count, n)
    return [(2 * i + 1) * n // (2 * count) for i in range(count)]


def trust(model: RefinementModel, folder: Path, frames: int) -> dict:
    """Of test frames of bench-rgb: the root mean square of the errors along an axis and of the deviations,
    in px of the crop and mm; the share of key-points whose error is within theirs, 0.63 if they were true;
    and mean loops by the share of key-points that are hidden. Raises HandfastError for another folder."""
    clips = open_clips_as_taken(folder, "test", model.card.input["width"])
    chosen = evenly(len(clips), frames)
    hands, labels = [], []
    for index in track(chosen, "frames", transient=True):
        batch = clips.batch(index, 1)
        labels.append({name: batch[name][0] for name in ("keypoints_px", "joints_m", "visible")})
        hands.append(model.refine(batch["image"][0]))
    off_px = np.array([h.keypoints_px - each["keypoints_px"] for h, each in zip(hands, labels, strict=True)])
    # The wrist is where it is by definition.
    off_m = np.array([h.joints_m - each["joints_m"] for h, each in zip(hands, labels, strict=True)])[:, 1:]
    deviation_px = np.array([hand.deviation_px for hand in hands])
    deviation_m = np.array([hand.deviation_m for hand in hands])[:, 1:]
    hidden = np.array([1 - each["visible"].mean() for each in labels])
    loops = np.array([hand.loops for hand in hands])
    by_hidden = {}
    for low, high in pairwise(HIDDEN_SHARES):
        these = (hidden >= low) & ((hidden < high) | (high == 1))
        if these.any():
            by_hidden[f"{low:.0%} to {high:.0%}"] = round(float(loops[these].mean()), 2)
    return {
        "frames": len(chosen),
        "error_px": round(rms(off_px), 1),
        "deviation_px": round(rms(deviation_px), 1),
        "error_mm": round(1e3 * rms(off_m), 1),
        "deviation_mm": round(1e3 * rms(deviation_m), 1),
        "within": round(float(((off_px**2).mean(axis=2) < deviation_px**2).mean()), 3),
        "loops_by_hidden": by_hidden,
    }


def rms(values: np.ndarray) -> float:
    return float(np.sqrt((values**2).mean()))


def sheet(model: RefinementModel, sources: Sequence[Path], is_left: bool) -> np.ndarray:
    """A tile for each crop."""
    size_px, crops = model.card.input["width"], []
    for source in sources:
        crops += crops_of(source, size_px) if source.is_dir() else [middle_of(source, size_px, is_left)]
    return contact_sheet(
        [draw_uncertainty(crop, model.refine(crop)) for crop in crops], min(COLUMNS, len(crops))
    )


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("model")
    parser.add_argument("sources", nargs="+", type=Path)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--left", action="store_true", help="pictures show left hands, to be mirrored")
    parser.add_argument("--gate", help="when to leave the loop, as for handfast track")
    parser.add_argument("--frames", type=int, default=300, help="of a folder, to compare with the labels")
    options = parser.parse_args()
    if options.frames < 1:
        parser.error("--frames: expected 1 or more")
    try:
        check_ending(options.out, ".png")
        model = load_dirnet(options.model, read_exit_rule(options.gate) if options.gate else None)
        write_whole(options.out, png_bytes(sheet(model, options.sources, options.left)))
        for folder in filter(Path.is_dir, options.sources):
            print(f"{folder}: {json.dumps(trust(model, folder, options.frames))}")
    except HandfastError as error:
        parser.error(str(error))


if __name__ == "__main__":
    main()
