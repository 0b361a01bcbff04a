"""DIR-Net (Yang et al. 2021, "Dynamic Iterative Refinement for Efficient 3D Hand Pose Estimation"): its
tables and figures, and what it claims about them."""

from collections.abc import Mapping
from itertools import pairwise

from handfast.reproduce.figures_refinement import draw_losses, draw_rows, draw_trade
from handfast.reproduce.refinement_score import HIDDEN_BINS, TEMPERATURES, VARIANCES, read_refinement
from handfast.reproduce.tables import Claim, Draw, Row, Summary, Table

RECIPE = "yang2021"
LOOPS = 5
# On two cores: a twelfth of the clips, crops of half the width, and a fifth of the epochs or less.
_SMALL = {"epochs": 10.0, "loop_epochs": 2.0, "gate_epochs": 1.0, "data": {"input_px": 112}}
_NOTE = (
    "Errors of joints from the wrist, on all clips of the test people; auc is under the PCK over 0 to 50 mm. "
    "gflops is 2 x MAC, the mean over frames. Scale small trains and tests on crops of 112 px, which cost "
    "about a quarter."
)
GATE = "gate-1.0"
_LAST = f"loop-{LOOPS}"

# A gate may lose so much of the AUC for so much less compute.
LOST_AUC, LEAST_SAVED = 0.001, 0.13


def _row(run: str, part: str, paper: Mapping[str, float] | None = None, **changes: object) -> Row:
    small = {name: value for name, value in _SMALL.items() if name not in changes}
    return Row(run, RECIPE, paper or {}, changes, small=small, part=part)


def _dirnet(part: str, paper: Mapping[str, float] | None = None) -> Row:
    return _row("progressive", part, paper)


def _plain(part: str, paper: Mapping[str, float] | None = None) -> Row:
    return _row("without-amg", part, paper, model="dirnet-without-amg", gate_epochs=0.0)


def _end_to_end(part: str) -> Row:
    return _row("end-to-end", part, progressive=False, gate_epochs=0.0)


def _loop_point(point: int, paper: Mapping[str, float]) -> Row:
    if point == 3:
        return _dirnet(_LAST, paper)
    return _row(f"loop-point-{point}", _LAST, paper, model=f"dirnet-loop-point-{point}", gate_epochs=0.0)


def _auc(summary: Summary) -> str:
    spread = "" if summary.std is None else f" ± {summary.std:.4f}"
    return f"{summary.row} {summary.value:.4f}{spread}"


def _each_loop_helps(rows: Mapping[str, Summary]) -> tuple[bool, str]:
    errors_mm = [summary.score["error_mm"] for summary in rows.values()]
    found = ", ".join(f"{error_mm:.2f}" for error_mm in errors_mm)
    return all(later < earlier for earlier, later in pairwise(errors_mm)), f"{found} mm"


def _amg_helps(rows: Mapping[str, Summary]) -> tuple[bool, str]:
    with_it, without = rows["iteration-with-amg"], rows["iteration-without-amg"]
    return with_it.value > without.value, f"{_auc(with_it)}, {_auc(without)}"


def _iteration_helps(rows: Mapping[str, Summary]) -> tuple[bool, str]:
    with_it, without = rows["iteration-with-amg"], rows["no-iteration"]
    return with_it.value > without.value, f"{_auc(with_it)}, {_auc(without)}"


def _gate_saves(rows: Mapping[str, Summary]) -> tuple[bool, str]:
    gated, always = rows["iteration-with-amg-and-gate"], rows["iteration-with-amg"]
    lost = round(always.value - gated.value, 6)
    saved = 1 - gated.score["gflops"] / always.score["gflops"]
    return lost <= LOST_AUC and saved >= LEAST_SAVED, f"AUC {-lost:+.4f} at {100 * saved:.0f} % less compute"


def _loops_follow_difficulty(rows: Mapping[str, Summary]) -> tuple[bool, str]:
    loops = rows["iteration-with-amg-and-gate"].score["loops_by_hidden"]
    known = [each for each in loops if each is not None]
    found = ", ".join(
        f"{each:.2f} of frames with {100 * low:.0f} to {100 * high:.0f} % hidden"
        for each, (low, high) in zip(loops, pairwise(HIDDEN_BINS), strict=True)
        if each is not None
    )
    return len(known) > 1 and known[-1] > known[0], f"loops {found}"


def _gate_beats_threshold(rows: Mapping[str, Summary]) -> tuple[bool, str]:
    """Is any threshold as good for less? Then the learned gate is not the better way."""
    gated = rows[GATE]
    cheaper = [
        other
        for name, other in rows.items()
        if name.startswith("variance") and other.score["gflops"] <= gated.score["gflops"]
    ]
    best = max(cheaper, key=lambda other: other.value, default=None)
    if best is None:
        return True, f"{_auc(gated)}; no threshold costs as little"
    return gated.value >= best.value, f"{_auc(gated)}, {_auc(best)} for no more compute"


