/* conv1_N and conv3_N: whole layers whose groups' filters come in blocks of N = FILTERS, beside MOST vectors
 * of pixels. Include once for each N that a network has; `residual` may be 0, or `out` itself. */

#define VECTORS 1
#include "conv1_block.h"
#include "conv3_block.h"
#undef VECTORS
#if MOST > 2
#define VECTORS 2
#include "conv1_block.h"
#include "conv3_block.h"
#undef VECTORS
#endif
#if MOST > 3
#define VECTORS 3
#include "conv1_block.h"
#include "conv3_block.h"
#undef VECTORS
#endif
#if MOST > 1
#define VECTORS MOST
#include "conv1_block.h"
#include "conv3_block.h"
#undef VECTORS
#endif

#define BLOCK(kind, vectors) JOIN(JOIN(JOIN(kind, _block_), FILTERS), JOIN(x, vectors))
#if MOST > 3
#define WITH_3(kind, ...) case 3: end = BLOCK(kind, 3)(__VA_ARGS__); break;
#else
#define WITH_3(kind, ...)
#endif
#if MOST > 2
#define WITH_2(kind, ...) case 2: end = BLOCK(kind, 2)(__VA_ARGS__); break;
#else
#define WITH_2(kind, ...)
#endif
/* Blocks of MOST vectors, then one as large as what is left of the plane. */
#define RUN_BLOCKS(kind, ...)                                                                                  \
    for (int i = 0; i < layer->pixels; i += MOST * LANES) {                                                    \
        const int count = layer->pixels - i;                                                                   \
        switch ((count + LANES - 1) / LANES) {                                                                 \
        case 1: end = BLOCK(kind, 1)(__VA_ARGS__); break;                                                      \
        WITH_2(kind, __VA_ARGS__)                                                                              \
        WITH_3(kind, __VA_ARGS__)                                                                              \
        default: end = BLOCK(kind, MOST)(__VA_ARGS__); break;                                                  \
        }                                                                                                      \
    }
#define RUN_LAYER(kind, ...)                                                                                   \
    const float *w = layer->weights;                                                                           \
    for (int g = 0; g < layer->groups; g++, in += (ptrdiff_t)layer->channels * layer->in_plane)                \
        for (int b = 0; b < layer->blocks; b++) {                                                              \
            const int first = g * layer->group_step + b * FILTERS * layer->filter_step;                        \
            const ptrdiff_t offset = (ptrdiff_t)first * layer->out_plane;                                      \
            const float *end = w;                                                                              \
            RUN_BLOCKS(kind, __VA_ARGS__)                                                                      \
            w = end;                                                                                           \
        }

static inline void JOIN(conv1_, FILTERS)(const convolution *layer, const float *in, float *out, const float *residual)
{
    RUN_LAYER(conv1, layer, in + i, out + offset + i, residual ? residual + offset + i : 0, w, count)
}

static inline void JOIN(conv3_, FILTERS)(const convolution *layer, const float *in, float *out, const float *residual)
{
    RUN_LAYER(
        conv3, layer, in + i, out + offset + i, residual ? residual + offset + i : 0, w, i % layer->width, count)
}

#undef BLOCK
#undef WITH_3
#undef WITH_2
#undef RUN_BLOCKS
#undef RUN_LAYER
