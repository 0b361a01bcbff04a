"""ACE (Fan et al. 2020, "Adaptive Computationally Efficient Network for Monocular 3D Hand Pose Estimation"):
its tables and figure 5, and what it claims about them."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import partial
from itertools import pairwise

from handfast.reproduce.adaptive_score import (
    HIDDEN,
    MOTIONS,
    THRESHOLDS,
    USUAL,
    WITHOUT_GATE,
    at_threshold,
    read_adaptive,
)
from handfast.reproduce.figures_adaptive import draw_firing, draw_trade
from handfast.reproduce.tables import Claim, Draw, Row, Summary, Table

RECIPE, FPHA_RECIPE = "fan2020", "fan2020-fpha"
NOTHING: Mapping[str, Row] = {}
# On two cores: a twelfth of the clips, encoders whose images are half as wide and that have a quarter of the
# epochs, and of clips, which are shorter, half as many at once in less than half of the epochs.
SMALL = {
    "epochs": 4.0,
    "batch_size": 4,
    "temperature_decay": 1e-3,
    "encoders": {"epochs": 8.0, "batch_size": 16},
    "data": {"frames": 10, "look": {"input_px": 128}},
}
_NOTE = (
    "Errors of joints from the wrist, on whole clips of the test people; AUC is under the PCK, 20 to 50 mm. "
    "The paper's numbers are those of STB. gflops is 2 x MAC of what ran, the mean over frames. Scale small "
    "halves the encoders' images: 32 and 128 px wide instead of 64 and 256, for a quarter of the cost."
)

# The gate may lose so much of the AUC for such a share of the compute.
LOST_AUC, MOST_COMPUTE = 0.002, 0.25
LOST_AUC_FPHA = 0.01  # the paper's own is 0.009 there
# A trade is smooth if no step goes the wrong way by more. The paper's own do, by 0.01 and 0.0001.
NOISE_P_FINE, NOISE_AUC = 0.02, 0.002

_Paper = Mapping[str, float]


def _numbers(pck20: float, auc: float, gflops: float, p_fine: float | None = None) -> _Paper:
    """As the paper's tables have them in a row."""
    numbers = {"pck20": pck20, "auc": auc, "gflops": gflops}
    return numbers if p_fine is None else numbers | {"p_fine": p_fine}


def _row(
    run: str,
    model: str,
    paper: _Paper,
    needs: Mapping[str, Row] = NOTHING,
    part: str = WITHOUT_GATE,
    recipe: str = RECIPE,
    **changes: object,
) -> Row:
    small = SMALL | {"model": f"{model}-half"}
    return Row(run, recipe, paper, {"model": model} | changes, small=small, needs=needs, part=part)


_COARSE = _row("coarse", "hourglass-coarse", _numbers(0.851, 0.946, 0.28))
_FINE = _row("fine", "hourglass-fine", _numbers(0.963, 0.994, 6.96))
_ENCODERS = {"coarse": _COARSE, "fine": _FINE}


def _adaptive(
    rate: float, paper: _Paper, part: str = USUAL, model: str = "ace-hourglass", run: str = "ace"
) -> Row:
    """rate: gamma_g."""
    return _row(f"{run}-{rate:g}", model, paper, _ENCODERS, part, fine_rate=rate)


def _within_the_gates_means(
    rows: Mapping[str, Summary], number: str = "auc", most_lost: float = LOST_AUC
) -> tuple[bool, str]:
    gated, always = rows["adaptive"].score, rows["vanilla-lstm-fine"].score
    lost = round(always[number] - gated[number], 6)
    share = gated["gflops"] / always["gflops"]
    return (
        lost <= most_lost and share <= MOST_COMPUTE,
        f"AUC {gated[number]:.4f} against {always[number]:.4f} at {100 * share:.0f} % of the compute",
    )


def _lstm_helps(rows: Mapping[str, Summary]) -> tuple[bool, str]:
    parts = {"auc_third_person": "third person", "auc_first_person": "first person"}
    pairs = ("coarse", "vanilla-lstm-coarse"), ("fine", "vanilla-lstm-fine")
    gains = {
        f"{alone}, {parts[part]}": rows[with_it].score[part] - rows[alone].score[part]
        for part in parts
        for alone, with_it in pairs
    }
    return min(gains.values()) > 0, ", ".join(f"{name} {gain:+.3f}" for name, gain in gains.items())


def _gaussian_wins(rows: Mapping[str, Summary]) -> tuple[bool, str]:
    best = max(rows.values(), key=lambda summary: summary.score["auc"])
    cheapest = min(rows.values(), key=lambda summary: summary.score["gflops"])
    found = ", ".join(
        f"{name} AUC {summary.score['auc']:.4f} for {summary.score['gflops']:.3f} GFLOP"
        for name, summary in rows.items()
    )
    return best.row == cheapest.row == "gaussian", found


