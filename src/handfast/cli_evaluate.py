"""The ``handfast evaluate`` command."""

import json
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from handfast.cli_common import Backend, Gate, Json, print_facts, with_bar

if TYPE_CHECKING:
    from handfast.evaluation.keypoints import KeypointScore
    from handfast.reproduce.evaluate import Evaluation
    from handfast.reproduce.joint_score import JointScore

# As in cli.py, the command imports what it runs.

EVALUATE_EXAMPLES = (
    "[bold]Examples[/]\n\n"
    "handfast evaluate tofnet-hand21 --data data/tof\n\n"
    "handfast evaluate mine.onnx --data data/mix --frames 500 --plot curves.png\n\n"
    "handfast evaluate dense-l3.xml --data data/depth --split validation --json\n\n"
    "handfast evaluate dirnet --data data/rgb --backend openvino"
)


def evaluate(
    model: Annotated[
        str, typer.Argument(help="Packaged model, or what handfast export wrote.", metavar="NAME|PATH")
    ],
    data: Annotated[Path, typer.Option(help="Folder made by handfast synth.", metavar="DIR")],
    split: Annotated[str, typer.Option(help="train, validation or test.", metavar="NAME")] = "test",
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
    """Measure how good a model is on a benchmark that handfast synth made.

    Which one depends on what the model sees: amplitude needs bench-tof or mix-tof,
    depth crops bench-depth, colour bench-rgb, amplitude crops bench-tof-clips.
    No tracker takes part: nets on whole images see each frame by itself,
    nets on crops see hands that are cut out about their labels.
    """
    from handfast.evaluation.figures import check_plot
    from handfast.evaluation.keypoints import KeypointScore
    from handfast.reproduce.evaluate import evaluate, plot_evaluation

    if plot is not None:
        check_plot(plot)
    evaluation = evaluate(model, data, split, frames, backend, gate, with_bar)
    if plot is not None:
        plot_evaluation(evaluation, plot)
    if as_json:
        print(json.dumps(_facts(evaluation)))
        return
    score = evaluation.score
    rows = _keypoint_rows(score) if isinstance(score, KeypointScore) else _joint_rows(score)
    print_facts([("model", f"{evaluation.model} ({evaluation.backend})"), ("data", evaluation.title), *rows])


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
