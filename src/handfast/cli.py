"""The ``handfast`` command."""

import json
import os
import signal
import sys
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import asdict
from functools import partial
from importlib import resources
from itertools import groupby, islice, takewhile
from operator import length_hint
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console
from rich.markup import escape

from handfast import cli_bench, cli_data, cli_export, cli_label, cli_prune, cli_synth, cli_train
from handfast.cli_common import (
    DEFAULT_BACKEND,
    DEFAULT_MODEL,
    Backend,
    DepthUnit,
    Intrinsics,
    Json,
    Model,
    SkipBadFrames,
    column_table,
    parse_intrinsics,
    print_facts,
    training_libraries,
    with_bar,
)
from handfast.errors import HandfastError

if TYPE_CHECKING:
    from handfast.sensors.sources import FrameSource
    from handfast.structures import Frame

# The commands import what they run: --help must not wait for OpenCV and ONNX Runtime.

app = typer.Typer(
    rich_markup_mode="rich",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
    epilog="[bold]Examples[/]\n\nhandfast demo\n\nhandfast track clip.mp4 --out results\n\nhandfast info",
)
app.add_typer(cli_data.app, name="data")
app.command(epilog=cli_synth.SYNTH_EXAMPLES)(cli_synth.synth)
app.command(epilog=cli_synth.VIEW_EXAMPLES)(cli_synth.view)
app.command(epilog=cli_label.LABEL_EXAMPLES)(cli_label.label)
app.command(epilog=cli_train.TRAIN_EXAMPLES)(cli_train.train)
app.command(epilog=cli_prune.PRUNE_EXAMPLES)(cli_prune.prune)
app.command(epilog=cli_export.EXPORT_EXAMPLES)(cli_export.export)
app.command(epilog=cli_train.REPRODUCE_EXAMPLES)(cli_train.reproduce)
app.command(epilog=cli_bench.BENCH_EXAMPLES)(cli_bench.bench)


def main() -> None:
    """Console entry: what HandfastError says becomes one line on stderr and exit code 2."""
    try:
        app()
    except HandfastError as error:
        print("error:", str(error).replace("\n", " "), file=sys.stderr)
        sys.exit(2)


def _print_version(wanted: bool) -> None:
    if wanted:
        from handfast import __version__

        print(f"handfast {__version__}")
        raise typer.Exit


@app.callback()
def _program(
    version: Annotated[
        bool, typer.Option("--version", callback=_print_version, is_eager=True, help="Print the version.")
    ] = False,
) -> None:
    """Find hands in depth, infrared, time-of-flight and colour images, on any laptop processor."""
    _silence_codecs()


@app.command(
    epilog="[bold]Examples[/]\n\n"
    "handfast track infrared_pngs/ --out results\n\n"
    "handfast track clip.mp4 --out results --json --backend c\n\n"
    "handfast track depth_pngs/ --out results --intrinsics 476.0,476.0,313.7,242.8 --depth-unit-mm 0.125\n\n"
    "handfast track holiday.mp4 --out results --model dirnet\n\n"
    "handfast track camera:0 --out results --model dirnet --seconds 20"
)
def track(
    source: Annotated[
        str,
        typer.Argument(help="Folder of PNGs, video file, recording (.zip), or a camera: camera:0, camera:1."),
    ],
    out: Annotated[Path, typer.Option(help="Folder for the results.", metavar="DIR")],
    model: Model = DEFAULT_MODEL,
    backend: Backend = DEFAULT_BACKEND,
    intrinsics: Intrinsics = None,
    depth_unit_mm: DepthUnit = None,
    fps: Annotated[
        float | None,
        typer.Option(help="Frames a second of a folder (default 30) or video (default: its own)."),
    ] = None,
    frames: Annotated[int | None, typer.Option(min=1, help="Stop after so many frames.", metavar="N")] = None,
    seconds: Annotated[
        float | None, typer.Option(min=0, help="Stop after so much of the clip.", metavar="S")
    ] = None,
    skip_bad_frames: SkipBadFrames = False,
    as_json: Json = False,
) -> None:
    """Track the hands of a clip, or before a camera until Ctrl-C.

    The results are hands.jsonl (the key-points, a line a frame),
    overlay.mp4 (the clip with the hands drawn over it)
    and contact_sheet.png (twelve of its frames).
    Colour alone tells dirnet and ace where the joints are in space; other models need depth for that.
    """
    from handfast.sensors.sources import open_source

    opened = open_source(
        source,
        intrinsics=parse_intrinsics(intrinsics),
        depth_unit_mm=depth_unit_mm,
        fps=fps,
        skip_bad_frames=skip_bad_frames,
    )
    _track(opened, out, model, backend, as_json, frames, seconds)


@app.command()
def demo(
    out: Annotated[Path, typer.Option(help="Folder for the results.", metavar="DIR")] = Path("out/demo"),
    as_json: Json = False,
) -> None:
    """Track the clip that comes with handfast."""
    from handfast.sensors.sources import open_source

    with resources.as_file(resources.files("handfast") / "assets" / "demo.zip") as clip:
        _track(open_source(clip), out, DEFAULT_MODEL, DEFAULT_BACKEND, as_json)