def _trades_smoothly(rows: Mapping[str, Summary]) -> tuple[bool, str]:
    """The rows come by falling compute: neither compute nor accuracy rises, but for noise."""
    p_fine = [summary.score["p_fine"] for summary in rows.values()]
    auc = [summary.score["auc"] for summary in rows.values()]
    found = ", ".join(
        f"{name} {rate:.2f} {area:.4f}" for name, rate, area in zip(rows, p_fine, auc, strict=True)
    )
    falls = _falls(p_fine, NOISE_P_FINE) and _falls(auc, NOISE_AUC)
    return falls and p_fine[-1] < p_fine[0], f"p_fine and AUC: {found}"


def _falls(values: Sequence[float], noise: float) -> bool:
    return all(later <= earlier + noise for earlier, later in pairwise(values))


def _rises(rows: Mapping[str, Summary]) -> tuple[bool, str]:
    """From the first row to the last."""
    p_fine = [summary.score["p_fine"] for summary in rows.values()]
    found = ", ".join(f"{name} {100 * rate:.1f} %" for name, rate in zip(rows, p_fine, strict=True))
    return p_fine[-1] > p_fine[0], f"of frames {found}"


def table_of(
    name: str,
    title: str,
    rows: Mapping[str, Row],
    claims: tuple[Claim, ...],
    compared: tuple[str, ...] = ("auc", "gflops"),
    also: tuple[str, ...] = ("pck20", "p_fine"),
    draw: Draw | None = draw_trade,
    benchmark: str = "bench-rgb",
    note: str = _NOTE,
) -> Table:
    return Table(
        paper="fan2020",
        name=name,
        title=title,
        benchmark=benchmark,
        rows=rows,
        claims=claims,
        compared=compared,
        also=also,
        read_score=read_adaptive,
        note=note,
        draw=draw,
    )


TABLE1 = table_of(
    "table1",
    "the encoders alone, before an LSTM, and with the gate between them",
    {
        "coarse": _COARSE,
        "fine": _FINE,
        "vanilla-lstm-coarse": _row(
            "lstm-coarse", "lstm-coarse", _numbers(0.921, 0.973, 0.28), {"coarse": _COARSE}
        ),
        "vanilla-lstm-fine": _row("lstm-fine", "lstm-fine", _numbers(0.987, 0.997, 6.96), {"fine": _FINE}),
        "vanilla-lstm-mix": _row("lstm-mix", "lstm-mix", _numbers(0.987, 0.997, 7.24), _ENCODERS),
        "adaptive": _adaptive(0.05, _numbers(0.979, 0.996, 1.56)),
    },
    (
        Claim(
            "the gate keeps the AUC within 0.002 of always-fine at 25 % of its compute or less",
            ("vanilla-lstm-fine", "adaptive"),
            _within_the_gates_means,
        ),
    ),
)

# The paper's AUC over 20 to 50 mm of STB, and over 0 to 50 mm of FPHA, by row.
_OF_PARTS = {
    "coarse": (0.946, 0.674),
    "fine": (0.994, 0.714),
    "vanilla-lstm-coarse": (0.973, 0.707),
    "vanilla-lstm-fine": (0.997, 0.740),
    "vanilla-lstm-mix": (0.997, 0.734),
    "adaptive": (0.996, 0.731),
}

PARTS = table_of(
    "parts",
    "table 1 by parts: clips seen by another, as in STB, and by who has the hand, as in FPHA",
    {
        name: replace(TABLE1.rows[name], paper={"auc_third_person": third, "auc_first_person": first})
        for name, (third, first) in _OF_PARTS.items()
    },
    (
        Claim(
            "an LSTM is better than its encoder alone, in both parts",
            ("coarse", "vanilla-lstm-coarse", "fine", "vanilla-lstm-fine"),
            _lstm_helps,
        ),
    ),
    compared=("auc_third_person", "auc_first_person"),
    also=("gflops",),
    draw=None,
    note="Of the same runs as table 1. AUC is under the PCK, 20 to 50 mm of the one and 0 to 50 mm of the "
    "other part. The paper's nets are two for FPHA, of which the coarse one sees 128 px.",
)


def _fpha(run: str, model: str, paper: _Paper, needs: Mapping[str, Row] = NOTHING) -> Row:
    """A net for FPHA: clips in the first person alone, gamma_g 0.01."""
    return _row(f"fpha-{run}", model, paper, needs, recipe=FPHA_RECIPE)


def _numbers_fpha(pck20: float, auc_0_50: float, gflops: float) -> _Paper:
    return {"auc_0_50": auc_0_50, "gflops": gflops, "pck20": pck20}


_COARSE_FPHA = _fpha("coarse", "hourglass-coarse-128", _numbers_fpha(0.726, 0.674, 1.10))
_FINE_FPHA = _fpha("fine", "hourglass-fine", _numbers_fpha(0.797, 0.714, 6.96))
_ENCODERS_FPHA = {"coarse": _COARSE_FPHA, "fine": _FINE_FPHA}

