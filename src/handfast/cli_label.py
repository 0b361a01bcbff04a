"""``handfast label``: frames of a recording, labelled by the tracker, for people to correct and train on."""

import json
import shutil
import sys
from collections.abc import Container, Iterator
from dataclasses import replace
from itertools import chain
from operator import length_hint
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from handfast.cli_common import (
    DepthUnit,
    Infrared,
    Intrinsics,
    Json,
    SkipBadFrames,
    Source,
    parse_intrinsics,
    print_facts,
    say_wrong_size,
    unwind_when_ended,
    with_bar,
    write_sheet,
)
from handfast.errors import HandfastError
from handfast.files import write_whole
from handfast.packaged import COLOUR_FINDER, DEFAULT_MODEL

if TYPE_CHECKING:
    from handfast.sensors.frame_source import FrameSource
    from handfast.structures import Frame, HandLabel, HandPose, HandSample
    from handfast.tracking.tracker import Tracker

# As in cli.py, the commands import what they run.

DEFAULT_COUNT = 100
ANNOTATIONS = "annotations/person_keypoints_default.json"  # where CVAT puts them
CVAT_LABELS, SHEET = "cvat_labels.txt", "contact_sheet.png"
SHEET_PICTURES, SHEET_COLUMNS = 24, 6
LABEL_EXAMPLES = (
    "[bold]Examples[/]\n\n"
    "handfast label infrared_pngs/ --out mine\n\n"
    "handfast label clip.mp4 --out mine --every 15 --json\n\n"
    "handfast label depth_pngs/ --out mine --count 300 --intrinsics 476.0,476.0,313.7,242.8 "
    "--depth-unit-mm 0.125"
)


def label(
    source: Source,
    out: Annotated[Path, typer.Option(help="Folder for the images and labels.", metavar="DIR")],
    count: Annotated[
        int | None,
        typer.Option(
            help="How many frames, evenly through the source.", metavar="N", show_default=str(DEFAULT_COUNT)
        ),
    ] = None,
    every: Annotated[
        int | None, typer.Option(help="Instead of --count, one in so many frames.", metavar="N")
    ] = None,
    model: Annotated[
        str, typer.Option(help="Network on whole images, such as tofnet-rgb in colour.", metavar="NAME|PATH")
    ] = DEFAULT_MODEL,
    intrinsics: Intrinsics = None,
    depth_unit_mm: DepthUnit = None,
    infrared: Infrared = False,
    skip_bad_frames: SkipBadFrames = False,
    as_json: Json = False,
) -> None:
    """Pick frames of a recording, to correct their labels and train on them.

    The results are images/ (the frames as the sensor gave them),
    annotations/ (COCO key-points, as the tracker found them),
    cvat_labels.txt (to paste into a new task of CVAT)
    and contact_sheet.png (what it found, to look at).
    """
    from handfast.data.cvat import cvat_labels
    from handfast.data.datasets.check import spread
    from handfast.data.datasets.coco import open_coco, write_annotated
    from handfast.runtime.model import load_model
    from handfast.sensors.sources import CameraSource, open_source
    from handfast.skeleton import HAND21
    from handfast.tracking.tracker import Tracker

    if Path(source).resolve() in (out.resolve(), (out / "images").resolve()):
        raise HandfastError(f"{out}: the labels would mix with the source; choose another --out")
    if (out / ANNOTATIONS).exists():
        raise HandfastError(f"{out / ANNOTATIONS}: is there already, maybe corrected; choose another --out")
    if next((out / "images").glob("*"), None):
        raise HandfastError(f"{out / 'images'}: holds images already, which would mix; choose another --out")
    frames = open_source(
        source,
        intrinsics=parse_intrinsics(intrinsics),
        depth_unit_mm=depth_unit_mm,
        infrared=infrared,
        skip_bad_frames=skip_bad_frames,
    )
    if isinstance(frames, CameraSource):
        raise HandfastError(f"{source}: expected a folder, a video or a recording; record the camera first")
    picked = _picked(length_hint(frames), count, every)
    network = load_model(model)
    if network.skeleton is not HAND21:
        raise HandfastError(
            f"--model: expected one of the 21 key-points of hand21, which training needs, got {model} of "
            f"{network.skeleton.name}"
        )
    if frames.in_colour() and not network.card.in_colour:
        print(
            f"note: these frames are in colour, which {model} sees and is trained on as grey; to train "
            f"a network in colour give --model {COLOUR_FINDER}",
            file=sys.stderr,
        )
    unwind_when_ended()
    tracker = Tracker(network)
    named = _labelled(tracker, frames, picked, network.card.in_colour)
    first = next(named, None)
    if first is None:
        raise HandfastError(f"{source}: expected one frame or more, got none; check the source")
    try:
        write_annotated(out / ANNOTATIONS, out / "images", chain([first], named))
    except BaseException:  # Ctrl-C too: without annotations these would pass for frames without hands
        shutil.rmtree(out / "images", ignore_errors=True)
        raise
    write_whole(out / CVAT_LABELS, cvat_labels().encode())
    written = open_coco(out / ANNOTATIONS, "all")
    shown = spread(len(written), SHEET_PICTURES)
    write_sheet(out / SHEET, ((written.keys[index], written[index]) for index in shown), SHEET_COLUMNS)
    sides = [[hand.side for hand in sample.hands] for sample in written]
    say_wrong_size(tracker.wrong_size)
    for file, reason in frames.skipped:
        print(f"skipped: {file}: {reason}", file=sys.stderr)
    summary = {
        "source": frames.name,
        "model": model,
        "images": len(sides),
        "images_with_hand": sum(map(bool, sides)),
        "hands": len(list(chain(*sides))),
        "left": list(chain(*sides)).count("left"),
        "right": list(chain(*sides)).count("right"),
        "skipped": len(frames.skipped),
        "out": str(out),
        "outputs": [str(out / name) for name in ("images", ANNOTATIONS, CVAT_LABELS, SHEET)],
    }
    if as_json:
        print(json.dumps(summary))
    else:
        _print_summary(summary)


