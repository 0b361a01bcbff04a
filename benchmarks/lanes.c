/* A convolution of stride 1 and a ReLU in one of two schedules. shape.h, which lanes.py writes, says of what size.
 *
 * Without GROUPS_ASIDE: the package's kernels, with pixels on the lanes and maps that are planes.
 * With it: filters on the lanes, as in the paper's section "Embedded Implementation". The channels of a pixel lie
 * side by side. Where a group has fewer filters than there are lanes, GROUPS_ASIDE groups share them: a pixel is
 * [channel][group], what it becomes is [filter][group] on one vector or more, so that no value need be moved from
 * lane to lane. Maps of 3x3 convolutions have zeros around them, and nothing is masked. */
#include <stdint.h>
#include <string.h>

#include "shape.h"
#include "vector.h"

#include "repeat.h"

#ifdef GROUPS_ASIDE

/* Of a block: VECTORS vectors of filters for each of PIXELS pixels. repeat.h's first index counts the pixels. */
#define FILTERS PIXELS
#define MARGIN (KERNEL / 2 * DILATION)
#define IN_PIXEL (INPUTS * GROUPS_ASIDE)
#define IN_ROW ((WIDTH + 2 * MARGIN) * IN_PIXEL)
#define FILTER_VECTORS ((OUTPUTS * GROUPS_ASIDE + LANES - 1) / LANES)
#define OUT_PIXEL (FILTER_VECTORS * LANES)
/* A 1x1 convolution takes its map for one long row. */
#define ROWS (KERNEL == 1 ? 1 : HEIGHT)
#define ROW_PIXELS (KERNEL == 1 ? WIDTH * HEIGHT : WIDTH)

/* A channel of the groups, over and over. */
static inline vec v_repeat(const float *p)
{
#if GROUPS_ASIDE == 1
    return v_splat(*p);
#elif GROUPS_ASIDE == LANES
    return v_load(p);
#elif LANES == 16 && GROUPS_ASIDE == 8
    return _mm512_castpd_ps(_mm512_broadcast_f64x4(_mm256_castps_pd(_mm256_loadu_ps(p))));
#elif LANES == 16 && GROUPS_ASIDE == 4
    return _mm512_broadcast_f32x4(_mm_loadu_ps(p));
#elif LANES == 8 && GROUPS_ASIDE == 4
    return _mm256_broadcast_ps((const __m128 *)p);
#elif GROUPS_ASIDE == 2
    double two;
    memcpy(&two, p, sizeof two);
#if LANES == 16
    return _mm512_castpd_ps(_mm512_set1_pd(two));
#elif LANES == 8
    return _mm256_castpd_ps(_mm256_set1_pd(two));
#else
    return vreinterpretq_f32_f64(vdupq_n_f64(two));
#endif
#endif
}

static inline void run_block(const float *in, float *out, const float *w)
{
#define SET_SUM(f, v) vec sum_##f##_##v = v_load(w + (v) * LANES);
#define SET_SUMS(f) EACH_SUM_OF(SET_SUM, f)
    EACH_FILTER(SET_SUMS)
    w += VECTORS * LANES;
#define LOAD_WEIGHT(v) const vec weight_##v = v_load(w + (v) * LANES);
    for (int column = 0; column < KERNEL; column++)
        for (int row = 0; row < KERNEL; row++) {
            const float *x = in + row * DILATION * IN_ROW + column * DILATION * IN_PIXEL;
#if defined __aarch64__ && GROUPS_ASIDE == 1 && INPUTS % LANES == 0
            /* A multiply-add may take one lane of a vector: four channels are loaded at once. */
#define LOAD(f) const vec x_##f = v_load(x + (f) * IN_PIXEL);
#define ADD_PRODUCT(f, v) sum_##f##_##v = vfmaq_laneq_f32(sum_##f##_##v, weight_##v, x_##f, LANE);
#define ADD_PRODUCTS(f) EACH_SUM_OF(ADD_PRODUCT, f)
            for (int c = 0; c < INPUTS; c += LANES, x += LANES) {
                EACH_FILTER(LOAD)
#define LANE 0
                { EACH_VECTOR(LOAD_WEIGHT) EACH_FILTER(ADD_PRODUCTS) w += VECTORS * LANES; }
#undef LANE
#define LANE 1
                { EACH_VECTOR(LOAD_WEIGHT) EACH_FILTER(ADD_PRODUCTS) w += VECTORS * LANES; }
#undef LANE
#define LANE 2
                { EACH_VECTOR(LOAD_WEIGHT) EACH_FILTER(ADD_PRODUCTS) w += VECTORS * LANES; }
#undef LANE
#define LANE 3
                { EACH_VECTOR(LOAD_WEIGHT) EACH_FILTER(ADD_PRODUCTS) w += VECTORS * LANES; }
            }
#else
#define ADD_PRODUCT(f, v) sum_##f##_##v = v_fma(weight_##v, x_##f, sum_##f##_##v);
#define ADD_PRODUCTS(f)                                                                                        \
    {                                                                                                          \
        const vec x_##f = v_repeat(x + (f) * IN_PIXEL);                                                        \
        EACH_SUM_OF(ADD_PRODUCT, f)                                                                            \
    }
            for (int c = 0; c < INPUTS; c++, x += GROUPS_ASIDE, w += VECTORS * LANES) {
                EACH_VECTOR(LOAD_WEIGHT)
                EACH_FILTER(ADD_PRODUCTS)
            }
#endif
        }
#define PUT_SUM(f, v) v_store(out + (f) * OUT_PIXEL + (v) * LANES, v_max(sum_##f##_##v, v_splat(0.0f)));
#define PUT_SUMS(f) EACH_SUM_OF(PUT_SUM, f)
    EACH_FILTER(PUT_SUMS)
}

