"""The ``handfast evaluate`` command."""

import json
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from handfast.cli_common import Backend, Gate, Json, print_facts, with_bar
from handfast.errors import HandfastError

if TYPE_CHECKING:
    from handfast.evaluation.keypoints import KeypointScore
    from handfast.evaluation.tracked import TrackedScore
    from handfast.reproduce.evaluate import Evaluation
    from handfast.reproduce.joint_score import JointScore

# As in cli.py, the command imports what it runs.

EVALUATE_EXAMPLES = (
    "[bold]Examples[/]\n\n"
    "handfast evaluate tofnet-hand21 --data data/tof\n\n"
    "handfast evaluate mine.onnx --data data/mix --frames 500 --plot curves.png\n\n"
    "handfast evaluate mine.onnx --data corrected_labels\n\n"
    "handfast evaluate dense-l3.xml --data data/depth --split validation --json\n\n"
    "handfast evaluate dirnet --data data/rgb --backend openvino"
)


def evaluate(
    model: Annotated[
        str, typer.Argument(help="Packaged model, or what handfast export wrote.", metavar="NAME|PATH")
    ],
    data: Annotated[
        Path,
        typer.Option(
            help="Folder made by handfast synth, or one of labelled images as handfast label makes it.",
            metavar="DIR",
        ),
    ],
    split: Annotated[
        str | None,
        typer.Option(help="Of a benchmark: train, validation or test.", metavar="NAME", show_default="test"),
    ] = None,
    frames: Annotated[
        int | None, typer.Option(min=1, help="Only the first frames of it.", metavar="N")
    ] = None,
    backend: Backend = None,
    gate: Gate = None,
    plot: Annotated[
        Path | None, typer.Option(help="Also draw the curves into this .png, .pdf or .svg.", metavar="FILE")
    ] = None,
    as_json: Json = False,
) -> None:
    """Measure how good a model is on a benchmark that handfast synth made, or on labelled images of your own.

    Which benchmark depends on what the model sees: amplitude needs bench-tof or mix-tof,
    depth crops bench-depth, colour bench-rgb, amplitude crops bench-tof-clips.
    No tracker takes part: nets on whole images see each frame by itself,
    nets on crops see hands that are cut out about their labels.
    In images of your own, with COCO key-points, the tracker looks for the hands, in each image by itself.
    """
    from handfast.data.cards import CARD
    from handfast.data.datasets.coco import annotation_files
    from handfast.evaluation.figures import check_plot
    from handfast.evaluation.keypoints import KeypointScore
    from handfast.reproduce.evaluate import evaluate, plot_evaluation

    if plot is not None:
        check_plot(plot)
    if data.is_file() or (not (data / CARD).exists() and annotation_files(data)):
        _evaluate_labels(model, data, split, frames, backend, gate, plot, as_json)
        return
    evaluation = evaluate(model, data, split or "test", frames, backend, gate, with_bar)
    if plot is not None:
        plot_evaluation(evaluation, plot)
    if as_json:
        print(json.dumps(_facts(evaluation)))
        return
    score = evaluation.score
    rows = _keypoint_rows(score) if isinstance(score, KeypointScore) else _joint_rows(score)
    print_facts([("model", f"{evaluation.model} ({evaluation.backend})"), ("data", evaluation.title), *rows])


def _evaluate_labels(
    model: str,
    data: Path,
    split: str | None,
    frames: int | None,
    backend: str | None,
    gate: str | None,
    plot: Path | None,
    as_json: bool,
) -> None:
    from handfast.data.datasets.coco import open_coco
    from handfast.data.datasets.samples import Samples
    from handfast.evaluation.tracked import evaluate_tracker
    from handfast.reproduce.evaluate import plot_shares

    if split is not None:
        raise HandfastError(f"--split is for benchmarks of handfast synth; {data} holds labels of one set")
    samples = open_coco(data, "all")
    samples = Samples(samples.keys[:frames], samples.read)
    name, engine, score = evaluate_tracker(
        model, samples, backend, gate, lambda done: with_bar(done, "images", len(samples))
    )
    if plot is not None:
        plot_shares(name, score.error_px, score.pck, f"{data}: {score.frames:,} images", plot)
    if as_json:
        print(json.dumps({"model": name, "backend": engine, "data": str(data), **asdict(score)}))
    else:
        print_facts([("model", f"{name} ({engine})"), ("data", str(data)), *_tracked_rows(score)])


def _tracked_rows(score: "TrackedScore") -> list[tuple[str, str | int]]:
    rows = [("images", score.frames), ("hands", score.hands)]
    if score.hands:
        rows.append(("missed", f"{score.missed_rate:.1%} of the hands"))
    if score.error_px is not None:
        rows += [
            ("wrong side", f"{score.wrong_side_rate:.1%} of those found"),
            ("their key-points", _spread(score.error_px, score.error_median_px, "px")),
            ("", f"{score.error_percent_of_hand:.1f} % of the hand's size, mean"),
        ]
    if score.pck is not None:
        near = f"a tenth of the hand's size {score.within_tenth:.1%}, a fifth {score.within_fifth:.1%}"
        rows.append(("key-points of all hands", f"within {near}"))
    return [*rows, ("finds that are no hand", f"{score.ghosts_a_frame:.2f} an image")]


def _facts(evaluation: "Evaluation") -> dict:
    data = evaluation.data
    return {
        "model": evaluation.model,
        "backend": evaluation.backend,
        "benchmark": data.benchmark,
        "size": data.size,
        "seed": data.seed,
        "split": evaluation.split,
        **asdict(evaluation.score),
    }


def _keypoint_rows(score: "KeypointScore") -> list[tuple[str, str | int]]:
    rows = [
        ("hands", score.hands),
        ("visible key-points", _spread(score.error_px, score.error_median_px, "px")),
        ("visible within", ", ".join(f"{px} px {score.pck[px - 1]:.1%}" for px in (5, 10, 20))),
    ]
    if score.error_hidden_px is not None:
        rows.append(("hidden key-points", _spread(score.error_hidden_px, score.error_hidden_median_px, "px")))
    rows += [
        ("wrong side", f"{score.wrong_side_rate:.1%} of the hands"),
        ("missed", f"{score.missed_rate:.1%} of the hands"),
    ]
    if score.ghost_rate is not None:
        rows.append(("ghosts", f"in {score.ghost_rate:.1%} of the frames without hands"))
    if score.joint_error_mm is not None:
        rows.append(("lifted by depth", f"{score.joint_error_mm:.1f} mm from the joints, mean"))
    return rows


def _joint_rows(score: "JointScore") -> list[tuple[str, str]]:
    rows = [
        ("joints", _spread(score.error_mm, score.error_median_mm, "mm")),
        ("joints within 20 mm", f"{score.pck20:.1%}"),
        ("all joints within", ", ".join(f"{mm} mm {score.frames_within[mm - 1]:.1%}" for mm in (20, 40))),
        ("AUC 20-50 mm", f"{score.auc_20_50:.3f}"),
        ("AUC 0-50 mm", f"{score.auc_0_50:.3f}"),
        ("cost, mean", f"{score.gflops:.3f} GFLOP"),
    ]
    if score.loops is not None:
        rows.append(("loops, mean", f"{score.loops:.2f}"))
    if score.p_fine is not None:
        rows.append(("fine encoder", f"in {score.p_fine:.1%} of the frames"))
    return rows


def _spread(mean: float, median: float, unit: str) -> str:
    return f"{mean:.2f} {unit} mean, {median:.2f} {unit} median"
