/* Sums of convolutions on maps of bytes (handfast.compression.quantise.Sum).
 *
 * A map is planes of quads: for every cell four channels, a byte each; rows without gaps. A map that a 3x3
 * convolution reads has `dilation` rows of zeros before its first plane and after every plane. Taps that
 * leave a row at its left or right end are masked. */
#ifndef HANDFAST_SUMS_H
#define HANDFAST_SUMS_H

#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include "vector.h"

#include "bytes.h"
#include "repeat.h"

#ifdef __GNUC__
#define NOT_INLINE __attribute__((noinline, unused)) /* for small memories; not all networks need all kernels */
#else
#define NOT_INLINE
#endif

/* How a quad of outputs takes its inputs from a map by a 1x1 convolution: the four see the same quads; each sees
 * quads of its own; each sees the channel that has its number. */
enum { SHARED, APART, SELF };

typedef struct {
    int quads;     /* of outputs */
    int shift;
    int out_plane; /* bytes from a quad to the next */
    int width;     /* of a row */
    /* Of a 3x3 convolution, if there is one. */
    int in_plane, dilation;
    const uint8_t *left, *right; /* width + 16 bytes, 0 in columns whose left or right tap leaves the row, or 255 */
    /* 1x1 convolutions: how many, and of each the kind, and from how many quads an output comes. */
    int points, point_kinds[2], point_quads[2], point_plane[2];
    /* For each quad of outputs four biases and four 16-bit multipliers. 3x3: a word whose bytes are the first
     * quad of inputs, and how many are seen by the first two outputs, then by all, then by the last two; then
     * words of weights for each [column: same, left, right][quad][row][output that sees it]. For each 1x1
     * convolution, SHARED: the first quad, and words [quad][output]. APART: the first quad of each output in a
     * byte, and words [output][quad]. SELF: the four weights. */
    const uint32_t *weights;
} sum_layer;

#define FILTERS 4
#define VECTORS MOST_VECTORS
#include "sum_block.h"
#undef VECTORS
#undef FILTERS

/* `count` cells of a sum. All pointers are at the first of them, which begins a row. */
static NOT_INLINE void sum_cells(
    const sum_layer *layer, const uint8_t *in, const uint8_t *const *points, uint8_t *out, int count)
{
    for (int i = 0; i < count; i += MOST_VECTORS * LANES) {
        const uint8_t *const at[2] = {
            layer->points > 0 ? points[0] + 4 * i : 0, layer->points > 1 ? points[1] + 4 * i : 0};
        const uint32_t *w = layer->weights;
        cells left[MOST_VECTORS], right[MOST_VECTORS];
        for (int v = 0; in && v < MOST_VECTORS; v++) {
            const int first = (i + v * LANES) % layer->width;
            left[v] = b_cells(layer->left + first);
            right[v] = b_cells(layer->right + first);
        }
        for (int q = 0; q < layer->quads; q++)
            w = sum_block(
                layer, q, w, in ? in + 4 * i : 0, left, right, at, out + (ptrdiff_t)q * layer->out_plane + 4 * i,
                count - i);
    }
}

#endif
