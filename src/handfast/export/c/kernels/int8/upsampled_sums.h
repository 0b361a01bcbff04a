/* Nearest neighbour to twice the size, then a depth-wise 3x3 convolution: each cell of the larger map sees 2x2
 * cells of the smaller, and which ones depends on whether its row and its column are odd. */
#ifndef HANDFAST_UPSAMPLED_SUMS_H
#define HANDFAST_UPSAMPLED_SUMS_H

#include "sums.h"

/* Sources have a row of their zero before their first plane and after every plane, as in sums.h. */
typedef struct {
    int quads, shift, out_plane;
    int in_plane, width, height; /* of the smaller map */
    uint32_t zero;
    const uint8_t *left, *right;
    int points, point_plane[2]; /* 1x1 convolutions of maps as large as the output */
    /* For each quad four biases, four 16-bit multipliers and four words of 2x2 weights, column by column, for
     * each [odd row][odd column]; for each 1x1 convolution the first quad of inputs and, 16 bits higher, their number, then four
     * words for each. For logits, for each map: bias, scale as a float, the four words. */
    const uint32_t *weights;
} upsampled_layer;

/* The 3x3 cells around each of LANES: columns before, same and after of rows above, here and below. */
#define LOAD_ROW(name, row)                                                                                    \
    const uint8_t *const name = in + 4 * ((ptrdiff_t)(row) * layer->width + x);                                \
    const bytes name##_before = b_load_or(name - 4, inside_left, other);                                       \
    const bytes name##_same = b_load(name);                                                                    \
    const bytes name##_after = b_load_or(name + 4, inside_right, other);
#define LOAD_AROUND                                                                                            \
    LOAD_ROW(above, y - 1)                                                                                     \
    LOAD_ROW(here, y)                                                                                          \
    LOAD_ROW(below, y + 1)

#define ADD_TAPS(c)                                                                                            \
    even_##c = s_dot(even_##c, b_pixels(taps_even_##c), b_weights(w[c]));                                      \
    odd_##c = s_dot(odd_##c, b_pixels(taps_odd_##c), b_weights(w[4 + c]));
#define ADD_POINT(c)                                                                                           \
    {                                                                                                          \
        const factors weight = b_weights(p[c]);                                                                \
        even_##c = s_dot(even_##c, even, weight);                                                              \
        odd_##c = s_dot(odd_##c, odd, weight);                                                                 \
    }
#define SET_SUMS(c) sums even_##c = s_splat((int32_t)bias[c]), odd_##c = even_##c;
#define EACH_CHANNEL(M) M(0) M(1) M(2) M(3)

/* LANES cells of the smaller map, to one of the two rows that each becomes two cells of. */
static inline const uint32_t *upsampled_row(
    const upsampled_layer *layer, const uint32_t *bias, const uint32_t *w, const uint32_t *p,
    const uint8_t *const *points, int cell, bytes above_before, bytes above_same, bytes above_after,
    bytes below_before, bytes below_same, bytes below_after, uint8_t *out, int n)
{
    const rescale by = b_rescale(bias + 4);
    bytes a_02, a_13, b_02, b_13, c_02, c_13; /* channels of cells above one another */
    bytes taps_even_0, taps_even_1, taps_even_2, taps_even_3, taps_odd_0, taps_odd_1, taps_odd_2, taps_odd_3;
    b_deal_bytes(above_before, below_before, &a_02, &a_13);
    b_deal_bytes(above_same, below_same, &b_02, &b_13);
    b_deal_bytes(above_after, below_after, &c_02, &c_13);
    b_deal_pairs(a_02, b_02, &taps_even_0, &taps_even_2);
    b_deal_pairs(a_13, b_13, &taps_even_1, &taps_even_3);
    b_deal_pairs(b_02, c_02, &taps_odd_0, &taps_odd_2);
    b_deal_pairs(b_13, c_13, &taps_odd_1, &taps_odd_3);
    EACH_CHANNEL(SET_SUMS)
    EACH_CHANNEL(ADD_TAPS)
    for (int t = 0; t < layer->points; t++) {
        const int quads = (int)(*p >> 16);
        const uint8_t *from = points[t] + (ptrdiff_t)(*p++ & 0xffff) * layer->point_plane[t] + 4 * cell;
        for (int q = 0; q < quads; q++, from += layer->point_plane[t], p += 4) {
            bytes of_even, of_odd;
            b_unzip(b_load(from), b_load(from + 4 * LANES), &of_even, &of_odd);
            const factors even = b_pixels(of_even), odd = b_pixels(of_odd);
            EACH_CHANNEL(ADD_POINT)
        }
    }
    bytes first, second;
    b_zip(
        b_requantise(even_0, even_1, even_2, even_3, layer->shift, by),
        b_requantise(odd_0, odd_1, odd_2, odd_3, layer->shift, by), &first, &second);
    b_store_n(out + 4 * cell, first, n);
    if (n > LANES)
        b_store_n(out + 4 * (cell + LANES), second, n - LANES);
    return p;
}

