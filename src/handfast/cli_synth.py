"""``handfast synth`` and ``handfast view``: make a benchmark, look at it."""

import json
import os
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.markup import escape
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from handfast.cli_common import Json, print_facts
from handfast.errors import HandfastError
from handfast.files import check_ending, write_whole

# As in cli.py, the commands import what they run.

SHEET_COLUMNS, SHEET_PICTURE_PX = 6, (480, 360)
SYNTH_EXAMPLES = (
    "[bold]Examples[/]\n\n"
    "handfast synth bench-tof --out data/tof\n\n"
    "handfast synth bench-depth --out data/depth --size full --workers 8 --json\n\n"
    "handfast synth bench-rgb --out data/rgb --size full --ray auto"
)
VIEW_EXAMPLES = (
    "[bold]Examples[/]\n\nhandfast view data/tof\n\nhandfast view data/depth --split test --out sheet.png"
)


def synth(
    name: Annotated[str, typer.Argument(help="bench-tof, mix-tof, bench-depth, bench-rgb.", metavar="NAME")],
    out: Annotated[Path, typer.Option(help="Folder for the benchmark.", metavar="DIR")],
    size: Annotated[str, typer.Option(help="small or full.")] = "small",
    workers: Annotated[int | None, typer.Option(help="Processes.", show_default="one a core")] = None,
    ray: Annotated[
        str | None, typer.Option(help="Address of a Ray cluster to share the work.", metavar="ADDRESS")
    ] = None,
    as_json: Json = False,
) -> None:
    """Make an open benchmark: labelled frames of synthetic people, from its seed.

    The same command gives the same bytes, however many workers it has.
    Called again it checks what is there and makes what is missing.
    """
    from handfast import __version__
    from handfast.data.benchmarks import BENCHMARKS
    from handfast.data.cards import read_card
    from handfast.data.generate import in_processes, make, on_ray, plan

    if name not in BENCHMARKS:
        raise HandfastError(f"{name!r}: unknown benchmark; expected one of {', '.join(BENCHMARKS)}")
    if workers is not None and ray is not None:
        raise HandfastError("--workers and --ray: expected one of them; a cluster has its own workers")
    if workers is not None and workers < 1:
        raise HandfastError(f"--workers: expected 1 or more, got {workers}")
    run = in_processes(workers or os.cpu_count() or 1) if ray is None else on_ray(ray)
    card, jobs = plan(BENCHMARKS[name], size, out, made_by=__version__)
    frames = {split: card.frames(split) for split in card.splits}
    made = sum(job.frames for job in jobs)
    with _frame_bar(sum(frames.values()), sum(frames.values()) - made) as bar:
        for job in make(out, card, jobs, run):
            bar.advance(bar.task_ids[0], job.frames)
    shards = [file for split in read_card(out).splits.values() for file in split.shards.values()]
    summary = {
        "benchmark": name,
        "size": size,
        "seed": card.seed,
        "out": str(out),
        "frames": sum(frames.values()),
        "made": made,
        "splits": frames,
        "shards": len(shards),
        "bytes": sum(file.bytes for file in shards),
    }
    if as_json:
        print(json.dumps(summary))
    else:
        _print_summary(summary)


def view(
    data: Annotated[Path, typer.Argument(help="Folder made by handfast synth.", metavar="DATA")],
    out: Annotated[Path, typer.Option(help="The picture to write.", metavar="SHEET.png")] = Path(
        "out/view.png"
    ),
    split: Annotated[str, typer.Option(help="train, validation or test.")] = "train",
    count: Annotated[int, typer.Option(help="How many frames, evenly through the split.")] = 24,
    as_json: Json = False,
) -> None:
    """Draw frames of a benchmark with their labels onto one sheet.

    Key-points and bones, rings where a key-point is hidden;
    side, key-pose, and the outline of the segmentation.
    """
    import numpy as np

    from handfast.data.datasets.bench import open_bench
    from handfast.tracking.drawing import contact_sheet, draw_caption, draw_labels, png_bytes

    if count < 1:
        raise HandfastError(f"--count: expected 1 or more, got {count}")
    check_ending(out, ".png")
    samples = open_bench(data, split)
    indices = np.unique(np.linspace(0, len(samples) - 1, min(count, len(samples))).round().astype(int))
    pictures = []
    for index in indices.tolist():
        picture = draw_labels(samples[index], *SHEET_PICTURE_PX)
        draw_caption(picture, samples.keys[index])
        pictures.append(picture)
    write_whole(out, png_bytes(contact_sheet(pictures, SHEET_COLUMNS)))
    if as_json:
        print(json.dumps({"data": str(data), "split": split, "frames": len(pictures), "out": str(out)}))
    else:
        Console(highlight=False).print(f"{escape(str(out))}: {len(pictures)} frames of {split}")


def _frame_bar(frames: int, done: int) -> Progress:
    """A bar of frames on stderr, if that is a terminal."""
    console = Console(stderr=True)
    columns = TextColumn("frames"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn()
    bar = Progress(*columns, console=console, transient=True, disable=not console.is_terminal)
    bar.add_task("", total=frames, completed=done)
    return bar


def _print_summary(summary: dict) -> None:
    print_facts(
        [
            ("benchmark", f"{summary['benchmark']}, {summary['size']}, seed {summary['seed']}"),
            ("frames", f"{summary['frames']:,} ({summary['made']:,} made now)"),
            *(("", f"{frames:,} {split}") for split, frames in summary["splits"].items()),
            ("size", f"{summary['bytes'] / 1e6:,.0f} MB"),
            ("folder", summary["out"]),
        ]
    )