def _picked(frames: int, count: int | None, every: int | None) -> Container[int]:
    """The indices of the frames to label. frames: how many there are, 0 if that is not known."""
    from handfast.data.datasets.check import spread

    if count is not None and every is not None:
        raise HandfastError("--count and --every: expected one of them")
    for option, value in (("--count", count), ("--every", every)):
        if value is not None and value < 1:
            raise HandfastError(f"{option}: expected 1 or more, got {value}")
    if every is not None:
        return range(0, sys.maxsize, every)
    if not frames:
        raise HandfastError("the source does not say how many frames it has; give --every instead of --count")
    return set(spread(frames, count or DEFAULT_COUNT))


def _labelled(
    tracker: "Tracker", frames: "FrameSource", picked: Container[int], in_colour: bool
) -> Iterator[tuple[str, "HandSample"]]:
    """The frames picked, named by their number, with the hands that the tracker finds. It follows them
    through all frames, so that a hand is known from the frames before."""
    from handfast.structures import HandSample

    for frame, hands in with_bar(tracker.track(frames), "tracking", length_hint(frames) or None):
        if frame.index in picked:
            if not in_colour and frame.amplitude is not None:
                frame = replace(frame, colour=None)  # what a network is to learn from is what it sees
            yield f"{frame.index:06d}.png", HandSample(frame, tuple(_label_of(hand, frame) for hand in hands))


def _label_of(hand: "HandPose", frame: "Frame") -> "HandLabel":
    """The hand as found; key-points outside the frame have no label."""
    import numpy as np

    from handfast.data.arrays import inside_image
    from handfast.structures import HandLabel

    height, width = frame.shape
    labelled = inside_image(hand.keypoints_px, width, height)
    keypoints_px = np.where(labelled[:, None], hand.keypoints_px, 0).astype(np.float32)
    return HandLabel(hand.side, keypoints_px, visible=hand.visible & labelled, labelled=labelled)


def _print_summary(summary: dict) -> None:
    skipped = f" ({summary['skipped']} frames skipped)" if summary["skipped"] else ""
    print_facts(
        [
            ("source", summary["source"]),
            ("model", summary["model"]),
            ("images", f"{summary['images']}{skipped}, {summary['images_with_hand']} with a hand"),
            ("hands", f"{summary['hands']} ({summary['left']} left, {summary['right']} right)"),
            ("results", "\n".join(summary["outputs"])),
        ]
    )