/* Row y of the smaller map -> two rows. in: its first plane; points and out: at the first of the two rows. */
static inline void upsampled_cells(
    const upsampled_layer *layer, const uint8_t *in, int y, const uint8_t *const *points, uint8_t *out)
{
    const uint32_t *w = layer->weights;
    const bytes other = b_splat(layer->zero);
    for (int q = 0; q < layer->quads; q++, in += layer->in_plane, out += layer->out_plane) {
        const uint32_t *end = w;
        for (int x = 0; x < layer->width; x += LANES) {
            const cells inside_left = b_cells(layer->left + x), inside_right = b_cells(layer->right + x);
            const int n = 2 * (layer->width - x);
            LOAD_AROUND
            upsampled_row(
                layer, w, w + 6, w + 22, points, 2 * x, above_before, above_same, above_after, here_before, here_same,
                here_after, out, n);
            end = upsampled_row(
                layer, w, w + 14, w + 22, points, 2 * (layer->width + x), here_before, here_same, here_after,
                below_before, below_same, below_after, out, n);
        }
        w = end;
    }
}

#define CHANNEL_OF_ROW(name)                                                                                   \
    const bytes name##_a = b_channel(name##_before, map % 4), name##_b = b_channel(name##_same, map % 4),      \
                name##_c = b_channel(name##_after, map % 4);
/* The channel in two cells above one another; of these pairs, beside one another, the logits. */
#define PAIR(above, below, to) b_deal_bytes(above, below, &to, &unused);
#define MAP_TAPS(left, right, phase, to)                                                                       \
    b_deal_pairs(left, right, &taps, &unused);                                                                 \
    const vec to = v_mul(s_floats(s_dot(bias, b_pixels(taps), weights_##phase)), scale);
#define MAP_ROW(above, below, phase_even, phase_odd, to)                                                       \
    {                                                                                                          \
        bytes left, same, right, taps, unused;                                                                 \
        PAIR(above##_a, below##_a, left)                                                                       \
        PAIR(above##_b, below##_b, same)                                                                       \
        PAIR(above##_c, below##_c, right)                                                                      \
        MAP_TAPS(left, same, phase_even, even)                                                                 \
        MAP_TAPS(same, right, phase_odd, odd)                                                                  \
        PUT_MAP(even, odd, to)                                                                                 \
    }
#define PUT_MAP(even, odd, to)                                                                                 \
    v_zip(even, odd, &first, &second);                                                                         \
    if (n >= 2 * LANES) {                                                                                      \
        v_store(to, first);                                                                                    \
        v_store((to) + LANES, second);                                                                         \
    } else {                                                                                                   \
        v_store_n(to, first, n < LANES ? n : LANES);                                                           \
        if (n > LANES)                                                                                         \
            v_store_n((to) + LANES, second, n - LANES);                                                        \
    }

/* One map of logits. in: the first plane. */
static NOT_INLINE void upsampled_map(const upsampled_layer *layer, const uint8_t *in, int map, float *out)
{
    const uint32_t *const w = layer->weights + 6 * map;
    const bytes other = b_splat(layer->zero);
    const sums bias = s_splat((int32_t)w[0]);
    const factors weights_0 = b_weights(w[2]), weights_1 = b_weights(w[3]), weights_2 = b_weights(w[4]),
                  weights_3 = b_weights(w[5]);
    float of_map;
    memcpy(&of_map, w + 1, sizeof of_map);
    const vec scale = v_splat(of_map);
    in += (ptrdiff_t)(map / 4) * layer->in_plane;
    for (int y = 0; y < layer->height; y++)
        for (int x = 0; x < layer->width; x += LANES) {
            const cells inside_left = b_cells(layer->left + x), inside_right = b_cells(layer->right + x);
            const int n = 2 * (layer->width - x);
            float *const to = out + 4 * (ptrdiff_t)y * layer->width + 2 * x;
            vec first, second;
            LOAD_AROUND
            CHANNEL_OF_ROW(above)
            CHANNEL_OF_ROW(here)
            CHANNEL_OF_ROW(below)
            MAP_ROW(above, here, 0, 1, to)
            MAP_ROW(here, below, 2, 3, to + 2 * layer->width)
        }
}

#undef LOAD_ROW
#undef LOAD_AROUND
#undef ADD_TAPS
#undef ADD_POINT
#undef SET_SUMS
#undef EACH_CHANNEL
#undef CHANNEL_OF_ROW
#undef PAIR
#undef MAP_TAPS
#undef MAP_ROW
#undef PUT_MAP

#endif