static __attribute__((noipa)) void convolve(const float *in, const float *weights, float *out)
{
    for (int g = 0; g < GROUPS; g += GROUPS_ASIDE) {
        for (int v = 0; v < FILTER_VECTORS; v += VECTORS) {
            for (int y = 0; y < ROWS; y++)
                for (int x = 0; x < ROW_PIXELS; x += PIXELS) {
                    /* The last block of a row may do some of the pixels before it again. */
                    const int first = x + PIXELS > ROW_PIXELS ? ROW_PIXELS - PIXELS : x;
                    run_block(
                        in + y * IN_ROW + first * IN_PIXEL,
                        out + (y * ROW_PIXELS + first) * OUT_PIXEL + v * LANES, weights);
                }
            weights += (1 + KERNEL * KERNEL * INPUTS) * VECTORS * LANES;
        }
        in += (HEIGHT + 2 * MARGIN) * IN_ROW;
        out += HEIGHT * WIDTH * OUT_PIXEL;
    }
}

#else

#include "convolution.h"

#define SIZES ((2 << MOST) - 2)
#include "conv_layers.h"

static __attribute__((noipa)) void convolve(const float *in, const float *weights, float *out)
{
    const convolution layer = {
        .groups = GROUPS,
        .blocks = OUTPUTS / FILTERS,
        .vectors = MOST,
        .channels = INPUTS,
        .in_plane = IN_PLANE,
        .out_plane = WIDTH * HEIGHT,
        .group_step = OUTPUTS,
        .filter_step = 1,
        .relu = 1,
        .width = WIDTH,
        .row = WIDTH * DILATION,
        .dilation = DILATION,
        .left = left,
        .right = right,
        .weights = weights,
    };
    const convolution *which = &layer;
#ifdef SHARED
    __asm__ volatile("" : "+r"(which) : : "memory"); /* it may be any layer's */
#endif
    JOIN(JOIN(conv, KERNEL), JOIN(_, FILTERS))(which, in + IN_FIRST, out, 0, WIDTH * HEIGHT);
}

#endif

void run(int times, const float *in, const float *weights, float *out)
{
    for (int i = 0; i < times; i++)
        convolve(in, weights, out);
}

#ifdef BARE
/* Where there is no Python: says how many instructions a convolution takes, and shows the bits of its output. */
#include "board.h"
#include "data.h"

#define TIMES 8

static float out[OUT_FLOATS];

static void write_hex(uint32_t number)
{
    char text[10] = "00000000\n";
    for (int digit = 7; digit >= 0; digit--, number >>= 4)
        text[digit] = "0123456789abcdef"[number & 15];
    board_write(text);
}

int main(void)
{
    const uint64_t before = board_instructions();
    run(TIMES, in, weights, out);
    write_hex((uint32_t)((board_instructions() - before) / TIMES));
    for (int i = 0; i < OUT_FLOATS; i++) {
        uint32_t bits;
        memcpy(&bits, &out[i], sizeof bits);
        write_hex(bits);
    }
    return 0;
}
#endif