def _progressive_wins(rows: Mapping[str, Summary]) -> tuple[bool, str]:
    names = f"progressive-{_LAST}", f"end-to-end-{_LAST}"
    progressive, end_to_end = (rows[name].score["error_mm"] for name in names)
    return progressive < end_to_end, f"progressive {progressive:.2f} mm, end to end {end_to_end:.2f} mm"


def _point_3_wins(rows: Mapping[str, Summary]) -> tuple[bool, str]:
    best = max(rows.values(), key=lambda summary: summary.value)
    return best.row == "loop-point-3", ", ".join(map(_auc, rows.values()))


def _table(
    name: str, title: str, rows: Mapping[str, Row], claims: tuple[Claim, ...], draw: Draw = draw_rows
) -> Table:
    return Table(
        paper="yang2021",
        name=name,
        title=title,
        benchmark="bench-rgb",
        rows=rows,
        claims=claims,
        compared=("auc", "gflops", "parameters"),
        also=("error_mm", "error_px", "auc_third_person", "auc_first_person", "loops"),
        read_score=read_refinement,
        note=_NOTE,
        draw=draw,
    )


TABLE1 = _table(
    "table1",
    "DIR-Net as for FPHA, and twice as wide as for STB",
    {
        "dirnet": _dirnet(GATE, {"auc": 0.768, "gflops": 0.28, "parameters": 0.46e6}),
        "dirnet-32": _row(
            "dirnet-32", GATE, {"auc": 0.997, "gflops": 1.31, "parameters": 1.68e6}, model="dirnet-32"
        ),
    },
    (),
)

TABLE2 = _table(
    "table2",
    "where the loop goes back to",
    {
        "loop-point-1": _loop_point(1, {"auc": 0.764, "gflops": 0.6}),
        "loop-point-2": _loop_point(2, {"auc": 0.775, "gflops": 0.5}),
        "loop-point-3": _loop_point(3, {"auc": 0.772, "gflops": 0.45}),
        "loop-point-4": _loop_point(4, {"auc": 0.767, "gflops": 0.29}),
    },
    (
        Claim(
            "loop point 3 is the best (for STB)",
            tuple(f"loop-point-{point}" for point in (1, 2, 3, 4)),
            _point_3_wins,
        ),
    ),
)

TABLE3 = _table(
    "table3",
    "what refinement, attention maps and gate do",
    {
        "no-iteration": _dirnet("no-iteration", {"auc": 0.768, "gflops": 0.14, "parameters": 0.408e6}),
        "iteration-without-amg": _plain(_LAST, {"auc": 0.769, "gflops": 0.30, "parameters": 0.408e6}),
        "iteration-with-amg": _dirnet(_LAST, {"auc": 0.772, "gflops": 0.45, "parameters": 0.460e6}),
        "iteration-with-amg-and-gate": _dirnet(GATE, {"auc": 0.768, "gflops": 0.28, "parameters": 0.460e6}),
    },
    (
        Claim("refinement beats none", ("no-iteration", "iteration-with-amg"), _iteration_helps),
        Claim(
            "attention maps beat direct feedback", ("iteration-without-amg", "iteration-with-amg"), _amg_helps
        ),
        Claim(
            "the gate keeps the AUC within 0.001 at 13 % less compute or better",
            ("iteration-with-amg", "iteration-with-amg-and-gate"),
            _gate_saves,
        ),
        Claim(
            "hands that are more hidden take more loops",
            ("iteration-with-amg-and-gate",),
            _loops_follow_difficulty,
        ),
    ),
)

FIGURE7 = _table(
    "fig7",
    "accuracy against compute, by the gate's temperature and by the threshold of variance",
    {f"gate-{each}": _dirnet(f"gate-{each}") for each in TEMPERATURES}
    | {f"variance-{each}": _dirnet(f"variance-{each}") for each in VARIANCES},
    (
        Claim(
            "the learned gate is better than a threshold",
            (GATE, *(f"variance-{each}" for each in VARIANCES)),
            _gate_beats_threshold,
        ),
    ),
    draw_trade,
)

FIGURE8 = _table(
    "fig8",
    "errors after each loop, trained progressively and end to end",
    {f"progressive-loop-{loop}": _dirnet(f"loop-{loop}") for loop in range(LOOPS + 1)}
    | {f"end-to-end-loop-{loop}": _end_to_end(f"loop-{loop}") for loop in range(LOOPS + 1)},
    (
        Claim(
            "each loop lowers the error",
            tuple(f"progressive-loop-{loop}" for loop in range(LOOPS + 1)),
            _each_loop_helps,
        ),
        Claim(
            "progressive training beats end to end",
            (f"progressive-{_LAST}", f"end-to-end-{_LAST}"),
            _progressive_wins,
        ),
    ),
    draw_losses,
)

TABLES = {table.name: table for table in (TABLE1, TABLE2, TABLE3, FIGURE7, FIGURE8)}
