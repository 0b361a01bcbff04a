"""``handfast track`` and ``handfast demo``: hands followed through a clip, or before a camera."""

import json
import signal
import sys
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import asdict
from importlib import resources
from itertools import islice
from operator import length_hint
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from handfast.cli_common import (
    Backend,
    DepthUnit,
    Gate,
    Infrared,
    Intrinsics,
    Json,
    Model,
    SkipBadFrames,
    model_for,
    parse_intrinsics,
    print_facts,
    say_wrong_size,
    unwind_when_ended,
    with_bar,
)
from handfast.errors import HandfastError
from handfast.packaged import DEFAULT_MODEL

if TYPE_CHECKING:
    from handfast.sensors.frame_source import FrameSource
    from handfast.structures import Frame, HandPose

# As in cli.py, the commands import what they run.

TRACK_EXAMPLES = (
    "[bold]Examples[/]\n\n"
    "handfast track infrared_pngs/ --out results\n\n"
    "handfast track clip.mp4 --out results --json\n\n"
    "handfast track depth_pngs/ --out results --intrinsics 476.0,476.0,313.7,242.8 --depth-unit-mm 0.125\n\n"
    "handfast track holiday.mp4 --out results --model dirnet\n\n"
    "handfast track holiday.mp4 --out results --model ace --gate 0.3\n\n"
    "handfast track camera:0 --out results --model dirnet --live"
)
DEMO_EXAMPLES = "[bold]Example[/]\n\nhandfast demo --out demo"


def track(
    source: Annotated[
        str,
        typer.Argument(
            help="Folder of PNGs or JPEGs, video, array (.npy), recording (.zip), or a camera: camera:0, "
            "http://..., rtsp://...",
            metavar="SOURCE",
        ),
    ],
    out: Annotated[Path, typer.Option(help="Folder for the results.", metavar="DIR")],
    model: Model = None,
    backend: Backend = None,
    gate: Gate = None,
    intrinsics: Intrinsics = None,
    depth_unit_mm: DepthUnit = None,
    infrared: Infrared = False,
    fps: Annotated[
        float | None,
        typer.Option(
            help="Frames a second, of a folder, an array or a video.",
            metavar="FPS",
            show_default="30, a video's own times",
        ),
    ] = None,
    frames: Annotated[int | None, typer.Option(min=1, help="Stop after so many frames.", metavar="N")] = None,
    seconds: Annotated[
        float | None, typer.Option(min=0.001, help="Stop after so many seconds of the clip.", metavar="S")
    ] = None,
    min_score: Annotated[
        float,
        typer.Option(min=0, max=1, help="Leave out hands that are less sure, 0 to 1.", metavar="SCORE"),
    ] = 0.0,
    fast: Annotated[
        bool,
        typer.Option(
            "--fast", help="Look at each hand from one distance, not three: sooner, but less steadily."
        ),
    ] = False,
    skip_bad_frames: SkipBadFrames = False,
    live: Annotated[
        bool,
        typer.Option("--live", help="Watch it in Rerun's viewer meanwhile (pip install 'handfast\\[live]')."),
    ] = False,
    as_json: Json = False,
) -> None:
    """Track the hands of a clip, or before a camera, to its end or until Ctrl-C.

    The results are hands.jsonl (the key-points, a line a frame),
    overlay.mp4 (the clip with the hands drawn over it)
    and contact_sheet.png (twelve of its frames).
    Colour alone tells dirnet and ace where the joints are in space; other models need depth for that.
    What leads these, and dense-..., to the hands runs as C too if there is a compiler.
    """
    from handfast.sensors.sources import open_source

    opened = open_source(
        source,
        intrinsics=parse_intrinsics(intrinsics),
        depth_unit_mm=depth_unit_mm,
        infrared=infrared,
        fps=fps,
        skip_bad_frames=skip_bad_frames,
    )
    model = model_for(opened, model)
    _track(opened, out, model, backend, gate, as_json, frames, seconds, min_score, live, fast)


def demo(
    out: Annotated[Path, typer.Option(help="Folder for the results.", metavar="DIR")] = Path("out/demo"),
    as_json: Json = False,
) -> None:
    """Track the clip that comes with handfast.

    The results are those of handfast track.
    """
    from handfast.sensors.sources import open_source

    with resources.as_file(resources.files("handfast") / "assets" / "demo.zip") as clip:
        _track(open_source(clip), out, DEFAULT_MODEL, None, None, as_json)


