"""Writes a network as C: a header, the code that calls the kernels, weights, a Makefile and a golden test."""

from collections.abc import Sequence
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path

import numpy as np

from handfast.errors import HandfastError
from handfast.export.c.fusion import Conv, Plain, Stem, Step, UpsampleDepthwise, fuse
from handfast.export.c.network import Add, Concat, GlobalMax, MaxPool, Network, read_network
from handfast.export.c.packing import edge_table, pack_conv, pack_stem, pack_upsampling
from handfast.export.c.plan import Place, Plan, plan_arena
from handfast.files import write_whole

KERNELS = files("handfast") / "export" / "c" / "kernels"
KERNEL_HEADERS = ("repeat.h", "convolution.h", "conv1_block.h", "conv3_block.h", "conv_layers.h", "stem.h", "maps.h")


@dataclass(frozen=True)
class Target:
    """A kind of processor. header: its vectors. sums: how many vectors of sums the registers hold beside what
    is multiplied. flags: what the compiler needs to know, for the Makefile."""

    header: str
    sums: int
    flags: str
    compiler: str = "cc"


TARGETS = {
    "generic": Target("vector_generic.h", 12, "-O3"),
    "avx2": Target("vector_avx2.h", 12, "-O3 -mavx2 -mfma"),
    "avx512": Target("vector_avx512.h", 24, "-O3 -mavx512f -mavx512bw -mavx512vl -mfma -mprefer-vector-width=512"),
    "neon": Target("vector_neon.h", 24, "-O3", "aarch64-linux-gnu-gcc"),
    "mve": Target("vector_mve.h", 6, "-O3 -mcpu=cortex-m55 -mthumb -mfloat-abi=hard", "arm-none-eabi-gcc"),
    "wasm": Target("vector_wasm.h", 12, "-O3 --target=wasm32 -msimd128 -nostdlib", "clang"),
    "cortex-m4": Target("vector_generic.h", 24, "-O3 -mcpu=cortex-m4 -mthumb -mfloat-abi=hard", "arm-none-eabi-gcc"),
}
MOST_VECTORS = 6


def emit(content: bytes, name: str, target: str) -> dict[str, str]:
    """The files of an ONNX model as C for a target of ``TARGETS``: {file name: text}.

    Raises HandfastError for an unknown target, and for a layer that has no kernel, by its name.
    """
    if target not in TARGETS:
        raise HandfastError(f"target {target!r}: expected {', '.join(TARGETS)}")
    network = read_network(content, name)
    steps, before_early_out = fuse(network, name)
    plan = plan_arena(network, steps)
    stem = identifier(name)
    chosen = TARGETS[target]
    return {
        f"{stem}.h": _header(stem, network, plan),
        f"{stem}.c": _code(stem, network, steps, before_early_out, plan, chosen),
        f"{stem}_weights.h": _weights(stem, steps, network),
        "vector.h": f'#include "{chosen.header}"\n',
        **{header: (KERNELS / header).read_text() for header in (chosen.header, *KERNEL_HEADERS, "keypoints.h")},
    }


def identifier(name: str) -> str:
    """A model's name as C writes it."""
    return "".join(c if c.isalnum() else "_" for c in name)


