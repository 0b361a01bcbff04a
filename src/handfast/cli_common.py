"""What the commands share: options, bars of progress, tables and sheets of what they found."""

import signal
import sys
from collections.abc import Container, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, TypeVar

import typer
from rich.console import Console
from rich.markup import escape
from rich.progress import track
from rich.table import Table

from handfast.errors import HandfastError
from handfast.files import write_whole
from handfast.packaged import COLOUR_FINDER, DEFAULT_MODEL

if TYPE_CHECKING:
    from handfast.sensors.frame_source import FrameSource
    from handfast.structures import HandSample

# As in cli.py, what loads slowly is imported where it is needed.

T = TypeVar("T")

SHEET_PICTURE_PX = (480, 360)

Source = Annotated[
    str,
    typer.Argument(
        help="Folder of PNGs or JPEGs, video, array (.npy) or recording (.zip).", metavar="SOURCE"
    ),
]
Model = Annotated[
    str | None,
    typer.Option(
        help="Packaged model, or what handfast export wrote.",
        metavar="NAME|PATH",
        show_default=f"{COLOUR_FINDER} in colour, else {DEFAULT_MODEL}",
    ),
]
Backend = Annotated[
    str | None,
    typer.Option(
        help="What runs the model: onnxruntime; of tofnet-... also c, twice as fast, compiled on first use; "
        "of dense-..., dirnet and ace also openvino.",
        metavar="NAME",
        show_default="c of tofnet-... if there is a compiler, else onnxruntime",
    ),
]
Gate = Annotated[
    str | None,
    typer.Option(
        help="How an adaptive model decides: of ace, how sure its gate has to be, 0 to 1, that the fine "
        "encoder is needed; of dirnet gate:TAU, variance:TAU (the higher, the sooner it stops) or never.",
        metavar="RULE",
        show_default="what its card says",
    ),
]
Intrinsics = Annotated[
    str | None,
    typer.Option(
        help="Focal lengths and centre of the camera, in pixels; needed for 16-bit depth images, and for "
        "where hands in colour are in space.",
        metavar="fx,fy,cx,cy",
    ),
]
DepthUnit = Annotated[
    float | None,
    typer.Option(help="Millimetres of one depth step; needed for 16-bit depth images.", metavar="MM"),
]
Infrared = Annotated[
    bool, typer.Option("--infrared", help="16-bit images are infrared or amplitude, not depth.")
]
SkipBadFrames = Annotated[
    bool, typer.Option("--skip-bad-frames", help="Leave out frames that cannot be read.")
]
Json = Annotated[bool, typer.Option("--json", help="Print one JSON object as the last line of stdout.")]


def model_for(source: "FrameSource", model: str | None) -> str:
    """The model asked for, or else the one for what the source shows."""
    return model or (COLOUR_FINDER if source.in_colour() else DEFAULT_MODEL)


def say_wrong_size(size: float | None) -> None:
    """On stderr, if what a tracker took for hands is of a size that none has."""
    if size is not None:
        print(
            f"note: what looks like hands is {size:.2g} times as large as they are; check --depth-unit-mm "
            "and --intrinsics fx,fy,cx,cy",
            file=sys.stderr,
        )


def unwind_when_ended() -> None:
    """SIGTERM unwinds as an error does, so that what is half written is taken away."""
    signal.signal(signal.SIGTERM, lambda number, _: sys.exit(128 + number))


def parse_intrinsics(text: str | None) -> tuple[float, ...] | None:
    """What --intrinsics gives, fx,fy,cx,cy. Raises HandfastError for anything but four numbers."""
    if text is None:
        return None
    try:
        fx, fy, cx, cy = (float(part) for part in text.split(","))
    except ValueError as error:
        raise HandfastError(
            f"--intrinsics: expected four numbers fx,fy,cx,cy in pixels, got {text!r}"
        ) from error
    return fx, fy, cx, cy


@contextmanager
def training_libraries() -> Iterator[None]:
    """Around the imports of what trains and exports."""
    try:
        yield
    except ImportError as error:
        raise HandfastError(f"{error.name} is not installed: pip install 'handfast[train]'") from error


def with_bar(items: Iterable[T], what: str, total: int | None) -> Iterator[T]:
    """The same items, with a bar on stderr, if that is a terminal, of how many have been taken.

    total: how many there are, None if that is not known.
    """
    console = Console(stderr=True)
    return track(items, what, total, console=console, transient=True, disable=not console.is_terminal)


def column_table(*columns: str, numbers: Container[str] = ()) -> Table:
    """A table with these headings and no rows yet; the columns of numbers are aligned on the right."""
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0))
    for column in columns:
        table.add_column(column, overflow="fold", justify="right" if column in numbers else "left")
    return table


def print_facts(rows: Iterable[tuple[str, str | int | float]]) -> None:
    """What was found, a fact a line."""
    table = Table(show_header=False, box=None, pad_edge=False, padding=(0, 3, 0, 0))
    table.add_column(style="bold")
    table.add_column(overflow="fold")
    for what, value in rows:
        table.add_row(what, f"{value:,}" if isinstance(value, int) else escape(str(value)))
    Console(highlight=False).print(table)


def write_sheet(path: Path, captioned: "Iterable[tuple[str, HandSample]]", columns: int) -> int:
    """Draw samples with their labels, each under its caption, onto one PNG, so many in a row; -> how many.

    Raises HandfastError when it cannot be written.
    """
    from handfast.tracking.drawing import contact_sheet, draw_caption, draw_labels, png_bytes

    pictures = []
    for caption, sample in captioned:
        picture = draw_labels(sample, *SHEET_PICTURE_PX)
        draw_caption(picture, caption)
        pictures.append(picture)
    write_whole(path, png_bytes(contact_sheet(pictures, min(columns, len(pictures)))))
    return len(pictures)