@app.command(
    epilog="[bold]Examples[/]\n\n"
    "handfast info tofnet-tof8 --json\n\n"
    "handfast info dense-1stack-l3 --joints 14"
)
def info(
    model: Annotated[
        str, typer.Argument(help="Packaged model (tofnet-hand21, tofnet-tof8), or a model file or folder.")
    ] = DEFAULT_MODEL,
    layers: Annotated[bool, typer.Option("--layers", help="Also list the cost of each layer.")] = False,
    joints: Annotated[
        int | None,
        typer.Option(min=1, help="Joints of a dense-... network that is yet to be trained.", metavar="J"),
    ] = None,
    as_json: Json = False,
) -> None:
    """Say what a model costs and sees.

    Costs are parameters, bytes of weights, MACs and FLOPs (2 x MAC), with a hand and where none can be seen,
    which is an early out; of DIR-Net, those of its first estimate and of one more loop; of ACE, those of a
    frame and what the fine encoder adds. What it sees is the receptive field: how much of the image one value
    depends on.
    """
    if joints is not None and layers:
        raise HandfastError("--layers lists those of a model file, which --joints has none of; choose one")
    facts = _facts_of_card(model) if joints is None else _facts_before_training(model, joints)
    if layers:
        facts["layers"] = _layers_of(model)
    if as_json:
        print(json.dumps(facts))
        return
    rows = facts.pop("layers", [])
    print_facts((what, _in_lines(fact)) for what, fact in facts.items() if fact is not None)
    if rows:
        _print_layers(rows)


@app.command(
    epilog="[bold]Examples[/]\n\n"
    "handfast score predictions.txt.gz groundtruth.txt.gz --dataset nyu --json\n\n"
    "handfast score first.npy second.npy groundtruth.npy --dataset stb --plot curves.png"
)
def score(
    predictions: Annotated[
        list[Path], typer.Argument(help="Saved predictions, one file a method.", metavar="PREDICTIONS")
    ],
    groundtruth: Annotated[Path, typer.Argument(help="The labels, in the same form.", metavar="GROUNDTRUTH")],
    dataset: Annotated[
        str, typer.Option(help="Whose joints: nyu, icvl, ...; an unknown name lists all.", metavar="NAME")
    ],
    plot: Annotated[
        Path | None, typer.Option(help="Draw the curves into this .png, .pdf or .svg.", metavar="FILE")
    ] = None,
    as_json: Json = False,
) -> None:
    """Score saved predictions against the labels of a data set.

    Files are text (.txt, .gz), a frame a line, three numbers a joint; or .npy or .npz, frames x joints x 3.
    """
    from handfast.evaluation.score import errors_by_method, summarise

    errors = errors_by_method(predictions, groundtruth, dataset)
    scores = {method: asdict(summarise(errors_mm)) for method, errors_mm in errors.items()}
    first = next(iter(scores.values()))
    title = f"{dataset}: {first['frames']:,} frames, {first['joints']} joints"
    if plot is not None:
        from handfast.evaluation.curves import plot_curves

        plot_curves(errors, plot, title)
    if not as_json:
        _print_scores(title, scores)
    elif len(scores) == 1:
        print(json.dumps(first))
    else:
        print(json.dumps({"methods": [{"name": method, **facts} for method, facts in scores.items()]}))


def _track(
    source: "FrameSource",
    out: Path,
    model: str,
    backend: str,
    as_json: bool,
    frames: int | None = None,
    seconds: float | None = None,
) -> None:
    """Track a source, or as much of it as asked for, write the results, say what was found."""
    from handfast.sensors.sources import CameraSource
    from handfast.tracking.opening import open_tracker
    from handfast.tracking.outputs import ResultWriter, write_results

    if out.resolve() == Path(source.name).resolve():
        raise HandfastError(f"{out}: the results would mix with the source; choose another --out")
    tracker = open_tracker(model, backend)
    is_live = isinstance(source, CameraSource)
    total = min(filter(None, (length_hint(source), frames)), default=None)
    with ResultWriter(out, source.fps) as writer, _first_interrupt_noted(is_live) as interrupted:
        taken = takewhile(lambda frame: not interrupted(), _beginning(source, frames, seconds))
        counts = write_results(with_bar(tracker.track(taken), "tracking", total), writer)
    for file, reason in source.skipped:
        print(f"skipped: {file}: {reason}", file=sys.stderr)
    summary = {
        "source": source.name,
        **asdict(counts),
        "skipped": len(source.skipped),
        "model": model,
        "backend": tracker.model.backend,
        "out": str(out),
        "outputs": [str(path) for path in writer.outputs],
    }
    if as_json:
        print(json.dumps(summary))
    else:
        _print_summary(summary)


def _beginning(source: "Iterable[Frame]", frames: int | None, seconds: float | None) -> "Iterator[Frame]":
    """So many frames of a source, and so many seconds, None for all."""
    return takewhile(lambda frame: seconds is None or frame.time_s < seconds, islice(source, frames))


