"""``handfast synth`` and ``handfast view``: make a benchmark, look at it."""

import json
import os
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.markup import escape

from handfast.cli_common import Json, print_facts, with_bar, write_sheet
from handfast.errors import HandfastError
from handfast.files import check_ending

# As in cli.py, the commands import what they run.

SHEET_COLUMNS = 6
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
    name: Annotated[
        str,
        typer.Argument(help="bench-tof, bench-tof-clips, mix-tof, bench-depth, bench-rgb.", metavar="NAME"),
    ],
    out: Annotated[Path, typer.Option(help="Folder for the benchmark.", metavar="DIR")],
    size: Annotated[str, typer.Option(help="small or full.", metavar="NAME")] = "small",
    workers: Annotated[
        int | None,
        typer.Option(help="How many processes share the work.", metavar="N", show_default="one a core"),
    ] = None,
    ray: Annotated[
        str | None,
        typer.Option(
            help="Instead, a Ray cluster: its address, or auto for the one of this machine.",
            metavar="ADDRESS",
        ),
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
    for _ in with_bar(make(out, card, jobs, run), "shards", len(jobs)):
        pass
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
    split: Annotated[str, typer.Option(help="train, validation or test.", metavar="NAME")] = "train",
    count: Annotated[int, typer.Option(help="How many frames, evenly through the split.", metavar="N")] = 24,
    as_json: Json = False,
) -> None:
    """Draw frames of a benchmark with their labels onto one sheet.

    It shows key-points and bones, rings where a key-point is hidden,
    side, key-pose, and the outline of the segmentation.
    """
    from handfast.data.datasets.bench import open_bench
    from handfast.data.datasets.check import spread

    if count < 1:
        raise HandfastError(f"--count: expected 1 or more, got {count}")
    check_ending(out, ".png")
    samples = open_bench(data, split)
    captioned = ((samples.keys[index], samples[index]) for index in spread(len(samples), count))
    shown = write_sheet(out, captioned, SHEET_COLUMNS)
    if as_json:
        print(json.dumps({"data": str(data), "split": split, "frames": shown, "out": str(out)}))
    else:
        Console(highlight=False).print(f"{escape(str(out))}: {shown} frames of {split}")


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
