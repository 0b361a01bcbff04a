/* What else is done with maps of bytes: the image's convolution, pooling, logits. */
#ifndef HANDFAST_BYTE_MAPS_H
#define HANDFAST_BYTE_MAPS_H

#include "sums.h"

/* The zero of a map around and between its planes: `before` cells in front of the first, and from `pixels` on
 * to the next plane behind each; planes are `plane` bytes apart. */
static NOT_INLINE void fill_guards(uint8_t *map, int quads, int plane, int pixels, int before, int after, int zero)
{
    memset(map - 4 * before, zero, 4 * (size_t)before);
    for (int q = 0; q < quads; q++, map += plane)
        memset(map + 4 * pixels, zero, q + 1 < quads ? (size_t)(plane - 4 * pixels) : 4 * (size_t)after);
}

/* A 3x3 convolution of stride 2 on the image, then the largest of each 2x2 cells. Of each of the five rows that
 * a row of the result sees, `rows` takes a copy with a margin: 5 x (width + 4 LANES + 8) bytes.
 * weights: for each quad four biases and four multipliers, then a word for each [row][output]. */
static inline void stem_bytes(
    const uint8_t *image, int width, int height, int shift, const uint32_t *weights, uint8_t *rows, uint8_t *out,
    int quads, int out_plane)
{
    const int stride = width + 4 * LANES + 8, out_width = (width + 1) / 2 / 2, out_height = (height + 1) / 2 / 2;
    memset(rows, 0, 5 * (size_t)stride);
    for (int y = 0; y < out_height; y++, out += 4 * out_width) {
        for (int r = 0; r < 5; r++) {
            const int row = 4 * y - 1 + r;
            if (row < 0 || row >= height)
                memset(rows + r * stride, 0, (size_t)width + 4);
            else
                memcpy(rows + r * stride + 4, image + (ptrdiff_t)row * width, (size_t)width);
        }
        for (int x = 0; x < out_width; x += LANES) {
            const uint8_t *const p = rows + 4 * x + 3;
#define LOAD_ROW(r)                                                                                            \
    const factors left_##r = b_pixels(b_load(p + (r) * stride)), right_##r = b_pixels(b_load(p + (r) * stride + 2));
            LOAD_ROW(0)
            LOAD_ROW(1)
            LOAD_ROW(2)
            LOAD_ROW(3)
            LOAD_ROW(4)
            const uint32_t *w = weights;
            uint8_t *to = out + 4 * x;
            for (int q = 0; q < quads; q++, to += out_plane, w += 18) {
#define SUM(side, r0, r1, r2) s_dot(s_dot(s_dot(bias, side##_##r0, w0), side##_##r1, w1), side##_##r2, w2)
#define OUTPUT(c)                                                                                              \
    sums sum_##c;                                                                                              \
    {                                                                                                          \
        const sums bias = s_splat((int32_t)w[c]);                                                              \
        const factors w0 = b_weights(w[6 + c]), w1 = b_weights(w[10 + c]), w2 = b_weights(w[14 + c]);          \
        sum_##c = s_max(                                                                                       \
            s_max(SUM(left, 0, 1, 2), SUM(right, 0, 1, 2)), s_max(SUM(left, 2, 3, 4), SUM(right, 2, 3, 4)));   \
    }
                OUTPUT(0)
                OUTPUT(1)
                OUTPUT(2)
                OUTPUT(3)
                b_store_n(
                    to, b_requantise(sum_0, sum_1, sum_2, sum_3, shift, b_rescale(w + 4)), out_width - x);
            }
        }
    }
#undef LOAD_ROW
#undef SUM
#undef OUTPUT
}

/* The largest of each 2x2 cells; an odd last row or column is dropped. */
static inline void max_pool_bytes(
    const uint8_t *in, int quads, int in_plane, int width, int height, uint8_t *out, int out_plane)
{
    for (int q = 0; q < quads; q++, in += in_plane, out += out_plane)
        for (int y = 0; y < height / 2; y++)
            for (int x = 0; x < width / 2; x += LANES) {
                const uint8_t *const above = in + 4 * ((ptrdiff_t)2 * y * width + 2 * x), *const below = above + 4 * width;
                bytes even, odd;
                b_unzip(
                    b_max(b_load(above), b_load(below)),
                    b_max(b_load(above + 4 * LANES), b_load(below + 4 * LANES)), &even, &odd);
                b_store_n(out + 4 * ((ptrdiff_t)y * (width / 2) + x), b_max(even, odd), width / 2 - x);
            }
}

/* The largest of each channel. */
static inline void global_max_bytes(
    const uint8_t *in, int quads, int in_plane, int pixels, uint8_t *out, int out_plane)
{
    for (int q = 0; q < quads; q++, in += in_plane, out += out_plane) {
        uint8_t rest[4 * LANES] = {0};
        const int whole = pixels / LANES * LANES;
        memcpy(rest, in + 4 * whole, 4 * (size_t)(pixels - whole));
        bytes most = b_load(rest);
        for (int i = 0; i < whole; i += LANES)
            most = b_max(most, b_load(in + 4 * i));
        for (int n = LANES; n > 1; n /= 2) {
            bytes even, odd;
            b_unzip(most, most, &even, &odd);
            most = b_max(even, odd);
        }
        b_store_n(out, most, 1);
    }
}

/* A 1x1 convolution whose output, one channel, is logits. weights: bias, scale as a float, and a word for each
 * quad. */
static NOT_INLINE void logits_of_map(
    const uint8_t *in, int quads, int in_plane, int cells, const uint32_t *weights, float *out)
{
    float scale;
    memcpy(&scale, weights + 1, sizeof scale);
    for (int i = 0; i < cells; i += LANES) {
        sums sum = s_splat((int32_t)weights[0]);
        for (int q = 0; q < quads; q++)
            sum = s_dot(sum, b_pixels(b_load(in + (ptrdiff_t)q * in_plane + 4 * i)), b_weights(weights[2 + q]));
        const vec logits = v_mul(s_floats(sum), v_splat(scale));
        if (cells - i >= LANES)
            v_store(out + i, logits);
        else
            v_store_n(out + i, logits, cells - i);
    }
}

/* Some cells of each plane: zeros, or from another place. */
static NOT_INLINE void zero_cells(uint8_t *to, int quads, int plane, int cells)
{
    for (int q = 0; q < quads; q++, to += plane)
        memset(to, 0, 4 * (size_t)cells);
}
static NOT_INLINE void move_cells(const uint8_t *from, uint8_t *to, int quads, int plane, int cells)
{
    for (int q = 0; q < quads; q++, from += plane, to += plane)
        memmove(to, from, 4 * (size_t)cells);
}

#endif