@contextmanager
def _first_interrupt_noted(is_live: bool) -> Iterator[Callable[[], bool]]:
    """Tells whether Ctrl-C was pressed, where that is how to end: before a camera. The second breaks off."""
    pressed = False
    usual = signal.getsignal(signal.SIGINT)

    def note(*_: object) -> None:
        nonlocal pressed
        pressed = True
        signal.signal(signal.SIGINT, usual)

    if is_live:
        signal.signal(signal.SIGINT, note)
    try:
        yield lambda: pressed
    finally:
        signal.signal(signal.SIGINT, usual)


def _facts_of_card(model: str) -> dict:
    from handfast.runtime.model import read_card

    card = read_card(model)
    costs = ("parameters", "macs", "flops", "early_out_macs", "early_out_flops")
    of_loops = ("loops", "loop_macs", "loop_flops", "exit_rule", "hand")
    of_gate = ("gate", "threshold", "fine_macs", "fine_flops", "state_bytes")
    shared = ("weight_bytes", "input", "receptive_field_px")
    names = (*costs, *of_loops, *of_gate, *shared)
    return {"model": card.name, **{name: getattr(card, name) for name in names}}


def _facts_before_training(model: str, joints: int) -> dict:
    """The cost of a network whose number of joints is open."""
    with training_libraries():
        from handfast.models import MODELS
        from handfast.models.cost import network_cost
        from handfast.sensors.depth_crop import CROP_PX

    builders = {name: builder for name, builder in MODELS.items() if "joints" in builder.keywords}
    if model not in builders:
        raise HandfastError(f"--joints: expected one of {', '.join(builders)}, got {model!r}")
    parameters, macs = network_cost(partial(builders[model], joints=joints), 1, 1, CROP_PX, CROP_PX)
    return {
        "model": model,
        "joints": joints,
        "parameters": parameters,
        "macs": macs,
        "flops": 2 * macs,
        "weight_bytes": 4 * parameters,
        "input": {"image": "depth", "height": CROP_PX, "width": CROP_PX},
    }


def _in_lines(fact: str | int | dict) -> str | int:
    """A fact of a model's card; what it says of several things, a line each."""
    return "\n".join(f"{name} {value}" for name, value in fact.items()) if isinstance(fact, dict) else fact


def _layers_of(model: str) -> list[dict]:
    """The layers that cost anything."""
    from handfast.evaluation.cost import cost_of_file
    from handfast.runtime.model import read_graphs

    layers = (layer for content in read_graphs(model).values() for layer in cost_of_file(content).layers)
    return [asdict(layer) for layer in layers if layer.macs or layer.parameters]


def _print_layers(rows: list[dict]) -> None:
    table = column_table("layer", "operator", "output", "parameters", "MACs", numbers=("parameters", "MACs"))
    titles = {"then": "[bold]where a hand may be[/]", "else": "[bold]where none may be[/]"}
    for branch, layers in groupby(rows, lambda row: row["branch"]):
        if branch:
            table.add_row(titles[branch])
        for row in layers:
            shape = " x ".join(map(str, row["output_shape"][1:]))
            table.add_row(row["name"], row["operator"], shape, f"{row['parameters']:,}", f"{row['macs']:,}")
    Console().print(table)


def _print_summary(summary: dict) -> None:
    skipped = f" ({summary['skipped']} skipped)" if summary["skipped"] else ""
    share = summary["frames_with_hand"] / summary["frames"]
    print_facts(
        [
            ("source", summary["source"]),
            ("model", f"{summary['model']} ({summary['backend']})"),
            ("frames", f"{summary['frames']}{skipped}"),
            ("speed", f"{summary['frames_per_s']:.0f} frames/s"),
            ("frames with a hand", f"{summary['frames_with_hand']} ({share:.0%})"),
            ("hands", f"{summary['hands']} ({summary['left']} left, {summary['right']} right)"),
            ("results", "\n".join(summary["outputs"])),
        ]
    )


def _print_scores(title: str, scores: dict[str, dict]) -> None:
    headings = ("mean mm", "median mm", "AUC 20-50", "AUC 0-50")
    table = column_table("method", *headings, numbers=headings)
    for method, facts in scores.items():
        numbers = (facts[name] for name in ("mean_mm", "median_mm", "auc_20_50", "auc_0_50"))
        table.add_row(escape(method), *(f"{number:.3f}" for number in numbers))
    console = Console(highlight=False)
    console.print(title)
    console.print(table)


def _silence_codecs() -> None:
    """Keep OpenCV and FFmpeg from printing: what is wrong with a file is said once, by HandfastError."""
    os.environ.setdefault("OPENCV_FFMPEG_LOGLEVEL", "-8")  # read when FFmpeg first opens a file
    import cv2

    silent = 0
    # OpenCV 5 has moved the function.
    set_log_level = cv2.setLogLevel if hasattr(cv2, "setLogLevel") else cv2.utils.logging.setLogLevel
    set_log_level(silent)
