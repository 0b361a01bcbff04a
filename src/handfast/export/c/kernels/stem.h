/* A 3x3 convolution of stride 2 on an image of bytes, ReLU, and the largest of each 2x2 cells, in one pass.
 * Pixels are STEM_CHANNELS bytes each, STEM_WIDTH of them a row; 4 | STEM_WIDTH. */
#ifndef HANDFAST_STEM_H
#define HANDFAST_STEM_H

#include <stddef.h>
#include <stdint.h>

#include "vector.h"

/* Of each channel the rows -1..3 around 4 y, null where they are outside of the image. Bytes of several channels
 * are sorted into `planes`. */
static inline void stem_rows(
    const uint8_t *rows[STEM_CHANNELS][5], uint8_t *planes, const uint8_t *image, int height, int y)
{
    for (int r = 0; r < 5; r++) {
        const int row = 4 * y - 1 + r;
        const int inside = row >= 0 && row < height;
        const uint8_t *const p = image + (inside ? (ptrdiff_t)row * STEM_WIDTH * STEM_CHANNELS : 0);
#if STEM_CHANNELS == 1
        (void)planes;
        rows[0][r] = inside ? p : NULL;
#else
        for (int c = 0; c < STEM_CHANNELS; c++, planes += STEM_WIDTH) {
            rows[c][r] = inside ? planes : NULL;
            for (int x = 0; inside && x < STEM_WIDTH; x++)
                planes[x] = p[STEM_CHANNELS * x + c];
        }
#endif
    }
}

/* Pixels of a channel that LANES cells see: columns -1..3 around 4 x. */
static inline void stem_load(vec around[5][5], const uint8_t *const rows[5], int x, int count)
{
    uint8_t here[4 * LANES], before[4 * LANES];
    for (int r = 0; r < 5; r++) {
        vec unused;
        if (!rows[r]) {
            for (int c = 0; c < 5; c++)
                around[r][c] = v_splat(0.0f);
            continue;
        }
        const uint8_t *const p = rows[r] + 4 * x;
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

/* image: `height` rows, 4 | height. out: `rows` rows of STEM_WIDTH / 4 cells from row `first` on, a plane for each
 * filter. weights: for each filter its bias and [channel][row][column], for pixels of 0..255. */
static inline void stem(
    const uint8_t *image, int height, int first, int rows, int filters, const float *weights, float *out,
    int out_plane)
{
    vec around[STEM_CHANNELS][5][5];
    uint8_t planes[STEM_CHANNELS == 1 ? 1 : 5 * STEM_CHANNELS * STEM_WIDTH];
    const uint8_t *around_y[STEM_CHANNELS][5];
    for (int y = first; y < first + rows; y++) {
        stem_rows(around_y, planes, image, height, y);
        for (int x = 0; x < STEM_WIDTH / 4; x += LANES) {
            const int count = STEM_WIDTH / 4 - x;
            const float *w = weights;
            float *to = out + (ptrdiff_t)(y - first) * (STEM_WIDTH / 4) + x;
            for (int channel = 0; channel < STEM_CHANNELS; channel++)
                stem_load(around[channel], around_y[channel], x, count);
            for (int f = 0; f < filters; f++, to += out_plane) {
                vec a = v_splat(*w++), b = a, c = a, d = a;
                for (int channel = 0; channel < STEM_CHANNELS; channel++, w += 9) {
                    vec(*const in)[5] = around[channel];
                    for (int r = 0; r < 3; r++)
                        for (int s = 0; s < 3; s++) {
                            const vec weight = v_splat(w[3 * r + s]);
                            a = v_fma(weight, in[r][s], a);
                            b = v_fma(weight, in[r][s + 2], b);
                            c = v_fma(weight, in[r + 2][s], c);
                            d = v_fma(weight, in[r + 2][s + 2], d);
                        }
                }
                a = v_max(v_max(v_max(a, b), v_max(c, d)), v_splat(0.0f));
                if (count >= LANES)
                    v_store(to, a);
                else
                    v_store_n(to, a, count);
            }
        }
    }
}

#endif