def _header(stem: str, network: Network, plan: Plan) -> str:
    _, height, width = network.shapes[network.image]
    upper, k = stem.upper(), network.keypoints_per_hand
    _, map_height, map_width = network.shapes[network.heatmaps]
    return f"""\
/* {stem}: key-points of hands from an image of {width} x {height} bytes. */
#ifndef {upper}_H
#define {upper}_H

#include <stddef.h>
#include <stdint.h>

#define {upper}_WIDTH {width}
#define {upper}_HEIGHT {height}
#define {upper}_HANDS 2
#define {upper}_KEYPOINTS {k}
#define {upper}_MAP_WIDTH {map_width}
#define {upper}_MAP_HEIGHT {map_height}
#define {upper}_ARENA_BYTES {4 * plan.floats}

/* {upper}_ARENA_BYTES */
size_t {stem}_arena_bytes(void);

/* image: rows of bytes. keypoints: [2 hands: left, right][{k}][4]: x and y in pixels of the image, whether it can
 * be seen, 0..1, and the share of its heat-map around the peak, 0..1. Returns bit 0 for a left and bit 1 for a
 * right hand; the rows of a hand that is not there are zeros. arena: {upper}_ARENA_BYTES, aligned to 64 bytes;
 * what it holds does not matter before or after. Reentrant: one arena a call. */
int {stem}_run(const uint8_t *image, float *keypoints, void *arena);

/* The network's own output, logits: heatmaps [2][{k}][{map_height}][{map_width}], zeros where no hand may be,
 * and visibility [2][1 + {k}] of the hand and of its key-points. */
void {stem}_maps(const uint8_t *image, float *heatmaps, float *visibility, void *arena);

#endif
"""


def _weights(stem: str, steps: Sequence[Step], network: Network) -> str:
    arrays = [f"/* Weights of {stem} in the order in which its kernels read them. */\n"]
    for index, step in enumerate(steps):
        packed = _packed(step)
        if packed is not None:
            numbers = ", ".join(f"{value.item().hex()}f" for value in packed)
            arrays.append(f"static const float weights_{index}[] = {{{numbers}}};\n")
    tables = {(_width(step, network), d) for step in steps for d in _dilations(step)}
    for width, dilation in sorted(tables):
        for side in ("left", "right"):
            numbers = ", ".join(map(str, edge_table(width, dilation, side == "left")))
            arrays.append(f"static const uint32_t {side}_{width}_{dilation}[] = {{{numbers}}};\n")
    return "".join(arrays)


def _packed(step: Step) -> np.ndarray | None:
    match step:
        case Conv():
            return pack_conv(step)
        case Stem(convolution=convolution):
            return pack_stem(convolution)
        case UpsampleDepthwise(convolution=convolution):
            return pack_upsampling(convolution)
    return None


def _dilations(step: Step) -> list[int]:
    """Of the taps to the left and right."""
    if isinstance(step, UpsampleDepthwise):
        return [1]
    return [step.convolution.dilation] if isinstance(step, Conv) and step.convolution.kernel == 3 else []


def _width(step: Step, network: Network) -> int:
    return network.shapes[step.source][2] if isinstance(step, Conv | UpsampleDepthwise) else 0