TABLE1_FPHA = table_of(
    "table1-fpha",
    "table 1 as for FPHA: nets of their own, for hands seen by who has them",
    {
        "coarse": _COARSE_FPHA,
        "fine": _FINE_FPHA,
        "vanilla-lstm-coarse": _fpha(
            "lstm-coarse", "lstm-coarse-128", _numbers_fpha(0.789, 0.707, 1.10), {"coarse": _COARSE_FPHA}
        ),
        "vanilla-lstm-fine": _fpha(
            "lstm-fine", "lstm-fine", _numbers_fpha(0.839, 0.740, 6.96), {"fine": _FINE_FPHA}
        ),
        "vanilla-lstm-mix": _fpha(
            "lstm-mix", "lstm-mix-128", _numbers_fpha(0.831, 0.734, 8.06), _ENCODERS_FPHA
        ),
        "adaptive": replace(
            _fpha("ace", "ace-hourglass-128", _numbers_fpha(0.829, 0.731, 1.37), _ENCODERS_FPHA), part=USUAL
        ),
    },
    (
        Claim(
            "the gate keeps the AUC within 0.01 of always-fine at 25 % of its compute or less",
            ("vanilla-lstm-fine", "adaptive"),
            partial(_within_the_gates_means, number="auc_0_50", most_lost=LOST_AUC_FPHA),
        ),
    ),
    compared=("auc_0_50", "gflops"),
    note="Errors of joints from the wrist, on whole clips of the test people in the first person; AUC is "
    "under the PCK, 0 to 50 mm. The paper's numbers are those of FPHA. Scale small halves the encoders' "
    "images: 64 and 128 px wide instead of 128 and 256.",
)

_GAUSSIAN = _numbers(0.983, 0.997, 2.09, 0.26)

TABLE3 = table_of(
    "table3",
    "gates, each meant to open for one frame in ten",
    {
        "neural": _adaptive(
            0.1, _numbers(0.981, 0.995, 2.54, 0.32), model="ace-hourglass-neural", run="ace-neural"
        ),
        "neural-temporal": _adaptive(
            0.1,
            _numbers(0.977, 0.996, 2.20, 0.43),
            model="ace-hourglass-neural-temporal",
            run="ace-neural-temporal",
        ),
        "gaussian": _adaptive(0.1, _GAUSSIAN),
    },
    (
        Claim(
            "the Gaussian gate is the most accurate and the cheapest",
            ("neural", "neural-temporal", "gaussian"),
            _gaussian_wins,
        ),
    ),
)

_RATES = {
    1.0: _numbers(0.987, 0.9978, 6.96, 1.0),
    0.3: _numbers(0.984, 0.9972, 3.30, 0.43),
    0.2: _numbers(0.985, 0.9973, 2.34, 0.29),
    0.1: _numbers(0.983, 0.9970, 2.09, 0.26),
    0.05: _numbers(0.979, 0.9962, 1.56, 0.18),
    0.01: _numbers(0.977, 0.9956, 1.37, 0.15),
    0.001: _numbers(0.955, 0.9897, 1.43, 0.16),
}

TABLE4 = table_of(
    "table4",
    "how often the gate is meant to open, gamma_g",
    {f"gamma-{rate:g}": _adaptive(rate, paper) for rate, paper in _RATES.items()},
    (
        Claim(
            "gamma_g trades accuracy for compute smoothly",
            tuple(f"gamma-{rate:g}" for rate in _RATES),
            _trades_smoothly,
        ),
    ),
)

_OF_THRESHOLDS = {
    0.1: _numbers(0.987, 0.9977, 7.01, 0.97),
    0.3: _numbers(0.986, 0.9976, 3.31, 0.43),
    0.5: _numbers(0.983, 0.9970, 2.09, 0.26),
    0.7: _numbers(0.943, 0.9894, 0.88, 0.08),
    0.9: _numbers(0.505, 0.8277, 0.30, 0.0),
}
_LAMBDAS = {at_threshold(threshold): _OF_THRESHOLDS[threshold] for threshold in THRESHOLDS}

TABLE5 = table_of(
    "table5",
    "the threshold that one trained gate is run with, lambda",
    {part: _adaptive(0.1, paper, part) for part, paper in _LAMBDAS.items()},
    (Claim("lambda trades accuracy for compute smoothly", tuple(_LAMBDAS), _trades_smoothly),),
)

FIGURE5 = table_of(
    "fig5",
    "how often the fine encoder runs, by motion and by hidden joints",
    {part: _adaptive(0.05, {}, part) for part in (*MOTIONS, *HIDDEN)},
    (
        Claim("it runs more often when hands are fast", ("slowest", "fastest"), _rises),
        Claim("it runs more often when joints are hidden", ("least-hidden", "most-hidden"), _rises),
    ),
    compared=("p_fine",),
    also=("motion_mm", "hidden_share", "error_mm", "frames"),
    draw=draw_firing,
)

TABLES = {table.name: table for table in (TABLE1, PARTS, TABLE1_FPHA, TABLE3, TABLE4, TABLE5, FIGURE5)}
