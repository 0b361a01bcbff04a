"""Chidananda et al. 2019, "Efficient 2.5D Hand Pose Estimation via Auxiliary Multi-Task Training for Embedded
Devices": its tables 1 and 2, what it claims about them, and a table of what else helps."""

from collections.abc import Mapping

from handfast.evaluation.keypoints import KeypointScore
from handfast.reproduce.figures_keypoints import draw_pck
from handfast.reproduce.tables import Claim, Row, Summary, Table, change, changes

RECIPE = "chidananda2019"
SEEDS = (0, 1, 2)

# The columns of table 1: what the recipe's losses are without each technique.
_WITHOUT = {
    "no-dhp": {"key_pose": 0.0},
    "no-kphv": {"visibility": 0.0},
    "no-weighting": {"fingertip": 1.0},
    "no-cho": {"orientation": 0.0},
    "no-ds": {"deep_supervision": 0.0},
    "no-seg": {"segmentation": 0.0},
}
_NONE = {"losses": {name: value for losses in _WITHOUT.values() for name, value in losses.items()}}
_DEPTH = {"data": {"picture": "depth"}}
_PAPER_PX = {
    "no-dhp": 5.655, "no-weighting": 5.730, "no-cho": 5.941, "no-ds": 5.994, "no-seg": 5.690,
}  # fmt: skip


def _ablation(name: str) -> Row:
    # The paper's table has no row without visibility.
    paper = {"error_px": _PAPER_PX[name]} if name in _PAPER_PX else {}
    return Row(name, RECIPE, paper, {"losses": _WITHOUT[name]})


_ALL = Row("all", RECIPE, {"error_px": 5.556, "parameters": 0.041e6, "flops": 0.035e9}, seeds=SEEDS)
_MOBILENET = Row(
    "mobilenetv2",
    RECIPE,
    {"error_px": 5.306, "parameters": 1.893e6, "flops": 1.209e9},
    {"model": "mobilenetv2"},
    SEEDS,
)
_BEST = Row("ours-best", "bench-tof8", {}, needs={"teacher": _MOBILENET})
# What might help beyond the paper, each by itself; the recipe of ours-best has what did.
_WITH = {
    "with-schedule": {
        "learning_rate": 5e-3,
        "schedule": "cosine",
        "warmup_steps": 200,
        "weight_decay": 1e-4,
    },
    "with-averaging": {"ema_decay": 0.999},
    "with-soft-targets": {"sigma_px": 1.0},
    "with-hidden": {"hidden_weight": 0.3},
    "with-lone-hands": {"lone_hand_teaches_both": True},
    "with-light-tasks": {
        "losses": {"visibility": 15.0, "orientation": 6.0, "key_pose": 3.0, "segmentation": 8.0}
    },
}


def _read_score(facts: dict) -> KeypointScore:
    return KeypointScore(**facts)


def _all_beats_none(rows: Mapping[str, Summary]) -> tuple[bool, str]:
    share, found = change(rows, "all", "none")
    return share <= -0.08, found


def _every_loss_helps(rows: Mapping[str, Summary]) -> tuple[bool, str]:
    shares, found = changes(rows, [(name, "all") for name in _WITHOUT])
    return min(shares) > 0, found


def _amplitude_beats_depth(rows: Mapping[str, Summary]) -> tuple[bool, str]:
    shares, found = changes(rows, [("none", "depth-none"), ("all", "depth-all")])
    return max(shares) < 0, found


# Shares to the paper's digits: its own 5.556 px is 4.71 % more than 5.306 px.
def _near_mobilenet(rows: Mapping[str, Summary]) -> tuple[bool, str]:
    share, found = change(rows, "ours", "mobilenetv2")
    cost = rows["ours"].flops / rows["mobilenetv2"].flops
    return round(share, 3) <= 0.047 and round(cost, 2) <= 0.03, f"{found}, at {100 * cost:.1f} % of its FLOPs"


