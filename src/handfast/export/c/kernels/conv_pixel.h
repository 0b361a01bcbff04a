/* conv_pixel_N: whole 1x1 convolutions on maps of one pixel, whose planes are then a line of floats: a group's filters
 * lie on the lanes, N = VECTORS vectors of them at once, and each channel is repeated over these. Include once for each
 * VECTORS that a network has; `residual` may be 0, or `out` itself. */
#include "convolution.h"
#include "repeat.h"

static inline void JOIN(conv_pixel_, VECTORS)(const convolution *layer, const float *in, float *out,
                                              const float *residual)
{
    const float *w = layer->weights;
    for (int g = 0; g < layer->groups; g++, in += (ptrdiff_t)layer->channels * layer->in_plane)
        for (int b = 0; b < layer->blocks; b++) {
            const int done = b * VECTORS * LANES, first = g * layer->group_step + done;
            const int count = layer->group_step - done; /* filters that are left of the group */
#define SET_SUM(v) vec sum_##v = v_load(w + (v) * LANES);
            EACH_VECTOR(SET_SUM)
            w += VECTORS * LANES;
#define ADD_PRODUCT(v) sum_##v = v_fma(v_load(w + (v) * LANES), x, sum_##v);
            for (int c = 0; c < layer->channels; c++, w += VECTORS * LANES) {
                const vec x = v_splat(in[(ptrdiff_t)c * layer->in_plane]);
                EACH_VECTOR(ADD_PRODUCT)
            }
#define ADD_RESIDUAL(v)                                                                                        \
    if (count > (v) * LANES)                                                                                   \
        sum_##v = v_add(sum_##v, v_load(residual + first + (v) * LANES));
            if (residual) {
                EACH_VECTOR(ADD_RESIDUAL)
            }
#define CUT_SUM(v) sum_##v = v_max(sum_##v, v_splat(0.0f));
            if (layer->relu) {
                EACH_VECTOR(CUT_SUM)
            }
#define PUT_SUM(v)                                                                                             \
    if (count >= ((v) + 1) * LANES)                                                                            \
        v_store(out + first + (v) * LANES, sum_##v);                                                           \
    else if (count > (v) * LANES)                                                                              \
        v_store_n(out + first + (v) * LANES, sum_##v, count - (v) * LANES);
            EACH_VECTOR(PUT_SUM)
        }
}

#undef SET_SUM
#undef ADD_PRODUCT
#undef ADD_RESIDUAL
#undef CUT_SUM
#undef PUT_SUM
