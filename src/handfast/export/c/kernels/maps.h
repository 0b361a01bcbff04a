/* What moves, pools and up-samples maps. Planes are rows of `width` floats without gaps. */
#ifndef HANDFAST_MAPS_H
#define HANDFAST_MAPS_H

#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include "vector.h"

/* Zeros in some floats of each plane: the rows of a window that lie outside its map. */
static inline void zero_rows(float *map, int plane, int channels, int floats)
{
    for (int c = 0; c < channels; c++)
        memset(map + (ptrdiff_t)c * plane, 0, (size_t)floats * sizeof *map);
}

/* Some floats of each plane to another area. */
static inline void copy_rows(const float *from, int from_plane, float *to, int to_plane, int channels, int floats)
{
    for (int c = 0; c < channels; c++, from += from_plane, to += to_plane) {
        int i = 0;
        for (; i + LANES <= floats; i += LANES)
            v_store(to + i, v_load(from + i));
        if (i < floats)
            v_store_n(to + i, v_load_n(from + i, floats - i), floats - i);
    }
}

/* The largest of each 2x2 cells; rows: of what is written, width: of what is read. */
static inline void max_pool(const float *in, int in_plane, int width, int rows, int channels, float *out, int out_plane)
{
    const int cells = width / 2;
    for (int c = 0; c < channels; c++)
        for (int y = 0; y < rows; y++) {
            const float *const top = in + (ptrdiff_t)c * in_plane + (ptrdiff_t)2 * y * width;
            const float *const bottom = top + width;
            float *const to = out + (ptrdiff_t)c * out_plane + (ptrdiff_t)y * cells;
            int x = 0;
            for (; x + LANES <= cells; x += LANES) {
                const vec first = v_max(v_load(top + 2 * x), v_load(bottom + 2 * x));
                const vec second = v_max(v_load(top + 2 * x + LANES), v_load(bottom + 2 * x + LANES));
                vec even, odd;
                v_unzip(first, second, &even, &odd);
                v_store(to + x, v_max(even, odd));
            }
            for (; x < cells; x++) {
                const float left = top[2 * x] > bottom[2 * x] ? top[2 * x] : bottom[2 * x];
                const float right = top[2 * x + 1] > bottom[2 * x + 1] ? top[2 * x + 1] : bottom[2 * x + 1];
                to[x] = left > right ? left : right;
            }
        }
}

/* The largest value of each plane. */
static inline void global_max(const float *in, int in_plane, int pixels, int channels, float *out, int out_plane)
{
    const int whole = pixels - pixels % LANES;
    for (int c = 0; c < channels; c++, in += in_plane, out += out_plane) {
        float greatest = in[0];
        if (whole) {
            vec most = v_load(in);
            for (int i = LANES; i < whole; i += LANES)
                most = v_max(most, v_load(in + i));
            greatest = v_greatest(most);
        }
        for (int i = whole; i < pixels; i++)
            greatest = in[i] > greatest ? in[i] : greatest;
        *out = greatest;
    }
}

static inline void add_maps(
    const float *a, int a_plane, const float *b, int b_plane, int pixels, int channels, int relu, float *out,
    int out_plane)
{
    for (int c = 0; c < channels; c++, a += a_plane, b += b_plane, out += out_plane)
        for (int i = 0; i < pixels; i++) {
            const float sum = a[i] + b[i];
            out[i] = relu && sum < 0.0f ? 0.0f : sum;
        }
}

/* LANES cells of a map from (x, y) on, doubled by nearest neighbour and convolved 3x3: each of the four phases is
 * a 2x2 convolution of what is read, with zeros around it. w: bias, [row phase][column phase][row][column]. */
static inline void upsample_cells(
    const float *in, int width, int height, int x, int y, mask has_left, mask has_right, const float *w, int relu,
    vec phases[4])
{
    vec near[3][3];
    for (int r = 0; r < 3; r++) {
        const float *const p = in + (ptrdiff_t)(y - 1 + r) * width + x;
        const int inside = y - 1 + r >= 0 && y - 1 + r < height;
        near[r][0] = inside ? v_load_masked(p - 1, has_left) : v_splat(0.0f);
        near[r][1] = inside ? v_load(p) : v_splat(0.0f);
        near[r][2] = inside ? v_load_masked(p + 1, has_right) : v_splat(0.0f);
    }
    for (int a = 0; a < 2; a++)
        for (int b = 0; b < 2; b++) {
            const float *const k = w + 1 + 8 * a + 4 * b;
            vec sum = v_fma(v_splat(k[0]), near[a][b], v_splat(w[0]));
            sum = v_fma(v_splat(k[1]), near[a][b + 1], sum);
            sum = v_fma(v_splat(k[2]), near[a + 1][b], sum);
            sum = v_fma(v_splat(k[3]), near[a + 1][b + 1], sum);
            phases[2 * a + b] = relu ? v_max(sum, v_splat(0.0f)) : sum;
        }
}

/* The two rows that LANES cells become; `count` cells are left in their row. */
static inline void put_phases(float *out, int width, int x, int y, const vec phases[4], int count)
{
    for (int a = 0; a < 2; a++) {
        float *const to = out + (ptrdiff_t)(2 * y + a) * 2 * width + 2 * x;
        vec first, second;
        v_zip(phases[2 * a], phases[2 * a + 1], &first, &second);
        if (2 * count >= LANES)
            v_store(to, first);
        else
            v_store_n(to, first, 2 * count);
        if (2 * count >= 2 * LANES)
            v_store(to + LANES, second);
        else if (2 * count > LANES)
            v_store_n(to + LANES, second, 2 * count - LANES);
    }
}

/* Twice the rows and columns by nearest neighbour, then a depth-wise 3x3 convolution. w: 17 numbers a channel.
 * left, right: as in convolution, for dilation 1. */
static inline void upsample_depthwise(
    const float *in, int in_plane, int width, int height, int channels, const uint32_t *left, const uint32_t *right,
    const float *w, int relu, float *out, int out_plane)
{
    for (int c = 0; c < channels; c++, in += in_plane, out += out_plane, w += 17)
        for (int y = 0; y < height; y++)
            for (int x = 0; x < width; x += LANES) {
                vec phases[4];
                upsample_cells(in, width, height, x, y, v_mask(left + x), v_mask(right + x), w, relu, phases);
                put_phases(out, width, x, y, phases, width - x);
            }
}

/* The same, and then a 1x1 convolution of these channels to one. tail: its bias and weights. */
static inline void upsample_to_one(
    const float *in, int in_plane, int width, int height, int channels, const uint32_t *left, const uint32_t *right,
    const float *w, int relu, const float *tail, float *out)
{
    for (int y = 0; y < height; y++)
        for (int x = 0; x < width; x += LANES) {
            const mask has_left = v_mask(left + x), has_right = v_mask(right + x);
            vec sum[4], phases[4];
            for (int p = 0; p < 4; p++)
                sum[p] = v_splat(tail[0]);
            for (int c = 0; c < channels; c++) {
                upsample_cells(
                    in + (ptrdiff_t)c * in_plane, width, height, x, y, has_left, has_right, w + 17 * c, relu, phases);
                for (int p = 0; p < 4; p++)
                    sum[p] = v_fma(v_splat(tail[1 + c]), phases[p], sum[p]);
            }
            put_phases(out, width, x, y, sum, width - x);
        }
}

#endif
