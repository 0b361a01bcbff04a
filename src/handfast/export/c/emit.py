"""Writes a network as C: a header, the code that calls the kernels, and weights."""

import re
from collections.abc import Sequence
from importlib.resources import files

import numpy as np

from handfast.export.c.blocks import Table, choose_blocks, measured, runs
from handfast.export.c.calls import as_lines, call_of, upsampling
from handfast.export.c.fusion import Conv, Plain, Stem, Step, UpsampleDepthwise, fuse
from handfast.export.c.interface import functions, header, identifier, may_be_there
from handfast.export.c.network import Network, read_network
from handfast.export.c.packing import edge_table, pack_conv, pack_stem, pack_tail, pack_upsampling
from handfast.export.c.plan import BEFORE_LAST, SCRATCH, Plan, plan_arena
from handfast.export.c.schedule import Run
from handfast.export.c.targets import Target, find_target

KERNELS = files("handfast") / "export" / "c" / "kernels"
KERNEL_HEADERS = (
    "repeat.h",
    "convolution.h",
    "conv1_block.h",
    "conv3_block.h",
    "conv_layers.h",
    "conv_pixel.h",
    "stem.h",
    "maps.h",
    "keypoints.h",
)


ARENA_LIMIT_BYTES = 110_000  # what strips are made for; larger networks need more


def emit(
    content: bytes,
    name: str,
    target: str,
    arena_limit_bytes: int | None = ARENA_LIMIT_BYTES,
    table: Table | None = None,
) -> dict[str, str]:
    """The files of an ONNX model as C for a target of ``TARGETS``: {file name: text}.

    table: the blocks to run convolutions in; None for those that were measured.

    Raises HandfastError for an unknown target, and for a layer that has no kernel, by its name.
    """
    chosen = find_target(target)
    network = read_network(content, name)
    steps, before_early_out = fuse(network, name)
    steps = choose_blocks(network, steps, chosen, measured(target) if table is None else table)
    plan = plan_arena(network, steps, before_early_out, arena_limit_bytes)
    stem = identifier(name)
    return {
        f"{stem}.h": header(stem, network, 4 * plan.floats),
        f"{stem}.c": _code(stem, network, steps, plan, chosen),
        f"{stem}_weights.h": _weights(stem, steps, network),
        "vector.h": f'#include "{chosen.header}"\n',
        **vector_files(chosen.header),
        **{file: (KERNELS / file).read_text() for file in KERNEL_HEADERS},
    }


def vector_files(header: str) -> dict[str, str]:
    """A header of vectors, and what it has in common with others: {file name: text}."""
    included = re.findall('#include "(.+)"', (KERNELS / header).read_text())
    return {file: (KERNELS / file).read_text() for file in (header, *included)}


def _weights(stem: str, steps: Sequence[Step], network: Network) -> str:
    arrays = [f"/* Weights of {stem} in the order in which its kernels read them. */\n"]
    for index, step in enumerate(steps):
        for name, packed in _packed(step).items():
            numbers = ", ".join(f"{value.item().hex()}f" for value in packed)
            arrays.append(f"static const float {name}_{index}[] = {{{numbers}}};\n")
    for width, dilation in sorted({edges for step in steps for edges in _edges(step, network)}):
        for side in ("left", "right"):
            numbers = ", ".join(map(str, edge_table(width, dilation, side == "left")))
            arrays.append(f"static const uint32_t {side}_{width}_{dilation}[] = {{{numbers}}};\n")
    return "".join(arrays)


def _packed(step: Step) -> dict[str, np.ndarray]:
    match step:
        case Conv():
            return {"weights": pack_conv(step)}
        case Stem(convolution=convolution):
            return {"weights": pack_stem(convolution)}
        case UpsampleDepthwise(convolution=convolution, tail=tail):
            packed = {"weights": pack_upsampling(convolution)}
            return packed if tail is None else packed | {"tail": pack_tail(tail)}
        case Plain():
            return {}


def _edges(step: Step, network: Network) -> list[tuple[int, int]]:
    """(width, dilation) of the map whose taps to the left and right may leave it."""
    if isinstance(step, UpsampleDepthwise):
        return [(network.shapes[step.source][2], 1)]
    if isinstance(step, Conv) and step.convolution.kernel == 3:
        return [(network.shapes[step.source][2], step.convolution.dilation)]
    return []


def _code(stem: str, network: Network, steps: Sequence[Step], plan: Plan, target: Target) -> str:
    visibility = plan.place_of(network.visibility).offset
    channels, _, width = network.shapes[network.image]
    encoder, decoder = (
        as_lines([call_of(operation, network, steps, plan) for operation in part])
        for part in (plan.operations[: plan.before_early_out], plan.operations[plan.before_early_out :])
    )
    return f"""\
#include <float.h>
#include <string.h>

#include "{stem}.h"
#include "vector.h"

#include "convolution.h"
#include "repeat.h"

#define STEM_CHANNELS {channels}
#define STEM_WIDTH {width}
#include "maps.h"
#include "stem.h"
#include "keypoints.h"
{_kernels(network, steps, plan, target)}
#include "{stem}_weights.h"

{"".join(_layer(index, network, steps[index], plan) for index in range(len(steps)))}
/* Whether a hand may be there: the logits of its presence are above the early-out's. */
static int encode(const uint8_t *image, float *visibility, float *arena)
{{
{encoder}\
    memcpy(visibility, arena + {visibility}, {2 * (1 + network.keypoints_per_hand)} * sizeof *visibility);
    return {may_be_there(network)};
}}

static void decode(float *arena)
{{
    (void)arena;
{decoder}\
}}

/* One heat-map. */
static void heatmap(float *arena, int map, float *out)
{{
{_heatmap(network, steps, plan)}\
}}

{functions(stem, network, 4 * plan.offsets[SCRATCH])}"""


