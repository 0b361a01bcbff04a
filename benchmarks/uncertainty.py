"""How sure is DIR-Net of each key-point? Figure 4 of its paper: the variances that it expects, as heat-maps.

.venv/bin/python benchmarks/uncertainty.py MODEL SOURCE [SOURCE ...] --out SHEET.png [--left]
    [--gate RULE]

MODEL is a packaged network or a folder of handfast export. A SOURCE is a folder of handfast synth bench-rgb,
of whose test clips eight frames are shown, hands cut out by their labels; or a picture, whose middle square
is taken as the crop of a hand, a right one unless told otherwise: about 1.6 times as wide as the hand. Over
the darkened crop each key-point is a Gaussian of its expected deviation, all of the same height: what is
certain is a dot, what is not spreads. Below stand the loops that were taken and the mean deviation, in px of
the crop.
"""

import argparse
from collections.abc import Sequence
from pathlib import Path

import cv2
import numpy as np

from handfast.data.colour_batches import open_clips_as_taken
from handfast.errors import HandfastError
from handfast.files import check_ending, write_whole
from handfast.runtime.dirnet import RefinedHand, RefinementModel, load_dirnet, read_exit_rule
from handfast.sensors.colour_crop import SquareBox, crop_colour
from handfast.tracking.drawing import contact_sheet, draw_caption, png_bytes

TILE_PX, COLUMNS = 320, 4
SHOWN = 8  # of the frames of a folder
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
    shown = ((2 * np.arange(SHOWN) + 1) * len(frames)) // (2 * SHOWN)
    return [frames.batch(int(index), 1)["image"][0] for index in shown]


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
    options = parser.parse_args()
    try:
        check_ending(options.out, ".png")
        model = load_dirnet(options.model, read_exit_rule(options.gate) if options.gate else None)
        write_whole(options.out, png_bytes(sheet(model, options.sources, options.left)))
    except HandfastError as error:
        parser.error(str(error))


if __name__ == "__main__":
    main()
