"""The pruned hourglass, dense 3D regression on the CPU (pruned_hourglass2019): its tables, and what it claims
about them."""

from collections.abc import Mapping
from itertools import pairwise

from handfast.reproduce.dense_score import reached, read_scores
from handfast.reproduce.figures_dense import draw_training
from handfast.reproduce.stage_score import read_stages
from handfast.reproduce.tables import Claim, Row, Summary, Table, change, changes

RECIPE = "pruned2019"
_NOTHING: Mapping[str, Row] = {}
# On two cores: a fifth of the frames, crops of half the width, a sixteenth of the epochs, and smaller batches
# for more steps.
_SMALL = {"epochs": 5.0, "input_px": 64, "batch_size": 16}
CONVERGED = 1.05  # times the larger of two last validation errors
_NOTE = (
    "GMAC and ms: the network alone, on one core, on a crop of 128 px. Scale small trains and tests on "
    "crops of 64 px."
)


def _row(
    run: str,
    model: str,
    paper: Mapping[str, float],
    needs: Mapping[str, Row] = _NOTHING,
    level: str = "l4",
) -> Row:
    return Row(run, RECIPE, paper, {"model": model}, small=_SMALL, needs=needs, part=level)


_TWO_STACKS = _row("2-stack", "dense-2stack", {"error_mm": 10.2339, "parameters": 5.83e6, "ms": 44})
# Stack pruning: a net of one stack has the tensors of the stem and the first stack under the same names, so
# that the first is kept whatever the two weigh. What is not in it begins at random: the heads of levels 1 to
# 3, and what is narrower in the lean nets' head of level 4.
_PRUNED = {"init_from": _TWO_STACKS}


def _supervised(level: str, paper: Mapping[str, float]) -> Row:
    return _row("1-stack-ds", "dense-1stack-supervised", paper, _PRUNED, level)


def _lean(level: str) -> Row:
    return _row("lean-ds", "dense-lean-supervised", {}, _PRUNED, level)


_SCRATCH = _row("1-stack-scratch", "dense-1stack", {})
_RETRAINED = _row(
    "1-stack-retrained", "dense-1stack", {"error_mm": 10.9989, "parameters": 2.92e6, "ms": 35}, _PRUNED
)
_L4 = _supervised("l4", {"error_mm": 10.6243, "parameters": 2.92e6, "ms": 35})
_L3 = _supervised("l3", {"error_mm": 11.9070, "parameters": 2.86e6, "ms": 32})


def _l4_is_near(rows: Mapping[str, Summary]) -> tuple[bool, str]:
    share, found = change(rows, "1-stack-l4", "2-stack")
    return share <= 0.04, found


def _l3_is_near_at_half_the_size(rows: Mapping[str, Summary]) -> tuple[bool, str]:
    share, found = change(rows, "1-stack-l3", "2-stack")
    size = rows["1-stack-l3"].score["parameters"] / rows["2-stack"].score["parameters"]
    # Rounded as the paper does: its own numbers are 16.35 % and 49.06 %.
    return round(share, 3) <= 0.163 and round(size, 2) <= 0.49, f"{found}, {100 * size:.0f} % of the size"


def _each_level_is_faster(rows: Mapping[str, Summary]) -> tuple[bool, str]:
    ms = {name: summary.score["ms"] for name, summary in rows.items()}
    falls = all(later < earlier for earlier, later in pairwise(ms.values()))
    return falls, ", ".join(f"{name} {time_ms:.2f} ms" for name, time_ms in ms.items())


def _supervision_converges_sooner(rows: Mapping[str, Summary]) -> tuple[bool, str]:
    curves = [rows[name].score["validation_mm"] for name in ("1-stack-retrained-ds", "1-stack-retrained")]
    if not all(curves):
        return False, "needs the validation errors of one seed each"
    # The same for both, and one that both come to.
    error_mm = CONVERGED * max(curve[-1][1] for curve in curves)
    (with_it, interval), (without, other_interval) = (reached(curve, error_mm) for curve in curves)
    widest = max(interval, other_interval)
    found = (
        f"to {error_mm:.2f} mm {with_it:,.0f} steps with it, {without:,.0f} without, "
        f"between validations up to {widest:,.0f} steps apart"
    )
    tells = abs(without - with_it) > widest
    return tells and with_it < without, found if tells else f"{found}: too little to tell"


def _as_good(rows: Mapping[str, Summary]) -> tuple[bool, str]:
    share, found = change(rows, "1-stack-retrained-ds", "1-stack-retrained")
    return share <= 0.01, found


