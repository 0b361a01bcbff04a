/* conv1_N and conv3_N: whole layers whose groups' filters come in blocks of N = FILTERS, beside MOST vectors
 * of pixels. Include once for each N that a network has; `residual` may be 0, or `out` itself. */
#include "convolution.h"
#include "repeat.h"

#define VECTORS 1
#include "conv1_block.h"
#include "conv3_block.h"
#undef VECTORS
#if MOST > 1
#define VECTORS 2
#include "conv1_block.h"
#include "conv3_block.h"
#undef VECTORS
#endif
#if MOST > 2
#define VECTORS 3
#include "conv1_block.h"
#include "conv3_block.h"
#undef VECTORS
#endif
#if MOST > 3
#define VECTORS 4
#include "conv1_block.h"
#include "conv3_block.h"
#undef VECTORS
#endif
#if MOST > 4
#define VECTORS 5
#include "conv1_block.h"
#include "conv3_block.h"
#undef VECTORS
#endif

#define BLOCK(kind, vectors) JOIN(JOIN(JOIN(kind, _block_), FILTERS), JOIN(x, vectors))
#define WITH_1(kind, ...) case 1: end = BLOCK(kind, 1)(__VA_ARGS__); break;
#define WITH_2(kind, ...) WITH_1(kind, __VA_ARGS__) case 2: end = BLOCK(kind, 2)(__VA_ARGS__); break;
#define WITH_3(kind, ...) WITH_2(kind, __VA_ARGS__) case 3: end = BLOCK(kind, 3)(__VA_ARGS__); break;
#define WITH_4(kind, ...) WITH_3(kind, __VA_ARGS__) case 4: end = BLOCK(kind, 4)(__VA_ARGS__); break;
#define WITH_5(kind, ...) WITH_4(kind, __VA_ARGS__) case 5: end = BLOCK(kind, 5)(__VA_ARGS__); break;
/* Blocks of MOST vectors; a last one of a single vector would wait for its own sums, so the last two share. */
#define RUN_BLOCKS(kind, ...)                                                                                  \
    for (int i = 0, vectors; i < pixels; i += vectors * LANES) {                                               \
        const int count = pixels - i, left = (count + LANES - 1) / LANES;                                      \
        vectors = left <= MOST ? left : left == MOST + 1 ? (left + 1) / 2 : MOST;                              \
        switch (vectors) { JOIN(WITH_, MOST)(kind, __VA_ARGS__) }                                              \
    }
#define RUN_LAYER(kind, ...)                                                                                   \
    const float *w = layer->weights;                                                                           \
    for (int g = 0; g < layer->groups; g++, in += (ptrdiff_t)layer->channels * layer->in_plane)                \
        for (int b = 0; b < layer->blocks; b++) {                                                              \
            const int first = g * layer->group_step + b * FILTERS * layer->filter_step;                        \
            const ptrdiff_t offset = (ptrdiff_t)first * layer->out_plane;                                      \
            const float *const added = residual ? residual + (ptrdiff_t)first * layer->residual_plane : 0;     \
            const float *end = w;                                                                              \
            RUN_BLOCKS(kind, __VA_ARGS__)                                                                      \
            w = end;                                                                                           \
        }

static inline void JOIN(conv1_, FILTERS)(
    const convolution *layer, const float *in, float *out, const float *residual, int pixels)
{
    RUN_LAYER(conv1, layer, in, out + offset + i, added ? added + i : 0, w, i, count)
}

static inline void JOIN(conv3_, FILTERS)(
    const convolution *layer, const float *in, float *out, const float *residual, int pixels)
{
    RUN_LAYER(conv3, layer, in + i, out + offset, added, w, i, count)
}

#undef BLOCK
#undef WITH_1
#undef WITH_2
#undef WITH_3
#undef WITH_4
#undef WITH_5
#undef RUN_BLOCKS
#undef RUN_LAYER
