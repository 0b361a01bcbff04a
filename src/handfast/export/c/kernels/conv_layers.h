/* convK_N: whole layers of K x K = KERNEL convolutions whose groups' filters come in blocks of N = FILTERS, beside
 * MOST vectors of pixels: a number, or layer->vectors where layers differ. SIZES has a bit for each number of vectors
 * that is met, with what is left at the ends. Include once for each KERNEL and FILTERS that a network has; `residual`
 * may be 0, or `out` itself. */
#include "convolution.h"
#include "repeat.h"

#if KERNEL == 1
#define BLOCK_FILE "conv1_block.h"
#else
#define BLOCK_FILE "conv3_block.h"
#endif
#define BLOCK(vectors) JOIN(JOIN(JOIN(JOIN(conv, KERNEL), _block_), FILTERS), JOIN(x, vectors))

#if SIZES >> 1 & 1
#define VECTORS 1
#include BLOCK_FILE
#undef VECTORS
#define CASE_1(...) case 1: end = BLOCK(1)(__VA_ARGS__); break;
#else
#define CASE_1(...)
#endif
#if SIZES >> 2 & 1
#define VECTORS 2
#include BLOCK_FILE
#undef VECTORS
#define CASE_2(...) case 2: end = BLOCK(2)(__VA_ARGS__); break;
#else
#define CASE_2(...)
#endif
#if SIZES >> 3 & 1
#define VECTORS 3
#include BLOCK_FILE
#undef VECTORS
#define CASE_3(...) case 3: end = BLOCK(3)(__VA_ARGS__); break;
#else
#define CASE_3(...)
#endif
#if SIZES >> 4 & 1
#define VECTORS 4
#include BLOCK_FILE
#undef VECTORS
#define CASE_4(...) case 4: end = BLOCK(4)(__VA_ARGS__); break;
#else
#define CASE_4(...)
#endif
#if SIZES >> 5 & 1
#define VECTORS 5
#include BLOCK_FILE
#undef VECTORS
#define CASE_5(...) case 5: end = BLOCK(5)(__VA_ARGS__); break;
#else
#define CASE_5(...)
#endif
#define EACH_CASE(...)                                                                                         \
    CASE_1(__VA_ARGS__) CASE_2(__VA_ARGS__) CASE_3(__VA_ARGS__) CASE_4(__VA_ARGS__) CASE_5(__VA_ARGS__)

static inline void JOIN(JOIN(conv, KERNEL), JOIN(_, FILTERS))(
    const convolution *layer, const float *in, float *out, const float *residual, int pixels)
{
    const float *w = layer->weights;
    for (int g = 0; g < layer->groups; g++, in += (ptrdiff_t)layer->channels * layer->in_plane)
        for (int b = 0; b < layer->blocks; b++) {
            const int first = g * layer->group_step + b * FILTERS * layer->filter_step;
            float *const made = out + (ptrdiff_t)first * layer->out_plane;
            const float *const added = residual ? residual + (ptrdiff_t)first * layer->residual_plane : 0;
            const float *end = w;
            /* A last block of a single vector would wait for its own sums, so the last two share. */
            for (int i = 0, vectors; i < pixels; i += vectors * LANES) {
                const int count = pixels - i, left = (count + LANES - 1) / LANES;
                vectors = left <= MOST ? left : left == MOST + 1 ? (left + 1) / 2 : MOST;
#if KERNEL == 1
                switch (vectors) { EACH_CASE(layer, in, made + i, added ? added + i : 0, w, i, count) }
#else
                switch (vectors) { EACH_CASE(layer, in + i, made, added, w, i, count) }
#endif
            }
            w = end;
        }
}

#undef BLOCK_FILE
#undef BLOCK
#undef CASE_1
#undef CASE_2
#undef CASE_3
#undef CASE_4
#undef CASE_5
#undef EACH_CASE