def _track(
    source: "FrameSource",
    out: Path,
    model: str,
    backend: str | None,
    gate: str | None,
    as_json: bool,
    frames: int | None = None,
    seconds: float | None = None,
    min_score: float = 0.0,
    live: bool = False,
    fast: bool = False,
) -> None:
    """Track a source, or as much of it as asked for, write the results, say what was found."""
    from handfast.runtime.ace import AceModel
    from handfast.sensors.sources import CameraSource
    from handfast.tracking.opening import open_tracker
    from handfast.tracking.outputs import ResultWriter, write_results
    from handfast.tracking.viewer import open_viewer, shown

    writer = ResultWriter(out, source.fps)
    if Path(source.name).resolve() in (place.resolve() for place in (out, *writer.outputs)):
        raise HandfastError(f"{out}: the results would mix with the source; choose another --out")
    tracker = open_tracker(model, backend, gate, fast)
    viewer = open_viewer() if live else None
    is_live = isinstance(source, CameraSource)
    total = min(filter(None, (length_hint(source), frames)), default=None)
    unwind_when_ended()
    with _first_interrupt_noted(is_live) as interrupted:
        try:
            with writer:
                taken = _until(interrupted, _beginning(source, frames, seconds))
                if tracker.model.card.input.get("image", "").startswith("amplitude") and source.in_colour():
                    taken = _saying_that_colour_is_lost(taken, model)
                found = _sure_ones(with_bar(tracker.track(taken), "tracking", total), min_score)
                if viewer:
                    found = shown(found, tracker.model.skeleton, viewer)
                counts = write_results(found, writer)
        except HandfastError as error:
            if interrupted() and not writer.has_frames:
                raise HandfastError("interrupted before the first frame; nothing is written") from error
            raise
        finally:
            for file, reason in source.skipped:
                print(f"skipped: {file}: {reason}", file=sys.stderr)
    broken_off = interrupted() and not is_live and counts.frames != total
    if broken_off:
        print(f"note: interrupted; the results are of the first {counts.frames} frames", file=sys.stderr)
    if is_live and source.stopped:
        print(f"note: {source.name} gave no more pictures", file=sys.stderr)
    say_wrong_size(tracker.wrong_size)
    facts = asdict(counts)
    if counts.effort is None:
        del facts["effort"]
    summary = {
        "source": source.name,
        **facts,
        "skipped": len(source.skipped),
        "model": model,
        "backend": tracker.model.backend,
        "out": str(out),
        "outputs": [str(path) for path in writer.outputs],
    }
    if led_by := getattr(tracker, "finder", None):
        finder = led_by.model
        summary |= {"finder": finder.card.name, "finder_backend": finder.backend}
    if as_json:
        print(json.dumps(summary))
    else:
        _print_summary(summary, "fine encoder" if isinstance(tracker.model, AceModel) else "loops")
    if broken_off:
        raise typer.Exit(128 + signal.SIGINT)


def _beginning(source: "Iterable[Frame]", frames: int | None, seconds: float | None) -> "Iterator[Frame]":
    """So many frames of a source, and so many seconds from the first one on, None for all."""
    start_s = None
    for frame in islice(source, frames):
        start_s = frame.time_s if start_s is None else start_s
        if seconds is not None and frame.time_s - start_s >= seconds:
            return
        yield frame


def _until(interrupted: Callable[[], bool], frames: "Iterable[Frame]") -> "Iterator[Frame]":
    """The same, up to the one after which Ctrl-C was pressed: none is asked for any more."""
    for frame in frames:
        if interrupted():
            return
        yield frame
        if interrupted():
            return


def _saying_that_colour_is_lost(frames: "Iterable[Frame]", model: str) -> "Iterator[Frame]":
    """The same frames; of coloured ones it is said, once, that a model for grey sees less."""
    said = False
    for frame in frames:
        if frame.colour is not None and not said:
            said = True
            print(
                f"note: these frames are in colour, which {model} sees as grey; for colour give --model "
                "tofnet-rgb, dirnet or ace",
                file=sys.stderr,
            )
        yield frame


def _sure_ones(
    tracked: "Iterable[tuple[Frame, list[HandPose]]]", min_score: float
) -> "Iterator[tuple[Frame, list[HandPose]]]":
    """The same without hands of a lower score, which are followed all the same: they may become surer."""
    for frame, hands in tracked:
        yield frame, [hand for hand in hands if hand.score >= min_score]


@contextmanager
def _first_interrupt_noted(is_live: bool) -> Iterator[Callable[[], bool]]:
    """Tells whether Ctrl-C was pressed: what there is by then is written. The second breaks off."""
    pressed = False
    usual = signal.getsignal(signal.SIGINT)

    def note(*_: object) -> None:
        nonlocal pressed
        pressed = True
        signal.signal(signal.SIGINT, usual)

    if is_live or usual is not signal.SIG_IGN:  # in the background of a script it is someone else's
        signal.signal(signal.SIGINT, note)
    try:
        yield lambda: pressed
    finally:
        signal.signal(signal.SIGINT, usual)


def _print_summary(summary: dict, effort: str) -> None:
    """effort: what an adaptive model spends more or less of."""
    skipped = f" ({summary['skipped']} skipped)" if summary["skipped"] else ""
    share = summary["frames_with_hand"] / summary["frames"]
    rows = [
        ("source", summary["source"]),
        ("model", f"{summary['model']} ({summary['backend']})"),
        *([("led by", f"{summary['finder']} ({summary['finder_backend']})")] if "finder" in summary else []),
        ("frames", f"{summary['frames']}{skipped}"),
        ("speed", f"{summary['frames_per_s']:.0f} frames/s"),
        ("frames with a hand", f"{summary['frames_with_hand']} ({share:.0%})"),
        ("hands", f"{summary['hands']} ({summary['left']} left, {summary['right']} right)"),
    ]
    if "effort" in summary:
        rows.append((f"{effort}, a hand", f"{summary['effort']:.2f}"))
    print_facts([*rows, ("results", "\n".join(summary["outputs"]))])
