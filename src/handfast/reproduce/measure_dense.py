"""What the levels of a trained dense regression do on the hands that nobody has trained on, and how fast."""

from collections.abc import Callable
from pathlib import Path

from handfast.bench.measure import keep_freed_memory, one_core, quietest_medians_s
from handfast.bench.stages import BACKENDS as STAGE_ENGINES
from handfast.bench.stages import measure_stages
from handfast.data.arrays import pack
from handfast.data.datasets.bench import open_bench
from handfast.data.datasets.samples import Samples
from handfast.data.depth_batches import BenchFrames, crop_as_taken
from handfast.export.onnx import export_onnx
from handfast.models import MODELS
from handfast.models.cost import network_cost
from handfast.models.dense_regression import DenseRegression, at_level
from handfast.reproduce.dense_score import DenseScore, score_errors, score_training
from handfast.reproduce.measure_joints import errors_in_depth
from handfast.reproduce.stage_score import StageScore
from handfast.runtime.dense import DenseModel, load_dense
from handfast.sensors.depth_crop import CROP_PX
from handfast.skeleton import SKELETONS
from handfast.training.log import LOG_FILE

ROUNDS, TURN_S = 10, 0.5
LEAN = "dense-lean-l3"  # ours, timed beside the paper's
WHOLE_CROP = {"input": {"image": "depth crop", "height": CROP_PX, "width": CROP_PX}}


def measure_levels(net: DenseRegression, card: dict, data: Path, run_dir: Path) -> dict[str, DenseScore]:
    """Score each level of a net that was trained in a folder: errors on the split test of bench-depth, speed.

    card: that of the checkpoint, with the size of the crops that it was trained with. The exported networks
    are left in the folder. Raises HandfastError for a shard that is not as it was made.
    """
    nets = {f"l{level}": at_level(net, level) if len(net.levels) > 1 else net for level in net.levels}
    costs, errors_mm, runs = {}, {}, {}
    test = open_bench(data, "test", "bench-depth")
    for level, part in nets.items():
        own = run_dir / f"{level}.onnx"
        export_onnx(part, card, own, early_out_logit=None)
        errors_mm[level] = errors_in_depth(load_dense(own), test)
        whole = run_dir / f"{level}-{CROP_PX}px.onnx"
        costs[level] = export_onnx(part, card | WHOLE_CROP, whole, early_out_logit=None)
        timed = load_dense(whole, "openvino")
        runs[level] = _on_one_crop(timed, test)
    keep_freed_memory()
    with one_core():
        times_s = quietest_medians_s(runs, range(ROUNDS), TURN_S)
    return {
        level: DenseScore(
            **score_errors(errors_mm[level], SKELETONS[card["skeleton"]].keypoints),
            **score_training(run_dir / LOG_FILE, int(level[1:])),
            input_px=card["input"]["width"],
            parameters=sum(parameter.numel() for parameter in part.parameters()),
            gmacs=costs[level]["macs"] / 1e9,
            **{what: costs[level][what] for what in ("macs", "flops", "weight_bytes")},
            ms=round(1000 * times_s[level], 4),
            engine=timed.backend,
        )
        for level, part in nets.items()
    }


def time_stages(model: str, gmacs: float) -> dict[str, StageScore]:
    """Time the stages of a frame with the fastest engine of those installed, and whole frames with each; and
    then whole frames with ``LEAN`` in that engine.

    model: a name in MODELS, with random weights. gmacs: of it.
    """
    rows = measure_stages(model, STAGE_ENGINES, ROUNDS, ROUNDS * TURN_S, lambda each, *_: each)
    timed = [row for row in rows if row.total_ms is not None]
    fastest = min(timed, key=lambda row: row.network_ms)
    (lean,) = measure_stages(LEAN, (fastest.backend,), ROUNDS, ROUNDS * TURN_S, lambda each, *_: each)
    lean_gmacs = network_cost(MODELS[LEAN], 1, 1, CROP_PX, CROP_PX)[1] / 1e9

    def score(ms: float, engine: str, gmacs: float = gmacs) -> StageScore:
        return StageScore(round(ms, 4), round(1000 / ms, 2), engine, gmacs)

    stages_ms = {
        "pre-processing": fastest.preprocess_ms,
        "network": fastest.network_ms,
        "decoding": fastest.decode_ms,
    }
    return (
        {stage: score(ms, fastest.backend) for stage, ms in stages_ms.items()}
        | {row.backend: score(row.total_ms, row.backend) for row in timed}
        | {f"{lean.backend}-lean": score(lean.total_ms, lean.backend, lean_gmacs)}
    )


def _on_one_crop(model: DenseModel, samples: Samples) -> Callable[[], object]:
    frames = BenchFrames(pack([samples[0]]))
    depth = model.batch([crop_as_taken(frames, frames[0])])
    return lambda: model.engine(depth)
