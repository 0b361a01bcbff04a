"""What a packaged or exported network does on a split of a benchmark, measured as for the papers' tables."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from math import ceil
from pathlib import Path

import numpy as np

from handfast.data.cards import Card, finished_card
from handfast.data.colour_clips import open_whole_clips
from handfast.data.colour_frames import CLIPS
from handfast.data.datasets.bench import open_bench
from handfast.data.datasets.samples import Samples
from handfast.errors import HandfastError
from handfast.evaluation.curves import plot_curves
from handfast.evaluation.keypoints import KeypointScore
from handfast.reproduce.figures_keypoints import draw_shares
from handfast.reproduce.joint_score import JointScore, score_joints
from handfast.reproduce.measure import measure_model
from handfast.reproduce.measure_joints import errors_in_clips, errors_in_depth
from handfast.reproduce.parallel import Watch
from handfast.reproduce.plots import write_drawn
from handfast.runtime.ace import AceModel
from handfast.runtime.dense import DenseModel
from handfast.runtime.dirnet import RefinementModel
from handfast.runtime.model import Model
from handfast.runtime.opening import open_network

CROP = " crop"
# The benchmarks that show what a network sees, by its card.
SHOWN_IN = {
    "amplitude": ("bench-tof", "mix-tof"),
    "depth": ("bench-tof", "mix-tof"),
    "colour": ("bench-rgb",),
    "depth crop": ("bench-depth",),
    **{kind + CROP: (benchmark,) for kind, (benchmark, _) in CLIPS.items()},
}


@dataclass(frozen=True, eq=False)
class Evaluation:
    """model: the name on its card. backend: what ran it. data: the card of the benchmark. split: which one.
    errors_mm (n, K): of each joint in each frame; None of a network on whole images."""

    model: str
    backend: str
    data: Card
    split: str
    score: KeypointScore | JointScore
    errors_mm: np.ndarray | None

    @property
    def title(self) -> str:
        """On what it was measured."""
        return f"{self.data.benchmark} {self.data.size}, {self.split}: {self.score.frames:,} frames"


def evaluate(
    name: str | Path,
    folder: Path,
    split: str,
    frames: int | None = None,
    backend: str | None = None,
    gate: str | None = None,
    watch: Callable[[Iterable, str, int], Iterable] = lambda done, what, total: done,
) -> Evaluation:
    """Score a packaged model, a model file or a folder of several on the first ``frames`` of a split, None
    for all.

    Nets on whole images see each frame by itself. Nets on crops see hands that are cut out by their labels.
    backend, gate: as for ``open_network``. watch: what is done, how it is called and how much there is -> the
    same, one by one. Raises HandfastError for a model that cannot be loaded, and for a folder without a
    finished split of a benchmark that goes with it.
    """
    model = open_network(name, backend, gate)
    card, image = finished_card(folder, split), model.card.input.get("image")
    if image not in SHOWN_IN:
        raise HandfastError(f"model {name}: no benchmark shows what its card says that it sees, {image!r}")
    if card.benchmark not in SHOWN_IN[image]:
        raise HandfastError(
            f"{folder}: model {name} sees {image}, expected {' or '.join(SHOWN_IN[image])}, got "
            f"{card.benchmark}; make one with `handfast synth {SHOWN_IN[image][0]}`"
        )
    count = min(frames or card.frames(split), card.frames(split))
    if isinstance(model, RefinementModel | AceModel):
        clips = open_whole_clips(folder, split, model.card.input["width"], image.removesuffix(CROP))
        total = ceil(count / card.clip_frames)
        errors_mm, taken = errors_in_clips(model, clips, count, lambda done: watch(done, "clips", total))
        score = _score_clips(model, errors_mm, float(taken.mean()))
    else:
        samples = open_bench(folder, split)
        samples = Samples(samples.keys[:count], samples.read)
        errors_mm, score = _measure_frames(model, samples, lambda done: watch(done, "frames", count))
    return Evaluation(model.card.name, model.backend, card, split, score, errors_mm)


def plot_evaluation(evaluation: Evaluation, path: Path) -> None:
    """Draw the curves into a .png, .pdf or .svg file: of joints in space as ``handfast score`` does, of
    key-points their PCK. Raises HandfastError without matplotlib, for another ending, and if the file cannot
    be written."""
    score, title = evaluation.score, evaluation.title
    if isinstance(score, JointScore):
        plot_curves({evaluation.model: evaluation.errors_mm}, path, title)
    else:
        plot_shares(evaluation.model, score.error_px, score.pck, title, path)


def plot_shares(model: str, error_px: float | None, pck: list[float] | None, title: str, path: Path) -> None:
    """Draw the share of key-points within 1 to 20 px into a file, as ``plot_evaluation`` does. Raises
    HandfastError where there is nothing to draw."""
    if error_px is None or pck is None:
        raise HandfastError(f"--plot: no key-point of {title} was measured, so that there is nothing to draw")
    label = f"{model}: mean {error_px:.2f} px"
    write_drawn(lambda figure: draw_shares(figure, title, {label: pck}), path)


def _measure_frames(
    model: Model | DenseModel, samples: Samples, watch: Watch
) -> tuple[np.ndarray | None, KeypointScore | JointScore]:
    if isinstance(model, Model):
        picture = model.card.input["image"]
        return None, measure_model(model, samples, picture, knows_presence=True, watch=watch)
    errors_mm = errors_in_depth(model, samples, watch)
    return errors_mm, score_joints(errors_mm, model.skeleton.keypoints, model.card.flops)


def _score_clips(model: RefinementModel | AceModel, errors_mm: np.ndarray, taken: float) -> JointScore:
    """taken: loops of a frame, or the share of frames with the fine encoder."""
    card, names = model.card, model.skeleton.keypoints
    if isinstance(model, RefinementModel):
        return score_joints(errors_mm, names, card.flops + taken * card.loop_flops, loops=taken)
    return score_joints(errors_mm, names, card.flops + taken * card.fine_flops, p_fine=taken)
