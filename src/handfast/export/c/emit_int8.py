"""Writes a quantised network as C: the same functions as ``emit``, on bytes."""

from collections.abc import Iterable

import numpy as np

from handfast.compression.quantise import QuantisedNetwork
from handfast.export.c.byte_packing import pack, point_kind, point_quads
from handfast.export.c.byte_plan import Item, Place, Plan, guarded, plan_bytes, quads_of, strip_rows
from handfast.export.c.byte_steps import (
    ByteSum,
    PointLogits,
    Rows,
    StemPool,
    Step,
    UpsampledSum,
    byte_steps,
)
from handfast.export.c.emit import KERNELS, vector_files
from handfast.export.c.interface import functions, header, identifier, may_be_there
from handfast.export.c.network import Concat, GlobalMax, MaxPool
from handfast.export.c.packing import edge_table
from handfast.export.c.targets import find_target

PIXEL_OFFSETS = {"neon": 128}  # see bytes_neon.h
BYTE_FLAGS = {"avx512": " -mavx512vnni"}  # what the compiler needs to know beside ``Target.flags``
BYTE_KERNELS = ("sum_block.h", "sums.h", "upsampled_sums.h", "byte_maps.h")


def emit_int8(network: QuantisedNetwork, name: str, target: str) -> dict[str, str]:
    """The files of a quantised network as C for a target of ``targets.TARGETS``: {file name: text}.

    Raises HandfastError for an unknown target, and for a layer that has no kernel, by its name.
    """
    vector = find_target(target).header
    steps, before_early_out = byte_steps(network, name)
    plan = plan_bytes(network, steps, before_early_out)
    stem = identifier(name)
    own = vector.replace("vector_", "bytes_")
    if not (KERNELS / "int8" / own).is_file():  # one cell at a time
        vector, own = "vector_generic.h", "bytes_generic.h"
    return {
        f"{stem}.h": header(stem, network, plan.arena_bytes),
        f"{stem}.c": _Writer(stem, network, plan).code(),
        f"{stem}_weights.h": _weights(stem, network, steps, PIXEL_OFFSETS.get(target, 0)),
        "vector.h": f'#include "{vector}"\n',
        "bytes.h": f'#include "{own}"\n',
        **vector_files(vector),
        **{file: (KERNELS / file).read_text() for file in ("repeat.h", "keypoints.h")},
        **{file: (KERNELS / "int8" / file).read_text() for file in (own, *BYTE_KERNELS)},
    }


def _weights(stem: str, network: QuantisedNetwork, steps: Iterable[Step], pixel_offset: int) -> str:
    arrays = [f"/* Weights of {stem} in the order in which its kernels read them. */\n"]
    tables = set()
    for step in steps:
        words = pack(step, pixel_offset)
        if words is not None:
            arrays.append(f"static const uint32_t weights_{_label(step)}[] = {{{_hex(words)}}};\n")
        match step:
            case ByteSum(three=Rows(source=source, dilation=dilation)):
                tables.add((network.shapes[source][2], dilation))
            case UpsampledSum(source=source):
                tables.add((network.shapes[source][2], 1))
    for width, dilation in sorted(tables):
        for side in ("left", "right"):
            numbers = ", ".join(map(str, 255 * edge_table(width, dilation, side == "left")))
            arrays.append(f"static const uint8_t {side}_{width}_{dilation}[] = {{{numbers}}};\n")
    return "".join(arrays)


def _hex(words: np.ndarray) -> str:
    return ", ".join(f"0x{word:x}" for word in words.tolist())


def _label(step: Step) -> str:
    """A step's name in C."""
    return identifier(step.name.strip("/"))