def _code(
    stem: str, network: Network, steps: Sequence[Step], before_early_out: int, plan: Plan, target: Target
) -> str:
    writer = _Writer(network, plan)
    upper = stem.upper()
    convolutions = {step.filters for step in steps if isinstance(step, Conv)}
    includes = "".join(
        f"#define FILTERS {n}\n#define MOST {max(1, min(MOST_VECTORS, target.sums // n))}\n"
        '#include "conv_layers.h"\n#undef FILTERS\n#undef MOST\n'
        for n in sorted(convolutions)
    )
    layers = "".join(writer.layer(index, step) for index, step in enumerate(steps))
    *inner, last = range(len(steps))
    calls = [writer.guards(index) + writer.call(index, steps[index]) for index in inner]
    one_by_one = network.heatmaps not in plan.places
    if not one_by_one:
        calls.append(writer.guards(last) + writer.call(last, steps[last]))
    visibility = plan.places[network.visibility]
    k = network.keypoints_per_hand
    maps, map_height, map_width = network.shapes[network.heatmaps]
    threshold = "-INFINITY" if network.early_out_logit is None else _literal(network.early_out_logit)
    if one_by_one:
        one_map = (
            f"static float *heatmap(float *arena, int map, float *out)\n{{\n"
            f"{writer.heatmap(last, steps[last])}    return out;\n}}\n"
        )
    else:
        place = plan.places[network.heatmaps]
        one_map = (
            "static float *heatmap(float *arena, int map, float *out)\n{\n"
            f"    memcpy(out, arena + {place.offset} + map * {place.plane}, {map_height * map_width} * sizeof *out);\n"
            "    return out;\n}\n"
        )
    return f"""\
#include <math.h>
#include <string.h>

#include "{stem}.h"
#include "vector.h"

#include "convolution.h"
#include "repeat.h"

#include "maps.h"
#include "stem.h"
#include "keypoints.h"
{includes}
#include "{stem}_weights.h"

{layers}
/* Whether a hand may be there: the logits of its presence are above the early-out's. */
static int encode(const uint8_t *image, float *arena)
{{
    const float *const visibility = arena + {visibility.offset};
{"".join(calls[:before_early_out])}\
    return visibility[0] > {threshold} || visibility[{1 + k}] > {threshold};
}}

static void decode(float *arena)
{{
{"".join(calls[before_early_out:])}\
}}

{one_map}
size_t {stem}_arena_bytes(void) {{ return {upper}_ARENA_BYTES; }}

void {stem}_maps(const uint8_t *image, float *heatmaps, float *visibility, void *arena)
{{
    const int may_be_there = encode(image, arena);
    memcpy(visibility, (float *)arena + {visibility.offset}, {2 * (1 + k)} * sizeof *visibility);
    if (!may_be_there) {{
        memset(heatmaps, 0, {maps * map_height * map_width} * sizeof *heatmaps);
        return;
    }}
    decode(arena);
    for (int map = 0; map < {maps}; map++)
        heatmap(arena, map, heatmaps + map * {map_height * map_width});
}}

int {stem}_run(const uint8_t *image, float *keypoints, void *arena)
{{
    float visibility[{2 * (1 + k)}];
    int found = 0;
    memset(keypoints, 0, {2 * k * 4} * sizeof *keypoints);
    if (!encode(image, arena))
        return 0;
    memcpy(visibility, (float *)arena + {visibility.offset}, sizeof visibility);
    for (int hand = 0; hand < 2; hand++)
        found |= (visibility[hand * {1 + k}] > 0.0f) << hand;
    if (!found)
        return 0;
    decode(arena);
    for (int map = 0; map < {maps}; map++) {{
        const int hand = map / {k};
        float *const point = keypoints + 4 * map;
        if (!(found >> hand & 1))
            continue;
        decode_heatmap(
            heatmap(arena, map, (float *)arena + {plan.scratch}), {map_width}, {map_height}, point, point + 1, point + 3);
        point[0] = {_scale(network)} * point[0] + {_shift(network)};
        point[1] = {_scale(network)} * point[1] + {_shift(network)};
        point[2] = logistic(visibility[map + hand + 1]);
    }}
    return found;
}}
"""


