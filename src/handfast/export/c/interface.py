"""What the C of a network has whatever its numbers: the header, and the functions that run it on an image."""

from handfast.compression.quantise import QuantisedNetwork
from handfast.export.c.network import Network


def identifier(name: str) -> str:
    """A model's or a layer's name as C writes it."""
    return "".join(c if c.isalnum() else "_" for c in name)


def literal(value: float) -> str:
    return f"{float(value)!r}f"


def header(stem: str, network: Network | QuantisedNetwork, arena_bytes: int) -> str:
    channels, height, width = network.shapes[network.image]
    upper, k = stem.upper(), network.keypoints_per_hand
    pixels = "bytes" if channels == 1 else "pixels, each a red, a green and a blue byte"
    _, map_height, map_width = network.shapes[network.heatmaps]
    return f"""\
/* {stem}: key-points of hands from an image of {width} x {height} {pixels}. */
#ifndef {upper}_H
#define {upper}_H

#include <stddef.h>
#include <stdint.h>

#define {upper}_WIDTH {width}
#define {upper}_HEIGHT {height}
#define {upper}_CHANNELS {channels}
#define {upper}_HANDS 2
#define {upper}_KEYPOINTS {k}
#define {upper}_MAP_WIDTH {map_width}
#define {upper}_MAP_HEIGHT {map_height}
#define {upper}_ARENA_BYTES {arena_bytes}

#ifdef __cplusplus
extern "C" {{
#endif

/* {upper}_ARENA_BYTES */
size_t {stem}_arena_bytes(void);

/* image: rows of {pixels}.
 * keypoints: [2 hands: left, right][{k}][4]: x and y in pixels of the image, whether it can be seen, 0..1,
 * and the share of its heat-map around the peak, 0..1. Returns bit 0 for a left and bit 1 for a right hand;
 * the rows of a hand that is not there are zeros. arena: {upper}_ARENA_BYTES, aligned to 64 bytes; what it
 * holds does not matter before or after. Reentrant: one arena a call. */
int {stem}_run(const uint8_t *image, float *keypoints, void *arena);

/* The network's own output, logits: heatmaps [2][{k}][{map_height}][{map_width}], zeros where no hand may be,
 * and visibility [2][1 + {k}] of the hand and of its key-points. */
void {stem}_maps(const uint8_t *image, float *heatmaps, float *visibility, void *arena);

#ifdef __cplusplus
}}
#endif

#endif
"""


def may_be_there(network: Network | QuantisedNetwork) -> str:
    """Whether a hand may be: C on the logits ``visibility``."""
    threshold = "-FLT_MAX" if network.early_out_logit is None else literal(network.early_out_logit)
    return f"visibility[0] > {threshold} || visibility[{1 + network.keypoints_per_hand}] > {threshold}"


def functions(stem: str, network: Network | QuantisedNetwork, room_bytes: int) -> str:
    """What the header declares, on top of the network's three parts:

    encode(image, visibility, arena) -> whether a hand may be there; after that, decode(arena); after that,
    heatmap(arena, map, out) for one map. room_bytes: where in the arena there is room for one.
    """
    maps, map_height, map_width = network.shapes[network.heatmaps]
    k, stride = maps // 2, network.shapes[network.image][2] // map_width
    to_image = f"{literal(stride)} * point[%d] + {literal((stride - 1) / 2)}"  # as codecs.map_to_input
    return f"""\
size_t {stem}_arena_bytes(void) {{ return {stem.upper()}_ARENA_BYTES; }}

void {stem}_maps(const uint8_t *image, float *heatmaps, float *visibility, void *arena)
{{
    if (!encode(image, visibility, arena)) {{
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
    float *const logits = (float *)((uint8_t *)arena + {room_bytes});
    int found = 0;
    memset(keypoints, 0, {4 * maps} * sizeof *keypoints);
    if (!encode(image, visibility, arena))
        return 0;
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
        heatmap(arena, map, logits);
        decode_heatmap(logits, {map_width}, {map_height}, point, point + 1, point + 3);
        point[0] = {to_image % 0};
        point[1] = {to_image % 1};
        point[2] = logistic(visibility[map + hand + 1]);
    }}
    return found;
}}
"""
