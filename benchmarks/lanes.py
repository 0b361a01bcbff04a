"""Pixels or filters on the lanes of the vectors: which schedule is faster for the networks' convolutions?

.venv/bin/python benchmarks/lanes.py [--targets TARGET ...] [--rounds N] [--out FILE] [--json]

Pixels on the lanes is what the generated C does, but on maps of one pixel; filters on the lanes is the
paper's. Both run every convolution of the packaged networks, and some with wider groups, each alone and
without what is fused to it. What is built, for one pixel what would be, is compared with other blocks in the
same schedule, and both with filters on the lanes; of each kind the best counts. avx512 and avx2 need a
machine that has them and are timed; neon and mve are run by QEMU, which counts instructions (docs/firmware.md
says what to install). All outputs are compared with those of a convolution in 64-bit floats.
"""

import argparse
import ctypes
import json
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from dataclasses import asdict, fields
from functools import partial
from itertools import chain
from pathlib import Path

import numpy as np
from boards import BOARDS, run_on_board
from lane_cases import (
    SOURCE,
    WIDE,
    Case,
    Data,
    Schedule,
    Shape,
    candidates,
    make_case,
    make_data,
    shapes_of,
    texts_of,
)
from rich.console import Console
from rich.progress import track
from rich.table import Table

from handfast.bench.compiled import find_compiler
from handfast.bench.machine import compiler_name
from handfast.bench.measure import one_core, quietest_medians_s
from handfast.export.c.targets import TARGETS
from handfast.files import write_whole
from handfast.packaged import IN_GREY
from handfast.processor import processor_name
from handfast.runtime.native import build_library

MEASURED = ("avx512", "avx2", "neon", "mve")
TURN_S = 0.002
CALL_FLOPS = 4e6  # of one timed call, so that the way from Python does not count
LARGEST_DIFFERENCE = 1e-5


def check(case: Case, out: np.ndarray, data: Data, what: str) -> None:
    """SystemExit unless the numbers are those expected but for rounding."""
    off = np.abs(case.read(out) - data.expected).max() / np.abs(data.expected).max()
    if not off <= LARGEST_DIFFERENCE:
        raise SystemExit(f"{what}: its outputs are up to {off:.2g} of the largest off")


def aligned(floats: np.ndarray) -> np.ndarray:
    room = np.zeros(floats.size + 16, np.float32)
    start = -room.ctypes.data % 64 // 4
    room[start : start + floats.size] = floats
    return room[start : start + floats.size]


def compiled(shape: Shape, schedule: Schedule, data: Data, target: str) -> tuple[Callable[[], object], int]:
    """What runs a case on this machine, checked, and how often it does so in a call."""
    case = make_case(shape, schedule, data, target)
    flags = ("-std=gnu99", *TARGETS[target].flags.split(), "-ffp-contract=off", "-fPIC", "-shared")
    library = ctypes.CDLL(str(build_library(find_compiler(), texts_of(case, target), SOURCE.name, flags)))
    arrays = [aligned(array) for array in (case.map, case.weights, np.zeros(case.out_floats, np.float32))]
    pointers = [array.ctypes.data_as(ctypes.c_void_p) for array in arrays]
    times = max(1, round(CALL_FLOPS / shape.flops))

    library.run(1, *pointers)
    check(case, arrays[2], data, f"{target}: {shape}: {schedule}")
    return partial(library.run, times, *pointers), times


