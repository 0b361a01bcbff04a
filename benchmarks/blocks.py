"""In which blocks of filters and vectors, and with which of both on the lanes, are convolutions fastest?

.venv/bin/python benchmarks/blocks.py [--targets TARGET ...] [--rounds N] [--out FILE] [--table FILE]

Every convolution of the packaged networks runs in every block that it may have, in the network's generated C,
which says what each has cost. avx512, avx2 and generic need a machine that has them; they run layers as a
whole, as ``handfast track`` does, and are timed. The others run in strips, as ``handfast export`` writes
them, in QEMU, which counts instructions (docs/firmware.md says what to install). A network finds the same
key-points in all blocks, bit for bit, or this ends.

--table: write what was best to this file, src/handfast/export/c/blocks.json; targets that are not measured
keep what they have there.
"""

import argparse
import ctypes
import json
import re
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from functools import partial
from pathlib import Path

import numpy as np
from boards import BOARDS, run_on_board
from rich.console import Console
from rich.progress import track
from rich.table import Table as Printed

from handfast.bench.compiled import find_compiler
from handfast.bench.machine import compiler_name
from handfast.bench.measure import one_core
from handfast.export.c.blocks import (
    MEASURED,
    Shape,
    Table,
    candidates,
    modelled,
    read_table,
    shape_of,
    write_table,
)
from handfast.export.c.emit import ARENA_LIMIT_BYTES, emit
from handfast.export.c.folder import golden_of
from handfast.export.c.fusion import Block, Conv, fuse
from handfast.export.c.network import Network, read_network
from handfast.export.c.targets import TARGETS
from handfast.files import write_whole
from handfast.packaged import IN_GREY
from handfast.processor import processor_name
from handfast.runtime.model import read_model
from handfast.runtime.native import build_library

SOURCE = Path(__file__).with_name("blocks.c")
TIMED = ("avx512", "avx2", "generic")
FRAMES = 20  # of a turn
# Times the least cost, up to which a block is as good; the model's then stays. Between builds
# times differ by some percent: the compiler sees now more, now fewer layers of a kernel.
AS_GOOD = {"ns": 1.05, "instructions": 1.01}

Costs = dict[Shape, dict[Block, float]]


@dataclass(frozen=True, eq=False)
class Subject:
    """A network. shapes: of its steps that are convolutions; pixels: of their maps; image: of hands."""

    content: bytes
    network: Network
    n_steps: int
    shapes: dict[int, Shape]
    pixels: dict[Shape, int]
    image: np.ndarray


def subject_of(name: str) -> Subject:
    content = read_model(name)
    network = read_network(content, name)
    steps, _ = fuse(network, name)
    shapes, pixels = {}, {}
    for index, step in enumerate(steps):
        if isinstance(step, Conv):
            _, height, width = network.shapes[step.source]
            shapes[index] = shape_of(network, step)
            pixels[shapes[index]] = height * width
    return Subject(content, network, len(steps), shapes, pixels, golden_of(content).image)


def tables_of(subject: Subject, target: str) -> list[Table]:
    """So many that every shape has been in each of its blocks."""
    blocks = {shape: candidates(shape, TARGETS[target]) for shape in subject.shapes.values()}
    rounds = max(map(len, blocks.values()))
    return [{shape: own[i % len(own)] for shape, own in blocks.items()} for i in range(rounds)]


def texts_of(subject: Subject, target: str, table: Table) -> dict[str, str]:
    limit = ARENA_LIMIT_BYTES if target in BOARDS else None
    texts = emit(subject.content, "network", target, limit, table)
    calls = re.compile(r"conv(?:\d|_pixel)_\d\(&layer_(\d+),[^;]*;")
    main = f"#define STEPS {subject.n_steps}\n" + SOURCE.read_text(encoding="utf-8")
    code = calls.sub(r"COUNTED(\1, \g<0>)", texts["network.c"])
    return texts | {SOURCE.name: main, "network.c": code}


def counted(subject: Subject, target: str, tables: list[Table]) -> tuple[list[np.ndarray], list[str]]:
    """-> instructions of each step, and a hash of what came out, for each table."""
    pixels = ", ".join(map(str, subject.image.ravel()))
    image = {"image.h": f"static const uint8_t image[] = {{{pixels}}};\n"}
    shown = [
        run_on_board(target, texts_of(subject, target, table) | image, SOURCE.name).split()
        for table in track(tables, description=target, transient=True)
    ]
    return [np.array(lines[:-1], float) for lines in shown], [lines[-1] for lines in shown]


def timed(
    subject: Subject, target: str, tables: list[Table], rounds: int
) -> tuple[list[np.ndarray], list[bytes]]:
    """-> the time of each step, ns, and what came out, for each table. As in ``bench.measure``: the median of
    a turn, of the turn in which that was least."""
    flags = ("-std=gnu99", *TARGETS[target].flags.split(), "-ffp-contract=off", "-fPIC", "-shared")
    libraries = [
        ctypes.CDLL(str(build_library(find_compiler(), texts_of(subject, target, table), SOURCE.name, flags)))
        for table in track(tables, description=target, transient=True)
    ]
    image, spent_ns = np.ascontiguousarray(subject.image), np.zeros((FRAMES, subject.n_steps), np.uint64)
    points = np.zeros((2, subject.network.keypoints_per_hand, 4), np.float32)
    least_ns = np.full((len(tables), subject.n_steps), np.inf)
    found = {}
    with one_core():
        for _ in range(rounds):
            for i, library in enumerate(libraries):
                for frame_ns in (spent_ns[0], *spent_ns):  # the first fills the caches
                    library.run(*(ctypes.c_void_p(array.ctypes.data) for array in (image, frame_ns, points)))
                least_ns[i] = np.minimum(least_ns[i], np.median(spent_ns, axis=0))
                found[i] = points.tobytes()
    return list(least_ns), list(found.values())


