/* A 3x3 convolution of stride 2 on an image of bytes, ReLU, and the largest of each 2x2 cells, in one pass. */
#ifndef HANDFAST_STEM_H
#define HANDFAST_STEM_H

#include <stddef.h>
#include <stdint.h>

#include "vector.h"

/* Pixels of the image that LANES cells see: rows and columns -1..3 around 4 (x, y). */
static inline void stem_load(vec around[5][5], const uint8_t *image, int width, int height, int x, int y, int count)
{
    uint8_t here[4 * LANES], before[4 * LANES];
    for (int r = 0; r < 5; r++) {
        vec unused;
        const int row = 4 * y - 1 + r;
        if (row < 0 || row >= height) {
            for (int c = 0; c < 5; c++)
                around[r][c] = v_splat(0.0f);
            continue;
        }
        const uint8_t *const p = image + (ptrdiff_t)row * width + 4 * x;
        if (count >= LANES && x > 0) {
            v_bytes(p - 4, &unused, &unused, &unused, &around[r][0]);
            v_bytes(p, &around[r][1], &around[r][2], &around[r][3], &around[r][4]);
            continue;
        }
        /* At the ends of a row: nothing is read beside the image. */
        const int cells = count < LANES ? count : LANES;
        memset(here, 0, sizeof here);
        memset(before, 0, sizeof before);
        memcpy(here, p, 4 * (size_t)cells);
        if (x > 0)
            memcpy(before, p - 4, 4 * (size_t)cells);
        else
            memcpy(before + 4, p, 4 * (size_t)cells - 4);
        v_bytes(before, &unused, &unused, &unused, &around[r][0]);
        v_bytes(here, &around[r][1], &around[r][2], &around[r][3], &around[r][4]);
    }
}

/* image: (height, width) with 4 | height, 4 | width. out: `rows` rows of width / 4 cells from row `first` on, a
 * plane for each filter. weights: for each filter its bias and [row][column], for pixels of 0..255. */
static inline void stem(
    const uint8_t *image, int width, int height, int first, int rows, int filters, const float *weights, float *out,
    int out_plane)
{
    vec around[5][5];
    for (int y = first; y < first + rows; y++)
        for (int x = 0; x < width / 4; x += LANES) {
            const int count = width / 4 - x;
            const float *w = weights;
            float *to = out + (ptrdiff_t)(y - first) * (width / 4) + x;
            stem_load(around, image, width, height, x, y, count);
            for (int f = 0; f < filters; f++, w += 10, to += out_plane) {
                vec a = v_splat(w[0]), b = a, c = a, d = a;
                for (int r = 0; r < 3; r++)
                    for (int s = 0; s < 3; s++) {
                        const vec weight = v_splat(w[1 + 3 * r + s]);
                        a = v_fma(weight, around[r][s], a);
                        b = v_fma(weight, around[r][s + 2], b);
                        c = v_fma(weight, around[r + 2][s], c);
                        d = v_fma(weight, around[r + 2][s + 2], d);
                    }
                a = v_max(v_max(v_max(a, b), v_max(c, d)), v_splat(0.0f));
                if (count >= LANES)
                    v_store(to, a);
                else
                    v_store_n(to, a, count);
            }
        }
}

#endif