def timed(shape: Shape, target: str, rounds: int) -> dict[str, tuple[Schedule, float]]:
    """The fastest of each kind, which a first run has found, and its seconds."""
    data, kinds = make_data(shape), vars(candidates(shape, target))
    runs = {s: compiled(shape, s, data, target) for s in chain(*kinds.values())}

    def seconds(chosen: Iterable[Schedule], rounds: int) -> dict[Schedule, float]:
        calls_s = quietest_medians_s({s: runs[s][0] for s in chosen}, range(rounds), TURN_S)
        return {schedule: call_s / runs[schedule][1] for schedule, call_s in calls_s.items()}

    with one_core():
        best = best_of(kinds, seconds(runs, max(2, rounds // 4)))
        best_s = seconds([schedule for schedule, _ in best.values()], rounds)
    return {kind: (schedule, best_s[schedule]) for kind, (schedule, _) in best.items()}


def counted(shape: Shape, target: str) -> dict[str, tuple[Schedule, float]]:
    """That of each kind with the fewest instructions, and how many."""
    data, kinds = make_data(shape), vars(candidates(shape, target))
    return best_of(kinds, {s: instructions(shape, s, data, target) for s in chain(*kinds.values())})


def best_of(
    kinds: Mapping[str, tuple[Schedule, ...]], costs: Mapping[Schedule, float]
) -> dict[str, tuple[Schedule, float]]:
    best = {kind: min(schedules, key=costs.get) for kind, schedules in kinds.items() if schedules}
    return {kind: (schedule, costs[schedule]) for kind, schedule in best.items()}


def instructions(shape: Shape, schedule: Schedule, data: Data, target: str) -> int:
    """Instructions of a case, whose output is checked."""
    case = make_case(shape, schedule, data, target)
    arrays = (
        f"static const float {name}[] = {{{', '.join(f'{value.hex()}f' for value in array.tolist())}}};\n"
        for name, array in (("in", case.map), ("weights", case.weights))
    )
    shown = run_on_board(target, texts_of(case, target) | {"data.h": "".join(arrays)}, SOURCE.name)
    count, *out = (int(line, 16) for line in shown.split())
    check(case, np.array(out, np.uint32).view(np.float32), data, f"{target}: {shape}: {schedule}")
    return count


def row_of(shape: Shape, best: Mapping[str, tuple[Schedule, float]], work: float) -> dict:
    """rate: work for what costs one. ratio: filters on the lanes to what is built."""
    found = {kind: asdict(schedule) | {"rate": work / cost} for kind, (schedule, cost) in best.items()}
    return {**asdict(shape), **found, "ratio": found["filters"]["rate"] / found["built"]["rate"]}


def summary(counts: Counter[Shape], rows: Mapping[Shape, dict]) -> dict:
    """What a network's convolutions would take, in percent of what they take now."""

    def total(*kinds: str) -> float:
        return sum(
            n * shape.flops / max(rows[shape][kind]["rate"] for kind in kinds if kind in rows[shape])
            for shape, n in counts.items()
        )

    now = total("built") / 100
    return {
        "better_blocks_percent": total("built", "pixels") / now,
        "filters_percent": total("filters") / now,
        "best_percent": total("built", "pixels", "filters") / now,
    }


def measured(target: str, networks: Mapping[str, Counter[Shape]], rounds: int) -> dict:
    is_emulated = target in BOARDS
    measure = counted if is_emulated else partial(timed, rounds=rounds)
    work_flops = 2 * TARGETS[target].lanes if is_emulated else 1e9
    shapes = sorted({*WIDE, *chain(*networks.values())})
    rows = {
        shape: row_of(shape, measure(shape, target), shape.flops / work_flops)
        for shape in track(shapes, description=target, transient=True)
    }
    return {
        "target": target,
        "rate": "vector multiply-adds an instruction" if is_emulated else "GFLOP/s",
        "networks": {name: summary(counts, rows) for name, counts in networks.items()},
        "rows": list(rows.values()),
    }


def show(found: dict) -> None:
    table = Table(title=f"{found['target']}: {found['rate']}; pixels or filters on the lanes")
    table.add_column("kernel, groups x in -> out, map", no_wrap=True)
    for column in ("pixels", "other block", "filters", "ratio"):
        table.add_column(column, justify="right")
    for row in found["rows"]:
        shape = Shape(**{field.name: row[field.name] for field in fields(Shape)})
        rates = [f"{row[kind]['rate']:.3g}" if kind in row else "" for kind in ("built", "pixels", "filters")]
        table.add_row(str(shape), *rates, f"{row['ratio']:.2f}")
    console = Console()
    console.print(table)
    for name, percent in found["networks"].items():
        console.print(
            f"convolutions of {name}, of what they take now: {percent['better_blocks_percent']:.0f} % with "
            f"better blocks, {percent['filters_percent']:.0f} % with filters on the lanes, "
            f"{percent['best_percent']:.0f} % with the best for each"
        )


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--targets", nargs="+", choices=MEASURED, default=MEASURED)
    parser.add_argument("--rounds", type=int, default=20, help="turns that each schedule is timed for")
    parser.add_argument("--out", type=Path, help="write the numbers to this file")
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    options = parser.parse_args()
    networks = {name: shapes_of(name) for name in IN_GREY}
    found = {
        "processor": processor_name(),
        "compiler": compiler_name(),
        "targets": [measured(target, networks, options.rounds) for target in options.targets],
    }
    if options.out:
        write_whole(options.out, (json.dumps(found, indent=1) + "\n").encode())
    if options.json:
        print(json.dumps(found))
        return
    for target in found["targets"]:
        show(target)


if __name__ == "__main__":
    main()