def _kernels(network: Network, steps: Sequence[Step], plan: Plan, target: Target) -> str:
    """The convolutions for each number of filters that the layers' blocks have, on those numbers of vectors
    that are met; and those of one pixel for each number of vectors of filters."""
    most: dict[tuple[int, int], set[int]] = {}
    sizes: dict[tuple[int, int], set[int]] = {}
    of_pixel: set[int] = set()
    for run in plan.operations:
        if isinstance(run, Run) and isinstance(step := steps[run.index], Conv):
            kernel, vectors = (step.convolution.kernel, step.block.filters), step.block.vectors
            if step.block.filters_on_lanes:
                of_pixel.add(vectors)
                continue
            pixels = run.target.count * network.shapes[step.source][2]
            most.setdefault(kernel, set()).add(vectors)
            sizes.setdefault(kernel, set()).update(runs(-(-pixels // target.lanes), vectors))
    return "".join(
        f"#define KERNEL {kernel}\n#define FILTERS {filters}\n"
        f"#define MOST {max(own) if len(own) == 1 else 'layer->vectors'}\n"
        f"#define SIZES {sum(1 << vectors for vectors in sizes[kernel, filters])}\n"
        '#include "conv_layers.h"\n#undef KERNEL\n#undef FILTERS\n#undef MOST\n#undef SIZES\n'
        for (kernel, filters), own in sorted(most.items())
    ) + "".join(
        f'#define VECTORS {vectors}\n#include "conv_pixel.h"\n#undef VECTORS\n'
        for vectors in sorted(of_pixel)
    )


def _layer(index: int, network: Network, step: Step, plan: Plan) -> str:
    """The constants of a convolution."""
    if not isinstance(step, Conv):
        return ""
    run = next(run for run in plan.operations if isinstance(run, Run) and run.index == index)
    source, target = plan.place(run.source), plan.place(run.target)
    conv, width = step.convolution, network.shapes[step.source][2]
    outputs, channels = len(conv.weight) // conv.groups, conv.weight.shape[1]
    tail = len(step.tail.weight) // conv.groups if step.tail else 0
    values = {
        "groups": conv.groups,
        "blocks": -(-outputs // step.block.filters),
        "vectors": step.block.vectors,
        "channels": channels,
        "in_plane": source.plane,
        "out_plane": target.plane,
        "group_step": 1 if step.shuffle > 1 else tail or outputs,
        "filter_step": step.shuffle,
        "relu": int(conv.relu if step.tail else step.relu),
        "width": width,
        "in_jump": source.jump,
    }
    if run.residual:
        values["residual_plane"] = plan.place(run.residual).plane
    if conv.kernel == 3:
        # In a comb the rows of a dilated convolution's taps are neighbours.
        row = width if target.jump else width * conv.dilation
        values |= {"row": row, "dilation": conv.dilation, "jump": target.jump}
        values |= {"tail": tail, "tail_relu": int(step.relu)}
        values |= {side: f"{side}_{width}_{conv.dilation}" for side in ("left", "right")}
    values["weights"] = f"weights_{index}"
    fields = ", ".join(f".{key} = {value}" for key, value in values.items())
    return f"static const convolution layer_{index} = {{{fields}}};\n"


def _heatmap(network: Network, steps: Sequence[Step], plan: Plan) -> str:
    """The body of the function that makes one map."""
    if not plan.one_by_one:
        _, height, width = network.shapes[network.heatmaps]
        place = plan.place_of(network.heatmaps)
        source = f"arena + {place.offset} + map * {place.plane}"
        return f"    memcpy(out, {source}, {height * width} * sizeof *out);\n"
    last = len(steps) - 1
    if plan.one_by_one == 1:
        place = plan.place_of(steps[last].source)
        source = f"arena + {place.offset} + map * {place.plane}"
        return "    " + _last_upsampling(network, steps, source)
    before = steps[last - 1]
    _, height, width = network.shapes[before.source]
    place = plan.place_of(before.source)
    channels = before.tail.weight.shape[1]
    return (
        f"    float *const map_at = arena + {plan.offsets[BEFORE_LAST]};\n"
        f"    upsample_to_one(arena + {place.offset} + map * {channels * place.plane}, {place.plane}, "
        f"{width}, {height}, {channels}, left_{width}_1, right_{width}_1, "
        f"weights_{last - 1} + map * {17 * channels}, "
        f"{int(before.convolution.relu)}, tail_{last - 1} + map * {1 + channels}, map_at);\n"
        f"    {_last_upsampling(network, steps, 'map_at')}"
    )


def _last_upsampling(network: Network, steps: Sequence[Step], source: str) -> str:
    last = len(steps) - 1
    return upsampling(steps[last], network, f"weights_{last} + map * 17", source, "0", "1", "out, 0") + "\n"