def costs_of(subjects: Mapping[str, Subject], target: str, rounds: int) -> dict[str, Costs]:
    """Of each network, what all convolutions of a shape cost in each of its blocks."""
    costs = {}
    for name, subject in subjects.items():
        tables = tables_of(subject, target)
        measure = counted if target in BOARDS else partial(timed, rounds=rounds)
        steps_cost, found = measure(subject, target, tables)
        if len(set(found)) > 1:
            raise SystemExit(f"{target}: {name}: the key-points depend on the blocks")
        costs[name] = {}
        for table, step_cost in zip(tables, steps_cost, strict=True):
            for shape, block in table.items():
                own = sum(step_cost[index] for index, other in subject.shapes.items() if other == shape)
                blocks = costs[name].setdefault(shape, {})
                blocks[block] = min(blocks.get(block, np.inf), own)
    return costs


def rows_of(subjects: Mapping[str, Subject], target: str, costs: Mapping[str, Costs]) -> list[dict]:
    """For each shape what its convolutions cost in both networks in each block, and which of them the model
    chooses and the table gets."""
    rows = []
    for shape in sorted({shape for own in costs.values() for shape in own}):
        of_shape = [own[shape] for own in costs.values() if shape in own]
        total = {block: sum(own[block] for own in of_shape) for block in of_shape[0]}
        pixels = max(subject.pixels.get(shape, 0) for subject in subjects.values())
        model, best = modelled(shape, pixels, TARGETS[target]), min(total, key=total.get)
        table = model if total[model] <= AS_GOOD[unit_of(target)] * total[best] else best
        blocks = [asdict(block) | {"cost": total[block]} for block in sorted(total, key=total.get)]
        rows.append(asdict(shape) | {"model": asdict(model), "table": asdict(table), "blocks": blocks})
    return rows


def summary(rows: list[dict]) -> dict:
    """For how many shapes the model chooses the best block or one as good, and what it loses, in percent."""

    def cost(row: dict, which: str) -> float:
        return next(block["cost"] for block in row["blocks"] if block.items() >= row[which].items())

    best = sum(row["blocks"][0]["cost"] for row in rows)
    return {
        "shapes": len(rows),
        "model_is_as_good": sum(row["model"] == row["table"] for row in rows),
        **{
            f"{which}_loses_percent": 100 * (sum(cost(row, which) for row in rows) / best - 1)
            for which in ("model", "table")
        },
    }


def unit_of(target: str) -> str:
    return "instructions" if target in BOARDS else "ns"


def name_of(block: dict) -> str:
    return f"{block['filters']}x{block['vectors']}" + " on lanes" * block["filters_on_lanes"]


def show(found: dict) -> None:
    table = Printed(title=f"{found['target']}: {found['unit']} by block, filters x vectors")
    for column in ("kernel, dilation, in -> out, width up to", "best first", "model"):
        table.add_column(column)
    for row in found["rows"]:
        name = f"{row['kernel']}x{row['kernel']}, {row['dilation']}, {row['inputs']} -> {row['outputs']}"
        costs = ", ".join(f"{name_of(block)} {block['cost']:,.0f}" for block in row["blocks"])
        is_any = ", whole" * row["is_whole"] + ", pixel" * row["is_pixel"]
        table.add_row(f"{name}, {row['width']}{is_any}", costs, name_of(row["model"]))
    console = Console()
    console.print(table)
    console.print(
        "the model takes the best block, or one as good, for {model_is_as_good} of {shapes} shapes and loses "
        "{model_loses_percent:.1f} %".format(**found["summary"])
    )


def measured(subjects: Mapping[str, Subject], target: str, rounds: int) -> dict:
    rows = rows_of(subjects, target, costs_of(subjects, target, rounds))
    return {"target": target, "unit": unit_of(target), "summary": summary(rows), "rows": rows}


def table_of(found: dict) -> list[tuple[Shape, Block]]:
    return [
        (Shape(**{field.name: row[field.name] for field in fields(Shape)}), Block(**row["table"]))
        for row in found["rows"]
    ]


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    targets = (*TIMED, *BOARDS)
    parser.add_argument("--targets", nargs="+", choices=targets, default=targets)
    parser.add_argument("--rounds", type=int, default=40, help="turns that each block is timed for")
    parser.add_argument("--out", type=Path, help="write the numbers to this file")
    parser.add_argument("--table", type=Path, help="write the best blocks to this file")
    options = parser.parse_args()
    subjects = {name: subject_of(name) for name in IN_GREY}
    found = [measured(subjects, target, options.rounds) for target in options.targets]
    for target in found:
        show(target)
    if options.out:
        facts = {"processor": processor_name(), "compiler": compiler_name(), "targets": found}
        write_whole(options.out, (json.dumps(facts, indent=1) + "\n").encode())
    if options.table:
        before = {name: table.items() for name, table in read_table(MEASURED.read_bytes()).items()}
        tables = before | {target["target"]: table_of(target) for target in found}
        write_whole(options.table, write_table(tables))


if __name__ == "__main__":
    main()