def _retraining_beats_scratch(rows: Mapping[str, Summary]) -> tuple[bool, str]:
    retrained = ("1-stack-retrained", "1-stack-retrained-ds")
    shares, found = changes(rows, [(row, "1-stack-scratch") for row in retrained])
    return max(shares) < 0, found


def _width_matters_less(rows: Mapping[str, Summary]) -> tuple[bool, str]:
    narrow, found = change(rows, "2-stack-half-features", "2-stack")
    shallow, also_found = change(rows, "1-stack-scratch", "2-stack")
    return narrow < shallow, f"{found}; {also_found}"


def _distilling_is_worse(rows: Mapping[str, Summary]) -> tuple[bool, str]:
    share, found = change(rows, "1-stack-distilled", "1-stack-scratch")
    return share > 0, found


def _lean_is_no_worse(rows: Mapping[str, Summary]) -> tuple[bool, str]:
    pairs = [("lean-l4", "1-stack-retrained-ds"), ("lean-l3", "1-stack-l3")]
    compared = [change(rows, *pair) for pair in pairs]
    speedups = [rows[wide].score["ms"] / rows[lean].score["ms"] for lean, wide in pairs]
    found = "; ".join(
        f"{phrase}, {speedup:.1f} times as fast"
        for (_, phrase), speedup in zip(compared, speedups, strict=True)
    )
    return all(share <= 0 for share, _ in compared) and min(speedups) > 1, found


def _lean_beats_a_level_less(rows: Mapping[str, Summary]) -> tuple[bool, str]:
    share, found = change(rows, "lean-l4", "1-stack-l3")
    lean_ms, wide_ms = rows["lean-l4"].score["ms"], rows["1-stack-l3"].score["ms"]
    return share <= 0 and lean_ms < wide_ms, f"{found}, {lean_ms:.2f} ms against {wide_ms:.2f} ms"


def _decoding_is_not_the_slowest(rows: Mapping[str, Summary]) -> tuple[bool, str]:
    ms = {name: summary.value for name, summary in rows.items()}
    return ms["decoding"] < max(ms.values()), ", ".join(
        f"{name} {time_ms:.2f} ms" for name, time_ms in ms.items()
    )


def _openvino_is_faster(rows: Mapping[str, Summary]) -> tuple[bool, str]:
    torch_ms, openvino_ms = rows["torch"].value, rows["openvino"].value
    found = (
        f"torch {torch_ms:.2f} ms, openvino {openvino_ms:.2f} ms: {torch_ms / openvino_ms:.2f} times as fast"
    )
    return torch_ms / openvino_ms >= 1.7, found


def _openvino_makes_56_frames(rows: Mapping[str, Summary]) -> tuple[bool, str]:
    fps = rows["openvino"].score["fps"]
    return fps >= 56, f"{fps:.0f} frames/s"


def _lean_makes_224_frames(rows: Mapping[str, Summary]) -> tuple[bool, str]:
    fps = rows["openvino-lean"].score["fps"]
    return fps >= 4 * 56, f"{fps:.0f} frames/s"


_LEVELS = ("2-stack", "1-stack-l4", "1-stack-l3", "1-stack-l2", "1-stack-l1")


def _table(name: str, title: str, rows: Mapping[str, Row], claims: tuple[Claim, ...]) -> Table:
    return Table(
        paper="pruned2019",
        name=name,
        title=title,
        benchmark="bench-depth",
        rows=rows,
        claims=claims,
        compared=("error_mm", "ms"),
        also=("parameters", "gmacs"),
        read_score=read_scores,
        note=_NOTE,
        draw=draw_training,
    )


TABLE1 = _table(
    "table1",
    "two stacks, one of them, and its levels from one training",
    {
        "2-stack": _TWO_STACKS,
        "1-stack": _RETRAINED,
        "1-stack-l4": _L4,
        "1-stack-l3": _L3,
        "1-stack-l2": _supervised("l2", {"error_mm": 15.5249, "parameters": 2.80e6, "ms": 26}),
        "1-stack-l1": _supervised("l1", {"error_mm": 43.2613, "parameters": 2.75e6, "ms": 25}),
    },
    (
        Claim("one stack costs at most 4 % more error than two", ("2-stack", "1-stack-l4"), _l4_is_near),
        Claim(
            "its level 3 at most 16.3 %, at 49 % of the parameters",
            ("2-stack", "1-stack-l3"),
            _l3_is_near_at_half_the_size,
        ),
        Claim("each level is faster", _LEVELS, _each_level_is_faster),
    ),
)