def _beats_mobilenet(rows: Mapping[str, Summary]) -> tuple[bool, str]:
    share, found = change(rows, "ours-best", "mobilenetv2")
    cost = rows["ours-best"].flops / rows["mobilenetv2"].flops
    return share < 0 and round(cost, 2) <= 0.03, f"{found}, at {100 * cost:.1f} % of its FLOPs"


def _shuffles_help(rows: Mapping[str, Summary]) -> tuple[bool, str]:
    share, found = change(rows, "without-shuffles", "ours")
    return share > 0, found


def _each_helps(rows: Mapping[str, Summary]) -> tuple[bool, str]:
    shares, found = changes(rows, [(name, "ours") for name in rows if name != "ours"])
    return max(shares) < 0, found


def _best_helps(rows: Mapping[str, Summary]) -> tuple[bool, str]:
    share, found = change(rows, "ours-best", "ours")
    return share < 0, found


TABLE1 = Table(
    paper="chidananda2019",
    name="table1",
    title="each supervision technique removed, depth against amplitude",
    benchmark="bench-tof",
    rows={
        "depth-none": Row("depth-none", RECIPE, {"error_px": 6.226}, _NONE | _DEPTH),
        "none": Row("none", RECIPE, {"error_px": 6.054}, _NONE, SEEDS),
        **{name: _ablation(name) for name in _WITHOUT},
        "depth-all": Row("depth-all", RECIPE, {"error_px": 5.898}, _DEPTH, SEEDS),
        "all": _ALL,
    },
    claims=(
        Claim("all losses together take at least 8 % off the error", ("all", "none"), _all_beats_none),
        Claim("every loss helps", ("all", *_WITHOUT), _every_loss_helps),
        Claim("amplitude beats depth", ("none", "depth-none", "all", "depth-all"), _amplitude_beats_depth),
    ),
    compared=("error_px",),
    also=("error_percent_of_hand", "wrong_side_rate", "ghost_rate", "surface_error_mm"),
    read_score=_read_score,
    draw=draw_pck,
)

TABLE2 = Table(
    paper="chidananda2019",
    name="table2",
    title="the same decoder and training on three encoders",
    benchmark="bench-tof",
    rows={
        "densenet121": Row(
            "densenet121",
            RECIPE,
            {"error_px": 4.457, "parameters": 7.017e6, "flops": 4.866e9},
            {"model": "densenet121"},
        ),
        "mobilenetv2": _MOBILENET,
        "ours": _ALL,
        "ours-best": _BEST,
    },
    claims=(
        Claim(
            "ours is within 4.7 % of MobileNetV2's error at 3 % of its FLOPs",
            ("ours", "mobilenetv2"),
            _near_mobilenet,
        ),
        Claim(
            "our aim: ours-best beats MobileNetV2 at 3 % of its FLOPs",
            ("ours-best", "mobilenetv2"),
            _beats_mobilenet,
        ),
    ),
    compared=("error_px", "parameters", "flops"),
    also=("error_percent_of_hand",),
    read_score=_read_score,
    draw=draw_pck,
)

TECHNIQUES = Table(
    paper="chidananda2019",
    name="techniques",
    title="what else lowers the error of ours, each by itself",
    benchmark="bench-tof",
    rows={
        "ours": _ALL,
        **{name: Row(name, RECIPE, {}, changes) for name, changes in _WITH.items()},
        "with-distillation": Row(
            "with-distillation", "chidananda2019-distilled", {}, needs={"teacher": _MOBILENET}
        ),
        "without-shuffles": Row("without-shuffles", RECIPE, {}, {"model": "tofnet-tof8-unshuffled"}),
        "ours-best": _BEST,
    },
    claims=(
        Claim("shuffles of channels help", ("ours", "without-shuffles"), _shuffles_help),
        Claim("each of the others helps", ("ours", *_WITH, "with-distillation"), _each_helps),
        Claim("our recipe helps", ("ours", "ours-best"), _best_helps),
    ),
    compared=("error_px",),
    also=("error_percent_of_hand", "wrong_side_rate", "ghost_rate", "surface_error_mm"),
    read_score=_read_score,
    draw=draw_pck,
)

TABLES = {table.name: table for table in (TABLE1, TABLE2, TECHNIQUES)}