class _Writer:
    """Steps as lines of C."""

    def __init__(self, network: Network, plan: Plan) -> None:
        self.network, self.plan = network, plan

    def layer(self, index: int, step: Step) -> str:
        """The constants of a convolution."""
        if not isinstance(step, Conv):
            return ""
        conv, (_, height, width) = step.convolution, self.network.shapes[step.source]
        outputs, channels = len(conv.weight) // conv.groups, conv.weight.shape[1]
        tail = len(step.tail.weight) // conv.groups if step.tail else 0
        values = {
            "pixels": height * width,
            "groups": conv.groups,
            "blocks": outputs // step.filters,
            "channels": channels,
            "in_plane": self.plan.places[step.source].plane,
            "out_plane": self.plan.places[step.target].plane,
            "group_step": 1 if step.shuffle > 1 else tail or outputs,
            "filter_step": step.shuffle,
            "relu": int(conv.relu if step.tail else step.relu),
        }
        if conv.kernel == 3:
            values |= {"width": width, "dilation": conv.dilation, "tail": tail, "tail_relu": int(step.relu)}
            values |= {side: f"{side}_{width}_{conv.dilation}" for side in ("left", "right")}
        values["weights"] = f"weights_{index}"
        fields = ", ".join(f".{key} = {value}" for key, value in values.items())
        return f"static const convolution layer_{index} = {{{fields}}};\n"

    def guards(self, index: int) -> str:
        return "".join(
            f"    zero_guards(arena + {b.offset}, {b.channels}, {b.plane}, {b.pixels}, {b.before});\n"
            for b in self.plan.fresh.get(index, ())
        )

    def call(self, index: int, step: Step) -> str:
        match step:
            case Stem():
                _, height, width = self.network.shapes[step.source]
                filters = len(step.convolution.weight)
                return (
                    f"    stem(image, {width}, {height}, {filters}, weights_{index}, {self._at(step.target)}, "
                    f"{self._place(step.target).plane});\n"
                )
            case Conv():
                residual = self._at(step.residual) if step.residual else "0"
                return (
                    f"    conv{step.convolution.kernel}_{step.filters}(&layer_{index}, {self._at(step.source)}, "
                    f"{self._at(step.target)}, {residual});\n"
                )
            case UpsampleDepthwise():
                channels = self.network.shapes[step.source][0]
                return "    " + self._upsampling(
                    step, self._at(step.source), channels, f"weights_{index}", self._at(step.target),
                    self._place(step.target).plane,
                )  # fmt: skip
            case Plain(layer):
                return self._plain(layer)
        raise AssertionError(step)

    def heatmap(self, index: int, step: UpsampleDepthwise) -> str:
        """One map of the last up-sampling."""
        place = self._place(step.source)
        source = f"arena + {place.offset} + map * {place.plane}"
        return "    " + self._upsampling(step, source, 1, f"weights_{index} + map * 17", "out", 0)

    def _upsampling(
        self, step: UpsampleDepthwise, source: str, channels: int, weights: str, target: str, out_plane: int
    ) -> str:
        _, height, width = self.network.shapes[step.source]
        return (
            f"upsample_depthwise({source}, {self._place(step.source).plane}, {width}, {height}, {channels}, "
            f"left_{width}_1, right_{width}_1, {weights}, {int(step.convolution.relu)}, {target}, {out_plane});\n"
        )

    def _plain(self, layer: MaxPool | GlobalMax | Concat | Add) -> str:
        to = self._at(layer.target)
        match layer:
            case Concat():
                return ""  # its sources were written in their places
            case MaxPool():
                channels, height, width = self.network.shapes[layer.source]
                return (
                    f"    max_pool({self._at(layer.source)}, {self._place(layer.source).plane}, {width}, {height}, "
                    f"{channels}, {to}, {self._place(layer.target).plane});\n"
                )
            case GlobalMax():
                channels, height, width = self.network.shapes[layer.source]
                return (
                    f"    global_max({self._at(layer.source)}, {self._place(layer.source).plane}, {height * width}, "
                    f"{channels}, {to});\n"
                )
            case Add():
                channels, height, width = self.network.shapes[layer.target]
                first, second = map(self._at, layer.sources)
                return f"    add_maps({first}, {second}, {height * width}, {channels}, {int(layer.relu)}, {to});\n"
        raise AssertionError(layer)

    def _place(self, name: str) -> Place:
        return self.plan.places[name]

    def _at(self, name: str) -> str:
        return f"arena + {self._place(name).offset}"


def _scale(network: Network) -> str:
    return _literal(network.shapes[network.image][2] / network.shapes[network.heatmaps][2])


def _shift(network: Network) -> str:
    """As codecs.map_to_input."""
    return _literal((network.shapes[network.image][2] / network.shapes[network.heatmaps][2] - 1) / 2)


def _literal(value: float) -> str:
    return f"{float(value)!r}f"


def write_c(content: bytes, name: str, target: str, folder: Path) -> None:
    """Write what ``emit`` makes into a folder, which is made; nothing is written if a layer has no kernel."""
    texts = emit(content, name, target)
    folder.mkdir(parents=True, exist_ok=True)
    for file, text in texts.items():
        write_whole(folder / file, text.encode())