class _Writer:
    """Items as lines of C."""

    def __init__(self, stem: str, network: QuantisedNetwork, plan: Plan) -> None:
        self.stem, self.network, self.plan = stem, network, plan
        self.steps = [step for item in plan.items for step in item.steps]
        self.zeros = {step.source: step.zero for step in self.steps if isinstance(step, UpsampledSum)}

    def code(self) -> str:
        network, plan = self.network, self.plan
        *inner, last = plan.items
        calls = [self.item(item) for item in inner]
        return f"""\
#include <float.h>
#include <string.h>

#include "{self.stem}.h"
#include "vector.h"

#include "bytes.h"
#include "repeat.h"

#include "sums.h"
#include "upsampled_sums.h"

#include "byte_maps.h"
#include "keypoints.h"

#include "{self.stem}_weights.h"

{"".join(self.constants(step) for step in self.steps)}
/* Whether a hand may be there: the logits of its presence are above the early-out's. */
static int encode(const uint8_t *image, float *visibility, uint8_t *arena)
{{
{"".join(calls[: plan.before_early_out])}\
    return {may_be_there(network)};
}}

static void decode(uint8_t *arena)
{{
    (void)arena;
{"".join(calls[plan.before_early_out :])}{self.guards(last)}\
}}

/* One heat-map. */
static void heatmap(uint8_t *arena, int map, float *out)
{{
{self._logits(last.body, "map", "out")}\
}}

{functions(self.stem, network, plan.heatmap)}"""

    def constants(self, step: Step) -> str:
        """What a kernel needs to know of a step."""
        match step:
            case ByteSum():
                kind, values = "sum_layer", self._sum_constants(step)
            case UpsampledSum():
                kind, values = "upsampled_layer", self._upsampled_constants(step)
            case _:
                return ""
        points = step.points
        if points:
            values["points"] = len(points)
            values["point_plane"] = _braces(self.place(rows.source).plane for rows in points)
            if isinstance(step, ByteSum):
                values["point_quads"] = _braces(map(point_quads, points))
                values["point_kinds"] = _braces(map(point_kind, points))
        values["weights"] = f"weights_{_label(step)}"
        fields = ", ".join(f".{key} = {value}" for key, value in values.items())
        return f"static const {kind} {_label(step)} = {{{fields}}};\n"

    def _sum_constants(self, step: ByteSum) -> dict:
        values = {
            "quads": quads_of(len(step.bias)),
            "shift": step.output.shift,
            "out_plane": self.place(step.target).plane,
            "width": self.network.shapes[step.target][2],
        }
        if step.three:
            values["in_plane"] = self.place(step.three.source).plane
            values |= self._edges(step.three.source, step.three.dilation)
            values["dilation"] = step.three.dilation
        return values

    def _upsampled_constants(self, step: UpsampledSum) -> dict:
        _, height, width = self.network.shapes[step.source]
        values = {
            "quads": quads_of(len(step.bias)),
            "in_plane": self.place(step.source).plane,
            "width": width,
            "height": height,
            "zero": f"0x{step.zero * 0x01010101:x}u",
            **self._edges(step.source, 1),
        }
        if step.target != self.network.heatmaps:
            values |= {"shift": step.output.shift, "out_plane": self.place(step.target).plane}
        return values

    def _edges(self, source: str, dilation: int) -> dict:
        width = self.network.shapes[source][2]
        return {side: f"{side}_{width}_{dilation}" for side in ("left", "right")}

    def item(self, item: Item) -> str:
        """The call of an item, or its loop over strips."""
        if item.window is not None:
            run = self._windowed(item)
        elif item.tail is not None:
            run = self._strips(item)
        else:
            run = self._whole(item.body)
        return self.guards(item) + run

    def guards(self, item: Item) -> str:
        """Rows of zeros around the maps that an item reads."""
        lines = []
        for name in item.reads:
            if name in {guarded(step) for step in item.steps}:
                _, height, width = self.network.shapes[name]
                cells, around = height * width, self.plan.guards[name] * width
                zero = self.zeros.get(name, 0)
                lines.append(f"    fill_guards({self.planes(name)}, {cells}, {around}, {around}, {zero});\n")
        return "".join(lines)

    def _whole(self, step: Step) -> str:
        """A step on its whole map."""
        match step:
            case StemPool():
                _, height, width = self.network.shapes[step.source]
                return (
                    f"    stem_bytes(image, {width}, {height}, {step.output.shift}, weights_{_label(step)}, "
                    f"arena + {self.plan.stem}, {self.planes(step.target)});\n"
                )
            case ByteSum():
                _, height, width = self.network.shapes[step.target]
                return self._sum(step, "0", f"{height * width}", {})
            case UpsampledSum():
                _, height, width = self.network.shapes[step.source]
                return f"    for (int y = 0; y < {height}; y++)\n    {self._upsampled(step, {})}"
            case PointLogits():
                logits = self._logits(step, "n", "visibility + n")
                return f"    for (int n = 0; n < {len(step.bias)}; n++)\n    {logits}"
            case MaxPool():
                _, height, width = self.network.shapes[step.source]
                return self._pool("max_pool_bytes", step, f"{width}, {height}")
            case GlobalMax():
                _, height, width = self.network.shapes[step.source]
                return self._pool("global_max_bytes", step, f"{height * width}")
            case Concat():
                return ""  # its sources were written in their places

    def _pool(self, kernel: str, step: MaxPool | GlobalMax, size: str) -> str:
        plane = self.place(step.target).plane
        return f"    {kernel}({self.planes(step.source)}, {size}, {self.at(step.target)}, {plane});\n"

    def _strips(self, item: Item) -> str:
        """The body, a strip at a time, and the tail on each."""
        inner = {item.body.target}
        if isinstance(item.body, UpsampledSum):
            _, height, width = self.network.shapes[item.body.source]
            cells = 4 * width
            return (
                f"    for (int y = 0; y < {height}; y++) {{\n    {self._upsampled(item.body, inner)}"
                f"    {self._sum(item.tail, f'{cells} * y', str(cells), inner)}    }}\n"
            )
        _, height, width = self.network.shapes[item.target]
        cells, strip = height * width, strip_rows(width) * width
        body = self._sum(item.body, "i", "n", inner)
        tail = self._sum(item.tail, "i", "n", inner)
        return (
            f"    for (int i = 0; i < {cells}; i += {strip}) {{\n"
            f"        const int n = {cells} - i < {strip} ? {cells} - i : {strip};\n"
            f"    {body}    {tail}    }}\n"
        )

    def _windowed(self, item: Item) -> str:
        """The window's rows, the body on those in its middle, the tail on the body's; then up a strip."""
        _, height, width = self.network.shapes[item.target]
        dilation, rows = item.body.three.dilation, strip_rows(width)
        around = dilation * width
        window, plane = self.at(item.window.target), self.place(item.window.target).plane
        quads = quads_of(self.network.shapes[item.window.target][0])
        inner = {step.target for step in item.steps[:-1]}
        first = self._sum(item.window, "0", str(around), {}, target=f"{window} + {4 * around}")
        following = self._sum(item.window, "i", "n", {}, target=f"{window} + {8 * around}")
        body = self._sum(item.body, "at", "n", inner, source=f"{window} + {4 * around}")
        tail = self._sum(item.tail, "at", "n", inner) if item.tail else ""
        cells, strip = height * width, rows * width
        return f"""\
    zero_cells({window}, {quads}, {plane}, {around});
{first}\
    for (int i = {around}, at = 0; at < {cells}; i += {strip}, at += {strip}) {{
        int n = {cells} - i < {strip} ? {cells} - i : {strip};
        if (n > 0)
        {following}\
        else
            n = 0;
        zero_cells({window} + {8 * around} + 4 * n, {quads}, {plane}, {strip} - n);
        n = {cells} - at < {strip} ? {cells} - at : {strip};
    {body}    {tail}\
        move_cells({window} + {4 * strip}, {window}, {quads}, {plane}, {2 * around});
    }}
"""

    def _sum(
        self, step: ByteSum, first: str, cells: str, inner: Iterable[str], source: str = "", target: str = ""
    ) -> str:
        """Some cells of a sum, the first of which begins a row. Maps of ``inner`` begin with it."""

        def at(name: str) -> str:
            return self.at(name) + ("" if name in inner or first == "0" else f" + 4 * ({first})")

        three = source or (at(step.three.source) if step.three else "0")
        points = ", ".join(at(rows.source) for rows in step.points)
        given = f"(const uint8_t *const[]){{{points}}}" if points else "0"
        return f"    sum_cells(&{_label(step)}, {three}, {given}, {target or at(step.target)}, {cells});\n"

    def _logits(self, step: PointLogits | UpsampledSum, number: str, out: str) -> str:
        """One of an output's channels."""
        if isinstance(step, UpsampledSum):
            return f"    upsampled_map(&{_label(step)}, {self.at(step.source)}, {number}, {out});\n"
        channels, height, width = self.network.shapes[step.source]
        weights = f"weights_{_label(step)} + {number} * {2 + quads_of(channels)}"
        return f"    logits_of_map({self.planes(step.source)}, {height * width}, {weights}, {out});\n"

    def _upsampled(self, step: UpsampledSum, inner: Iterable[str]) -> str:
        """Row y of an up-sampling's source."""
        cells = 4 * self.network.shapes[step.source][2]
        points = ", ".join(f"{self.at(rows.source)} + {4 * cells} * y" for rows in step.points)
        given = f"(const uint8_t *const[]){{{points}}}" if points else "0"
        target = self.at(step.target) + ("" if step.target in inner else f" + {4 * cells} * y")
        return f"    upsampled_cells(&{_label(step)}, {self.at(step.source)}, y, {given}, {target});\n"

    def place(self, name: str) -> Place:
        return self.plan.places[name]

    def at(self, name: str) -> str:
        return f"arena + {self.place(name).offset}"

    def planes(self, name: str) -> str:
        """Where a map begins, how many planes it has, and the bytes from one to the next."""
        return f"{self.at(name)}, {quads_of(self.network.shapes[name][0])}, {self.place(name).plane}"


def _braces(values: Iterable[object]) -> str:
    return f"{{{', '.join(map(str, values))}}}"