TABLE2 = _table(
    "table2",
    "half the features, half the stacks, and knowledge distillation",
    {
        "2-stack": _TWO_STACKS,
        # The paper's numbers of these are not at hand.
        "2-stack-half-features": _row("2-stack-half-features", "dense-2stack-half", {}),
        "1-stack-scratch": _SCRATCH,
        "1-stack-distilled": _row("1-stack-distilled", "dense-1stack", {}, {"teacher": _TWO_STACKS}),
    },
    (
        Claim(
            "half the features cost less than half the stacks",
            ("2-stack", "2-stack-half-features", "1-stack-scratch"),
            _width_matters_less,
        ),
        Claim(
            "distilling is worse than training from scratch",
            ("1-stack-distilled", "1-stack-scratch"),
            _distilling_is_worse,
        ),
    ),
)

TABLE3 = _table(
    "table3",
    "one stack from scratch, retrained once pruned, and with deep supervision",
    {
        "1-stack-scratch": _SCRATCH,
        "1-stack-retrained": _RETRAINED,
        "1-stack-retrained-ds": _L4,
        "1-stack-l3": _L3,
        "lean-l4": _lean("l4"),
        "lean-l3": _lean("l3"),
    },
    (
        Claim(
            "retraining the pruned network beats training from scratch",
            ("1-stack-scratch", "1-stack-retrained", "1-stack-retrained-ds"),
            _retraining_beats_scratch,
        ),
        Claim(
            "deep supervision costs at most 1 % of the error",
            ("1-stack-retrained", "1-stack-retrained-ds"),
            _as_good,
        ),
        Claim(
            "deep supervision converges in fewer steps",
            ("1-stack-retrained", "1-stack-retrained-ds"),
            _supervision_converges_sooner,
        ),
        Claim(
            "our aim: the lean head is faster at no more error",
            ("1-stack-retrained-ds", "1-stack-l3", "lean-l4", "lean-l3"),
            _lean_is_no_worse,
        ),
        Claim(
            "our aim: the lean head at level 4 is faster than the wide one at level 3, at no more error",
            ("1-stack-l3", "lean-l4"),
            _lean_beats_a_level_less,
        ),
    ),
)

# Tables 5 and 6 are about the time of a frame, from the depth image to the joints, whatever the weights.
_TIMED = "dense-1stack-l3"


def _timing(
    name: str, title: str, papers_ms: Mapping[str, float | None], claims: tuple[Claim, ...], note: str
) -> Table:
    rows = {
        part: Row(f"stages-{_TIMED}", "", {} if ms is None else {"ms": ms}, part=part)
        for part, ms in papers_ms.items()
    }
    return Table(
        paper="pruned2019",
        name=name,
        title=title,
        benchmark="bench-depth",
        rows=rows,
        claims=claims,
        compared=("ms",),
        also=("fps",),
        read_score=read_stages,
        note=f"{_TIMED} on one crop of 128 px, one core; {note}",
        timed=_TIMED,
    )


TABLE5 = _timing(
    "table5",
    "where the time of a frame goes",
    # From the text of section 4.3, which calls decoding mean-shift; of pre-processing it tells no time.
    {"pre-processing": None, "network": 3.6, "decoding": 17.6},
    (
        Claim(
            "our aim: decoding is not the slowest stage",
            ("pre-processing", "network", "decoding"),
            _decoding_is_not_the_slowest,
        ),
    ),
    "the paper's times are of a GPU.",
)

TABLE6 = _timing(
    "table6",
    "the time of a whole frame with the network in different engines",
    # The paper's framework is TensorFlow; 56 frames/s in OpenVINO.
    {"torch": 32.0, "onnxruntime": None, "openvino": 1000 / 56, "openvino-lean": None},
    (
        Claim(
            "OpenVINO is at least 1.7 times as fast as the training framework",
            ("torch", "openvino"),
            _openvino_is_faster,
        ),
        Claim("it makes at least 56 frames/s", ("openvino",), _openvino_makes_56_frames),
        Claim("our aim: four times that with the lean head", ("openvino-lean",), _lean_makes_224_frames),
    ),
    "lean: dense-lean-l3.",
)

TABLES = {table.name: table for table in (TABLE1, TABLE2, TABLE3, TABLE5, TABLE6)}
