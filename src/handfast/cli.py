"""The ``handfast`` command: the app, whose commands have a file each, and its entry."""

import logging
import os
import sys
from typing import Annotated

import typer

from handfast import (
    cli_bench,
    cli_data,
    cli_evaluate,
    cli_export,
    cli_info,
    cli_label,
    cli_prune,
    cli_score,
    cli_synth,
    cli_track,
    cli_train,
)
from handfast.errors import HandfastError

# The commands import what they run: `handfast --help` must not wait for what it does not show.

app = typer.Typer(
    rich_markup_mode="rich",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
    epilog="[bold]Examples[/]\n\nhandfast demo\n\nhandfast track clip.mp4 --out results\n\nhandfast info",
)
app.command(epilog=cli_track.TRACK_EXAMPLES)(cli_track.track)
app.command(epilog=cli_track.DEMO_EXAMPLES)(cli_track.demo)
app.command(epilog=cli_info.INFO_EXAMPLES)(cli_info.info)
app.command(epilog=cli_label.LABEL_EXAMPLES)(cli_label.label)
app.command(epilog=cli_synth.SYNTH_EXAMPLES)(cli_synth.synth)
app.command(epilog=cli_synth.VIEW_EXAMPLES)(cli_synth.view)
app.command(epilog=cli_train.TRAIN_EXAMPLES)(cli_train.train)
app.command(epilog=cli_prune.PRUNE_EXAMPLES)(cli_prune.prune)
app.command(epilog=cli_export.EXPORT_EXAMPLES)(cli_export.export)
app.command(epilog=cli_bench.BENCH_EXAMPLES)(cli_bench.bench)
app.command(epilog=cli_evaluate.EVALUATE_EXAMPLES)(cli_evaluate.evaluate)
app.command(epilog=cli_score.SCORE_EXAMPLES)(cli_score.score)
app.command(epilog=cli_train.REPRODUCE_EXAMPLES)(cli_train.reproduce)
app.add_typer(cli_data.app, name="data")


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
    _show_notes()


def _show_notes() -> None:
    """Let this package's own notes, of what takes long, pass to stderr as its warnings do: by the handler
    that there is where nobody has set up another."""
    logging.lastResort.setLevel(logging.INFO)
    logging.getLogger("handfast").setLevel(logging.INFO)


def _silence_codecs() -> None:
    """Keep OpenCV and FFmpeg from printing: what is wrong with a file is said once, by HandfastError."""
    os.environ.setdefault("OPENCV_FFMPEG_LOGLEVEL", "-8")  # read when FFmpeg first opens a file
    import cv2

    silent = 0
    # OpenCV 5 has moved the function.
    set_log_level = cv2.setLogLevel if hasattr(cv2, "setLogLevel") else cv2.utils.logging.setLogLevel
    set_log_level(silent)
